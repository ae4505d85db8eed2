//! Outcomes of transactions, for clients that wait for one and for clients that send the same bytes
//! again.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tidemark_consensus::encode;
use tidemark_engine::outcome::TxOutcome;
use tidemark_proto::types::TxHash;
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::oneshot;

/// Most that may wait at once.
const MAX_WAITERS: usize = 20_000;

/// Most transactions whose outcome is remembered.
const MAX_KNOWN: usize = 100_000;

/// Most operation results that are remembered, over all transactions.
const MAX_RESULTS: usize = 500_000;

/// A transaction's outcome in a block. Most are asked for by nobody, so sentences are made for
/// those who ask.
#[derive(Clone, Debug)]
pub struct CommittedTx {
    /// The block's height.
    pub height: u64,
    outcome: TxOutcome,
}

impl CommittedTx {
    /// `Ok`, or why all of it was refused.
    #[must_use]
    pub fn code(&self) -> Code {
        self.outcome.code()
    }

    /// The sentence of a refusal of all of it.
    #[must_use]
    pub fn message(&self) -> String {
        encode::sentence(self.outcome.refusal.as_deref())
    }

    /// One for each operation, with its sentence.
    #[must_use]
    pub fn results(&self) -> Vec<v1::OperationResult> {
        self.outcome.results.iter().map(encode::operation_answer).collect()
    }
}

/// Waiters clients and remembered outcomes, by transaction hash.
#[derive(Debug, Default)]
pub struct Outcomes {
    inner: Mutex<Inner>,
}

/// Clients that wait for one transaction, each under an id of its own.
type Waiters = Vec<(u64, oneshot::Sender<Arc<CommittedTx>>)>;

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<TxHash, Waiters>,
    waiters: usize,
    next_id: u64,
    known: HashMap<TxHash, Arc<CommittedTx>>,
    /// Known hashes, oldest first.
    order: VecDeque<TxHash>,
    results: usize,
}

/// Waits for one transaction; forgets about it when dropped.
#[derive(Debug)]
pub struct Waiter {
    outcomes: Arc<Outcomes>,
    hash: TxHash,
    id: u64,
    receiver: oneshot::Receiver<Arc<CommittedTx>>,
}

impl Outcomes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a transaction from now on; register before broadcasting it.
    ///
    /// # Errors
    /// `OVERLOADED` when as many wait as may.
    pub fn wait(self: &Arc<Self>, hash: TxHash) -> Result<Waiter, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.lock();
        if inner.waiters >= MAX_WAITERS {
            let message =
                format!("{MAX_WAITERS} clients wait for commits, no more can; nothing was sent");
            return Err(Refusal::new(Code::Overloaded, message));
        }
        let id = inner.next_id;
        inner.next_id += 1;
        inner.waiters += 1;
        inner.waiting.entry(hash).or_default().push((id, sender));
        Ok(Waiter { outcomes: Arc::clone(self), hash, id, receiver })
    }

    /// A remembered outcome.
    #[must_use]
    pub fn known(&self, hash: &TxHash) -> Option<Arc<CommittedTx>> {
        self.lock().known.get(hash).cloned()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiters
    }

    /// Takes a block's outcomes.
    pub fn resolve(&self, height: u64, txs: &[TxOutcome]) {
        let mut inner = self.lock();
        for tx in txs {
            let committed = inner.remember(height, tx);
            for (_, sender) in inner.waiting.remove(&tx.hash).unwrap_or_default() {
                inner.waiters -= 1;
                // The client may have gone.
                let _ = sender.send(Arc::clone(&committed));
            }
        }
    }
}

impl Inner {
    fn remember(&mut self, height: u64, tx: &TxOutcome) -> Arc<CommittedTx> {
        // The same bytes in a later block are refused as replayed: what counts is what they did the
        // first time.
        if tx.code() == Code::SequenceReplayed {
            if let Some(first) = self.known.get(&tx.hash) {
                return Arc::clone(first);
            }
        }
        let committed = Arc::new(CommittedTx { height, outcome: tx.clone() });
        self.results += tx.results.len();
        match self.known.insert(tx.hash, Arc::clone(&committed)) {
            Some(before) => self.results -= before.outcome.results.len(),
            None => self.order.push_back(tx.hash),
        }
        while self.order.len() > MAX_KNOWN || (self.results > MAX_RESULTS && self.order.len() > 1) {
            let Some(oldest) = self.order.pop_front() else { break };
            self.results -=
                self.known.remove(&oldest).map_or(0, |committed| committed.outcome.results.len());
        }
        committed
    }
}

