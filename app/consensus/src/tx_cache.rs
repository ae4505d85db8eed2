//! Transactions whose signature this node has already verified, so that each is verified once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use tidemark_proto::tx::decode;
use tidemark_proto::types::{DecodedTx, TxHash};
use tidemark_proto::Refusal;

/// Most transactions of one generation; two are kept.
const GENERATION: usize = 20_000;

/// Checks transactions without state, remembering those that passed. Shared by gRPC, CheckTx and
/// the block phases.
#[derive(Debug)]
pub struct TxCache {
    chain_id: String,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: BTreeMap<TxHash, Arc<DecodedTx>>,
    old: BTreeMap<TxHash, Arc<DecodedTx>>,
}

impl Generations {
    fn get(&mut self, hash: &TxHash) -> Option<Arc<DecodedTx>> {
        if let Some(tx) = self.young.get(hash) {
            return Some(Arc::clone(tx));
        }
        let tx = self.old.remove(hash)?;
        self.insert(Arc::clone(&tx));
        Some(tx)
    }

    fn insert(&mut self, tx: Arc<DecodedTx>) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(tx.hash, tx);
    }
}

impl TxCache {
    /// An empty cache for one chain.
    #[must_use]
    pub fn new(chain_id: &str) -> Self {
        Self { chain_id: chain_id.to_owned(), generations: Mutex::default() }
    }

    /// The chain whose signatures it accepts.
    #[must_use]
    pub fn chain_id(&self) -> &str {
        &self.chain_id
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Generations> {
        // A panic elsewhere aborts the process; a poisoned lock cannot be seen here.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decodes a transaction and verifies its signature, unless it is known to be right.
    ///
    /// # Errors
    /// As of [`decode`] and [`SignedTx::verify`](tidemark_proto::tx::SignedTx::verify).
    pub fn check(&self, bytes: &[u8], max_bytes: usize) -> Result<Arc<DecodedTx>, Refusal> {
        if bytes.len() <= max_bytes {
            let hash: TxHash = Sha256::digest(bytes).into();
            if let Some(known) = self.lock().get(&hash) {
                return Ok(known);
            }
        }
        let signed = decode(bytes, max_bytes)?;
        signed.verify(&self.chain_id)?;
        let tx = Arc::new(signed.tx);
        self.lock().insert(Arc::clone(&tx));
        Ok(tx)
    }

    /// Checks many at once on up to `threads` threads; results are in the order of the
    /// transactions.
    pub fn check_all(
        &self,
        txs: &[impl AsRef<[u8]> + Sync],
        max_bytes: usize,
        threads: usize,
    ) -> Vec<Result<Arc<DecodedTx>, Refusal>> {
        // Below this a thread costs more than it saves: a signature takes about 0.1 ms.
        const WORTH_A_THREAD: usize = 8;
        let threads = threads.clamp(1, 64).min(txs.len() / WORTH_A_THREAD).max(1);
        if threads == 1 {
            return check_part(self, txs, max_bytes);
        }
        std::thread::scope(|scope| {
            let parts: Vec<_> = txs
                .chunks(txs.len().div_ceil(threads))
                .map(|part| scope.spawn(move || check_part(self, part, max_bytes)))
                .collect();
            parts.into_iter().flat_map(|part| part.join().unwrap_or_default()).collect()
        })
    }
}

fn check_part(
    cache: &TxCache,
    txs: &[impl AsRef<[u8]>],
    max_bytes: usize,
) -> Vec<Result<Arc<DecodedTx>, Refusal>> {
    txs.iter().map(|tx| cache.check(tx.as_ref(), max_bytes)).collect()
}
