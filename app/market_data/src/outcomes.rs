//! Outcomes of transactions, for clients that wait for one and for clients that ask soon after;
//! older ones are in the event log.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tidemark_consensus::encode;
use tidemark_engine::outcome::TxOutcome;
use tidemark_proto::types::{Address, TxHash};
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::oneshot;

/// Most that may wait at once.
const MAX_WAITERS: usize = 20_000;

/// Most transactions whose outcome is remembered: those of some last blocks, which the event log
/// may not have yet.
const MAX_KNOWN: usize = 50_000;

/// Most operation results that are remembered, over all transactions.
const MAX_RESULTS: usize = 250_000;

/// A transaction's outcome in a block.
#[derive(Clone, Debug)]
pub struct CommittedTx {
    /// The block's height.
    pub height: u64,
    answer: Answer,
}

/// An outcome as it was carried out or as the event log has it. Most are asked for by nobody, so
/// sentences are made for those who ask, and for the log.
#[derive(Clone, Debug)]
enum Answer {
    New(TxOutcome),
    Logged(v1::LoggedTx),
}

impl CommittedTx {
    /// One that was carried out just now.
    pub(super) fn new(height: u64, outcome: TxOutcome) -> Self {
        Self { height, answer: Answer::New(outcome) }
    }

    /// One that the event log has.
    pub(super) fn from_log(height: u64, tx: v1::LoggedTx) -> Self {
        Self { height, answer: Answer::Logged(tx) }
    }

    /// As the event log has it.
    pub(super) fn logged(&self) -> v1::LoggedTx {
        match &self.answer {
            Answer::Logged(tx) => tx.clone(),
            Answer::New(outcome) => v1::LoggedTx {
                tx_hash: outcome.hash.to_vec(),
                signer: outcome.signer.map_or_else(Vec::new, |signer| signer.0.to_vec()),
                sequence_plus_1: outcome.used_sequence.map_or(0, |used| used.saturating_add(1)),
                code: self.code().number(),
                message: self.message(),
                results: self.results(),
            },
        }
    }

    /// Its identity.
    #[must_use]
    pub fn hash(&self) -> TxHash {
        match &self.answer {
            Answer::New(outcome) => outcome.hash,
            Answer::Logged(tx) => tx.tx_hash.as_slice().try_into().unwrap_or_default(),
        }
    }

    /// The signer and the sequence that it used up; `None` when it used up none.
    #[must_use]
    pub fn sequence(&self) -> Option<(Address, u64)> {
        match &self.answer {
            Answer::New(outcome) => outcome.signer.zip(outcome.used_sequence),
            Answer::Logged(tx) => {
                let signer = tx.signer.as_slice().try_into().ok().map(Address)?;
                Some((signer, tx.sequence_plus_1.checked_sub(1)?))
            }
        }
    }

    /// `Ok`, or why all of it was refused.
    #[must_use]
    pub fn code(&self) -> Code {
        match &self.answer {
            Answer::New(outcome) => outcome.code(),
            Answer::Logged(tx) => Code::from_number(tx.code).unwrap_or(Code::InvariantBroken),
        }
    }

    /// The sentence of a refusal of all of it.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.answer {
            Answer::New(outcome) => encode::sentence(outcome.refusal.as_deref()),
            Answer::Logged(tx) => tx.message.clone(),
        }
    }

    /// One for each operation, with its sentence.
    #[must_use]
    pub fn results(&self) -> Vec<v1::OperationResult> {
        match &self.answer {
            Answer::New(outcome) => outcome.results.iter().map(encode::operation_answer).collect(),
            Answer::Logged(tx) => tx.results.clone(),
        }
    }

    /// How many operations it has.
    #[must_use]
    pub fn operations(&self) -> usize {
        match &self.answer {
            Answer::New(outcome) => outcome.results.len(),
            Answer::Logged(tx) => tx.results.len(),
        }
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
    /// Of those that are known, which one used a sequence up.
    by_sequence: HashMap<(Address, u64), TxHash>,
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

    /// The remembered outcome of whatever used a sequence up.
    #[must_use]
    pub fn known_by_sequence(&self, signer: Address, sequence: u64) -> Option<Arc<CommittedTx>> {
        let inner = self.lock();
        inner.known.get(inner.by_sequence.get(&(signer, sequence))?).cloned()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiters
    }

    /// Takes a block's outcomes.
    pub fn resolve(&self, txs: &[Arc<CommittedTx>]) {
        let mut inner = self.lock();
        for tx in txs {
            let committed = inner.remember(tx);
            for (_, sender) in inner.waiting.remove(&tx.hash()).unwrap_or_default() {
                inner.waiters -= 1;
                // The client may have gone.
                let _ = sender.send(Arc::clone(&committed));
            }
        }
    }
}

impl Inner {
    fn remember(&mut self, tx: &Arc<CommittedTx>) -> Arc<CommittedTx> {
        // The same bytes in a later block are refused as replayed: what counts is what they did the
        // first time.
        let hash = tx.hash();
        if tx.code() == Code::SequenceReplayed {
            if let Some(first) = self.known.get(&hash) {
                return Arc::clone(first);
            }
        }
        self.results += tx.operations();
        if let Some(used) = tx.sequence() {
            self.by_sequence.insert(used, hash);
        }
        match self.known.insert(hash, Arc::clone(tx)) {
            Some(before) => self.results -= before.operations(),
            None => self.order.push_back(hash),
        }
        while self.order.len() > MAX_KNOWN || (self.results > MAX_RESULTS && self.order.len() > 1) {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(gone) = self.known.remove(&oldest) else { continue };
            self.results -= gone.operations();
            if let Some(used) = gone.sequence() {
                self.by_sequence.remove(&used);
            }
        }
        Arc::clone(tx)
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

    fn block(height: u64, txs: Vec<TxOutcome>) -> Vec<Arc<CommittedTx>> {
        txs.into_iter().map(|tx| Arc::new(CommittedTx::new(height, tx))).collect()
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
        outcomes.resolve(&block(7, vec![outcome(1, Code::Ok)]));
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
        outcomes.resolve(&block(1, vec![outcome(1, Code::SequenceGap)]));
        outcomes.resolve(&block(2, vec![outcome(1, Code::Ok)]));
        assert_eq!(
            outcomes.known(&[1; 32]).unwrap().height,
            2,
            "a refusal that used up no sequence may be tried again"
        );
        outcomes.resolve(&block(3, vec![outcome(1, Code::SequenceReplayed)]));
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
        outcomes.resolve(&block(1, vec![refused(1)]));
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
            outcomes.resolve(&block(
                1,
                vec![TxOutcome { hash, results: Vec::new(), ..outcome(0, Code::Ok) }],
            ));
        }
        let big = TxOutcome {
            results: vec![OperationResult::default(); MAX_RESULTS],
            ..outcome(255, Code::Ok)
        };
        assert_eq!(outcomes.lock().known.len(), MAX_KNOWN);
        outcomes.resolve(&block(2, vec![outcome(254, Code::Ok), big]));
        let inner = outcomes.lock();
        assert_eq!((inner.known.len(), inner.order.len(), inner.results), (1, 1, MAX_RESULTS));
    }
}
