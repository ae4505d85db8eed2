//! Bundles: made of what this node's clients have brought, and taken from other validators' nodes
//! (rules §10.14).
//!
//! A bundle is a way for transactions to the queue, and no more: nothing reads it once it is taken.
//! CometBFT's mempool carries it for as long as one of its transactions waits here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tidemark_engine::admission;
use tidemark_engine::state::View;
use tidemark_oracle::extension::NodeKey;
use tidemark_proto::tx::bundle::{
    bundled_bytes, make_bundle, Bundle, BundleHead, MAX_BUNDLE_FRAME_BYTES,
};
use tidemark_proto::types::{DecodedTx, TxHash};
use tidemark_proto::{Code, Refusal};

use super::bundle_refusal::BundleRefusal;
use super::makers::{share, Makers};
use super::{Origin, TxQueue};
use crate::node_key::NodeIdentity;
use crate::tx_cache::in_parts;

/// The part of a block's bytes that a bundle has at most.
const PART_OF_BLOCK: u64 = 16;

/// Most bytes of a bundle whatever a block has: what CometBFT's mempool takes as one transaction,
/// with room to spare.
const MAX_BYTES: u64 = 500_000;

/// Most transactions that are looked through for the next bundle.
const ROUND: usize = 4_096;

/// A node's part in bundles: its identity, and those that it has taken.
#[derive(Debug, Default)]
pub(super) struct Bundles {
    identity: Option<NodeIdentity>,
    /// Most bytes of the chain's blocks, from genesis.
    block_bytes: AtomicU64,
    last_counter: AtomicU64,
    made: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    makers: Makers,
    taken: u64,
    refused: BTreeMap<Code, u64>,
}

/// A bundle that this node has made, with its transactions.
#[derive(Debug)]
pub struct MadeBundle {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its transactions.
    pub txs: Vec<Arc<DecodedTx>>,
}

/// Counts of bundles since the node's start, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BundleCounts {
    /// Made here, and taken by this node's mempool.
    pub made: u64,
    /// Taken, this node's own among them.
    pub taken: u64,
    /// Refused, by code.
    pub refused: BTreeMap<Code, u64>,
    /// Bytes that wait, by the maker's address.
    pub waiting_bytes: Vec<([u8; 20], u64)>,
}

impl Bundles {
    pub(super) fn of(identity: NodeIdentity) -> Self {
        Self { identity: Some(identity), ..Self::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere aborts the process; a poisoned lock cannot be seen here.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn block_bytes(&self) -> u64 {
        self.block_bytes.load(Ordering::Relaxed)
    }

    /// Most bytes of a bundle: a part of a block, and never less than one transaction takes.
    fn most_bytes(&self, view: &View) -> u64 {
        let one = admission::tx_bytes(view.max_tx_bytes().saturating_add(MAX_BUNDLE_FRAME_BYTES));
        (self.block_bytes() / PART_OF_BLOCK).min(MAX_BYTES).max(one)
    }

    /// A counter above all that this node has used, whenever it started.
    fn next_counter(&self, now_ms: u64) -> u64 {
        let after = |last: u64| Some(last.saturating_add(1).max(now_ms));
        let last = self.last_counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, after);
        after(last.unwrap_or(0)).unwrap_or(now_ms)
    }

    pub(super) fn expire(&self, view: &View) {
        let chain = &view.chain;
        let is_validator = |address: &_| chain.validators.iter().any(|it| it.address == *address);
        self.lock().makers.expire(chain.height, is_validator);
    }
}

impl TxQueue {
    /// The queue of a validator's node, which makes bundles once its key is registered.
    #[must_use]
    pub fn with_identity(mut self, identity: NodeIdentity) -> Self {
        self.bundles = Bundles::of(identity);
        self
    }

    /// Notes how many bytes the chain's blocks have at most.
    pub(crate) fn begin(&self, block_bytes: u64) {
        self.bundles.block_bytes.store(block_bytes, Ordering::Relaxed);
    }

    /// The key that this node's vote is to register.
    pub(crate) fn key_to_register(&self, view: &View) -> Option<NodeKey> {
        self.bundles.identity.as_ref()?.key_to_register(view)
    }

    /// Counts of bundles.
    #[must_use]
    pub fn bundle_counts(&self) -> BundleCounts {
        let inner = self.bundles.lock();
        BundleCounts {
            made: self.bundles.made.load(Ordering::Relaxed),
            taken: inner.taken,
            refused: inner.refused.clone(),
            waiting_bytes: inner.makers.waiting_bytes(),
        }
    }

    /// Returns true if this node makes bundles: it is a validator's, whose key is registered.
    #[must_use]
    pub fn makes_bundles(&self) -> bool {
        let view = self.publisher.view();
        let identity = self.bundles.identity.as_ref();
        identity.is_some_and(|identity| identity.registered(&view).is_some())
    }

