use proptest::prelude::*;
use tidemark_oracle::impact::Impact;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, Lots, NanoTicks, Ppm, TimeMs};

use crate::funding::{hour_micro_atoms_per_lot, premium_ppm, rate_8h_ppm, unpaid_atoms};
use crate::tests::{account, atoms, market, ms, ppm, ticks};
use crate::{Market, RiskError, Treasury};

/// So long after an hour's begin.
fn hour(number: u64, past_ms: u64) -> TimeMs {
    ms(number * 3_600_000 + past_ms)
}

fn rate(premium: i64) -> i64 {
    rate_8h_ppm(&market(0, 10, 1, 1).params, ppm(premium)).get()
}

fn end(market: &mut Market, now_ms: TimeMs, index: u64) -> Result<Option<i64>, RiskError> {
    let paid = market.end_funding_hour(now_ms, ticks(index))?;
    Ok(paid.map(Ppm::get))
}

#[test]
fn the_rate_is_premium_plus_clamped_interest_capped() {
    for (premium, expected) in [
        (0, 100),
        (100, 100),
        (10_000, 9_500),
        (-10_000, -9_500),
        (600, 100),
        (-400, 100),
        (601, 101),
        (-401, 99),
        (200_500, 200_000),
        (900_000, 200_000),
        (-900_000, -200_000),
    ] {
        assert_eq!(rate(premium), expected, "premium {premium}");
    }
}

/// Half of the maintenance rate of 10x, 2.5 %, is more than 4 % from 6x on.
#[test]
fn rules_5_an_hour_pays_half_of_the_least_maintenance_at_most() {
    for (leverage, hour_ppm) in [(50, 5_000), (20, 12_500), (10, 25_000), (6, 40_000), (1, 40_000)]
    {
        let params = market(0, leverage, 1, 1).params;
        assert_eq!(rate_8h_ppm(&params, Ppm::MAX), ppm(8 * hour_ppm), "{leverage}x");
        assert_eq!(rate_8h_ppm(&params, Ppm::MIN), ppm(-8 * hour_ppm), "{leverage}x");
    }
}

/// Samples of one premium every 5 s for so long.
fn samples(market: &mut Market, premium: i64, for_ms: u64) {
    for _ in 0..for_ms / 5_000 {
        market.funding.sample(ppm(premium), ms(5_000));
    }
}

/// Premium 1 %, rate 0.95 % for 8 hours: ten units at 10 000 pay 118.75 for the hour.
#[test]
fn an_hour_pays_an_eighth_on_the_index_notional() {
    let mut market = market(0, 10, 10_000, 1_000_000);
    market.funding.hour = 7;
    samples(&mut market, 10_000, 3_600_000);
    assert_eq!(market.predicted_rate_8h_ppm(), ppm(9_500));
    assert_eq!(end(&mut market, hour(7, 3_599_999), 10_000), Ok(None));
    assert_eq!(end(&mut market, hour(8, 0), 10_000), Ok(Some(9_500)));
    let long = account(0, &[(0, 10, 0)]);
    assert_eq!(unpaid_atoms(&market.funding, &long.positions[0]), Ok(atoms(118_750_000)));
    let short = account(0, &[(0, -10, 0)]);
    assert_eq!(unpaid_atoms(&market.funding, &short.positions[0]), Ok(atoms(-118_750_000)));
    assert_eq!(market.funding.last_rate_8h_ppm, ppm(9_500));
    assert_eq!(end(&mut market, hour(9, 0), 10_000), Ok(None), "no sample, no payment");
    assert_eq!((market.funding.last_rate_8h_ppm, market.funding.hour), (Ppm::ZERO, 9));
}

