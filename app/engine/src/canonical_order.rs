//! The canonical order of a block's transactions (rules §8.2): a proposer can include or leave out,
//! but not arrange.

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;
use tidemark_proto::types::{Address, Class, DecodedTx};

/// Position of a transaction in its block: class, then the account's hash under the previous
/// block's hash, then sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CanonicalKey {
    class: Class,
    lot: [u8; 32],
    account: Address,
    sequence: u64,
}

/// Computes keys for one block.
#[derive(Clone, Copy, Debug)]
pub struct CanonicalOrder {
    /// Hash of the block before.
    pub previous_block_hash: [u8; 32],
    /// True if cancels go before other orders.
    pub cancels_first: bool,
}

impl CanonicalOrder {
    /// The transaction's key.
    #[must_use]
    pub fn key(&self, tx: &DecodedTx) -> CanonicalKey {
        let lot = Sha256::new()
            .chain_update(self.previous_block_hash)
            .chain_update(tx.signer.0)
            .finalize()
            .into();
        let class = tx.message.class(self.cancels_first);
        CanonicalKey { class, lot, account: tx.signer, sequence: tx.sequence }
    }
}

/// The bounds of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockBudget {
    /// Bytes of transactions.
    pub bytes: u64,
    /// Gas that transactions declare.
    pub gas: u64,
}

/// Chooses transactions for a block from those in the mempool, in arrival order, and puts them in
/// canonical order.
///
/// Of each account it takes the run of sequences from `next_sequence(account)` on, as long as the
/// class does not fall; the others wait for a later block. Returns indices into `txs`.
#[expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "indices are those of the transactions; sizes and gas were compared with the budget"
)]
pub fn select(
    txs: &[Arc<DecodedTx>],
    order: &CanonicalOrder,
    mut budget: BlockBudget,
    next_sequence: impl Fn(&Address) -> Option<u64>,
) -> Vec<usize> {
    let mut by_account: BTreeMap<Address, Vec<usize>> = BTreeMap::new();
    let mut arrival: Vec<Address> = Vec::new();
    for (index, tx) in txs.iter().enumerate() {
        let queue = by_account.entry(tx.signer).or_default();
        if queue.is_empty() {
            arrival.push(tx.signer);
        }
        queue.push(index);
    }
    let mut chosen: Vec<(CanonicalKey, usize)> = Vec::new();
    for account in arrival {
        let (Some(mut next), Some(mut queue)) =
            (next_sequence(&account), by_account.remove(&account))
        else {
            continue;
        };
        queue.sort_by_key(|&index| txs[index].sequence);
        let mut class = Class::Cash;
        for index in queue {
            let tx = &txs[index];
            if tx.sequence < next {
                continue;
            }
            let key = order.key(tx);
            let (size, gas) = (tx_bytes(tx.size), tx.gas_limit);
            if tx.sequence > next || key.class < class || size > budget.bytes || gas > budget.gas {
                break;
            }
            budget.bytes -= size;
            budget.gas -= gas;
            class = key.class;
            next += 1;
            chosen.push((key, index));
        }
    }
    chosen.sort_unstable_by_key(|(key, _)| *key);
    chosen.into_iter().map(|(_, index)| index).collect()
}

/// Bytes that a transaction takes in a block: its own and its protobuf frame.
#[must_use]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "indices are those of the transactions; sizes and gas were compared with the budget"
)]
pub fn tx_bytes(size: usize) -> u64 {
    const FRAME: u64 = 8;
    size as u64 + FRAME
}

/// The first transaction of a block that [`select`] would not have put there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentence of a variant documents its fields
pub enum OutOfPlace {
    #[error("transaction {index} is not in canonical order")]
    Order { index: usize },
    #[error("transaction {index}: unknown account")]
    UnknownAccount { index: usize },
    #[error("transaction {index} has sequence {sequence}, its account is at {next}")]
    Sequence { index: usize, sequence: u64, next: u64 },
    #[error("transaction {index} brings the block's gas to {gas}, at most {max_gas}")]
    Gas { index: usize, gas: u64, max_gas: u64 },
}

/// Checks that a block's transactions are a selection that [`select`] could have made.
///
/// # Errors
/// The first transaction out of place.
pub fn check(
    txs: &[impl AsRef<DecodedTx>],
    order: &CanonicalOrder,
    max_gas: u64,
    next_sequence: impl Fn(&Address) -> Option<u64>,
) -> Result<(), OutOfPlace> {
    let mut gas: u64 = 0;
    let mut expected: BTreeMap<Address, u64> = BTreeMap::new();
    let mut last: Option<CanonicalKey> = None;
    for (index, tx) in txs.iter().map(AsRef::as_ref).enumerate() {
        let key = order.key(tx);
        if last.is_some_and(|last| last >= key) {
            return Err(OutOfPlace::Order { index });
        }
        last = Some(key);
        let next = match expected.get(&tx.signer) {
            Some(next) => *next,
            None => next_sequence(&tx.signer).ok_or(OutOfPlace::UnknownAccount { index })?,
        };
        if tx.sequence != next {
            return Err(OutOfPlace::Sequence { index, sequence: tx.sequence, next });
        }
        expected.insert(tx.signer, next.saturating_add(1));
        // A sum that saturates is above any bound.
        gas = gas.saturating_add(tx.gas_limit);
        if gas > max_gas {
            return Err(OutOfPlace::Gas { index, gas, max_gas });
        }
    }
    Ok(())
}
