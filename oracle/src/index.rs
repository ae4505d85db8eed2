//! A market's index: the last price that a quorum reported, and its age (rules §§4.1 to 4.4).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{MarketId, Ppm, Ticks, TimeMs};

use crate::mark::band_ticks;
use crate::median::{power_of, quorum_median, Quorum, Weighted};
use crate::report::Report;

/// Reports of one market in a block's extended commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketReports {
    /// Spot prices with the power behind each.
    pub index: Vec<Weighted>,
    /// Prices of the perpetual elsewhere with the power behind each.
    pub external: Vec<Weighted>,
}

/// The reports of one extended commit, by market. Each report comes with its validator's power, and
/// each validator once.
#[must_use]
pub fn by_market<'a>(
    reports: impl IntoIterator<Item = (&'a Report, u64)>,
) -> BTreeMap<MarketId, MarketReports> {
    let mut markets = BTreeMap::<MarketId, MarketReports>::new();
    for (report, power) in reports {
        for entry in &report.prices {
            let market = markets.entry(entry.market).or_default();
            market.index.extend(entry.index_ticks.map(|ticks| (ticks, power)));
            market.external.extend(entry.external_ticks.map(|ticks| (ticks, power)));
        }
    }
    markets
}

/// A price and the block time at which it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PricePoint {
    /// The price.
    pub ticks: Ticks,
    /// Block time.
    pub time_ms: TimeMs,
}

impl PricePoint {
    /// Returns true if the price is `max_age_ms` old or older at `now_ms`.
    #[must_use]
    pub fn is_stale(self, now_ms: TimeMs, max_age_ms: TimeMs) -> bool {
        now_ms.saturating_sub(self.time_ms) >= max_age_ms
    }
}

/// How far the index may move in one block without a larger quorum (ADR 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveBound {
    /// The part of the index itself that it may move; above 0.
    pub bound_ppm: Ppm,
    /// Power that must have reported for a larger move.
    pub quorum: Quorum,
}

impl MoveBound {
    /// The bound of a market's parameters; `None` where `bound_ppm` is 0: it is off. `quorum_ppm`
    /// of all power lifts it, exactly that part included.
    #[must_use]
    pub fn of_params(bound_ppm: Ppm, quorum_ppm: Ppm) -> Option<Self> {
        (bound_ppm.is_positive())
            .then_some(Self { bound_ppm, quorum: Quorum::from_ppm(quorum_ppm) })
    }

    /// The lowest and the highest index to which one block may move `index_ticks`: `± bound_ppm`
    /// rounded inwards, but a tick at least, so that a coarse tick does not hold the index for
    /// ever.
    #[must_use]
    pub fn move_limits(self, index_ticks: Ticks) -> (Ticks, Ticks) {
        let (low, high) = band_ticks(index_ticks, self.bound_ppm);
        let (below, above) =
            (index_ticks.saturating_sub(Ticks::ONE), index_ticks.saturating_add(Ticks::ONE));
        (low.min(below).max(Ticks::ONE), high.max(above))
    }
}

/// The most ticks of a market's first index (rules §4.11): a book's price pages are of some
/// thousands of ticks each, and whoever places an order on each of them pays for the order alone.
pub const MAX_FIRST_INDEX: Ticks = Ticks::new(10_000_000);

/// How a block's index is taken from the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexRule {
    /// Power of all validators.
    pub total_power: u128,
    /// Power that must have reported for a price to be taken.
    pub quorum: Quorum,
    /// The bound on the index's move, if there is one.
    pub move_bound: Option<MoveBound>,
}

/// Effect of a block's reports on a market's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexStep {
    /// Too few reported: it stays as it is, with its age.
    NoQuorum,
    /// It is the reports' median.
    Taken,
    /// The median would be the first index, and is more than [`MAX_FIRST_INDEX`]: none is taken.
    TickTooFine,
    /// It moved towards the reports' median as far as the bound lets it, and keeps its age.
    Bounded {
        /// The median.
        median_ticks: Ticks,
    },
}

/// A market's index in the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IndexState {
    /// The last index that a quorum reported.
    pub index: Option<PricePoint>,
    /// The last external perpetual price that a quorum reported.
    pub external: Option<PricePoint>,
    /// The index as it was before the last block.
    pub previous_index_ticks: Option<Ticks>,
}

