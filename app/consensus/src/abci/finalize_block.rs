//! FinalizeBlock: carries out a decided block.

use prost::Message as _;
use tendermint_proto::v0_38::abci::{ExecTxResult, RequestFinalizeBlock, ResponseFinalizeBlock};
use tidemark_engine::exec::{self, Block};
use tidemark_engine::outcome::TxOutcome;
use tidemark_engine::phase::Phase;
use tidemark_engine::refusal::Refusal;
use tidemark_proto::codes::CODESPACE;
use tidemark_proto::v1;

use super::{height, time_ms, Node};
use crate::encode;
use crate::timing::Stopwatch;
use crate::votes;

/// Runs the phases of the rules' §8.1 and answers with a result per transaction and the app hash.
pub(super) fn finalize_block(node: &Node, request: &RequestFinalizeBlock) -> ResponseFinalizeBlock {
    let mut watch = Stopwatch::start();
    let mut consensus = node.consensus();
    let Some(state) = consensus.state.as_mut() else {
        panic!("CometBFT sent block {} before InitChain", request.height);
    };
    let (injected, txs) = match request.txs.split_first() {
        Some((first, rest)) if votes::required(height(request.height)) => (Some(first), rest),
        _ => (None, request.txs.as_slice()),
    };
    let max_bytes = state.max_tx_bytes();
    let commit = injected.and_then(|bytes| votes::decode(bytes).ok());
    let ballots = commit.iter().flat_map(votes::ballots).collect();
    let block = Block {
        height: height(request.height),
        time_ms: time_ms(request.time.as_ref()),
        hash: request.hash.as_ref().try_into().unwrap_or_default(),
        ballots,
        txs: node.inner.cache.check_all(txs, max_bytes, node.inner.threads),
    };
    watch.lap(Phase::Decode);
    let events = exec::execute(state, &block, &mut |phase| watch.lap(phase));
    let injected_result = injected.map(|_| ExecTxResult::default());
    let tx_results = injected_result.into_iter().chain(events.txs.iter().map(tx_result)).collect();
    let app_hash = events.app_hash;
    for phase in Phase::ALL {
        consensus.times.add(phase, watch.times.get(phase));
    }
    consensus.finalized = Some(events);
    ResponseFinalizeBlock { tx_results, app_hash: app_hash.to_vec().into(), ..Default::default() }
}

/// Encodes an outcome as CometBFT and its clients get it.
#[must_use]
pub fn tx_result(outcome: &TxOutcome) -> ExecTxResult {
    let results = outcome.results.iter().map(encode::operation_result).collect();
    let data = v1::TxResult { results }.encode_to_vec();
    let refusal = outcome.refusal.as_deref();
    ExecTxResult {
        code: outcome.code().number(),
        data: data.into(),
        log: refusal.map(Refusal::labelled).unwrap_or_default(),
        codespace: refusal.map(|_| CODESPACE.into()).unwrap_or_default(),
        ..Default::default()
    }
}
