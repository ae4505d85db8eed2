//! `OrderService.Submit`: from a client's bytes to the node's queue, and back with what became of
//! them.
//!
//! A refusal means that the transaction is not, and will not be, carried out. Whatever cannot be
//! known so is answered `UNKNOWN`, and a node that is behind refuses nothing for its state: these
//! very bytes may be in a block that it has not seen.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::{Origin, TxQueue};
use tidemark_market_data::outcomes::{CommittedTx, Waiter};
use tidemark_market_data::MarketData;
use tidemark_proto::types::{DecodedTx, TxHash, TxNumber};
use tidemark_proto::v1::order_service_server::OrderService;
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::{Notify, Semaphore};
use tokio::time::{timeout_at, Instant};
use tonic::{Request, Response, Status};

use super::standing::Standing;
use super::status::{refuse, status};

/// Most transactions that are being checked, or wait for it, at once.
const MAX_IN_FLIGHT: usize = 512;

const DEFAULT_TIMEOUT_MS: u32 = 10_000;
const MAX_TIMEOUT_MS: u32 = 60_000;

/// How long the replica may lag behind the published view before a transaction's outcome is given
/// up.
const OUTCOME_WITHIN: Duration = Duration::from_secs(5);

/// The service.
pub(super) struct OrderServer {
    pub(super) publisher: Arc<Publisher>,
    pub(super) market_data: Arc<MarketData>,
    pub(super) queue: Arc<TxQueue>,
    pub(super) standing: Standing,
    /// Told of each transaction that the mempool is to have.
    more: Arc<Notify>,
    in_flight: Semaphore,
    /// Checks that run at once, each on a thread of its own.
    checks: Semaphore,
}

/// A transaction by its hash, and by the number that it uses up.
#[derive(Clone, Copy)]
pub(super) struct TxName {
    pub(super) hash: TxHash,
    pub(super) number: TxNumber,
}

impl From<&DecodedTx> for TxName {
    fn from(tx: &DecodedTx) -> Self {
        Self { hash: tx.hash, number: tx.number() }
    }
}

/// A transaction on its way into the node's queue, taken or refused.
struct Enqueued {
    name: TxName,
    waiter: Option<Waiter>,
    taken: Result<Arc<DecodedTx>, Refusal>,
}

impl OrderServer {
    pub fn new(
        publisher: Arc<Publisher>,
        market_data: Arc<MarketData>,
        queue: Arc<TxQueue>,
        more: Arc<Notify>,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (in_flight, checks) = (Semaphore::new(MAX_IN_FLIGHT), Semaphore::new(threads));
        let standing = Standing::new(Arc::clone(&publisher));
        Self { publisher, market_data, queue, standing, more, in_flight, checks }
    }

    /// Puts a transaction into the node's queue, on a thread that serves no connections: a
    /// signature and a large transaction take their time.
    async fn enqueue(&self, bytes: Bytes, waits: bool) -> Result<Enqueued, Refusal> {
        let stopped = || Refusal::new(Code::Overloaded, "the node stops; nothing was sent");
        let _permit = self.checks.acquire().await.map_err(|_| stopped())?;
        let (queue, outcomes) = (Arc::clone(&self.queue), Arc::clone(self.market_data.outcomes()));
        let job = move || {
            let decoded = queue.read(&bytes)?;
            let name = TxName::from(decoded.as_ref());
            // Before it is in the queue, so that no block can come between.
            let waiter = if waits { Some(outcomes.wait(decoded.as_ref())?) } else { None };
            Ok(Enqueued { name, waiter, taken: queue.take(decoded, &bytes, Origin::Client) })
        };
        tokio::task::spawn_blocking(job).await.map_err(|_| stopped())?
    }

    /// The outcome of these bytes if they are in a block; the caller has found their sequence used
    /// up. The replica may lag behind the view that shows the sequence as used.
    async fn committed(&self, hash: &TxHash) -> Option<Arc<CommittedTx>> {
        self.catch_up().await;
        self.market_data.answer(hash).await
    }

    /// Waits until the replica has the block of the published view.
    pub(super) async fn catch_up(&self) {
        let height = self.publisher.view().chain.height;
        self.market_data.catch_up(height, OUTCOME_WITHIN).await;
    }

    /// Answers a transaction that cannot be taken: its refusal, or its outcome if these very bytes
    /// were carried out already.
    async fn refused(&self, tx: TxName, refusal: Refusal) -> Result<v1::SubmitResponse, Status> {
        if refusal.code.is_of_ended() {
            if let Some(committed) = self.committed(&tx.hash).await {
                return self.answer_committed(tx, &committed).await;
            }
        }
        if refusal.code == Code::SequencePending {
            // However old its newest block is: what waits on this node is known here.
            return Err(status(&refusal));
        }
        match self.standing.judge(refusal) {
            behind if behind.code == Code::NodeBehind => Err(status(&behind)),
            refusal => Err(status(&self.refusal(tx, refusal).await)),
        }
    }

    /// A refusal, with the transaction that used its number where it was for that.
    async fn refusal(&self, tx: TxName, refusal: Refusal) -> Refusal {
        if matches!(refusal.code, Code::SequenceReplayed | Code::NonceUsed) {
            return self.with_winner(tx, refusal).await;
        }
        refusal
    }

