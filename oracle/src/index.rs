//! A market's index: the last price that a quorum reported, and its age (rules §4).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{MarketId, Ticks, TimeMs};

use crate::median::{quorum_median, Quorum, Weighted};
use crate::report::Report;

/// What a block's extended commit says of one market.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarketReports {
    /// Spot prices with the power behind each.
    pub index: Vec<Weighted>,
    /// Prices of the perpetual elsewhere with the power behind each.
    pub external: Vec<Weighted>,
}

/// The reports of one extended commit, by market. Each report comes with its validator's power, and each validator once.
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
    /// Whether it is `max_age_ms` old or older at `now_ms`.
    #[must_use]
    pub fn is_stale(self, now_ms: TimeMs, max_age_ms: u64) -> bool {
        now_ms.saturating_sub(self.time_ms) >= max_age_ms
    }
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
    /// Takes the reports of this block's extended commit, of `total_power` validators' power in all. Call it once in
    /// every block, with empty reports when there are none. A price without quorum stays as it is, with its age.
    pub fn apply(&mut self, reports: &mut MarketReports, total_power: u128, quorum: Quorum, now_ms: TimeMs) {
        self.previous_index_ticks = self.index.map(|point| point.ticks);
        let take = |reports: &mut [Weighted], point: &mut Option<PricePoint>| {
            if let Some(ticks) = quorum_median(reports, total_power, quorum) {
                *point = Some(PricePoint { ticks, time_ms: now_ms });
            }
        };
        take(&mut reports.index, &mut self.index);
        take(&mut reports.external, &mut self.external);
    }

    /// Whether the market has no index, or one of `max_age_ms` or older: no liquidation, no funding sample, nothing that
    /// increases exposure (rules §4).
    #[must_use]
    pub fn is_stale(&self, now_ms: TimeMs, max_age_ms: u64) -> bool {
        self.index.is_none_or(|point| point.is_stale(now_ms, max_age_ms))
    }

    /// The last index in ticks, however old.
    #[must_use]
    pub fn index_ticks(&self) -> Option<Ticks> {
        self.index.map(|point| point.ticks)
    }

    /// The external perpetual price in ticks, unless it is `max_age_ms` old.
    #[must_use]
    pub fn external_ticks(&self, now_ms: TimeMs, max_age_ms: u64) -> Option<Ticks> {
        self.external.filter(|point| !point.is_stale(now_ms, max_age_ms)).map(|point| point.ticks)
    }

    /// The base of extensions of the block that is being voted on: for `ExtendVote` and `VerifyVoteExtension`.
    #[must_use]
    pub fn voting_base(&self) -> Option<Ticks> {
        self.index_ticks()
    }

    /// The base of the extensions in the next block's extended commit: they were made before the last block's prices were
    /// taken. For `PrepareProposal`, `ProcessProposal` and `FinalizeBlock` before [`Self::apply`].
    #[must_use]
    pub fn commit_base(&self) -> Option<Ticks> {
        self.previous_index_ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PriceReport;

    fn report(market: MarketId, index: Ticks, external: Option<Ticks>) -> Report {
        Report { prices: vec![PriceReport { market, index_ticks: Some(index), external_ticks: external }] }
    }

    fn apply(state: &mut IndexState, prices: &[Weighted], now_ms: TimeMs) {
        let mut reports = MarketReports { index: prices.to_vec(), external: Vec::new() };
        state.apply(&mut reports, 90, Quorum::MORE_THAN_TWO_THIRDS, now_ms);
    }

    #[test]
    fn rules_4_the_index_needs_more_than_two_thirds_of_power() {
        let mut state = IndexState::default();
        apply(&mut state, &[(100, 60)], 1_000);
        assert_eq!(state.index, None);
        apply(&mut state, &[(100, 30), (102, 31)], 2_000);
        assert_eq!(state.index, Some(PricePoint { ticks: 102, time_ms: 2_000 }));
    }

    #[test]
    fn rules_4_stale_from_max_oracle_age_on_until_a_fresh_quorum() {
        let mut state = IndexState::default();
        assert!(state.is_stale(0, 30_000));
        apply(&mut state, &[(100, 61)], 1_000);
        assert!(!state.is_stale(30_999, 30_000));
        assert!(state.is_stale(31_000, 30_000));
        // After a halt, a block without quorum leaves it stale.
        apply(&mut state, &[(500, 60)], 600_000);
        assert!(state.is_stale(600_000, 30_000));
        assert_eq!(state.index_ticks(), Some(100));
        apply(&mut state, &[(500, 61)], 600_100);
        assert!(!state.is_stale(600_100, 30_000));
    }

    #[test]
    fn extensions_are_read_against_the_index_they_were_made_against() {
        let mut state = IndexState::default();
        apply(&mut state, &[(100, 90)], 1_000);
        let base_when_voting = state.voting_base();
        // The block voted on executes and moves the index; its extensions come in the block after.
        apply(&mut state, &[(105, 90)], 2_000);
        assert_eq!(state.commit_base(), base_when_voting);
        apply(&mut state, &[], 3_000);
        assert_eq!(state.commit_base(), Some(105));
    }

    #[test]
    fn external_has_its_own_quorum_and_age() {
        let (full, spot_only) = (report(3, 100, Some(101)), report(3, 110, None));
        let mut markets = by_market([(&full, 50), (&spot_only, 40)]);
        let mut state = IndexState::default();
        let reports = markets.get_mut(&3).unwrap();
        state.apply(reports, 90, Quorum::MORE_THAN_TWO_THIRDS, 1_000);
        assert_eq!((state.index_ticks(), state.external), (Some(100), None));

        let mut markets = by_market([(&full, 61), (&spot_only, 29)]);
        state.apply(markets.get_mut(&3).unwrap(), 90, Quorum::MORE_THAN_TWO_THIRDS, 2_000);
        assert_eq!(state.external_ticks(31_999, 30_000), Some(101));
        assert_eq!(state.external_ticks(32_000, 30_000), None);
    }

    #[test]
    fn state_round_trips() {
        let mut state = IndexState::default();
        apply(&mut state, &[(100, 90)], 1_000);
        let bytes = borsh::to_vec(&state).unwrap();
        assert_eq!(IndexState::try_from_slice(&bytes).unwrap(), state);
    }
}
