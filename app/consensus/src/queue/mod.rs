//! The node's queue: transactions that wait for a block, by owner.
//!
//! CometBFT's mempool carries transactions to other nodes. What may wait, for how long, and who is
//! next is decided here: that mempool is first in, first out, and drops nothing by itself. So a
//! transaction is in the mempool for as long as it is in the queue, and a proposer takes from the
//! queue alone (ADR 43).

mod asked;
mod bundle_refusal;
mod bundles;
mod dropped;
mod limits;
mod makers;
mod owner;
mod owners;
mod refusal;
mod stats;
mod turns;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::bytes::Bytes;
use sha2::{Digest, Sha256};
use tidemark_engine::admission::BlockBudget;
use tidemark_engine::outcome::TxOutcome;
use tidemark_engine::state::View;
use tidemark_proto::types::{Address, DecodedTx, TxHash};
use tidemark_proto::units::TimeMs;
use tidemark_proto::{Code, Refusal};

use crate::journal::{Journal, JournalError, Recovered};
use crate::publish::Publisher;
use crate::tx_cache::{Decoded, TxCache};
use bundles::Bundles;
use limits::last_height;
use owner::{Slot, Waiting};
use owners::Owners;

pub use bundle_refusal::BundleRefusal;
pub use bundles::{BundleCounts, MadeBundle};
pub use dropped::{DropReason, DropSink, Dropped};
pub use limits::{memory_bytes, Limits, GAP_BLOCKS, TX_LIFETIME_BLOCKS};
pub use refusal::QueueRefusal;
pub use stats::QueueStats;

/// Transactions that wait for a block. Shared by gRPC, CheckTx and the block phases.
#[derive(Debug)]
pub struct TxQueue {
    publisher: Arc<Publisher>,
    cache: Arc<TxCache>,
    limits: Limits,
    journal: Option<Journal>,
    drops: Option<Arc<dyn DropSink>>,
    /// Dropped transactions by the word of the reason.
    drop_counts: Mutex<BTreeMap<&'static str, u64>>,
    bundles: Bundles,
    inner: Mutex<Owners>,
}

/// How a transaction came to the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a client of this node, over gRPC.
    Client,
    /// From CometBFT's mempool, by itself: a peer or `broadcast_tx_*`.
    Mempool,
    /// From a validator's node, in a bundle.
    Bundle,
}

/// A transaction for the next block.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its content.
    pub tx: Arc<DecodedTx>,
    /// Its bytes.
    pub bytes: Bytes,
    /// It stands in the block by itself, not in the block's own list.
    pub is_plain: bool,
}

impl TxQueue {
    /// An empty queue with the usual bounds.
    #[must_use]
    pub fn new(publisher: Arc<Publisher>, cache: Arc<TxCache>) -> Self {
        Self::with_limits(publisher, cache, Limits::default())
    }

    /// An empty queue.
    #[must_use]
    pub fn with_limits(publisher: Arc<Publisher>, cache: Arc<TxCache>, limits: Limits) -> Self {
        Self {
            publisher,
            cache,
            limits,
            journal: None,
            drops: None,
            drop_counts: Mutex::default(),
            bundles: Bundles::default(),
            inner: Mutex::default(),
        }
    }

    /// The queue with somebody who is told what it drops.
    #[must_use]
    pub fn with_drops(self, drops: Arc<dyn DropSink>) -> Self {
        Self { drops: Some(drops), ..self }
    }

    /// The queue with a journal: what clients bring is written to it before it is taken, and what
    /// was there before a restart is taken again once the node has the blocks of that time.
    #[must_use]
    pub fn with_journal(mut self, journal: Journal, mut recovered: Vec<Recovered>) -> Self {
        recovered.sort_by_key(|tx| std::cmp::Reverse(tx.accepted_height));
        self.journal = Some(journal);
        self.lock().recovered = recovered;
        self
    }

    /// The verified transactions that it shares with the block phases.
    #[must_use]
    pub fn cache(&self) -> &Arc<TxCache> {
        &self.cache
    }