    async fn answer_committed(
        &self,
        tx: TxName,
        committed: &CommittedTx,
    ) -> Result<v1::SubmitResponse, Status> {
        if committed.code() != Code::Ok {
            let refusal = Refusal::new(committed.code(), committed.message());
            return Err(status(&self.refusal(tx, refusal).await));
        }
        Ok(v1::SubmitResponse {
            height: committed.height,
            results: committed.results(),
            flat_fee_atoms: committed.flat_fee_atoms(),
            ..answer(&tx.hash, v1::SubmitOutcome::Committed)
        })
    }

    /// Answers a transaction that this node has dropped while its client waited. It may be in a
    /// block that came meanwhile, or in one that comes.
    async fn dropped(&self, tx: TxName, refusal: Refusal) -> Result<v1::SubmitResponse, Status> {
        if let Some(committed) = self.committed(&tx.hash).await {
            return self.answer_committed(tx, &committed).await;
        }
        let Refusal { code, message } = refusal;
        let answer = answer(&tx.hash, v1::SubmitOutcome::Unknown);
        Ok(v1::SubmitResponse { code: code.number(), message, ..answer })
    }

    /// Waits for the block. When time is up and the transaction can no longer be carried out, its
    /// refusal is certain.
    async fn commit(
        &self,
        tx: &DecodedTx,
        waiter: Waiter,
        until: Instant,
    ) -> Result<v1::SubmitResponse, Status> {
        let name = TxName::from(tx);
        match timeout_at(until, waiter).await {
            Ok(Some(Ok(committed))) => return self.answer_committed(name, &committed).await,
            Ok(Some(Err(refusal))) if refusal.code == Code::TxDropped => {
                return self.dropped(name, refusal).await;
            }
            Ok(Some(Err(refusal))) => return Err(status(&refusal)),
            // Time is up, or the node stops.
            Ok(None) | Err(_) => {}
        }
        match self.publisher.view().admits(tx) {
            Err(refusal) if refusal.code().is_of_ended() => match self.committed(&tx.hash).await {
                Some(committed) => self.answer_committed(name, &committed).await,
                None => Err(status(&self.refusal(name, refusal.into()).await)),
            },
            _ => Ok(answer(&tx.hash, v1::SubmitOutcome::Unknown)),
        }
    }
}

fn answer(hash: &TxHash, outcome: v1::SubmitOutcome) -> v1::SubmitResponse {
    v1::SubmitResponse {
        outcome: outcome as i32,
        tx_hash: hex::encode_upper(hash),
        ..v1::SubmitResponse::default()
    }
}

fn wait_limit(timeout_ms: u32) -> Result<Duration, Status> {
    match timeout_ms {
        0 => Ok(Duration::from_millis(u64::from(DEFAULT_TIMEOUT_MS))),
        1..=MAX_TIMEOUT_MS => Ok(Duration::from_millis(u64::from(timeout_ms))),
        _ => Err(refuse(
            Code::InvalidArgument,
            format!("timeout_ms is {timeout_ms}, at most {MAX_TIMEOUT_MS}"),
        )),
    }
}

#[tonic::async_trait]
impl OrderService for OrderServer {
    async fn answer(
        &self,
        request: Request<v1::AnswerRequest>,
    ) -> Result<Response<v1::AnswerResponse>, Status> {
        let found = self.find_answer(request.into_inner()).await;
        found.map(Response::new).map_err(|refusal| status(&refusal))
    }

    async fn submit(
        &self,
        request: Request<v1::SubmitRequest>,
    ) -> Result<Response<v1::SubmitResponse>, Status> {
        let request = request.into_inner();
        let wait_for = v1::WaitFor::try_from(request.wait_for).map_err(|_| {
            refuse(
                Code::InvalidArgument,
                format!("wait_for is {}, must be 0 or 1", request.wait_for),
            )
        })?;
        let until = Instant::now() + wait_limit(request.timeout_ms)?;
        let Ok(permit) = self.in_flight.try_acquire() else {
            let message =
                format!("{MAX_IN_FLIGHT} transactions are being checked; nothing was taken");
            return Err(refuse(Code::Overloaded, message));
        };
        let waits = wait_for == v1::WaitFor::Committed;
        let enqueued = self.enqueue(request.tx.into(), waits).await;
        let Enqueued { name, waiter, taken } = enqueued.map_err(|refusal| status(&refusal))?;
        let tx = match taken {
            Ok(tx) => tx,
            Err(refusal) => return self.refused(name, refusal).await.map(Response::new),
        };
        drop(permit);
        self.more.notify_one();
        let response = match waiter {
            Some(waiter) => self.commit(&tx, waiter, until).await?,
            None => {
                let left = self.queue.left(&name.number.owner);
                let (orders_left, cancels_left) = (left.orders, left.cancels);
                let answer = answer(&name.hash, v1::SubmitOutcome::Accepted);
                v1::SubmitResponse { orders_left, cancels_left, ..answer }
            }
        };
        Ok(Response::new(response))
    }
}
