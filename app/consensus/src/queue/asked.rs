//! The queue as who asks about an owner, a number or a transaction sees it.

use tidemark_proto::types::{Address, Draw, TxHash, TxNumber};

use super::owner::{OwnerQueue, Slot};
use super::TxQueue;

impl TxQueue {
    /// The first sequence of an owner that neither the chain nor a waiting transaction has used.
    #[must_use]
    pub fn next_free(&self, signer: &Address) -> Option<u64> {
        let inner = self.lock();
        let next = self.publisher.view().sequence(signer)?;
        Some(inner.owners.get(signer).map_or(next, |owner| owner.next_free(next)))
    }

    /// Draws of an owner's transactions that wait here.
    #[must_use]
    pub fn draws(&self, owner: &Address) -> Draw {
        self.lock().owners.get(owner).map(OwnerQueue::draws).unwrap_or_default()
    }

    /// Operations that an owner's allowance has left for the next block, less those that wait here.
    #[must_use]
    pub fn left(&self, owner: &Address) -> Draw {
        let view = self.publisher.view();
        let left = view.allowance(owner, view.chain.time_ms).unwrap_or_default();
        left.draws().less(self.draws(owner))
    }

    /// The identity of the transaction that waits with a number, and the last block for which it
    /// does.
    #[must_use]
    pub fn waiting(&self, number: &TxNumber) -> Option<(TxHash, u64)> {
        let inner = self.lock();
        let slot = Slot::new(number.agent, number.number);
        let waiting = inner.owners.get(&number.owner)?.get(&slot)?;
        Some((waiting.tx.hash, waiting.last_height))
    }

    /// The last block for which the transaction of an identity waits, if it does.
    #[must_use]
    pub fn waits_until(&self, hash: &TxHash) -> Option<u64> {
        let inner = self.lock();
        let (owner, slot) = inner.by_hash.get(hash)?;
        Some(inner.owners.get(owner)?.get(slot)?.last_height)
    }
}
