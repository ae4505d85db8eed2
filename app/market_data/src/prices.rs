//! Price reports of each validator, block by block, and their distance from the index: for
//! operators.

use std::collections::BTreeMap;

use tidemark_engine::events::{BlockEvents, PriceRound, VoteReport};
use tidemark_oracle::index::deviation_ppm;
use tidemark_oracle::report::PriceReport;
use tidemark_proto::units::{MarketId, Ppm, Ticks, TimeMs};

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
    /// Blocks in which it reported prices, reported nothing, sent what does not decode, was late,
    /// and was blanked by the proposer.
    pub blocks: [u64; 5],
    /// The last prices that it reported of each market, with their block's time.
    pub last: BTreeMap<MarketId, (PriceReport, TimeMs)>,
}

/// The words for what a vote can say, in the order of [`ValidatorPrices::blocks`].
pub const OUTCOMES: [&str; 5] = ["reported", "nothing", "invalid", "late", "blanked"];

/// Which of [`OUTCOMES`] a vote is.
#[must_use]
pub const fn outcome(said: &VoteReport) -> usize {
    match said {
        VoteReport::Prices(_) => 0,
        VoteReport::Nothing => 1,
        VoteReport::Invalid(_) => 2,
        VoteReport::Late => 3,
        VoteReport::Blanked => 4,
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
) -> (BTreeMap<MarketId, Ppm>, BTreeMap<ValidatorAddress, Ppm>) {
    let (mut markets, mut validators) = (BTreeMap::<_, Ppm>::new(), BTreeMap::<_, Ppm>::new());
    for vote in &round.votes {
        for price in vote.report.prices().into_iter().flat_map(|report| &report.prices) {
            let both = price.index_ticks.zip(index_ticks(price.market));
            let Some((ticks, index)) = both else { continue };
            let deviation = deviation_ppm(ticks, index);
            let distance = deviation.max(deviation.saturating_neg());
            let largest = |known: &mut Ppm| *known = distance.max(*known);
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

    fn block(time_ms: u64, votes: &[(u8, VoteReport)]) -> BlockEvents {
        let vote = |(number, said): &(u8, VoteReport)| PriceVote {
            validator: [*number; 20],
            power: 10,
            report: said.clone(),
        };
        let prices = PriceRound {
            proposer: [9; 20],
            total_power: 30,
            votes: votes.iter().map(vote).collect(),
            markets: vec![],
        };
        BlockEvents { time_ms: TimeMs::new(time_ms), prices, ..BlockEvents::default() }
    }

    fn says(index_ticks: u64) -> VoteReport {
        let index_ticks = Some(Ticks::new(index_ticks));
        let price = PriceReport { market: MarketId::ZERO, index_ticks, external_ticks: None };
        VoteReport::Prices(Report { prices: vec![price] })
    }

    #[test]
    fn each_validator_is_counted_remembered_and_measured() {
        let mut watch = PriceWatch::default();
        watch.apply(&block(1, &[(1, says(101)), (2, says(150)), (3, VoteReport::Late)]));
        let index = |_| Some(Ticks::new(100));
        let (markets, validators) = largest_deviations_ppm(&watch.round, index);
        let (percent, half) = (Ppm::new(10_000), Ppm::new(500_000));
        assert_eq!(markets, [(MarketId::ZERO, half)].into());
        assert_eq!(validators, [([1; 20], percent), ([2; 20], half)].into());
        let invalid = VoteReport::Invalid(ReportError::Version { version: 9 });
        watch.apply(&block(2, &[(1, says(102)), (2, VoteReport::Nothing), (3, invalid)]));
        let blocks: Vec<_> = watch.validators.values().map(|validator| validator.blocks).collect();
        assert_eq!(blocks, [[2, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 0, 1, 1, 0]]);
        assert_eq!(
            watch.validators[&[2; 20]].last[&MarketId::ZERO].1,
            TimeMs::new(1),
            "its last price is of the first block"
        );
        watch.apply(&block(3, &[(1, VoteReport::Blanked)]));
        assert_eq!(watch.validators[&[1; 20]].blocks, [2, 0, 0, 0, 1]);
        assert_eq!(watch.validators.len(), 1, "who has left the set is forgotten");
    }
}