impl IndexState {
    /// Takes the reports of this block's extended commit. Call it once in every block, with empty
    /// reports when there are none. A price without quorum stays as it is, with its age.
    ///
    /// A median beyond the rule's bound, from less than its larger quorum, only draws the index
    /// towards it. That is no price that a quorum reported, so it is no fresh one: the age stays
    /// until the index has come to a median.
    pub fn apply(
        &mut self,
        reports: &mut MarketReports,
        rule: &IndexRule,
        now_ms: TimeMs,
    ) -> IndexStep {
        self.previous_index_ticks = self.index_ticks();
        let external = quorum_median(&mut reports.external, rule.total_power, rule.quorum);
        self.external =
            external.map(|ticks| PricePoint { ticks, time_ms: now_ms }).or(self.external);
        let Some(median_ticks) = quorum_median(&mut reports.index, rule.total_power, rule.quorum)
        else {
            return IndexStep::NoQuorum;
        };
        if self.index.is_none() && median_ticks > MAX_FIRST_INDEX {
            return IndexStep::TickTooFine;
        }
        let lifted =
            |bound: &MoveBound| bound.quorum.is_met(power_of(&reports.index), rule.total_power);
        if let (Some(point), Some(bound)) =
            (&mut self.index, rule.move_bound.filter(|bound| !lifted(bound)))
        {
            let (low, high) = bound.move_limits(point.ticks);
            if !(low..=high).contains(&median_ticks) {
                point.ticks = median_ticks.clamp(low, high);
                return IndexStep::Bounded { median_ticks };
            }
        }
        self.index = Some(PricePoint { ticks: median_ticks, time_ms: now_ms });
        IndexStep::Taken
    }

    /// Returns true without an index, or with one of `max_age_ms` or older: no liquidation, no
    /// funding sample, nothing that increases exposure (rules §4.4).
    #[must_use]
    pub fn is_stale(&self, now_ms: TimeMs, max_age_ms: TimeMs) -> bool {
        self.index.is_none_or(|point| point.is_stale(now_ms, max_age_ms))
    }

    /// The index's age at `now_ms`; 0 before the first.
    #[must_use]
    pub fn age_ms(&self, now_ms: TimeMs) -> TimeMs {
        self.index.map_or(TimeMs::ZERO, |point| now_ms.saturating_sub(point.time_ms))
    }

    /// The last index in ticks, however old.
    #[must_use]
    pub fn index_ticks(&self) -> Option<Ticks> {
        self.index.map(|point| point.ticks)
    }

    /// The external perpetual price in ticks, unless it is `max_age_ms` old.
    #[must_use]
    pub fn external_ticks(&self, now_ms: TimeMs, max_age_ms: TimeMs) -> Option<Ticks> {
        self.external.filter(|point| !point.is_stale(now_ms, max_age_ms)).map(|point| point.ticks)
    }

    /// The base of extensions of the block that is being voted on: for `ExtendVote` and
    /// `VerifyVoteExtension`.
    #[must_use]
    pub fn voting_base(&self) -> Option<Ticks> {
        self.index_ticks()
    }

    /// The base of the extensions in the next block's extended commit: they were made before the
    /// last block's prices were taken. For `PrepareProposal`, `ProcessProposal` and `FinalizeBlock`
    /// before [`Self::apply`].
    #[must_use]
    pub fn commit_base(&self) -> Option<Ticks> {
        self.previous_index_ticks
    }
}

/// Returns how far a price is from the index, in ppm of the index, towards zero; positive is above.
/// A distance that passes 64 bits is the nearest that fits.
#[must_use]
#[expect(clippy::arithmetic_side_effects, reason = "a price times 10⁶ is below 2⁸⁴")]
pub fn deviation_ppm(ticks: Ticks, index_ticks: Ticks) -> Ppm {
    let difference = ticks.wide() - index_ticks.wide();
    let ppm = difference * Ppm::ONE.wide() / index_ticks.max(Ticks::ONE).wide();
    // No price is below 0, so that none is further below the index than all of it.
    i64::try_from(ppm).map_or(Ppm::MAX, Ppm::new)
}

#[cfg(test)]
mod tests;
