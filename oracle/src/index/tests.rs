use proptest::prelude::*;

use super::*;
use crate::report::PriceReport;

/// The plain rule for 90 of power.
const RULE: IndexRule =
    IndexRule { total_power: 90, quorum: Quorum::MORE_THAN_TWO_THIRDS, move_bound: None };

const MARKET: MarketId = MarketId::new(3);
const MAX_AGE_MS: TimeMs = TimeMs::new(30_000);
const QUORUM_PPM: Ppm = Ppm::new(900_000);

fn ms(time: u64) -> TimeMs {
    TimeMs::new(time)
}

fn point(ticks: u64, time_ms: u64) -> PricePoint {
    PricePoint { ticks: Ticks::new(ticks), time_ms: ms(time_ms) }
}

fn bounded(median: u64) -> IndexStep {
    IndexStep::Bounded { median_ticks: Ticks::new(median) }
}

fn index_of(state: &IndexState) -> Option<u64> {
    state.index_ticks().map(Ticks::get)
}

fn external_of(state: &IndexState, now_ms: u64) -> Option<u64> {
    state.external_ticks(ms(now_ms), MAX_AGE_MS).map(Ticks::get)
}

fn weighted(prices: &[(u64, u64)]) -> Vec<Weighted> {
    prices.iter().map(|&(ticks, power)| (Ticks::new(ticks), power)).collect()
}

fn report(index: u64, external: Option<u64>) -> Report {
    let (index_ticks, external_ticks) = (Some(Ticks::new(index)), external.map(Ticks::new));
    Report { prices: vec![PriceReport { market: MARKET, index_ticks, external_ticks }] }
}

fn apply(state: &mut IndexState, prices: &[(u64, u64)], now_ms: u64) {
    let mut reports = MarketReports { index: weighted(prices), external: Vec::new() };
    state.apply(&mut reports, &RULE, ms(now_ms));
}

#[test]
fn rules_4_the_index_needs_more_than_two_thirds_of_power() {
    let mut state = IndexState::default();
    apply(&mut state, &[(100, 60)], 1_000);
    assert_eq!(state.index, None);
    apply(&mut state, &[(100, 30), (102, 31)], 2_000);
    assert_eq!(state.index, Some(point(102, 2_000)));
}

#[test]
fn rules_4_stale_from_max_oracle_age_on_until_a_fresh_quorum() {
    let mut state = IndexState::default();
    assert!(state.is_stale(ms(0), MAX_AGE_MS));
    apply(&mut state, &[(100, 61)], 1_000);
    assert!(!state.is_stale(ms(30_999), MAX_AGE_MS));
    assert!(state.is_stale(ms(31_000), MAX_AGE_MS));
    // After a halt, a block without quorum leaves it stale.
    apply(&mut state, &[(500, 60)], 600_000);
    assert!(state.is_stale(ms(600_000), MAX_AGE_MS));
    assert_eq!(index_of(&state), Some(100));
    apply(&mut state, &[(500, 61)], 600_100);
    assert!(!state.is_stale(ms(600_100), MAX_AGE_MS));
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
    assert_eq!(state.commit_base(), Some(Ticks::new(105)));
}

#[test]
fn external_has_its_own_quorum_and_age() {
    let (full, spot_only) = (report(100, Some(101)), report(110, None));
    let mut markets = by_market([(&full, 50), (&spot_only, 40)]);
    let mut state = IndexState::default();
    let reports = markets.get_mut(&MARKET).unwrap();
    state.apply(reports, &RULE, ms(1_000));
    assert_eq!((index_of(&state), state.external), (Some(100), None));

    let mut markets = by_market([(&full, 61), (&spot_only, 29)]);
    state.apply(markets.get_mut(&MARKET).unwrap(), &RULE, ms(2_000));
    assert_eq!(external_of(&state, 31_999), Some(101));
    assert_eq!(external_of(&state, 32_000), None);
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
    IndexRule {
        total_power: 100,
        move_bound: MoveBound::of_params(Ppm::new(10_000), QUORUM_PPM),
        ..RULE
    }
}

fn apply_bounded(state: &mut IndexState, prices: &[(u64, u64)], now_ms: u64) -> IndexStep {
    let mut reports = MarketReports { index: weighted(prices), external: weighted(prices) };
    state.apply(&mut reports, &bounded_rule(), ms(now_ms))
}

#[test]
fn rules_4_the_move_bound_is_off_at_zero_and_lifted_by_the_larger_quorum() {
    assert_eq!(MoveBound::of_params(Ppm::ZERO, QUORUM_PPM), None);
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
    assert_eq!(state.index, Some(point(2_000, 3_000)));
    assert_eq!(apply_bounded(&mut state, &[(1_000, 66)], 4_000), IndexStep::NoQuorum);
    assert_eq!(index_of(&state), Some(2_000), "without the plain quorum nothing moves it");
}

