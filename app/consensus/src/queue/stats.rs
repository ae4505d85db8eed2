//! News of the queue: for metrics, and of each transaction that it drops.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::owner::OwnerQueue;
use super::{Dropped, TxQueue};

/// The state of a queue, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Owners with transactions that wait.
    pub owners: usize,
    /// Transactions that clients of this node brought.
    pub from_clients: usize,
    /// Those that only the mempool brought.
    pub from_mempool: usize,
    /// Memory that all of them take.
    pub memory_bytes: usize,
    /// The part of it behind missing sequences.
    pub gap_bytes: usize,
    /// Dropped transactions by the word of the reason, since the node's start.
    pub drops: BTreeMap<&'static str, u64>,
}

impl TxQueue {
    /// Tells of dropped transactions whoever is to be told.
    pub(super) fn tell(&self, dropped: Vec<Dropped>) {
        let mut counts = self.drop_counts.lock().unwrap_or_else(PoisonError::into_inner);
        for dropped in &dropped {
            let count = counts.entry(dropped.why.word()).or_default();
            *count = count.saturating_add(1);
        }
        drop(counts);
        if let Some(drops) = self.drops.as_ref().filter(|_| !dropped.is_empty()) {
            drops.dropped(dropped);
        }
    }

    /// The transactions that wait, and counts of those that were dropped.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        let drops = self.drop_counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let inner = self.lock();
        let from_clients = inner.owners.values().map(OwnerQueue::of_clients).sum();
        QueueStats {
            owners: inner.owners.len(),
            from_clients,
            from_mempool: inner.transactions.saturating_sub(from_clients),
            memory_bytes: inner.memory_bytes,
            gap_bytes: inner.gap_bytes,
            drops,
        }
    }

    /// How many transactions wait, and the memory that they take.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.transactions, inner.memory_bytes)
    }
}