    fn lock(&self) -> MutexGuard<'_, Owners> {
        // A panic elsewhere aborts the process; a poisoned lock cannot be seen here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a transaction, or finds that it waits already. Checks go from cheap to dear: size,
    /// form, account, sequence, timeout, room; the signature is the last, and the dearest.
    ///
    /// # Errors
    /// As of [`Self::read`] and [`Self::take`].
    pub fn offer(&self, bytes: &[u8], origin: Origin) -> Result<Arc<DecodedTx>, Refusal> {
        self.take(self.read(bytes)?, bytes, origin)
    }

    /// Reads a transaction: its size and form.
    ///
    /// # Errors
    /// As of [`decode`](tidemark_proto::tx::decode).
    pub fn read(&self, bytes: &[u8]) -> Result<Decoded, Refusal> {
        self.cache.decode(bytes, self.publisher.view().max_tx_bytes())
    }

    /// Takes a transaction that was read from these bytes, or finds that it waits already.
    ///
    /// # Errors
    /// As of [`View::admits`], [`QueueRefusal`] and
    /// [`SignedTx::verify`](tidemark_proto::tx::SignedTx::verify).
    pub fn take(
        &self,
        decoded: Decoded,
        bytes: &[u8],
        origin: Origin,
    ) -> Result<Arc<DecodedTx>, Refusal> {
        let verified = self.checked(decoded, bytes, origin)?;
        self.enter(verified, bytes, origin)
    }

    /// A transaction that may be taken as it seems before it is in the queue: all but its signature
    /// is checked first.
    fn checked(
        &self,
        decoded: Decoded,
        bytes: &[u8],
        origin: Origin,
    ) -> Result<(Arc<DecodedTx>, TxHash), Refusal> {
        let view = self.publisher.view();
        self.verified(decoded, bytes, |tx| {
            view.admits(tx)?;
            let inner = self.lock();
            inner.refuses_again(tx, origin)?;
            inner.room(tx, &view, &self.limits)?;
            Ok(inner.allows(tx, &view)?)
        })
    }

    /// Enters a verified transaction, after the journal where a client has brought it.
    fn enter(
        &self,
        (tx, bytes_hash): (Arc<DecodedTx>, TxHash),
        bytes: &[u8],
        origin: Origin,
    ) -> Result<Arc<DecodedTx>, Refusal> {
        let height = self.publisher.view().chain.height;
        let last_height = last_height(&tx, height);
        let waiting = Waiting::new((Arc::clone(&tx), bytes_hash), bytes, last_height, origin);
        let writes = origin == Origin::Client && !self.lock().is_of_a_client(&tx);
        if writes {
            self.journal(|journal| journal.accept(bytes, last_height, height))?;
        }
        let taken = self.insert(waiting);
        if writes && taken.is_err() {
            drop(self.journal(|journal| journal.end(bytes_hash)));
        }
        taken.map(|()| tx)
    }

    /// Writes to the journal, if there is one.
    fn journal(
        &self,
        write: impl FnOnce(&Journal) -> Result<(), JournalError>,
    ) -> Result<(), Refusal> {
        let written = self.journal.as_ref().map_or(Ok(()), write);
        written.map_err(|error| {
            tracing::error!("{error}");
            Refusal::new(Code::Overloaded, error.to_string())
        })
    }

    /// Takes a transaction of the journal again.
    fn restore(&self, recovered: &Recovered) -> Result<(), Refusal> {
        let Recovered { bytes, last_height, .. } = recovered;
        let admits = |tx: &DecodedTx| Ok(self.publisher.view().admits(tx)?);
        let tx = self.verified(self.read(bytes)?, bytes, admits)?;
        self.insert(Waiting::new(tx, bytes, *last_height, Origin::Client))
    }

