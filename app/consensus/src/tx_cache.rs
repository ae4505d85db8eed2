//! Transactions whose signature this node has already verified, so that each is verified once.
//!
//! Those that wait in the queue are known for as long as they wait. Those of blocks are kept apart,
//! so that what waits and what a proposer writes never push each other out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use tidemark_proto::tx::{decode, SignedTx};
use tidemark_proto::types::{DecodedTx, SigningDomain, TxHash};
use tidemark_proto::Refusal;

use crate::queue::memory_bytes;

/// Most memory of one generation of blocks' transactions; two are kept. A block of 4 MiB of the
/// smallest operations decodes to some 90 MiB.
const GENERATION_BYTES: usize = 64 << 20;

/// Checks transactions without state, remembering those that passed. Shared by gRPC, CheckTx and
/// the block phases.
#[derive(Debug)]
pub struct TxCache {
    chain_id: String,
    domain: RwLock<Arc<SigningDomain>>,
    known: Mutex<Known>,
}

/// Transactions by the hash of all their bytes: identities leave signatures out.
#[derive(Debug, Default)]
struct Known {
    /// Those that wait in the queue, which bounds them.
    waiting: BTreeMap<TxHash, Arc<DecodedTx>>,
    /// Those of blocks.
    young: BTreeMap<TxHash, Arc<DecodedTx>>,
    young_bytes: usize,
    old: BTreeMap<TxHash, Arc<DecodedTx>>,
}

impl Known {
    fn get(&mut self, hash: &TxHash) -> Option<Arc<DecodedTx>> {
        if let Some(tx) = self.waiting.get(hash).or_else(|| self.young.get(hash)) {
            return Some(Arc::clone(tx));
        }
        let tx = self.old.remove(hash)?;
        self.insert(*hash, Arc::clone(&tx));
        Some(tx)
    }

    fn insert(&mut self, bytes_hash: TxHash, tx: Arc<DecodedTx>) {
        if self.young_bytes >= GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        let bytes = memory_bytes(&tx);
        if self.young.insert(bytes_hash, tx).is_none() {
            self.young_bytes = self.young_bytes.saturating_add(bytes);
        }
    }
}

/// A transaction whose form is right.
#[derive(Debug)]
pub enum Decoded {
    /// The node has verified its signature before.
    Verified(Arc<DecodedTx>),
    /// Its signature is still to be verified.
    Unverified(Box<SignedTx>),
}

impl AsRef<DecodedTx> for Decoded {
    fn as_ref(&self) -> &DecodedTx {
        match self {
            Self::Verified(tx) => tx,
            Self::Unverified(signed) => &signed.tx,
        }
    }
}

impl TxCache {
    /// An empty cache for one chain, whose genesis is not known yet: until [`Self::begin`] it takes
    /// the signatures of no node's chain.
    #[must_use]
    pub fn new(chain_id: &str) -> Self {
        let domain = Arc::new(SigningDomain::without_genesis(chain_id));
        Self { chain_id: chain_id.to_owned(), domain: RwLock::new(domain), known: Mutex::default() }
    }

    /// Accepts the signatures of a chain with this genesis from now on, and forgets all others.
    pub fn begin(&self, domain: SigningDomain) {
        *self.domain.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(domain);
        *self.lock() = Known::default();
    }

