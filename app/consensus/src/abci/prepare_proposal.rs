//! PrepareProposal: the extended commit first, then the block's own list, then plain transactions.
//! Their order has no effect (rules §8.2). Nothing is carried out here.

use tendermint_proto::v0_38::abci::{RequestPrepareProposal, ResponsePrepareProposal};
use tidemark_engine::admission::{self, BlockBudget};
use tidemark_engine::phase::Phase;

use super::{height, time_ms, Node};
use crate::block_txs;
use crate::lag;
use crate::timing::Stopwatch;
use crate::votes;

/// Builds a block of what waits in the node's queue. What CometBFT's mempool offers are its oldest
/// transactions; those that may be in a block are in the queue as well.
pub(super) fn prepare_proposal(
    node: &Node,
    request: RequestPrepareProposal,
) -> ResponsePrepareProposal {
    let mut watch = Stopwatch::start();
    let view = node.inner.publisher.view();
    let mut txs = Vec::with_capacity(request.txs.len() + 1);
    let mut bytes = u64::try_from(request.max_tx_bytes).unwrap_or(0);
    if votes::required(height(request.height)) {
        let commit = request.local_last_commit.unwrap_or_default();
        let chain = &view.chain;
        let injected =
            votes::propose(commit, &chain.validators, &chain.chain_id, request.height - 1, bytes);
        bytes = bytes.saturating_sub(admission::tx_bytes(injected.len()));
        txs.push(injected.into());
    }
    // The first block after a halt has the time and prices of before it: nobody is to trade on them
    // (rules §4.7).
    let prices_are_old = node.behind_ms(request.height, request.time.as_ref()) > lag::LEAVES_OUT_MS;
    let bytes = bytes.saturating_sub(block_txs::LIST_BYTES);
    let budget = BlockBudget { bytes, gas: view.max_block_gas() };
    if !prices_are_old {
        let chosen = node.inner.queue.choose(&view, time_ms(request.time.as_ref()), budget);
        txs.extend(block_txs::lay_out(chosen));
    }
    watch.lap(Phase::Prepare);
    node.consensus().times.add(Phase::Prepare, watch.times.get(Phase::Prepare));
    ResponsePrepareProposal { txs }
}