    /// A transaction, with the hash of its bytes, once its signature is verified: after the checks
    /// that are cheaper.
    fn verified(
        &self,
        decoded: Decoded,
        bytes: &[u8],
        check: impl FnOnce(&DecodedTx) -> Result<(), Refusal>,
    ) -> Result<(Arc<DecodedTx>, TxHash), Refusal> {
        match decoded {
            Decoded::Verified(tx) => Ok((tx, Sha256::digest(bytes).into())),
            Decoded::Unverified(signed) => {
                check(&signed.tx)?;
                signed.verify(&self.cache.domain())?;
                let bytes_hash = signed.bytes_hash;
                Ok((Arc::new(signed.tx), bytes_hash))
            }
        }
    }

    /// Adds a verified transaction, unless it is there.
    fn insert(&self, waiting: Waiting) -> Result<(), Refusal> {
        let (tx, bytes_hash) = (Arc::clone(&waiting.tx), waiting.bytes_hash);
        let origin = waiting.origin;
        let mut inner = self.lock();
        // Under the lock, so that no block comes between this view and the entry: `committed` would
        // not find it.
        let view = self.publisher.view();
        view.admits(&tx)?;
        if inner.holds(&tx) {
            inner.comes_again(&tx, origin);
            return Ok(());
        }
        inner.refuses_again(&tx, origin)?;
        inner.room(&tx, &view, &self.limits)?;
        let (next, height) = (view.sequence(&tx.signer).unwrap_or(0), view.chain.height);
        let gone = inner.update(tx.signer, |owner| {
            let gone = owner.advance(next, height, |tx| view.admits(tx).is_ok());
            owner.insert(waiting, height);
            gone
        });
        inner.by_hash.insert(tx.hash, (tx.signer, Slot::of(&tx)));
        if origin == Origin::Client {
            inner.unoffered.insert((tx.signer, Slot::of(&tx)));
        }
        self.cache.hold(bytes_hash, tx);
        self.release(&mut inner, &gone);
        inner.overtaken.extend(gone.into_iter().map(|waiting| waiting.tx));
        let evicted = inner.make_room(&self.limits);
        self.release(&mut inner, &evicted);
        self.end(&evicted);
        let itself = evicted.iter().any(|gone| gone.bytes_hash == bytes_hash);
        let others = evicted.iter().filter(|gone| gone.bytes_hash != bytes_hash);
        let dropped =
            others.map(|gone| inner.dropped_tx(&gone.tx, &view, DropReason::Room)).collect();
        let taken = if itself { Err(inner.full().into()) } else { Ok(()) };
        drop(inner);
        self.tell(dropped);
        taken
    }

    fn release(&self, inner: &mut Owners, gone: &[Waiting]) {
        for waiting in gone {
            self.cache.release(&waiting.bytes_hash);
            inner.by_hash.remove(&waiting.tx.hash);
            inner.unoffered.remove(&(waiting.tx.signer, Slot::of(&waiting.tx)));
        }
    }

    /// Notes in the journal that dropped transactions are not to be taken again.
    fn end(&self, dropped: &[Waiting]) {
        for waiting in dropped.iter().filter(|waiting| waiting.origin == Origin::Client) {
            // The journal has logged why it cannot; at worst the transaction is offered again.
            drop(self.journal(|journal| journal.end(waiting.bytes_hash)));
        }
    }

