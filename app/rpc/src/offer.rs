//! Hands what this node's clients have brought to the other nodes, so that it is at every proposer.
//! Nobody waits for it: what is not taken is handed on again until a block has it or its life ends.
//!
//! A validator's node whose key is registered makes bundles, which CometBFT's mempool carries. Any
//! other hands each transaction to validators by gRPC where it is told to, or else offers it to
//! CometBFT's mempool as it is.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::stream::{self, StreamExt as _};
use hyper::body::Bytes;
use tidemark_comet::rpc_client::{RpcClient, RpcError};
use tidemark_consensus::queue::TxQueue;
use tidemark_proto::types::DecodedTx;
use tokio::sync::{watch, Notify};

use super::forward::{Forward, Handed};

/// Most transactions of one round.
const ROUND: usize = 512;

/// Most owners whose transactions are on their way at once.
const OWNERS_AT_ONCE: usize = 64;

/// After so long, what was not taken is handed on again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a bundle waits for more transactions once there is one.
const GATHERS_FOR: Duration = Duration::from_millis(3);

/// An owner's transactions in the order of their sequences.
type Run = Vec<(Arc<DecodedTx>, Bytes)>;

/// The ways on from this node.
pub(super) struct Carrier {
    pub(super) queue: Arc<TxQueue>,
    pub(super) comet: RpcClient,
    pub(super) forward: Forward,
}

impl Carrier {
    /// Hands on what waits until the node stops; `more` says that there is something new.
    pub(super) async fn run(self, more: Arc<Notify>, mut stopped: watch::Receiver<bool>) {
        loop {
            if self.round().await > 0 {
                continue;
            }
            let is_new = tokio::select! {
                () = more.notified() => true,
                () = tokio::time::sleep(AGAIN_AFTER) => false,
                // An error means that the server is gone.
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            if is_new && self.queue.makes_bundles() {
                tokio::time::sleep(GATHERS_FOR).await;
            }
        }
    }

    /// Returns how many transactions are done.
    async fn round(&self) -> usize {
        if self.queue.makes_bundles() {
            return self.offer_bundle().await;
        }
        let runs = stream::iter(runs(self.queue.unoffered(ROUND)));
        let done = runs.map(|run| self.hand_on(run)).buffer_unordered(OWNERS_AT_ONCE);
        done.fold(0_usize, |sum, done| async move { sum.saturating_add(done) }).await
    }

    async fn offer_bundle(&self) -> usize {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now_ms = u64::try_from(since_epoch.unwrap_or_default().as_millis()).unwrap_or(0);
        let Some(made) = self.queue.make_bundle(now_ms) else { return 0 };
        match self.comet.broadcast_tx_sync(&made.bytes).await {
            Ok(answer) if answer.code == 0 => {
                self.queue.offered_bundle(&made);
                return made.txs.len();
            }
            Ok(answer) => tracing::debug!(log = answer.log, "this node refuses its own bundle"),
            Err(error) => tracing::debug!(%error, "the mempool does not take a bundle yet"),
        }
        0
    }

    /// Hands an owner's transactions on one by one, so that they arrive in their order; ends at the
    /// first that may not have arrived. Returns how many are done.
    async fn hand_on(&self, run: Run) -> usize {
        for (done, (tx, bytes)) in run.iter().enumerate() {
            let is_done = match self.forward.hand_on(bytes).await {
                Handed::Over => true,
                Handed::ToNobody => self.offer(bytes).await,
            };
            if !is_done {
                return done;
            }
            self.queue.offered(tx);
        }
        run.len()
    }

    async fn offer(&self, bytes: &[u8]) -> bool {
        match self.comet.broadcast_tx_sync(bytes).await {
            // A code: the queue has it no longer, or it is refused for good.
            Ok(_) | Err(RpcError::TxInCache | RpcError::TxTooLarge(_)) => true,
            Err(error) => {
                tracing::debug!(%error, "the mempool does not take a transaction yet");
                false
            }
        }
    }
}

fn runs(waiting: Vec<(Arc<DecodedTx>, Bytes)>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (tx, bytes) in waiting {
        match runs
            .last_mut()
            .filter(|run| run.last().is_some_and(|last| last.0.signer == tx.signer))
        {
            Some(run) => run.push((tx, bytes)),
            None => runs.push(vec![(tx, bytes)]),
        }
    }
    runs
}
