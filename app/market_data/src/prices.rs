//! Price reports of each validator, block by block, and their distance from the index: for
//! operators.

use std::collections::BTreeMap;

use tidemark_engine::events::{BlockEvents, PriceRound, VoteReport};
use tidemark_oracle::index::deviation_ppm;
use tidemark_oracle::report::PriceReport;
use tidemark_proto::units::{MarketId, Ticks, TimeMs};

/// A validator's address: the first 20 bytes of SHA-256 of its key.
pub type ValidatorAddress = [u8; 20];

/// Prices as validators reported them since the node's start. A validator is kept for as long as it
/// is in the commits' set.
#[derive(Clone, Debug, Default)]
pub struct PriceWatch {
    /// The last block's.
    pub round: PriceRound,
    /// By address.
    pub validators: BTreeMap<ValidatorAddress, ValidatorPrices>,
}

/// One validator.
#[derive(Clone, Debug, Default)]
pub struct ValidatorPrices {
    /// Its voting power.
    pub power: u64,
    /// Blocks in which it reported prices, reported nothing, sent what does not decode, and was
    /// late.
    pub blocks: [u64; 4],
    /// The last prices that it reported of each market, with their block's time.
    pub last: BTreeMap<MarketId, (PriceReport, TimeMs)>,
}

/// The words for what a vote can say, in the order of [`ValidatorPrices::blocks`].
pub const OUTCOMES: [&str; 4] = ["reported", "nothing", "invalid", "late"];

/// Which of [`OUTCOMES`] a vote is.
#[must_use]
pub const fn outcome(said: &VoteReport) -> usize {
    match said {
        VoteReport::Prices(_) => 0,
        VoteReport::Nothing => 1,
        VoteReport::Invalid(_) => 2,
        VoteReport::Late => 3,
    }
}

impl PriceWatch {
    /// Takes the next block.
    pub fn apply(&mut self, events: &BlockEvents) {
        self.round.clone_from(&events.prices);
        for vote in &events.prices.votes {
            let validator = self.validators.entry(vote.validator).or_default();
            validator.power = vote.power;
            validator.blocks[outcome(&vote.report)] += 1;
            for price in vote.report.prices().into_iter().flat_map(|report| &report.prices) {
                validator.last.insert(price.market, (*price, events.time_ms));
            }
        }
        // The first block has no votes; no later one is without.
        if !events.prices.votes.is_empty() {
            let votes = &self.round.votes;
            self.validators
                .retain(|address, _| votes.iter().any(|vote| vote.validator == *address));
        }
    }
}

/// How far the reports of a block were from the index, in ppm of it, at most: of each market by id,
/// and of each validator.
#[must_use]
pub fn largest_deviations_ppm(
    round: &PriceRound,
    index_ticks: impl Fn(MarketId) -> Option<Ticks>,
) -> (BTreeMap<MarketId, u64>, BTreeMap<ValidatorAddress, u64>) {
    let (mut markets, mut validators) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    for vote in &round.votes {
        for price in vote.report.prices().into_iter().flat_map(|report| &report.prices) {
            let deviation = price.index_ticks.zip(index_ticks(price.market));
            let Some((ticks, index)) = deviation else { continue };
            let ppm = deviation_ppm(ticks, index).unsigned_abs();
            let largest = |known: &mut u64| *known = ppm.max(*known);
            largest(markets.entry(price.market).or_default());
            largest(validators.entry(vote.validator).or_default());
        }
    }
    (markets, validators)
}

#[cfg(test)]
mod tests {
    use tidemark_oracle::report::{Report, ReportError};

    use super::*;
    use tidemark_engine::events::PriceVote;

    fn block(time_ms: TimeMs, votes: &[(u8, VoteReport)]) -> BlockEvents {
        let vote = |(number, said): &(u8, VoteReport)| PriceVote {
            validator: [*number; 20],
            power: 10,
            report: said.clone(),
        };
        let prices = PriceRound {
            total_power: 30,
            votes: votes.iter().map(vote).collect(),
            markets: vec![],
        };
        BlockEvents { time_ms, prices, ..BlockEvents::default() }
    }

    fn says(index: Ticks) -> VoteReport {
        let price = PriceReport { market: 0, index_ticks: Some(index), external_ticks: None };
        VoteReport::Prices(Report { prices: vec![price] })
    }

    #[test]
    fn each_validator_is_counted_remembered_and_measured() {
        let mut watch = PriceWatch::default();
        watch.apply(&block(1, &[(1, says(101)), (2, says(150)), (3, VoteReport::Late)]));
        let (markets, validators) = largest_deviations_ppm(&watch.round, |_| Some(100));
        assert_eq!(markets, [(0, 500_000)].into());
        assert_eq!(validators, [([1; 20], 10_000), ([2; 20], 500_000)].into());
        let invalid = VoteReport::Invalid(ReportError::Version { version: 9 });
        watch.apply(&block(2, &[(1, says(102)), (2, VoteReport::Nothing), (3, invalid)]));
        let blocks: Vec<_> = watch.validators.values().map(|validator| validator.blocks).collect();
        assert_eq!(blocks, [[2, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]]);
        assert_eq!(
            watch.validators[&[2; 20]].last[&0].1, 1,
            "its last price is of the first block"
        );
        watch.apply(&block(3, &[(1, says(102))]));
        assert_eq!(watch.validators.len(), 1, "who has left the set is forgotten");
    }
}
