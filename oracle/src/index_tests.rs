use proptest::prelude::*;

use super::*;
use crate::report::PriceReport;

/// The plain rule for 90 of power.
const RULE: IndexRule =
    IndexRule { total_power: 90, quorum: Quorum::MORE_THAN_TWO_THIRDS, move_bound: None };

fn report(market: MarketId, index: Ticks, external: Option<Ticks>) -> Report {
    Report {
        prices: vec![PriceReport { market, index_ticks: Some(index), external_ticks: external }],
    }
}

fn apply(state: &mut IndexState, prices: &[Weighted], now_ms: TimeMs) {
    let mut reports = MarketReports { index: prices.to_vec(), external: Vec::new() };
    state.apply(&mut reports, &RULE, now_ms);
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
    state.apply(reports, &RULE, 1_000);
    assert_eq!((state.index_ticks(), state.external), (Some(100), None));

    let mut markets = by_market([(&full, 61), (&spot_only, 29)]);
    state.apply(markets.get_mut(&3).unwrap(), &RULE, 2_000);
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

/// 1 % a block, unless nine tenths of power report.
fn bounded_rule() -> IndexRule {
    IndexRule { total_power: 100, move_bound: MoveBound::of_params(10_000, 900_000), ..RULE }
}

fn apply_bounded(state: &mut IndexState, prices: &[Weighted], now_ms: TimeMs) -> IndexStep {
    let mut reports = MarketReports { index: prices.to_vec(), external: prices.to_vec() };
    state.apply(&mut reports, &bounded_rule(), now_ms)
}

#[test]
fn rules_4_the_move_bound_is_off_at_zero_and_lifted_by_the_larger_quorum() {
    assert_eq!(MoveBound::of_params(0, 900_000), None);
    let mut state = IndexState::default();
    assert_eq!(
        apply_bounded(&mut state, &[(1_000, 67)], 1_000),
        IndexStep::Taken,
        "the first is not bound"
    );
    assert_eq!(
        apply_bounded(&mut state, &[(1_010, 67)], 2_000),
        IndexStep::Taken,
        "exactly the bound"
    );
    assert_eq!(
        apply_bounded(&mut state, &[(2_000, 90)], 3_000),
        IndexStep::Taken,
        "exactly the quorum"
    );
    assert_eq!(state.index, Some(PricePoint { ticks: 2_000, time_ms: 3_000 }));
    assert_eq!(apply_bounded(&mut state, &[(1_000, 66)], 4_000), IndexStep::NoQuorum);
    assert_eq!(state.index_ticks(), Some(2_000), "without the plain quorum nothing moves it");
}

#[test]
fn rules_4_beyond_the_move_bound_the_index_follows_and_ages_until_it_arrives() {
    let mut state = IndexState::default();
    apply_bounded(&mut state, &[(1_000, 67)], 1_000);
    let step = apply_bounded(&mut state, &[(1_025, 89)], 2_000);
    assert_eq!(step, IndexStep::Bounded { median_ticks: 1_025 });
    assert_eq!(state.index, Some(PricePoint { ticks: 1_010, time_ms: 1_000 }), "with its old age");
    assert_eq!(state.external_ticks(2_000, 30_000), Some(1_025), "the external price is not bound");
    apply_bounded(&mut state, &[(1_025, 89)], 3_000);
    assert_eq!(state.index, Some(PricePoint { ticks: 1_020, time_ms: 1_000 }));
    assert_eq!(apply_bounded(&mut state, &[(1_025, 89)], 4_000), IndexStep::Taken);
    assert_eq!(state.index, Some(PricePoint { ticks: 1_025, time_ms: 4_000 }));
    assert_eq!(
        apply_bounded(&mut state, &[(1, 89)], 5_000),
        IndexStep::Bounded { median_ticks: 1 }
    );
    assert_eq!(state.index_ticks(), Some(1_015), "10.25 down, rounded inwards");
}

#[test]
fn rules_4_after_a_halt_a_bounded_move_is_no_fresh_quorum() {
    let mut state = IndexState::default();
    apply_bounded(&mut state, &[(1_000, 100)], 1_000);
    for (block, expected) in [990, 981, 972].into_iter().enumerate() {
        let now_ms = 600_000 + 1_000 * block as u64;
        apply_bounded(&mut state, &[(970, 70)], now_ms);
        assert_eq!((state.index_ticks(), state.is_stale(now_ms, 30_000)), (Some(expected), true));
    }
    apply_bounded(&mut state, &[(970, 70)], 603_000);
    assert!(!state.is_stale(603_000, 30_000));
}

#[test]
fn a_coarse_tick_does_not_hold_the_index_for_ever() {
    let bound = MoveBound::of_params(10_000, 900_000).unwrap();
    for (index, reach) in
        [(1, (1, 2)), (2, (1, 3)), (99, (98, 100)), (100, (99, 101)), (1_000, (990, 1_010))]
    {
        assert_eq!(bound.move_limits(index), reach, "{index}");
    }
    assert_eq!(bound.move_limits(u64::MAX).1, u64::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The whole way from reports to the state, with and without a bound.
    #[test]
    fn the_order_of_validators_changes_nothing(
        (votes, shuffled) in proptest::collection::vec((1..2_000_u64, proptest::option::of(1..2_000_u64), 0..20_u64), 0..12)
            .prop_flat_map(|votes| (Just(votes.clone()), Just(votes).prop_shuffle())),
        old in proptest::option::of(1..2_000_u64),
        bound_ppm in prop_oneof![Just(0_i64), 1..1_000_000_i64],
    ) {
        let end = |votes: &[(Ticks, Option<Ticks>, u64)]| {
            let reports: Vec<_> = votes.iter().map(|&(index, external, power)| (report(7, index, external), power)).collect();
            let mut markets = by_market(reports.iter().map(|(report, power)| (report, *power)));
            let mut state = IndexState { index: old.map(|ticks| PricePoint { ticks, time_ms: 1 }), ..IndexState::default() };
            let rule = IndexRule { move_bound: MoveBound::of_params(bound_ppm, 900_000), ..RULE };
            let step = state.apply(markets.entry(7).or_default(), &rule, 2);
            (state, step)
        };
        prop_assert_eq!(end(&votes), end(&shuffled));
    }

    /// Against the bound's definition in whole numbers: `|new − old|·10⁶ ≤ old·bound`, or one tick.
    #[test]
    fn a_bounded_index_moves_towards_the_median_within_the_bound(
        old in 1..=u64::MAX,
        median in prop_oneof![1..=u64::MAX, 1..100_000_u64],
        bound_ppm in 0..1_000_000_i64,
        reporting in 67..=100_u64,
        quorum_ppm in 666_667..=1_000_000_i64,
    ) {
        let start = PricePoint { ticks: old, time_ms: 1 };
        let mut state = IndexState { index: Some(start), ..IndexState::default() };
        let mut reports = MarketReports { index: vec![(median, reporting)], external: Vec::new() };
        let rule = IndexRule { total_power: 100, move_bound: MoveBound::of_params(bound_ppm, quorum_ppm), ..RULE };
        let step = state.apply(&mut reports, &rule, 2);
        let new = state.index.unwrap();
        let moved = u128::from(new.ticks.abs_diff(old)) * 1_000_000;
        let free = bound_ppm == 0 || i128::from(reporting) * 10_000 >= i128::from(quorum_ppm);
        if step == IndexStep::Taken {
            prop_assert_eq!(new, PricePoint { ticks: median, time_ms: 2 });
            prop_assert!(free || moved <= u128::from(old) * bound_ppm as u128 || new.ticks.abs_diff(old) == 1);
        } else {
            prop_assert!(!free && new.time_ms == 1);
            prop_assert!(moved <= u128::from(old) * bound_ppm as u128 || new.ticks.abs_diff(old) == 1);
            prop_assert!((old.min(median)..=old.max(median)).contains(&new.ticks) && new.ticks != median);
            // Not less than the bound lets it, either: one tick more would be beyond.
            let more = u128::from(new.ticks.abs_diff(old) + 1) * 1_000_000;
            prop_assert!(more > u128::from(old) * bound_ppm as u128);
        }
    }
}

#[test]
fn deviations_are_parts_of_the_index() {
    assert_eq!(deviation_ppm(99, 100), -10_000);
    assert_eq!(deviation_ppm(1, u64::MAX), -999_999);
    assert_eq!(deviation_ppm(u64::MAX, 1), i64::MAX);
    assert_eq!(deviation_ppm(5, 0), 5_000_000);
}
