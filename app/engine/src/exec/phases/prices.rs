//! Phase 1: index and mark from the validators' reports (rules §§4.1 to 4.5).

use tidemark_oracle::extension;
use tidemark_oracle::index::{by_market, IndexRule, IndexStep, MoveBound};
use tidemark_oracle::mark::{MarkInputs, MAX_INDEX_GAP_MS};
use tidemark_oracle::median::{power_of, Quorum};
use tidemark_oracle::report::{self, Limits};
use tidemark_proto::units::{MarketId, Ticks, TimeMs};

use crate::events::{MarketPrices, PriceRound, PriceVote, VoteReport};
use crate::exec::block::{BallotExtension, Block};
use crate::state::{MarketCell, State};

/// Age of an index beyond which the fund pays nothing for the market for some blocks.
const MAX_CLAIMED_GAP_MS: TimeMs = TimeMs::new(60_000);

/// Applies the block's reports: index, then mark, of every market. Returns each validator's report.
pub(crate) fn run(state: &mut State, block: &Block) -> PriceRound {
    let votes = votes_of(state, block);
    // CometBFT keeps the sum of all voting power below 2⁶⁰.
    let total_power = votes.iter().map(|vote| vote.power).fold(0, u64::saturating_add);
    let mut reports =
        by_market(votes.iter().filter_map(|vote| Some((vote.report.prices()?, vote.power))));
    let mut markets = Vec::with_capacity(state.markets.len());
    for cell in state.markets.cells_mut() {
        let params = &cell.market.params;
        let mut of_market = reports.remove(&params.id).unwrap_or_default();
        let rule = IndexRule {
            total_power: u128::from(total_power),
            quorum: Quorum::MORE_THAN_TWO_THIRDS,
            move_bound: MoveBound::of_params(
                params.index_move_bound_ppm,
                params.index_move_quorum_ppm,
            ),
        };
        let age_ms = cell.index.age_ms(block.time_ms);
        let step = cell.index.apply(&mut of_market, &rule, block.time_ms);
        if step == IndexStep::Taken && age_ms > MAX_INDEX_GAP_MS {
            cell.mark.ignore_book(block.time_ms);
        }
        if step == IndexStep::Taken && age_ms > MAX_CLAIMED_GAP_MS {
            cell.market.close_claims();
        }
        let reporting_power = u64::try_from(power_of(&of_market.index)).unwrap_or(u64::MAX);
        markets.push(MarketPrices { reporting_power, step });
        mark(cell, block.time_ms);
    }
    PriceRound { proposer: block.proposer, total_power, votes, markets }
}

/// Returns the commit's votes with their decoded reports. A report that does not decode counts for
/// nothing, as one that is blanked; its validator keeps its vote.
fn votes_of(state: &State, block: &Block) -> Vec<PriceVote> {
    let base = |market: MarketId| state.markets.get(market.index())?.cell.index.commit_base();
    let reported = |report: &[u8]| match report {
        [] => VoteReport::Nothing,
        report => report::decode(report, &base, Limits::default())
            .map_or_else(VoteReport::Invalid, VoteReport::Prices),
    };
    let said = |extension: &BallotExtension| match extension {
        BallotExtension::Missing => VoteReport::Late,
        BallotExtension::Blanked => VoteReport::Blanked,
        BallotExtension::Bytes(bytes) => reported(extension::split(bytes).1),
    };
    let votes = block.ballots.iter().map(|ballot| PriceVote {
        validator: ballot.validator,
        power: ballot.power,
        report: said(&ballot.extension),
    });
    votes.collect()
}

fn mark(cell: &mut MarketCell, now_ms: TimeMs) {
    if let Some(settlement) =
        cell.settlement.filter(|settlement| settlement.price_ticks > Ticks::ZERO)
    {
        cell.market.set_mark(settlement.price_ticks);
        return;
    }
    let params = &cell.market.params;
    let inputs = MarkInputs {
        index_ticks: cell.index.index_ticks(),
        index_is_stale: cell.index.is_stale(now_ms, params.max_oracle_age_ms),
        impact: cell.impact,
        last_trade: cell.last_trade,
        external_ticks: cell.index.external_ticks(now_ms, params.max_oracle_age_ms),
        mark_band_ppm: params.mark_band_ppm,
    };
    cell.mark.update(&inputs, now_ms);
    // Without an index the mark stays as it was: nothing is liquidated or increased on it.
    if let Some(mark_ticks) = cell.mark.mark_ticks(&inputs) {
        cell.market.set_mark(mark_ticks);
    }
}
