//! FinalizeBlock: carries out a decided block.

use std::sync::Arc;

use tendermint_proto::v0_38::abci::{ExecTxResult, RequestFinalizeBlock, ResponseFinalizeBlock};
use tidemark_engine::exec::{self, Block};
use tidemark_engine::phase::Phase;
use tidemark_engine::state::merkle::Hash;
use tidemark_engine::state::{Chain, State};

use super::{height, time_ms, Consensus, ExecutedBlock, Node};
use crate::block_txs::BlockTxs;
use crate::encode::{list_result, tx_result};
use crate::timing::{BlockTimes, Stopwatch};
use crate::votes;

/// Runs the phases of rules §8.1 and answers with a result per transaction and the app hash.
/// The block that was carried out last gets the same answer again, and nothing is carried out.
///
/// Any block but that and its successor stops the process with a sentence: the state in memory does
/// not come from the chain that CometBFT has.
pub(super) fn finalize_block(node: &Node, request: &RequestFinalizeBlock) -> ResponseFinalizeBlock {
    let mut consensus = node.consensus();
    let Consensus { state, executed, times, .. } = &mut *consensus;
    let Some(state) = state.as_mut() else {
        panic!("CometBFT sent block {} before InitChain", request.height);
    };
    let hash = request.hash.as_ref().try_into().unwrap_or_default();
    let done = already_executed(&state.chain, executed.as_ref(), height(request.height), &hash)
        .unwrap_or_else(|why| panic!("{why}"));
    if let Some(snapshots) = node.inner.snapshots.get() {
        // CometBFT has compared the header's app hash with this node's, of the block before.
        snapshots.confirm(height(request.height).saturating_sub(1));
    }
    if let Some(done) = done {
        tracing::info!(height = request.height, "this block was carried out before: same answer");
        return answer(done);
    }
    answer(executed.insert(carry_out(node, state, times, request, hash)))
}

/// The block carried out last if this is it; `None` if this one follows it.
fn already_executed<'a>(
    chain: &Chain,
    executed: Option<&'a ExecutedBlock>,
    height: u64,
    hash: &Hash,
) -> Result<Option<&'a ExecutedBlock>, String> {
    match executed {
        Some(executed) if height == chain.height && *hash == chain.block_hash => Ok(Some(executed)),
        Some(_) if height == chain.height => Err(format!(
            "CometBFT sent block {height} with hash {}, but this node has carried out block \
             {height} with hash {}: the state in memory does not come from CometBFT's chain. Start \
             tidemarkd again: it replays the blocks that CometBFT has",
            hex::encode(hash),
            hex::encode(chain.block_hash),
        )),
        _ if chain.height.checked_add(1) != Some(height) => Err(format!(
            "CometBFT sent block {height}, but this node has carried out block {}. Start tidemarkd \
             again: it replays the blocks that CometBFT has",
            chain.height,
        )),
        Some(executed) if !executed.committed => {
            Err(format!("CometBFT sent block {height} before Commit of block {}", chain.height))
        }
        _ => Ok(None),
    }
}

fn carry_out(
    node: &Node,
    state: &mut State,
    times: &mut BlockTimes,
    request: &RequestFinalizeBlock,
    hash: Hash,
) -> ExecutedBlock {
    let mut watch = Stopwatch::start();
    let BlockTxs { prices, listed, txs } = BlockTxs::read(height(request.height), &request.txs);
    let max_bytes = state.max_tx_bytes();
    let commit = prices.as_ref().and_then(|bytes| votes::decode(bytes).ok());
    let ballots = commit.iter().flat_map(votes::ballots).collect();
    let block = Block {
        height: height(request.height),
        time_ms: time_ms(request.time.as_ref()),
        hash,
        proposer: request.proposer_address.as_ref().try_into().unwrap_or_default(),
        ballots,
        txs: node.inner.cache.check_all(&txs, max_bytes, node.inner.threads),
    };
    watch.lap(Phase::Decode);
    let events = exec::execute(state, &block, &mut |phase| watch.lap(phase));
    for phase in Phase::ALL {
        times.add(phase, watch.times.get(phase));
    }
    let has_prices = prices.is_some();
    ExecutedBlock { has_prices, listed, events: Arc::new(events), committed: false }
}

/// A result for each of the block's own transactions: the prices' is empty, the list's has a row
/// for each that it carries.
fn answer(executed: &ExecutedBlock) -> ResponseFinalizeBlock {
    let txs = &executed.events.txs;
    let (listed, alone) = txs.split_at(executed.listed.unwrap_or(0).min(txs.len()));
    let prices = executed.has_prices.then(ExecTxResult::default);
    let list = executed.listed.map(|_| list_result(listed));
    ResponseFinalizeBlock {
        tx_results: prices.into_iter().chain(list).chain(alone.iter().map(tx_result)).collect(),
        app_hash: executed.events.app_hash.to_vec().into(),
        ..Default::default()
    }
}