#[test]
fn rules_4_beyond_the_move_bound_the_index_follows_and_ages_until_it_arrives() {
    let mut state = IndexState::default();
    apply_bounded(&mut state, &[(1_000, 67)], 1_000);
    let step = apply_bounded(&mut state, &[(1_025, 89)], 2_000);
    assert_eq!(step, bounded(1_025));
    assert_eq!(state.index, Some(point(1_010, 1_000)), "with its old age");
    assert_eq!(external_of(&state, 2_000), Some(1_025), "the external price is not bound");
    apply_bounded(&mut state, &[(1_025, 89)], 3_000);
    assert_eq!(state.index, Some(point(1_020, 1_000)));
    assert_eq!(apply_bounded(&mut state, &[(1_025, 89)], 4_000), IndexStep::Taken);
    assert_eq!(state.index, Some(point(1_025, 4_000)));
    assert_eq!(apply_bounded(&mut state, &[(1, 89)], 5_000), bounded(1));
    assert_eq!(index_of(&state), Some(1_015), "10.25 down, rounded inwards");
}

#[test]
fn rules_4_after_a_halt_a_bounded_move_is_no_fresh_quorum() {
    let mut state = IndexState::default();
    apply_bounded(&mut state, &[(1_000, 100)], 1_000);
    for (block, expected) in [990, 981, 972].into_iter().enumerate() {
        let now_ms = 600_000 + 1_000 * block as u64;
        apply_bounded(&mut state, &[(970, 70)], now_ms);
        assert_eq!(
            (index_of(&state), state.is_stale(ms(now_ms), MAX_AGE_MS)),
            (Some(expected), true)
        );
    }
    apply_bounded(&mut state, &[(970, 70)], 603_000);
    assert!(!state.is_stale(ms(603_000), MAX_AGE_MS));
}

#[test]
fn a_coarse_tick_does_not_hold_the_index_for_ever() {
    let bound = MoveBound::of_params(Ppm::new(10_000), QUORUM_PPM).unwrap();
    for (index, reach) in
        [(1, (1, 2)), (2, (1, 3)), (99, (98, 100)), (100, (99, 101)), (1_000, (990, 1_010))]
    {
        let (low, high) = bound.move_limits(Ticks::new(index));
        assert_eq!((low.get(), high.get()), reach, "{index}");
    }
    assert_eq!(bound.move_limits(Ticks::MAX).1, Ticks::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// The whole way from reports to the state, with and without a bound.
    #[test]
    fn the_order_of_validators_changes_nothing(
        (votes, shuffled) in proptest::collection::vec(
            (1..2_000_u64, proptest::option::of(1..2_000_u64), 0..20_u64),
            0..12,
        )
        .prop_flat_map(|votes| (Just(votes.clone()), Just(votes).prop_shuffle())),
        old in proptest::option::of(1..2_000_u64),
        bound_ppm in prop_oneof![Just(0_i64), 1..1_000_000_i64],
    ) {
        let bound = MoveBound::of_params(Ppm::new(bound_ppm), QUORUM_PPM);
        let end = |votes: &[(u64, Option<u64>, u64)]| {
            let reports: Vec<_> = votes
                .iter()
                .map(|&(index, external, power)| (report(index, external), power))
                .collect();
            let mut markets = by_market(reports.iter().map(|(report, power)| (report, *power)));
            let start = old.map(|ticks| point(ticks, 1));
            let mut state = IndexState { index: start, ..IndexState::default() };
            let rule = IndexRule { move_bound: bound, ..RULE };
            let step = state.apply(markets.entry(MARKET).or_default(), &rule, ms(2));
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
        let mut state = IndexState { index: Some(point(old, 1)), ..IndexState::default() };
        let reports = weighted(&[(median, reporting)]);
        let mut reports = MarketReports { index: reports, external: Vec::new() };
        let move_bound = MoveBound::of_params(Ppm::new(bound_ppm), Ppm::new(quorum_ppm));
        let rule = IndexRule { total_power: 100, move_bound, ..RULE };
        let step = state.apply(&mut reports, &rule, ms(2));
        let new = state.index.unwrap();
        let ticks = new.ticks.get();
        let most = u128::from(old) * bound_ppm as u128;
        let is_bounded =
            u128::from(ticks.abs_diff(old)) * 1_000_000 <= most || ticks.abs_diff(old) == 1;
        let free = bound_ppm == 0 || i128::from(reporting) * 10_000 >= i128::from(quorum_ppm);
        if step == IndexStep::Taken {
            prop_assert_eq!(new, point(median, 2));
            prop_assert!(free || is_bounded);
        } else {
            prop_assert!(!free && new.time_ms == ms(1));
            prop_assert!(is_bounded);
            let is_between = (old.min(median)..=old.max(median)).contains(&ticks);
            prop_assert!(is_between && ticks != median);
            // Not less than the bound lets it, either: one tick more would be beyond.
            let more = u128::from(ticks.abs_diff(old) + 1) * 1_000_000;
            prop_assert!(more > most);
        }
    }
}

#[test]
fn deviations_are_parts_of_the_index() {
    for (ticks, index, deviation) in
        [(99, 100, -10_000), (1, u64::MAX, -999_999), (u64::MAX, 1, i64::MAX), (5, 0, 5_000_000)]
    {
        assert_eq!(deviation_ppm(Ticks::new(ticks), Ticks::new(index)).get(), deviation);
    }
}