impl Future for Waiter {
    type Output = Option<Arc<CommittedTx>>;

    /// The outcome; `None` when the node stops.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(Result::ok)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut inner = self.outcomes.lock();
        let Some(waiting) = inner.waiting.get_mut(&self.hash) else { return };
        let before = waiting.len();
        waiting.retain(|(id, _)| *id != self.id);
        let (gone, empty) = (before - waiting.len(), waiting.is_empty());
        inner.waiters -= gone;
        if empty {
            inner.waiting.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use tidemark_engine::outcome::OperationResult;
    use tidemark_engine::refusal::Refusal;

    use super::*;

    fn outcome(hash: u8, code: Code) -> TxOutcome {
        let results = vec![OperationResult::default(); 2];
        let refusal = (code != Code::Ok)
            .then(|| Box::new(Refusal::from(tidemark_proto::Refusal::new(code, ""))));
        TxOutcome { hash: [hash; 32], refusal, results, ..TxOutcome::default() }
    }

    #[tokio::test]
    async fn all_who_wait_get_the_outcome_and_nothing_is_left_behind() {
        let outcomes = Arc::new(Outcomes::default());
        let (one, two) = (outcomes.wait([1; 32]).unwrap(), outcomes.wait([1; 32]).unwrap());
        let other = outcomes.wait([2; 32]).unwrap();
        let gone = outcomes.wait([1; 32]).unwrap();
        assert_eq!(outcomes.waiting(), 4);
        drop(gone);
        assert_eq!(outcomes.waiting(), 3);
        outcomes.resolve(7, &[outcome(1, Code::Ok)]);
        assert_eq!(one.await.unwrap().height, 7);
        assert_eq!(two.await.unwrap().results().len(), 2);
        assert_eq!(outcomes.waiting(), 1);
        drop(other);
        assert_eq!(outcomes.waiting(), 0);
        assert!(outcomes.lock().waiting.is_empty());
    }

    #[test]
    fn the_first_outcome_of_the_same_bytes_stands() {
        let outcomes = Arc::new(Outcomes::default());
        outcomes.resolve(1, &[outcome(1, Code::SequenceGap)]);
        outcomes.resolve(2, &[outcome(1, Code::Ok)]);
        assert_eq!(
            outcomes.known(&[1; 32]).unwrap().height,
            2,
            "a refusal that used up no sequence may be tried again"
        );
        outcomes.resolve(3, &[outcome(1, Code::SequenceReplayed)]);
        assert_eq!(outcomes.known(&[1; 32]).unwrap().code(), Code::Ok);
        assert!(outcomes.known(&[2; 32]).is_none());
    }

    #[test]
    fn a_refusal_has_its_sentence_for_whoever_asks() {
        let outcomes = Arc::new(Outcomes::default());
        let gap = Refusal::from(tidemark_proto::Refusal::new(Code::SequenceGap, "next is 3"));
        let refused = |hash| TxOutcome {
            hash: [hash; 32],
            refusal: Some(Box::new(gap.clone())),
            results: vec![OperationResult {
                refusal: Some(Box::new(gap.clone())),
                ..OperationResult::default()
            }],
            ..TxOutcome::default()
        };
        outcomes.resolve(1, &[refused(1)]);
        let known = outcomes.known(&[1; 32]).unwrap();
        assert_eq!((known.code(), known.message()), (Code::SequenceGap, "next is 3".to_owned()));
        assert_eq!(known.results()[0].message, "next is 3");
    }

    #[test]
    fn memory_is_bounded_by_transactions_and_by_results() {
        let outcomes = Arc::new(Outcomes::default());
        for number in 0..MAX_KNOWN + 10 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            outcomes.resolve(1, &[TxOutcome { hash, results: Vec::new(), ..outcome(0, Code::Ok) }]);
        }
        let big = TxOutcome {
            results: vec![OperationResult::default(); MAX_RESULTS],
            ..outcome(255, Code::Ok)
        };
        assert_eq!(outcomes.lock().known.len(), MAX_KNOWN);
        outcomes.resolve(2, &[outcome(254, Code::Ok), big]);
        let inner = outcomes.lock();
        assert_eq!((inner.known.len(), inner.order.len(), inner.results), (1, 1, MAX_RESULTS));
    }
}
