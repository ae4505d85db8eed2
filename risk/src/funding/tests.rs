use proptest::prelude::*;
use tidemark_proto::units::{Atoms, AtomsPerTickLot, Lots, Ppm, Ticks, TimeMs};

use crate::funding::{
    hour_micro_atoms_per_lot, impact_price, premium_ppm, rate_8h_ppm, unpaid_atoms, ImpactPrice,
};
use crate::tests::{account, atoms, lots, market, ms, ppm, ticks, usdc};
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
        (320_500, 320_000),
        (900_000, 320_000),
        (-900_000, -320_000),
    ] {
        assert_eq!(rate(premium), expected, "premium {premium}");
    }
}

/// Samples of one premium every `every_ms`, from `from_ms` to `to_ms` past an hour's begin.
fn samples(market: &mut Market, premium: i64, from_ms: u64, to_ms: u64, every_ms: u64) {
    for at in (from_ms..=to_ms).step_by(usize::try_from(every_ms).unwrap()) {
        market.funding.sample(hour(7, at), ppm(premium));
    }
}

/// Premium 1 %, rate 0.95 % for 8 hours: ten units at 10 000 pay 118.75 for the hour.
#[test]
fn an_hour_pays_an_eighth_on_the_index_notional() {
    let mut market = market(0, 10, 10_000, 1_000_000);
    market.funding.hour = 7;
    samples(&mut market, 10_000, 5_000, 3_595_000, 5_000);
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
        // The first sample covers 10 s, since none is known before it.
        samples(&mut market, 10_000, 10_000, minutes * 60_000, 5_000);
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
    samples(&mut market, 0, 5_000, 1_800_000, 5_000);
    market.funding.sample(hour(7, 3_599_000), ppm(200_000));
    let covered_ms = 5_000 + 1_800_000 + 10_000;
    assert_eq!(market.funding.covered_ms, ms(covered_ms));
    let mean = 200_000 * 10_000 / i64::try_from(covered_ms).unwrap();
    assert_eq!(market.funding.mean_premium_ppm(), Some(ppm(mean)));
}

#[test]
fn samples_are_five_seconds_apart_and_belong_to_their_hour() {
    let mut market = market(0, 10, 100, 1);
    assert_eq!(end(&mut market, hour(3, 10), 100), Ok(None), "the hour of listing is not paid");
    for (at, premium) in [(10, 300), (4_999, 9_000), (5_010, -100), (10_009, 9_000), (10_010, 2)] {
        market.funding.sample(hour(3, at), ppm(premium));
    }
    assert_eq!(
        (market.funding.premium_samples, market.funding.mean_premium_ppm()),
        (3, Some(ppm(125))),
        "(300·10 − 100·5 + 2·5)/20"
    );
    for at in (15_010..=900_000).step_by(5_000) {
        market.funding.sample(hour(3, at), ppm(0));
    }
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

fn thick_market(index: u64, impact_notional: Atoms) -> Market {
    let mut market = market(0, 10, index, 1_000_000);
    market.params.impact_notional_atoms = impact_notional;
    market
}

/// A side of a book: price and size of each level.
type Levels = [(u64, u64)];

fn premium(market: &Market, bids: &Levels, asks: &Levels, max_ppm: i64) -> i64 {
    let impact = |side: &Levels| {
        let levels = side.iter().map(|(price, size)| (ticks(*price), lots(*size)));
        impact_price(&market.params, market.k, levels)
    };
    let index = market.mark_ticks.unwrap();
    let (bid, ask) = (impact(bids), impact(asks));
    premium_ppm(&market.params, market.k, index, bid, ask, ppm(max_ppm)).get()
}

#[test]
fn premiums_of_thin_empty_and_one_sided_books() {
    let market = thick_market(1_000, usdc(5_000));
    let all = 1_000_000;
    assert_eq!(premium(&market, &[], &[], all), 0);
    assert_eq!(
        premium(&market, &[(1_100, 5)], &[], all),
        99_999,
        "10 % above, less the base's rounding up"
    );
    assert_eq!(
        premium(&thick_market(1_000, usdc(5_500)), &[(1_100, 5)], &[], all),
        100_000,
        "the whole level"
    );
    assert_eq!(premium(&market, &[(1_100, 4)], &[], all), 0, "4 400 is too thin");
    assert_eq!(premium(&market, &[], &[(900, 6)], all), -100_000);
    assert_eq!(premium(&market, &[], &[(900, 5)], all), 0, "4 500 is too thin");
    assert_eq!(
        premium(&market, &[(999, 50)], &[(1_001, 50)], all),
        0,
        "the index is within the spread"
    );
    assert_eq!(premium(&market, &[(1_100, 5)], &[], 70_000), 70_000, "clamped");
    assert_eq!(premium(&market, &[], &[(900, 6)], 70_000), -70_000);
    let best = thick_market(1_000, Atoms::ZERO);
    assert_eq!(
        premium(&best, &[(1_234, 1)], &[], all),
        234_000,
        "no impact notional: the best price"
    );
    assert_eq!(
        premium(&thick_market(0, Atoms::ZERO), &[(5, 1)], &[(6, 1)], all),
        0,
        "no index, no premium"
    );
}

proptest! {
    /// Against a walk in exact fractions: `N/(Σ lots + rest/price)`, where rounding the base up by
    /// 10⁻¹⁰ units moves less than 1 ppm.
    #[test]
    fn the_impact_price_is_the_average_fill(
        index in 500_u64..2_000,
        levels in prop::collection::vec((1_u64..50, 1_u64..20), 1..8),
        notional in 1_i128..60_000,
        is_bid: bool,
    ) {
        let market = thick_market(index, usdc(notional));
        let mut price = 1_000;
        let level = |(step, size): &(u64, u64)| {
            price = if is_bid { price - step } else { price + step };
            (price, *size)
        };
        let side: Vec<(u64, u64)> = levels.iter().map(level).collect();
        let (bids, asks) = if is_bid { (side.as_slice(), &[][..]) } else { (&[][..], &side[..]) };
        let got = premium(&market, bids, asks, i64::MAX);
        let mut left = notional;
        let mut lots = 0;
        let mut expected = 0;
        for (price, size) in side {
            let (price, size) = (i128::from(price), i128::from(size));
            if left <= price * size {
                // impact/index − 1 = (N·p − index·(lots·p + left)) / (index·(lots·p + left))
                let base = i128::from(index) * (lots * price + left);
                expected = (notional * price - base) * 1_000_000 / base;
                break;
            }
            left -= price * size;
            lots += size;
        }
        let expected = if is_bid { expected.max(0) } else { expected.min(0) };
        prop_assert!((i128::from(got) - expected).abs() <= 1, "{} against {}", got, expected);
    }

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
        let most = i128::from(index) * k.wide() * 40_000 * hours / 3_600_000;
        prop_assert!(pays(premium).abs() <= most);
        prop_assert!(pays(premium) <= pays(premium + 1));
    }
}

#[test]
fn an_impact_price_beyond_127_bits_is_none() {
    assert_eq!(ImpactPrice::at(Ticks::MAX, AtomsPerTickLot::MAX, 10), None);
    let market = thick_market(u64::MAX, Atoms::MAX);
    assert_eq!(impact_price(&market.params, AtomsPerTickLot::MAX, [(Ticks::MAX, Lots::MAX)]), None);
    let huge = [(u64::MAX, u64::MAX)];
    assert_eq!(premium(&market, &huge, &huge, i64::MAX), 0);
}