/// As above, with samples over a part of the hour only.
#[test]
fn rules_5_an_hour_pays_for_the_part_that_samples_cover_and_nothing_below_a_quarter() {
    for (minutes, paid, rate) in
        [(60, 118_750_000, 9_500), (30, 59_375_000, 4_750), (15, 29_687_500, 2_375), (14, 0, 0)]
    {
        let mut market = market(0, 10, 10_000, 1_000_000);
        market.funding.hour = 7;
        samples(&mut market, 10_000, minutes * 60_000);
        assert_eq!(market.predicted_rate_8h_ppm(), ppm(9_500), "at full cover");
        let rate = (rate > 0).then_some(rate);
        assert_eq!(end(&mut market, hour(8, 0), 10_000), Ok(rate), "{minutes} minutes");
        let long = account(0, &[(0, 10, 0)]);
        let owed = unpaid_atoms(&market.funding, &long.positions[0]);
        assert_eq!(owed, Ok(atoms(paid)), "{minutes} minutes");
    }
}

/// Half an hour at 0, a gap, and one painted sample: it weighs ten seconds, not half of the mean.
#[test]
fn rules_5_a_sample_after_a_gap_weighs_ten_seconds() {
    let mut market = market(0, 10, 10_000, 1_000_000);
    market.funding.hour = 7;
    samples(&mut market, 0, 1_800_000);
    market.funding.sample(ppm(200_000), ms(1_799_000));
    let covered_ms = 1_800_000 + 10_000;
    assert_eq!(market.funding.covered_ms, ms(covered_ms));
    let mean = 200_000 * 10_000 / i64::try_from(covered_ms).unwrap();
    assert_eq!(market.funding.mean_premium_ppm(), Some(ppm(mean)));
}

/// Impact prices in whole ticks.
fn impact(bid: u64, ask: u64) -> Impact {
    Impact { bid: NanoTicks::of(ticks(bid)), ask: NanoTicks::of(ticks(ask)) }
}

#[test]
fn rules_5_a_sample_takes_the_less_favourable_price_of_two_blocks_and_covers_the_time_between() {
    let index = 1_000;
    let (up, down, even) = (impact(1_010, 1_020), impact(980, 990), impact(999, 1_001));
    for (what, before, now, gap_ms, premium_ppm_ms, covered_ms) in [
        ("above in both", Some(up), Some(up), 1_000, 10_000 * 1_000, 1_000),
        ("below in both", Some(down), Some(down), 1_000, -10_000 * 1_000, 1_000),
        ("painted in the second", Some(even), Some(up), 1_000, 0, 1_000),
        ("painted in the first", Some(up), Some(even), 1_000, 0, 1_000),
        ("from side to side", Some(up), Some(down), 1_000, 0, 1_000),
        ("a side missing before", None, Some(up), 1_000, 0, 0),
        ("a side missing now", Some(up), None, 1_000, 0, 0),
        ("after a pause", Some(up), Some(up), 600_000, 10_000 * 10_000, 10_000),
    ] {
        let mut market = market(0, 10, index, 1);
        market.read_premium(before, Some(ticks(index)), hour(7, 0));
        market.read_premium(now, Some(ticks(index)), hour(7, gap_ms));
        let funding = &market.funding;
        let got = (funding.premium_ppm_ms, funding.covered_ms);
        assert_eq!(got, (premium_ppm_ms, ms(covered_ms)), "{what}");
    }
    let mut market = market(0, 10, index, 1);
    market.read_premium(Some(up), None, hour(7, 0));
    market.read_premium(Some(up), None, hour(7, 1_000));
    assert_eq!(market.funding.covered_ms, TimeMs::ZERO, "no index to compare with");
    market.read_premium(Some(up), Some(ticks(index)), hour(7, 2_000));
    assert_eq!(market.funding.covered_ms, ms(1_000), "but what it was read stands");
    market.funding.forget_samples();
    market.read_premium(Some(up), Some(ticks(index)), hour(7, 3_000));
    assert_eq!(market.funding.covered_ms, TimeMs::ZERO, "nothing of before");
}

#[test]
fn rules_5_a_premium_is_five_times_the_least_maintenance_at_most() {
    for (leverage, most) in [(50, 50_000), (20, 125_000), (1, 1_000_000)] {
        let mut market = market(0, leverage, 1_000, 1);
        let far = Some(impact(2_000, 2_001));
        market.read_premium(far, Some(ticks(1_000)), hour(7, 0));
        market.read_premium(far, Some(ticks(1_000)), hour(7, 1_000));
        assert_eq!(market.funding.mean_premium_ppm(), Some(ppm(most)), "{leverage}x");
    }
}