    /// Returns true if these bytes wait here: CheckTx asks it for each transaction in CometBFT's
    /// mempool after every block.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.cache.holds(&Sha256::digest(bytes).into())
    }

    /// Transactions that CometBFT's mempool is to have: up to `most`, by owner and sequence.
    #[must_use]
    pub fn unoffered(&self, most: usize) -> Vec<(Arc<DecodedTx>, Bytes)> {
        let inner = self.lock();
        let waiting = inner.unoffered.iter().take(most).filter_map(|(owner, slot)| {
            let waiting = inner.owners.get(owner)?.get(slot)?;
            Some((Arc::clone(&waiting.tx), waiting.bytes.clone()))
        });
        waiting.collect()
    }

    /// Notes that the mempool has a transaction, or never will.
    pub fn offered(&self, tx: &DecodedTx) {
        self.lock().unoffered.remove(&(tx.signer, Slot::of(tx)));
    }

    /// Takes out what the block that was published last has carried out or made impossible, and
    /// whose life is over.
    pub fn committed(&self, txs: &[TxOutcome]) {
        let mut inner = self.lock();
        let view = self.publisher.view();
        let height = view.chain.height;
        let mut dropped = self.overtaken(&mut inner, &view, txs);
        while let Some(signer) = inner.ended(height) {
            let gone = inner.update(signer, |owner| owner.expire(height));
            gone.iter().for_each(|waiting| inner.dropped.insert(waiting.tx.hash));
            self.release(&mut inner, &gone);
            self.end(&gone);
            let ended = gone.iter().map(|it| inner.dropped_tx(&it.tx, &view, it.end(height)));
            dropped.extend(ended);
        }
        let recovered = inner.recovered_of(height);
        drop(inner);
        self.bundles.expire(&view);
        dropped.extend(recovered.iter().filter_map(|tx| self.try_restore(tx, &view)));
        self.tell(dropped);
        // The journal's error is logged; segments that stay are read once more after a restart.
        drop(self.journal(|journal| journal.committed(height)));
    }

    /// Takes out what a block's transactions have carried out or made impossible; returns those
    /// that are not in the block.
    fn overtaken(&self, inner: &mut Owners, view: &View, txs: &[TxOutcome]) -> Vec<Dropped> {
        let height = view.chain.height;
        let signers: BTreeSet<Address> = txs.iter().filter_map(|tx| tx.signer).collect();
        let mut gone = std::mem::take(&mut inner.overtaken);
        for signer in signers {
            if inner.owners.contains_key(&signer) {
                let next = view.sequence(&signer).unwrap_or(0);
                let still = |tx: &DecodedTx| view.admits(tx).is_ok();
                let out = inner.update(signer, |owner| owner.advance(next, height, still));
                self.release(inner, &out);
                gone.extend(out.into_iter().map(|waiting| waiting.tx));
                // Who was served goes behind the others.
                inner.put_last(signer);
            }
        }
        let in_block: BTreeSet<&TxHash> = txs.iter().map(|tx| &tx.hash).collect();
        let lost = gone.iter().filter(|tx| !in_block.contains(&tx.hash));
        let lost = lost.filter_map(|tx| {
            let why = DropReason::Refused(view.admits(tx).err()?.into());
            Some(inner.dropped_tx(tx, view, why))
        });
        lost.collect()
    }

    /// Takes a transaction of the journal again, unless its life is over; returns it if the state
    /// refuses it.
    fn try_restore(&self, recovered: &Recovered, view: &View) -> Option<Dropped> {
        if recovered.last_height <= view.chain.height {
            return None;
        }
        let refusal = self.restore(recovered).err()?;
        tracing::debug!("a transaction of the journal is not taken again: {refusal}");
        let tx = self.read(&recovered.bytes).ok()?;
        let why = DropReason::Refused(refusal);
        Some(self.lock().dropped_tx(tx.as_ref(), view, why))
    }

    /// Chooses transactions for the next block, which has this time: cancels first, then owners in
    /// turn.
    #[must_use]
    pub fn choose(&self, view: &View, time_ms: TimeMs, budget: BlockBudget) -> Vec<Chosen> {
        let inner = self.lock();
        let left = |address| Some((address, Cell::new(view.allowance(address, time_ms)?)));
        let owners: Vec<_> = inner.by_turn.values().filter_map(left).collect();
        let owners = owners.iter().filter_map(|(address, left)| {
            let next = view.sequence(address)?;
            let admits = move |waiting: &&Waiting| {
                view.admits_at(&waiting.tx, time_ms).is_ok() && turns::take(left, &waiting.tx)
            };
            Some(inner.owners.get(address)?.ready(next, admits))
        });
        turns::choose(owners, budget)
            .into_iter()
            .map(|waiting| Chosen {
                tx: Arc::clone(&waiting.tx),
                bytes: waiting.bytes.clone(),
                is_plain: waiting.is_plain,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