    /// A bundle of transactions that CometBFT's mempool is to have, by owner and sequence; `None`
    /// when there are none, or when this node makes no bundles. `now_ms` is this machine's time.
    #[must_use]
    pub fn make_bundle(&self, now_ms: u64) -> Option<MadeBundle> {
        let view = self.publisher.view();
        let identity = self.bundles.identity.as_ref()?;
        let maker = identity.registered(&view)?.address;
        let most_bytes = usize::try_from(self.bundles.most_bytes(&view)).unwrap_or(usize::MAX);
        let mut left = most_bytes.saturating_sub(MAX_BUNDLE_FRAME_BYTES);
        let mut chosen = self.unoffered(ROUND);
        let fitting = chosen.iter().take_while(|(_, bytes)| {
            let fits = left.checked_sub(bundled_bytes(bytes.len()));
            left = fits.unwrap_or(left);
            fits.is_some()
        });
        let count = fitting.count();
        chosen.truncate(count);
        if chosen.is_empty() {
            return None;
        }
        let counter = self.bundles.next_counter(now_ms);
        let head = BundleHead { maker, counter, made_at_height: view.chain.height };
        let domain = self.cache.domain();
        let txs = chosen.iter().map(|(_, bytes)| &**bytes);
        let bytes = make_bundle(&head, txs, (identity.secret().signing_key(), &domain));
        Some(MadeBundle { bytes, txs: chosen.into_iter().map(|(tx, _)| tx).collect() })
    }

    /// Notes that the mempool has a bundle of this node's: its transactions are on their way.
    pub fn offered_bundle(&self, made: &MadeBundle) {
        made.txs.iter().for_each(|tx| self.offered(tx));
        self.bundles.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a bundle, with those of its transactions that the queue takes: what is known, or
    /// refused, is passed over. Checks go from cheap to dear: size, form, maker, height, counter,
    /// room, the node's signature, then the transactions.
    ///
    /// # Errors
    /// [`BundleRefusal`], `TX_MALFORMED` or `BAD_SIGNATURE`.
    pub fn take_bundle(&self, bytes: &Bytes, threads: usize) -> Result<(), Refusal> {
        let taken = self.try_take_bundle(bytes, threads);
        let mut inner = self.bundles.lock();
        match &taken {
            Ok(()) => inner.taken = inner.taken.saturating_add(1),
            Err(refusal) => {
                let count = inner.refused.entry(refusal.code).or_default();
                *count = count.saturating_add(1);
            }
        }
        taken
    }

    fn try_take_bundle(&self, bytes: &Bytes, threads: usize) -> Result<(), Refusal> {
        let view = self.publisher.view();
        let (length, most_bytes) = (bytes.len() as u64, self.bundles.most_bytes(&view));
        if length > most_bytes {
            return Err(BundleRefusal::TooLarge { bytes: length, most_bytes }.into());
        }
        let bundle = Bundle::read(bytes)?;
        let hash: TxHash = Sha256::digest(bytes).into();
        let maker = bundle.head.maker;
        let validator = view.chain.validators.iter().find(|it| it.address == maker);
        let Some(registered) = validator.and_then(|validator| validator.node_key) else {
            let maker = hex::encode_upper(maker);
            return Err(BundleRefusal::NotRegistered { maker }.into());
        };
        let share = share(&view.chain, &maker, self.bundles.block_bytes());
        {
            let inner = self.bundles.lock();
            if inner.makers.holds(&hash) {
                return Ok(());
            }
            inner.makers.check(&bundle.head, (length, share), view.chain.height)?;
        }
        bundle.verify(&registered.key, &self.cache.domain())?;
        let waiting = self.take_all(&bundle.txs, threads);
        let is_empty = waiting.is_empty();
        self.bundles.lock().makers.take(&bundle.head, hash, length, waiting);
        if is_empty {
            return Err(BundleRefusal::NothingLeft.into());
        }
        Ok(())
    }

    /// Takes those transactions of a bundle that it can, verified on up to `threads` threads and
    /// taken in their order. Returns the hashes of those that wait.
    fn take_all(&self, txs: &[Bytes], threads: usize) -> Vec<TxHash> {
        let verify = |_, part: &[Bytes]| -> Vec<_> {
            part.iter().map(|bytes| self.verified_of_bundle(bytes).ok()).collect()
        };
        let verified = in_parts(txs, threads, verify).into_iter().flatten();
        let taken = verified.zip(txs).filter_map(|(verified, bytes)| {
            let (tx, bytes_hash) = verified?;
            self.enter((tx, bytes_hash), bytes, Origin::Bundle).ok().map(|_| bytes_hash)
        });
        taken.collect()
    }

    fn verified_of_bundle(&self, bytes: &[u8]) -> Result<(Arc<DecodedTx>, TxHash), Refusal> {
        let decoded = self.read(bytes)?;
        self.checked(decoded, bytes, Origin::Bundle)
    }

    /// Returns true if a bundle is still to be carried: CheckTx asks it for each in CometBFT's
    /// mempool after every block.
    #[must_use]
    pub fn carries(&self, bytes: &[u8]) -> bool {
        let hash = Sha256::digest(bytes).into();
        self.bundles.lock().makers.recheck(&hash, |tx| self.cache.holds(tx))
    }
}