#[test]
fn samples_belong_to_their_hour() {
    let mut market = market(0, 10, 100, 1);
    assert_eq!(end(&mut market, hour(3, 10), 100), Ok(None), "the hour of listing is not paid");
    for (premium, covers_ms) in [(300, 10_000), (-100, 5_000), (2, 5_000)] {
        market.funding.sample(ppm(premium), ms(covers_ms));
    }
    assert_eq!(
        (market.funding.premium_samples, market.funding.mean_premium_ppm()),
        (3, Some(ppm(125))),
        "(300·10 − 100·5 + 2·5)/20"
    );
    samples(&mut market, 0, 880_000);
    assert_eq!(
        end(&mut market, hour(6, 0), 100),
        Ok(Some(25)),
        "a quarter is paid, skipped hours are not made up for"
    );
    assert_eq!(market.funding.premium_samples, 0);
    assert_eq!(end(&mut market, hour(6, 1), 100), Ok(None));
}

#[test]
fn dust_goes_to_insurance_when_no_position_is_left() {
    let (mut market, mut treasury) = (market(0, 10, 100, 1), Treasury::default());
    (market.funding_pool_atoms, market.open_interest_lots) = (atoms(3), Lots::ONE);
    market.sweep_funding_dust(&mut treasury);
    assert_eq!(treasury.insurance_atoms, Atoms::ZERO);
    market.open_interest_lots = Lots::ZERO;
    market.sweep_funding_dust(&mut treasury);
    assert_eq!((treasury.insurance_atoms, market.funding_pool_atoms), (atoms(3), Atoms::ZERO));
}

#[test]
fn premiums_of_one_sided_books_and_of_books_around_the_index() {
    let index = ticks(1_000);
    let price = |ticks_of: Option<u64>| ticks_of.map(|price| NanoTicks::of(ticks(price)));
    for (bid, ask, max_ppm, expected) in [
        (None, None, 1_000_000, 0),
        (Some(1_100), None, 1_000_000, 100_000),
        (None, Some(900), 1_000_000, -100_000),
        (Some(999), Some(1_001), 1_000_000, 0),
        (Some(1_100), Some(1_200), 70_000, 70_000),
        (Some(800), Some(900), 70_000, -70_000),
    ] {
        let premium = premium_ppm(index, price(bid), price(ask), ppm(max_ppm));
        assert_eq!(premium, ppm(expected), "{bid:?} {ask:?}");
    }
    let between = NanoTicks::new(1_000_999_999_999);
    assert_eq!(premium_ppm(index, Some(between), None, Ppm::ONE), ppm(999), "toward zero");
    let below = NanoTicks::new(999_000_000_001);
    assert_eq!(premium_ppm(index, None, Some(below), Ppm::ONE), ppm(-999), "toward zero");
    assert_eq!(premium_ppm(ticks(0), price(Some(5)), None, Ppm::ONE), Ppm::ZERO, "no index");
    let huge = Some(NanoTicks::MAX);
    assert_eq!(premium_ppm(ticks(1), huge, None, Ppm::ONE), Ppm::ONE, "clamped");
}

proptest! {
    #[test]
    fn a_payment_is_symmetric_and_bounded(
        index in 1_u64..1_000_000,
        k in 1_u64..1_000_000,
        premium in -2_000_000_i64..2_000_000,
        covered_ms in 0_u64..5_000_000,
    ) {
        let k = AtomsPerTickLot::new(k);
        let pays = |premium| {
            hour_micro_atoms_per_lot(ticks(index), k, ppm(rate(premium)), ms(covered_ms)).unwrap()
        };
        let hours = i128::from(covered_ms.min(3_600_000));
        let most = i128::from(index) * k.wide() * 25_000 * hours / 3_600_000;
        prop_assert!(pays(premium).abs() <= most);
        prop_assert!(pays(premium) <= pays(premium + 1));
    }
}
