use proptest::prelude::*;

use super::*;

#[test]
fn rules_4_more_than_two_thirds() {
    let quorum = Quorum::MORE_THAN_TWO_THIRDS;
    assert!(!quorum.is_met(0, 0));
    assert!(!quorum.is_met(66, 100));
    assert!(quorum.is_met(67, 100));
    assert!(!quorum.is_met(60, 90), "exactly two thirds");
    assert!(Quorum { inclusive: true, ..quorum }.is_met(60, 90));
    assert!(!Quorum { inclusive: true, ..quorum }.is_met(0, 0), "nothing is no quorum");
    assert!(!quorum.is_met(u128::MAX, 1), "beyond what can be compared");
}

#[test]
fn the_lower_price_on_an_exact_half() {
    assert_eq!(weighted_median(&mut [(200, 5), (100, 5)]), Some(100));
    assert_eq!(weighted_median(&mut [(200, 6), (100, 5)]), Some(200));
}

#[test]
fn no_power_no_price() {
    assert_eq!(weighted_median::<Ticks>(&mut []), None);
    assert_eq!(weighted_median(&mut [(100, 0)]), None);
    assert_eq!(weighted_median(&mut [(1, 0), (7, 3)]), Some(7));
    assert_eq!(quorum_median(&mut [(Ticks::ONE, 0)], 0, Quorum::MORE_THAN_TWO_THIRDS), None);
    assert_eq!(weighted_median(&mut [(7, u64::MAX), (9, u64::MAX), (9, u64::MAX)]), Some(9));
}

/// The price in the middle of a list that has each price once per unit of power.
fn naive(reports: &[Weighted]) -> Option<Ticks> {
    let mut units: Vec<Ticks> =
        reports.iter().flat_map(|&(price, power)| vec![price; power as usize]).collect();
    units.sort_unstable();
    units.get(units.len().saturating_sub(1) / 2).copied()
}

fn reports() -> impl Strategy<Value = Vec<Weighted>> {
    proptest::collection::vec(((1..50_u64).prop_map(Ticks::new), 0..20_u64), 0..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn agrees_with_one_price_per_unit_of_power(mut reports in reports()) {
        let expected = naive(&reports);
        prop_assert_eq!(weighted_median(&mut reports), expected);
    }

    #[test]
    fn order_does_not_matter(
        (reports, mut shuffled) in
            reports().prop_flat_map(|r| (Just(r.clone()), Just(r).prop_shuffle()))
    ) {
        let mut reports = reports;
        prop_assert_eq!(weighted_median(&mut reports), weighted_median(&mut shuffled));
    }

    #[test]
    fn within_honest_prices_when_honest_power_is_more_than_half(
        honest in proptest::collection::vec((1_000..1_100_u64, 1..1_000_u64), 1..10),
        liars in proptest::collection::vec((1..u64::MAX, 1..1_000_u64), 0..10),
    ) {
        let total = |reports: &[(u64, u64)]| reports.iter().map(|r| r.1).sum::<u64>();
        // Scale honest power up to just above the liars'.
        let factor = total(&liars) / total(&honest) + 1;
        let mut all: Vec<(u64, u64)> =
            honest.iter().map(|&(price, power)| (price, power * factor)).collect();
        all.extend(&liars);
        let median = weighted_median(&mut all).unwrap();
        let prices = || honest.iter().map(|report| report.0);
        let (low, high) = (prices().min().unwrap(), prices().max().unwrap());
        prop_assert!((low..=high).contains(&median), "{} outside {}..={}", median, low, high);
    }
}
