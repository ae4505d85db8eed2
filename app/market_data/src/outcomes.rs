//! Outcomes of transactions, for clients that wait for one and for clients that ask soon after;
//! older ones are in the event log.

mod dropped;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tidemark_consensus::encode;
use tidemark_consensus::queue::{DropSink, Dropped};
use tidemark_engine::outcome::TxOutcome;
use tidemark_engine::refusal::{self as engine, AgentRefusal};
use tidemark_proto::types::{Address, AgentKey, DecodedTx, TxHash, TxNumber};
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::oneshot;

use super::convert::wire_atoms;
use dropped::DroppedTxs;

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
    /// A transaction that was carried out just now.
    pub(super) fn new(height: u64, outcome: TxOutcome) -> Self {
        Self { height, answer: Answer::New(outcome) }
    }

    /// A transaction that the event log has.
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
                agent_key: outcome.agent.map_or_else(Vec::new, |key| key.as_bytes().to_vec()),
                sequence_plus_1: outcome.used_sequence.map_or(0, |used| used.saturating_add(1)),
                code: self.code().number(),
                message: self.message(),
                results: self.results(),
                flat_fee_atoms: self.flat_fee_atoms(),
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

    /// The number that it used up; `None` when it used up none.
    #[must_use]
    pub fn number(&self) -> Option<TxNumber> {
        match &self.answer {
            Answer::New(outcome) => Some(TxNumber {
                owner: outcome.signer?,
                agent: outcome.agent,
                number: outcome.used_sequence?,
            }),
            Answer::Logged(tx) => Some(TxNumber {
                owner: tx.signer.as_slice().try_into().ok().map(Address)?,
                agent: match tx.agent_key.as_slice() {
                    [] => None,
                    key => Some(AgentKey::from_bytes(key).ok()?),
                },
                number: tx.sequence_plus_1.checked_sub(1)?,
            }),
        }
    }

    /// The refusal of another transaction with the number that this one used up.
    #[must_use]
    pub fn used_up(&self, refusal: Refusal) -> Refusal {
        let (hash, height) = (hex::encode_upper(self.hash()), self.height);
        let message =
            format!("{}; transaction {hash} in block {height} used it up", refusal.message);
        Refusal { message, ..refusal }
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

    /// The flat fee that it paid, as the wire has it.
    #[must_use]
    pub fn flat_fee_atoms(&self) -> i64 {
        match &self.answer {
            Answer::New(outcome) => wire_atoms(outcome.flat_fee_atoms),
            Answer::Logged(tx) => tx.flat_fee_atoms,
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

/// Waiting clients and remembered outcomes, by transaction hash.
#[derive(Debug, Default)]
pub struct Outcomes {
    inner: Mutex<Inner>,
}

/// The answer to a client that waits: the transaction's outcome in its block, or why no block will
/// have it any more.
pub type Waited = Result<Arc<CommittedTx>, Refusal>;

/// Clients that wait for one transaction.
#[derive(Debug)]
struct Waiting {
    number: TxNumber,
    /// 0 for none.
    timeout_height: u64,
    /// Each under an id of its own.
    clients: Vec<(u64, oneshot::Sender<Waited>)>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: HashMap<TxHash, Waiting>,
    /// The hashes of `waiting` by number: whoever uses the number decides them all.
    rivals: BTreeSet<(TxNumber, TxHash)>,
    /// The hashes of `waiting` by timeout height, where they have one.
    timeouts: BTreeSet<(u64, TxHash)>,
    waiters: usize,
    next_id: u64,
    known: HashMap<TxHash, Arc<CommittedTx>>,
    /// Of those that are known, which one used a number up.
    by_number: BTreeMap<TxNumber, TxHash>,
    /// Known hashes, oldest first.
    order: VecDeque<TxHash>,
    results: usize,
    /// Those that the node has dropped.
    dropped: DroppedTxs,
}

/// Waits for one transaction; forgets about it when dropped.
#[derive(Debug)]
pub struct Waiter {
    outcomes: Arc<Outcomes>,
    hash: TxHash,
    id: u64,
    receiver: oneshot::Receiver<Waited>,
}

impl Outcomes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a transaction from now on; register before broadcasting it.
    ///
    /// # Errors
    /// `OVERLOADED` when as many wait as may.
    pub fn wait(self: &Arc<Self>, tx: &DecodedTx) -> Result<Waiter, Refusal> {
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
        inner.add(tx).clients.push((id, sender));
        Ok(Waiter { outcomes: Arc::clone(self), hash: tx.hash, id, receiver })
    }

    /// A remembered outcome.
    #[must_use]
    pub fn known(&self, hash: &TxHash) -> Option<Arc<CommittedTx>> {
        self.lock().known.get(hash).cloned()
    }

    /// The remembered outcome of whatever used a number up.
    #[must_use]
    pub fn known_by_number(&self, number: &TxNumber) -> Option<Arc<CommittedTx>> {
        let inner = self.lock();
        inner.known.get(inner.by_number.get(number)?).cloned()
    }

    /// A transaction that the node has dropped, while it remembers.
    #[must_use]
    pub fn dropped(&self, hash: &TxHash) -> Option<Dropped> {
        self.lock().dropped.get(hash).cloned()
    }

    /// The transaction with a number that the node has dropped last, while it remembers.
    #[must_use]
    pub fn dropped_with(&self, number: &TxNumber) -> Option<Dropped> {
        self.lock().dropped.with(number).cloned()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.lock().waiters
    }

    /// Takes a block's outcomes: answers who waits for them, for one that lost its number to them,
    /// and for one whose last height it was.
    pub fn resolve(&self, height: u64, txs: &[Arc<CommittedTx>]) {
        let mut inner = self.lock();
        for tx in txs {
            let committed = inner.remember(tx);
            inner.answer(&tx.hash(), &Ok(committed));
        }
        // Afterwards: a proposer may list a sequence before a smaller one of the same owner.
        for used in txs.iter().filter_map(|tx| tx.number()) {
            inner.refuse_rivals(used);
        }
        inner.refuse_late(height);
    }
}

impl Inner {
    fn add(&mut self, tx: &DecodedTx) -> &mut Waiting {
        let (hash, number, timeout_height) = (tx.hash, tx.number(), tx.timeout_height);
        self.rivals.insert((number, hash));
        if timeout_height != 0 {
            self.timeouts.insert((timeout_height, hash));
        }
        let waiting = || Waiting { number, timeout_height, clients: Vec::new() };
        self.waiting.entry(hash).or_insert_with(waiting)
    }

    fn remove(&mut self, hash: &TxHash) -> Option<Waiting> {
        let waiting = self.waiting.remove(hash)?;
        self.rivals.remove(&(waiting.number, *hash));
        self.timeouts.remove(&(waiting.timeout_height, *hash));
        self.waiters -= waiting.clients.len();
        Some(waiting)
    }

    fn answer(&mut self, hash: &TxHash, answer: &Waited) {
        let waiting = self.remove(hash);
        for (_, client) in waiting.into_iter().flat_map(|waiting| waiting.clients) {
            // The client may have gone.
            let _ = client.send(answer.clone());
        }
    }

    /// Answers all that wait with the number that was used, or with a sequence before it.
    fn refuse_rivals(&mut self, used: TxNumber) {
        let first = if used.agent.is_some() { used } else { TxNumber { number: 0, ..used } };
        let lost = self.rivals.range((first, [0; 32])..=(used, [0xff; 32]));
        for (number, hash) in lost.copied().collect::<Vec<_>>() {
            let refusal = Refusal::from(match number.agent {
                Some(_) => AgentRefusal::NonceTwice { nonce_ms: number.number }.into(),
                None => engine::Refusal::SequenceReplayed {
                    sequence: number.number,
                    next: used.number.saturating_add(1),
                },
            });
            let winner = self.by_number.get(&number);
            let refusal = match winner.and_then(|hash| self.known.get(hash)) {
                Some(winner) => winner.used_up(refusal),
                None => refusal,
            };
            self.answer(&hash, &Err(refusal));
        }
    }

    /// Answers all that may be in no block after this height.
    fn refuse_late(&mut self, height: u64) {
        while let Some((timeout_height, hash)) = self.timeouts.first().copied() {
            if timeout_height > height {
                return;
            }
            let height = height.saturating_add(1);
            let refusal = engine::Refusal::TimedOut { timeout_height, height };
            self.answer(&hash, &Err(refusal.into()));
        }
    }

    fn remember(&mut self, tx: &Arc<CommittedTx>) -> Arc<CommittedTx> {
        // The same bytes in a later block are refused as replayed: what counts is what they did the
        // first time.
        let hash = tx.hash();
        if tx.code().is_of_repeats() {
            if let Some(first) = self.known.get(&hash) {
                return Arc::clone(first);
            }
        }
        self.results += tx.operations();
        if let Some(used) = tx.number() {
            self.by_number.insert(used, hash);
        }
        match self.known.insert(hash, Arc::clone(tx)) {
            Some(before) => self.results -= before.operations(),
            None => self.order.push_back(hash),
        }
        while self.order.len() > MAX_KNOWN || (self.results > MAX_RESULTS && self.order.len() > 1) {
            let Some(oldest) = self.order.pop_front() else { break };
            let Some(gone) = self.known.remove(&oldest) else { continue };
            self.results -= gone.operations();
            if let Some(used) = gone.number() {
                self.by_number.remove(&used);
            }
        }
        Arc::clone(tx)
    }
}

/// The node's queue tells what it drops.
impl DropSink for Outcomes {
    fn dropped(&self, dropped: Vec<Dropped>) {
        let mut inner = self.lock();
        for dropped in dropped {
            let (hash, refusal) = (dropped.hash, dropped.refusal());
            inner.dropped.insert(dropped);
            // Who lost a number hears of it with the block, which names the winner.
            if !matches!(refusal.code, Code::SequenceReplayed | Code::NonceUsed) {
                inner.answer(&hash, &Err(refusal));
            }
        }
    }
}

impl Future for Waiter {
    type Output = Option<Waited>;

    /// The answer; `None` when the node stops.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(context).map(Result::ok)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut inner = self.outcomes.lock();
        let Some(waiting) = inner.waiting.get_mut(&self.hash) else { return };
        let before = waiting.clients.len();
        waiting.clients.retain(|(id, _)| *id != self.id);
        let (gone, empty) = (before - waiting.clients.len(), waiting.clients.is_empty());
        inner.waiters -= gone;
        if empty {
            inner.remove(&self.hash);
        }
    }
}

#[cfg(test)]
mod tests;
