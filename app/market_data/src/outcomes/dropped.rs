//! Transactions that the node has dropped, for clients that ask what became of one.

use std::collections::{BTreeMap, VecDeque};

use tidemark_consensus::queue::Dropped;
use tidemark_proto::types::{TxHash, TxNumber};

/// Most that are remembered: some 500 bytes each with their sentences and entries, 25 MB.
const MAX_DROPPED: usize = 50_000;

/// Dropped transactions, the newest [`MAX_DROPPED`].
#[derive(Debug, Default)]
pub(super) struct DroppedTxs {
    by_hash: BTreeMap<TxHash, Dropped>,
    /// The last one with a number.
    by_number: BTreeMap<TxNumber, TxHash>,
    /// Hashes of `by_hash`, oldest first.
    order: VecDeque<TxHash>,
}

impl DroppedTxs {
    pub(super) fn get(&self, hash: &TxHash) -> Option<&Dropped> {
        self.by_hash.get(hash)
    }

    pub(super) fn with(&self, number: &TxNumber) -> Option<&Dropped> {
        self.by_hash.get(self.by_number.get(number)?)
    }

    pub(super) fn insert(&mut self, dropped: Dropped) {
        let hash = dropped.hash;
        self.by_number.insert(dropped.number, hash);
        if self.by_hash.insert(hash, dropped).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > MAX_DROPPED {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let oldest = self.order.pop_front();
        let Some(gone) = oldest.and_then(|hash| self.by_hash.remove(&hash)) else { return };
        if self.by_number.get(&gone.number) == Some(&gone.hash) {
            self.by_number.remove(&gone.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemark_consensus::queue::DropReason;
    use tidemark_proto::types::Address;

    use super::*;

    fn dropped(count: u64) -> Dropped {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&count.to_le_bytes());
        let owner = Address([7; 20]);
        Dropped {
            hash,
            number: TxNumber { owner, agent: None, number: count / 2 },
            timeout_height: 0,
            height: 1,
            next_free: 0,
            why: DropReason::Behind,
        }
    }

    #[test]
    fn the_newest_dropped_transactions_are_kept_and_no_more() {
        let mut all = DroppedTxs::default();
        let last = MAX_DROPPED as u64 + 9;
        (0..=last).for_each(|count| all.insert(dropped(count)));
        let sizes = (all.by_hash.len(), all.order.len(), all.by_number.len());
        assert_eq!(sizes, (MAX_DROPPED, MAX_DROPPED, MAX_DROPPED / 2));
        let newest = dropped(last);
        assert_eq!(all.with(&newest.number), Some(&newest));
        assert_eq!((all.get(&dropped(9).hash), all.get(&dropped(10).hash).is_some()), (None, true));
    }
}
