//! `OrderService.Submit`: from a client's bytes to the mempool, and back with what became of them.
//!
//! A refusal means that the transaction is not, and will not be, carried out. Whatever cannot be
//! known so is answered `UNKNOWN`, and a node that is behind refuses nothing for its state: these
//! very bytes may be in a block that it has not seen.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidemark_comet::rpc_client::{Broadcast, RpcClient, RpcError};
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_market_data::outcomes::{CommittedTx, Waiter};
use tidemark_market_data::MarketData;
use tidemark_proto::codes::CODESPACE;
use tidemark_proto::types::{DecodedTx, TxHash};
use tidemark_proto::units::TimeMs;
use tidemark_proto::v1::order_service_server::OrderService;
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::Semaphore;
use tokio::time::{timeout_at, Instant};
use tonic::{Request, Response, Status};

use super::status::{refuse, status};

/// Most transactions that are being handed to CometBFT at once.
const MAX_IN_FLIGHT: usize = 512;

const DEFAULT_TIMEOUT_MS: u32 = 10_000;
const MAX_TIMEOUT_MS: u32 = 60_000;

/// How long the replica may lag behind the published view before a transaction's outcome is given
/// up.
const OUTCOME_WITHIN: Duration = Duration::from_secs(5);

/// A node whose newest block is older than this is replaying, syncing or cut off.
const BEHIND: Duration = Duration::from_secs(30);

/// The service.
pub(super) struct OrderServer {
    pub(super) publisher: Arc<Publisher>,
    pub(super) market_data: Arc<MarketData>,
    cache: Arc<TxCache>,
    comet: RpcClient,
    in_flight: Semaphore,
}

/// The mempool's answer.
enum MempoolAnswer {
    /// It has the transaction.
    Accepted,
    /// Nobody knows.
    Unknown,
}

impl OrderServer {
    pub fn new(
        publisher: Arc<Publisher>,
        market_data: Arc<MarketData>,
        cache: Arc<TxCache>,
        comet: RpcClient,
    ) -> Self {
        Self { publisher, market_data, cache, comet, in_flight: Semaphore::new(MAX_IN_FLIGHT) }
    }

