//! ProcessProposal: whether a proposed block follows the rules. Nothing is carried out here. The
//! verdict is a function of the block and the last committed state, but for blocks behind this
//! node's clock, for a while ([`crate::lag`]).

use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{CommitInfo, RequestProcessProposal, ResponseProcessProposal};
use tidemark_engine::admission;
use tidemark_engine::phase::Phase;
use tidemark_proto::Refusal;

use super::{height, time_ms, Node};
use crate::block_txs::BlockTxs;
use crate::timing::Stopwatch;
use crate::votes;

/// Accepts a block whose extended commit is right and whose every transaction is admitted, in
/// whatever order; logs why it rejects.
pub(super) fn process_proposal(
    node: &Node,
    request: &RequestProcessProposal,
) -> ResponseProcessProposal {
    let mut watch = Stopwatch::start();
    let status = match check(node, request) {
        Ok(()) => ProposalStatus::Accept,
        Err(why) => {
            tracing::warn!(height = request.height, "proposal rejected: {why}");
            ProposalStatus::Reject
        }
    };
    watch.lap(Phase::Process);
    let times = &mut node.consensus().times;
    times.add(Phase::Process, watch.times.get(Phase::Process));
    times.rejected_proposals += u32::from(status == ProposalStatus::Reject);
    ResponseProcessProposal { status: status as i32 }
}

fn check(node: &Node, request: &RequestProcessProposal) -> Result<(), String> {
    let view = node.inner.publisher.view();
    let (cache, threads) = (&node.inner.cache, node.inner.threads);
    let BlockTxs { prices, txs, .. } = BlockTxs::read(height(request.height), &request.txs);
    let mut commit = None;
    if votes::required(height(request.height)) {
        let prices = prices.ok_or("the block has no extended commit")?;
        votes::room::check_bytes(prices.len(), view.chain.validators.len())?;
        commit = Some(votes::decode(&prices)?);
    }
    let of_tx = |(index, refusal): (usize, Refusal)| format!("transaction {index}: {refusal}");
    let decoded = cache.decode_all(&txs, view.max_tx_bytes(), threads).map_err(of_tx)?;
    let all = decoded.iter().map(AsRef::as_ref).enumerate();
    let before = view.before_next_block(time_ms(request.time.as_ref()));
    if let Some((index, refusal)) = admission::admit(all, &before).first_refused() {
        return Err(format!("transaction {index}: {}", refusal.labelled()));
    }
    // Signatures cost most, so they come after whatever else may be wrong.
    if let Some(commit) = commit {
        let none = CommitInfo::default();
        let proposed = request.proposed_last_commit.as_ref().unwrap_or(&none);
        let chain = &view.chain;
        votes::check(&commit, proposed, &chain.validators, &chain.chain_id, request.height - 1)?;
    }
    cache.verify_all(&decoded, threads).map_err(of_tx)?;
    check_lag(node, request, txs.len())
}

/// The one check that looks at this node's clock, and the last. Nobody is to trade on the prices of
/// before a halt, so a block of before may hold no transactions.
fn check_lag(node: &Node, request: &RequestProcessProposal, txs: usize) -> Result<(), String> {
    let behind_ms = node.behind_ms(request.height, request.time.as_ref());
    let steady_ms = node.inner.clock.steady_ms();
    let height = height(request.height);
    if txs > 0 && node.lag_refusals().refuses(height, behind_ms, steady_ms) {
        return Err(format!(
            "its time is {behind_ms} ms behind this node's clock, and it has {txs} transactions"
        ));
    }
    Ok(())
}