    /// The chain that signatures are for.
    pub(crate) fn domain(&self) -> Arc<SigningDomain> {
        Arc::clone(&self.domain.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The chain whose signatures it accepts.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // A panic elsewhere aborts the process; a poisoned lock cannot be seen here.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Knows a verified transaction, by the hash of its bytes, until [`Self::release`].
    pub(crate) fn hold(&self, bytes_hash: TxHash, tx: Arc<DecodedTx>) {
        self.lock().waiting.insert(bytes_hash, tx);
    }

    /// Forgets a transaction that waits no longer.
    pub(crate) fn release(&self, bytes_hash: &TxHash) {
        self.lock().waiting.remove(bytes_hash);
    }

    /// Returns true if a transaction is held by the hash of its bytes.
    pub(crate) fn holds(&self, bytes_hash: &TxHash) -> bool {
        self.lock().waiting.contains_key(bytes_hash)
    }

    /// Decodes a transaction and verifies its signature, unless it is known to be right.
    ///
    /// # Errors
    /// As of [`decode`] and [`SignedTx::verify`](tidemark_proto::tx::SignedTx::verify).
    pub fn check(&self, bytes: &[u8], max_bytes: usize) -> Result<Arc<DecodedTx>, Refusal> {
        match self.decode(bytes, max_bytes)? {
            Decoded::Verified(known) => Ok(known),
            Decoded::Unverified(signed) => {
                signed.verify(&self.domain())?;
                let bytes_hash = signed.bytes_hash;
                let tx = Arc::new(signed.tx);
                self.lock().insert(bytes_hash, Arc::clone(&tx));
                Ok(tx)
            }
        }
    }

    pub(crate) fn decode(&self, bytes: &[u8], max_bytes: usize) -> Result<Decoded, Refusal> {
        if bytes.len() <= max_bytes {
            let hash: TxHash = Sha256::digest(bytes).into();
            if let Some(known) = self.lock().get(&hash) {
                return Ok(Decoded::Verified(known));
            }
        }
        Ok(Decoded::Unverified(Box::new(decode(bytes, max_bytes, &self.domain())?)))
    }

    /// Returns true if the node has verified the signature of a transaction by the hash of its
    /// bytes, and still knows.
    #[must_use]
    pub fn knows(&self, hash: &TxHash) -> bool {
        self.lock().get(hash).is_some()
    }

    /// Checks many at once on up to `threads` threads; results are in the order of the
    /// transactions.
    pub fn check_all(
        &self,
        txs: &[impl AsRef<[u8]> + Sync],
        max_bytes: usize,
        threads: usize,
    ) -> Vec<Result<Arc<DecodedTx>, Refusal>> {
        let check = |_, part: &_| check_part(self, part, max_bytes);
        in_parts(txs, threads, check).into_iter().flatten().collect()
    }

    /// Decodes many at once, up to the first that is refused: one bad transaction decides about a
    /// proposal, and the rest of a block of them costs nothing.
    ///
    /// # Errors
    /// A refused transaction's place and refusal, where more are refused that of any.
    pub fn decode_all(
        &self,
        txs: &[impl AsRef<[u8]> + Sync],
        max_bytes: usize,
        threads: usize,
    ) -> Result<Vec<Decoded>, (usize, Refusal)> {
        up_to_first(txs, threads, |tx| self.decode(tx.as_ref(), max_bytes))
    }

    /// Verifies the signatures of decoded transactions, up to the first that is wrong; the others
    /// are known from then on.
    ///
    /// # Errors
    /// As of [`Self::decode_all`].
    pub fn verify_all(&self, txs: &[Decoded], threads: usize) -> Result<(), (usize, Refusal)> {
        // Nearly always the node has seen all of them: no thread is to start for that.
        let unverified: Vec<(usize, &SignedTx)> = txs
            .iter()
            .enumerate()
            .filter_map(|(index, tx)| match tx {
                Decoded::Verified(_) => None,
                Decoded::Unverified(signed) => Some((index, &**signed)),
            })
            .collect();
        let domain = self.domain();
        let verify = |(_, signed): &(usize, &SignedTx)| {
            signed.verify(&domain)?;
            self.lock().insert(signed.bytes_hash, Arc::new(signed.tx.clone()));
            Ok(())
        };
        let result = up_to_first(&unverified, threads, verify);
        result.map(drop).map_err(|(place, refusal)| {
            (unverified.get(place).map_or(place, |(index, _)| *index), refusal)
        })
    }
}

/// Does something for all, or up to the first that is refused.
fn up_to_first<T: Sync, R: Send>(
    txs: &[T],
    threads: usize,
    each: impl Fn(&T) -> Result<R, Refusal> + Sync,
) -> Result<Vec<R>, (usize, Refusal)> {
    let refused = AtomicBool::new(false);
    let part = |first: usize, part: &[T]| -> Result<Vec<R>, (usize, Refusal)> {
        let mut done = Vec::with_capacity(part.len());
        for (index, tx) in (first..).zip(part) {
            if refused.load(Ordering::Relaxed) {
                break;
            }
            done.push(each(tx).map_err(|refusal| {
                refused.store(true, Ordering::Relaxed);
                (index, refusal)
            })?);
        }
        Ok(done)
    };
    let parts = in_parts(txs, threads, part).into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(parts.into_iter().flatten().collect())
}

/// Runs `check` over parts of the transactions, each on a thread of its own, with the place of the
/// part's first. Results are in the order of the parts.
pub(crate) fn in_parts<T: Sync, R: Send>(
    txs: &[T],
    threads: usize,
    check: impl Fn(usize, &[T]) -> R + Sync,
) -> Vec<R> {
    // Below this a thread costs more than it saves: a signature takes about 0.1 ms.
    const WORTH_A_THREAD: usize = 8;
    let threads = threads.clamp(1, 64).min(txs.len() / WORTH_A_THREAD).max(1);
    if threads == 1 {
        return vec![check(0, txs)];
    }
    let (size, check) = (txs.len().div_ceil(threads), &check);
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..)
            .step_by(size)
            .zip(txs.chunks(size))
            .map(|(first, part)| scope.spawn(move || check(first, part)))
            .collect();
        // A panic elsewhere aborts the process.
        parts.into_iter().filter_map(|part| part.join().ok()).collect()
    })
}

fn check_part(
    cache: &TxCache,
    txs: &[impl AsRef<[u8]>],
    max_bytes: usize,
) -> Vec<Result<Arc<DecodedTx>, Refusal>> {
    txs.iter().map(|tx| cache.check(tx.as_ref(), max_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_refused_transaction_ends_the_check_of_a_proposal() {
        let cache = TxCache::new("chain-1");
        let txs = vec![vec![0_u8]; 1_000];
        for threads in [1, 2] {
            let (index, refusal) = cache.decode_all(&txs, 1_024, threads).unwrap_err();
            // Each thread begins at the first of its part.
            assert_eq!(index % (txs.len() / threads), 0);
            assert_eq!(refusal.code, tidemark_proto::Code::TxMalformed);
        }
        assert_eq!(cache.decode_all(&txs[..0], 1_024, 2).map(|right| right.len()), Ok(0));
        let all = cache.check_all(&txs, 1_024, 2);
        assert_eq!(all.iter().filter(|result| result.is_err()).count(), 1_000);
    }
}
