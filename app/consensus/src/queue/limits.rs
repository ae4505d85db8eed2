//! Bounds of the queue.

use tidemark_proto::types::{DecodedTx, Message, Operation};

/// How many blocks a transaction waits on this node at most, whatever its timeout height.
pub const TX_LIFETIME_BLOCKS: u64 = 50;

/// How many blocks a transaction waits for a missing sequence before it.
pub const GAP_BLOCKS: u64 = 10;

/// Memory that the queue's own entries take beside a transaction.
const ENTRY_BYTES: usize = 1_024;

/// Bounds of what waits, in memory that it takes ([`memory_bytes`]) and in number.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Memory of all transactions.
    pub bytes: usize,
    /// Number of all transactions. CometBFT's mempool takes more, so that it is never full while
    /// this queue makes room by owner.
    pub transactions: usize,
    /// Memory of one owner's transactions.
    pub owner_bytes: usize,
    /// Memory of all transactions behind a missing sequence.
    pub gap_bytes: usize,
    /// Memory of one owner's transactions behind a missing sequence.
    pub owner_gap_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 128 << 20,
            transactions: 16_000,
            owner_bytes: 4 << 20,
            gap_bytes: 32 << 20,
            owner_gap_bytes: 2 << 20,
        }
    }
}

/// The last block that may hold a transaction, as far as this node goes.
pub(super) fn last_height(tx: &DecodedTx, height: u64) -> u64 {
    let life = height.saturating_add(TX_LIFETIME_BLOCKS);
    match tx.timeout_height {
        0 => life,
        timeout_height => timeout_height.min(life),
    }
}

/// Memory that a decoded transaction takes, with the bytes that it came in where these are kept.
/// An upper bound but for the allocator's own rounding.
#[must_use]
pub fn memory_bytes(tx: &DecodedTx) -> usize {
    let operations = match &tx.message {
        Message::Orders { operations, .. } => operations.as_slice(),
        _ => &[],
    };
    let boxed = operations.iter().map(Operation::boxed_bytes).sum::<usize>();
    let inline = std::mem::size_of_val(operations);
    tx.size.saturating_add(inline).saturating_add(boxed).saturating_add(ENTRY_BYTES)
}
