//! One owner's transactions that wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::bytes::Bytes;
use tidemark_proto::types::{DecodedTx, TxHash};

use super::limits::GAP_BLOCKS;
use super::Origin;

/// A transaction that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) tx: Arc<DecodedTx>,
    pub(super) bytes: Bytes,
    pub(super) bytes_hash: TxHash,
    /// Memory that it takes.
    pub(super) memory_bytes: usize,
    /// The last block that may hold it, as far as this node goes.
    pub(super) last_height: u64,
    pub(super) origin: Origin,
}

/// An owner's transactions by sequence: a run without a gap from the account's next sequence on,
/// which is ready for a block, and what has come before its turn.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnerQueue {
    txs: BTreeMap<u64, Waiting>,
    /// The first sequence from the account's next one on that no transaction here has.
    first_missing: u64,
    memory_bytes: usize,
    /// The part of `memory_bytes` that is behind `first_missing`.
    gap_bytes: usize,
    /// The last block for which what is behind `first_missing` is kept.
    gap_until: u64,
    /// When the owner's turn is, among owners: the smallest is first.
    pub(super) turn: u64,
}

impl OwnerQueue {
    pub(super) fn with_turn(turn: u64) -> Self {
        Self { turn, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.txs.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.txs.len()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    pub(super) fn gap_bytes(&self) -> usize {
        self.gap_bytes
    }

    /// The first sequence that no transaction has, here or in the chain.
    pub(super) fn next_free(&self, next: u64) -> u64 {
        self.first_missing.max(next)
    }

    pub(super) fn get(&self, sequence: u64) -> Option<&Waiting> {
        self.txs.get(&sequence)
    }

    /// Notes that a client has brought a transaction as well.
    pub(super) fn brought_by_a_client(&mut self, sequence: u64) {
        if let Some(waiting) = self.txs.get_mut(&sequence) {
            waiting.origin = Origin::Client;
        }
    }

    /// The next block height at which [`Self::expire`] has something to do.
    pub(super) fn due_after(&self) -> u64 {
        let lives = self.txs.values().map(|waiting| waiting.last_height);
        let gap = (self.gap_bytes > 0).then_some(self.gap_until);
        lives.chain(gap).min().unwrap_or(u64::MAX)
    }

    /// Adds a transaction whose sequence is free, in the block after `height`.
    pub(super) fn insert(&mut self, waiting: Waiting, height: u64) {
        let sequence = waiting.tx.sequence;
        self.memory_bytes = self.memory_bytes.saturating_add(waiting.memory_bytes);
        if self.gap_bytes == 0 {
            self.gap_until = height.saturating_add(GAP_BLOCKS);
        }
        self.gap_bytes = self.gap_bytes.saturating_add(waiting.memory_bytes);
        self.txs.insert(sequence, waiting);
        self.close_gap(self.first_missing, height);
    }

    /// Takes out what is below the account's next sequence.
    pub(super) fn advance(&mut self, next: u64, height: u64) -> Vec<Waiting> {
        let rest = self.txs.split_off(&next);
        let gone = std::mem::replace(&mut self.txs, rest);
        let first_missing = self.first_missing;
        for (sequence, waiting) in &gone {
            self.forget(waiting, *sequence >= first_missing);
        }
        self.first_missing = first_missing.max(next);
        self.close_gap(first_missing, height);
        gone.into_values().collect()
    }

    /// Takes out what may not be in the block after `height`, and everything behind it: from the
    /// first transaction whose life is over, or from the gap if that has lasted too long.
    pub(super) fn expire(&mut self, height: u64) -> Vec<Waiting> {
        let ended = self.txs.iter().find(|(_, waiting)| waiting.last_height <= height);
        let ended = ended.map(|(sequence, _)| *sequence);
        let gap = (self.gap_bytes > 0 && self.gap_until <= height).then_some(self.first_missing);
        match ended.into_iter().chain(gap).min() {
            Some(from) => self.drop_from(from),
            None => Vec::new(),
        }
    }

    /// Takes out the last transaction.
    pub(super) fn drop_last(&mut self) -> Option<Waiting> {
        let (&last, _) = self.txs.last_key_value()?;
        self.drop_from(last).pop()
    }

    /// Takes out a transaction and everything behind it.
    fn drop_from(&mut self, from: u64) -> Vec<Waiting> {
        let gone = self.txs.split_off(&from);
        let first_missing = self.first_missing;
        for (sequence, waiting) in &gone {
            self.forget(waiting, *sequence >= first_missing);
        }
        self.first_missing = self.first_missing.min(from);
        gone.into_values().collect()
    }

    /// The transactions that may be in the next block, in order, from the account's next sequence
    /// on.
    pub(super) fn ready(&self, next: u64) -> impl Iterator<Item = &Waiting> {
        let from_next = self.txs.range(next..);
        (next..).zip(from_next).take_while(|(at, (sequence, _))| at == *sequence).map(|it| it.1 .1)
    }

    fn forget(&mut self, waiting: &Waiting, behind_gap: bool) {
        self.memory_bytes = self.memory_bytes.saturating_sub(waiting.memory_bytes);
        if behind_gap {
            self.gap_bytes = self.gap_bytes.saturating_sub(waiting.memory_bytes);
        }
    }

    /// Moves `first_missing`, which was at `before`, beyond what is there. A gap that stays behind
    /// it is a new one if it moves.
    fn close_gap(&mut self, before: u64, height: u64) {
        while let Some(waiting) = self.txs.get(&self.first_missing) {
            self.gap_bytes = self.gap_bytes.saturating_sub(waiting.memory_bytes);
            self.first_missing = self.first_missing.saturating_add(1);
        }
        if self.first_missing != before {
            self.gap_until = height.saturating_add(GAP_BLOCKS);
        }
    }
}