    /// Checks a transaction and hands it to the mempool.
    async fn hand_over(&self, bytes: &[u8], tx: &DecodedTx) -> Result<MempoolAnswer, Refusal> {
        self.publisher.view().admits(tx)?;
        let Ok(_permit) = self.in_flight.try_acquire() else {
            let message = format!(
                "{MAX_IN_FLIGHT} transactions are on their way to the mempool; nothing was sent"
            );
            return Err(Refusal::new(Code::Overloaded, message));
        };
        match self.comet.broadcast_tx_sync(bytes).await {
            Ok(Broadcast { code: 0, .. }) | Err(RpcError::TxInCache) => Ok(MempoolAnswer::Accepted),
            Ok(refused) => match check_tx_refusal(&refused) {
                Some(refusal) => Err(refusal),
                None => {
                    tracing::warn!(
                        code = refused.code,
                        log = refused.log,
                        "CheckTx refused with a code that is not ours"
                    );
                    Ok(MempoolAnswer::Unknown)
                }
            },
            Err(RpcError::MempoolFull(why)) => Err(Refusal::new(
                Code::Overloaded,
                format!("the mempool is full, it was not taken: {why}"),
            )),
            Err(RpcError::TxTooLarge(why)) => Err(Refusal::new(Code::TxTooLarge, why)),
            Err(RpcError::Unreachable(why)) => Err(Refusal::new(
                Code::Overloaded,
                format!("CometBFT cannot be reached, nothing was sent: {why}"),
            )),
            Err(
                error @ (RpcError::Timeout(_)
                | RpcError::Broken(_)
                | RpcError::BadAnswer(_)
                | RpcError::Refused { .. }),
            ) => {
                tracing::warn!(%error, "a transaction's fate in the mempool is not known");
                Ok(MempoolAnswer::Unknown)
            }
        }
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
    async fn refused(
        &self,
        tx: &DecodedTx,
        refusal: Refusal,
    ) -> Result<v1::SubmitResponse, Status> {
        if refusal.code == Code::SequenceReplayed {
            if let Some(committed) = self.committed(&tx.hash).await {
                return answer_committed(&tx.hash, &committed);
            }
        }
        let age = age(self.publisher.view().chain.time_ms);
        if age > BEHIND {
            let message = format!(
                "this node's newest block is {} s old, so it cannot tell; nothing was sent",
                age.as_secs()
            );
            return Err(refuse(Code::Overloaded, message));
        }
        if refusal.code == Code::SequenceReplayed {
            return Err(status(&self.with_winner(tx, refusal).await));
        }
        Err(status(&refusal))
    }

    /// Waits for the block. When time is up and the transaction can no longer be carried out, its
    /// refusal is certain.
    async fn commit(
        &self,
        tx: &DecodedTx,
        waiter: Waiter,
        until: Instant,
    ) -> Result<v1::SubmitResponse, Status> {
        if let Ok(Some(committed)) = timeout_at(until, waiter).await {
            return answer_committed(&tx.hash, &committed);
        }
        match self.publisher.view().admits(tx) {
            Err(refusal) if matches!(refusal.code(), Code::SequenceReplayed | Code::TxExpired) => {
                match self.committed(&tx.hash).await {
                    Some(committed) => answer_committed(&tx.hash, &committed),
                    None => Err(status(&self.with_winner(tx, refusal.into()).await)),
                }
            }
            _ => Ok(answer(&tx.hash, v1::SubmitOutcome::Unknown)),
        }
    }
}

/// A refusal of our own CheckTx, whose log is `WORD: sentence`.
fn check_tx_refusal(broadcast: &Broadcast) -> Option<Refusal> {
    let code = Code::from_number(broadcast.code).filter(|_| broadcast.codespace == CODESPACE)?;
    let message = broadcast.log.strip_prefix(code.word()).and_then(|rest| rest.strip_prefix(": "));
    Some(Refusal::new(code, message.unwrap_or(&broadcast.log)))
}

fn answer(hash: &TxHash, outcome: v1::SubmitOutcome) -> v1::SubmitResponse {
    v1::SubmitResponse {
        outcome: outcome as i32,
        tx_hash: hex::encode_upper(hash),
        height: 0,
        results: Vec::new(),
    }
}

fn answer_committed(hash: &TxHash, committed: &CommittedTx) -> Result<v1::SubmitResponse, Status> {
    if committed.code() != Code::Ok {
        return Err(refuse(committed.code(), committed.message()));
    }
    let (height, results) = (committed.height, committed.results());
    Ok(v1::SubmitResponse { height, results, ..answer(hash, v1::SubmitOutcome::Committed) })
}

/// How long ago a block time was, by this machine's clock; 0 for one ahead of it.
fn age(time_ms: TimeMs) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_millis(time_ms.get()))
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
        let max_bytes = self.publisher.view().max_tx_bytes();
        // About 0.1 ms for a new signature: less than handing it to another thread and back is
        // worth.
        let tx = self.cache.check(&request.tx, max_bytes).map_err(|refusal| status(&refusal))?;
        // Before it is sent, so that no block can come between.
        let waiter = match wait_for {
            v1::WaitFor::Accepted => None,
            v1::WaitFor::Committed => Some(
                self.market_data.outcomes().wait(tx.hash).map_err(|refusal| status(&refusal))?,
            ),
        };
        let answered = match self.hand_over(&request.tx, &tx).await {
            Ok(answered) => answered,
            Err(refusal) => return self.refused(&tx, refusal).await.map(Response::new),
        };
        let response = match (waiter, answered) {
            (Some(waiter), _) => self.commit(&tx, waiter, until).await?,
            (None, MempoolAnswer::Accepted) => answer(&tx.hash, v1::SubmitOutcome::Accepted),
            (None, MempoolAnswer::Unknown) => answer(&tx.hash, v1::SubmitOutcome::Unknown),
        };
        Ok(Response::new(response))
    }
}
