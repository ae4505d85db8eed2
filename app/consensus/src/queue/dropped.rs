//! The memory of transactions that the queue has dropped: what a node refused once, it refuses
//! again, else the mempools of two nodes would hand it to each other for ever.

use std::collections::BTreeSet;

use tidemark_proto::types::TxHash;

/// Most hashes of one generation; two are kept: 6 MiB.
const GENERATION: usize = 32_768;

/// Hashes of transactions that were dropped, the newest 32 768 at least.
#[derive(Debug, Default)]
pub(super) struct DroppedHashes {
    young: BTreeSet<TxHash>,
    old: BTreeSet<TxHash>,
}

impl DroppedHashes {
    pub(super) fn contains(&self, hash: &TxHash) -> bool {
        self.young.contains(hash) || self.old.contains(hash)
    }

    pub(super) fn insert(&mut self, hash: TxHash) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}
