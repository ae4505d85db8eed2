//! Hands what this node's clients have brought to CometBFT's mempool, which carries it to the other
//! proposers. Nobody waits for it: what the mempool does not take is offered again until a block
//! has it or its life ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use hyper::body::Bytes;
use tidemark_comet::rpc_client::{RpcClient, RpcError};
use tidemark_consensus::queue::TxQueue;
use tidemark_proto::types::DecodedTx;
use tokio::sync::{watch, Notify};

/// Most transactions of one round.
const ROUND: usize = 512;

/// Most owners whose transactions are on their way at once.
const OWNERS_AT_ONCE: usize = 64;

/// After so long, what the mempool did not take is offered again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// An owner's transactions in the order of their sequences.
type Run = Vec<(Arc<DecodedTx>, Bytes)>;

/// Offers what waits until the node stops; `more` says that there is something new.
pub(super) async fn offer_all(
    queue: Arc<TxQueue>,
    comet: RpcClient,
    more: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let waiting = queue.unoffered(ROUND);
        let runs = stream::iter(runs(waiting));
        let taken = runs.map(|run| offer_run(&queue, &comet, run)).buffer_unordered(OWNERS_AT_ONCE);
        let taken =
            taken.fold(0_usize, |sum, taken| async move { sum.saturating_add(taken) }).await;
        if taken > 0 {
            continue;
        }
        tokio::select! {
            () = more.notified() => {}
            () = tokio::time::sleep(AGAIN_AFTER) => {}
            // An error means that the server is gone.
            _ = stopped.wait_for(|stopped| *stopped) => return,
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

/// Offers an owner's transactions one by one, so that the mempool has them in their order; ends at
/// the first that may not be there. Returns how many are done.
async fn offer_run(queue: &TxQueue, comet: &RpcClient, run: Run) -> usize {
    for (done, (tx, bytes)) in run.iter().enumerate() {
        match comet.broadcast_tx_sync(bytes).await {
            // A code: the queue has it no longer, or it is refused for good.
            Ok(_) | Err(RpcError::TxInCache | RpcError::TxTooLarge(_)) => queue.offered(tx),
            Err(error) => {
                tracing::debug!(%error, "the mempool does not take a transaction yet");
                return done;
            }
        }
    }
    run.len()
}
