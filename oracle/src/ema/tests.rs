#![allow(clippy::float_arithmetic)]

use proptest::prelude::*;

use super::*;

fn ms(time: u64) -> TimeMs {
    TimeMs::new(time)
}

/// `(Δt, τ, exp(−Δt/τ)·2⁶³)`, computed with 60 decimal digits and rounded to nearest.
const EXACT: &[(u64, u64, u64)] = &[
    (0, 150_000, 9_223_372_036_854_775_808),
    (1, 150_000, 9_223_310_547_912_826_810),
    (100, 150_000, 9_217_225_171_346_370_443),
    (1_000, 30_000, 8_920_993_934_781_452_282),
    (29_999, 30_000, 3_393_202_055_484_534_148),
    (30_000, 30_000, 3_393_088_950_634_442_637),
    (30_001, 30_000, 3_392_975_849_554_449_961),
    (45_000, 30_000, 2_058_012_479_691_955_556),
    (600_000, 150_000, 168_931_951_563_480_719),
    (1_500_000, 150_000, 418_740_442_646_474),
    (6_000_000, 150_000, 39),
    (6_552_000, 150_000, 1),
    (7_000_000, 150_000, 0),
    (u64::MAX, 150_000, 0),
    (1, 1, 3_393_088_950_634_442_637),
];

#[test]
fn decay_is_within_its_stated_error() {
    for &(dt, tau, exact) in EXACT {
        let got = decay(ms(dt), ms(tau));
        assert!(got.abs_diff(exact) <= DECAY_ERROR, "decay({dt}, {tau}) is {got}, exact {exact}");
    }
    assert_eq!(decay(ms(5), ms(0)), 0);
    assert_eq!(decay(ms(0), ms(0)), DECAY_ONE);
}

/// Samples of one value each second for so long, from 0 on.
fn after(seconds: u64, sample: i64) -> Ema {
    let mut ema = Ema::default();
    (0..seconds).for_each(|_| ema.update(Ppb::new(sample), ms(1_000), ms(30_000)));
    ema
}

#[test]
fn rules_4_an_average_begins_at_0_with_full_weight() {
    let mut ema = Ema::default();
    ema.update(Ppb::new(1_000_000), ms(0), ms(30_000));
    assert_eq!(ema.average(), Ppb::ZERO, "no time, no weight");
    for (seconds, expected) in [(1, 32_784), (10, 283_469), (30, 632_121), (3_000, 1_000_000)] {
        // 10⁶·(1 − exp(−t/30)).
        assert_eq!(after(seconds, 1_000_000).average(), Ppb::new(expected), "{seconds} s");
        assert_eq!(after(seconds, -1_000_000).average(), Ppb::new(-expected), "{seconds} s");
    }
}

#[test]
fn rules_4_a_sample_of_0_makes_an_average_fade() {
    let mut ema = after(3_000, 1_000_000);
    for (seconds, expected) in [(30, 367_879), (60, 135_335), (1_000, 0)] {
        let mut faded = ema;
        (0..seconds).for_each(|_| faded.update(Ppb::ZERO, ms(1_000), ms(30_000)));
        assert_eq!(faded.average(), Ppb::new(expected), "{seconds} s");
    }
    ema.update(Ppb::ZERO, ms(u64::MAX), ms(30_000));
    assert_eq!(ema.average(), Ppb::ZERO, "however long the gap");
}

#[test]
fn one_sample_after_a_gap_however_long_weighs_ten_seconds() {
    let settled = after(3_000, 1_000_000);
    // e⁻¹ of the old, of that again e^(−1/3), and 1 − e^(−1/3) of the new.
    for (gap_ms, expected) in [(10_000, 1_283_469), (40_000, 830_535), (3_600_000, 566_937)] {
        let mut ema = settled;
        ema.update(Ppb::new(2_000_000), ms(gap_ms), ms(30_000));
        assert_eq!(ema.average(), Ppb::new(expected), "after {gap_ms} ms");
    }
}

#[test]
fn no_input_overflows() {
    let extremes = [i64::MAX, i64::MIN, 1_000_000_000, -1_000_000_000, 0].map(Ppb::new);
    let forged = [i64::MAX, i64::MIN, -1, 0].map(|value| Ema { value });
    for mut ema in forged {
        for tau_ms in [0, 1, 150_000, u64::MAX] {
            for dt_ms in [0, 1, 10_000, 150_000, u64::MAX] {
                for sample in extremes.into_iter().cycle().take(50) {
                    ema.update(sample, ms(dt_ms), ms(tau_ms));
                    let _ = ema.average();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn decay_agrees_with_a_float(dt in 0..10_000_000_u64, tau in 1..262_144_u64) {
        let got = decay(ms(dt), ms(tau)) as f64 / DECAY_ONE as f64;
        let expected = (-(dt as f64) / tau as f64).exp();
        // A double has 53 bits; its own error is the larger here.
        prop_assert!((got - expected).abs() < 1e-15, "{} {}", got, expected);
    }

    #[test]
    fn average_agrees_with_a_float_model(
        steps in proptest::collection::vec(
            (-1_000_000_000_i64..1_000_000_000, 1..15_000_u64),
            1..200,
        ),
        tau in 20_000..200_000_u64,
    ) {
        let mut ema = Ema::default();
        let mut expected = 0.0;
        for (sample, dt) in steps {
            ema.update(Ppb::new(sample), ms(dt), ms(tau));
            let decayed = |ms: u64| (-(ms as f64) / tau as f64).exp();
            expected *= decayed(dt.saturating_sub(10_000));
            expected += (1.0 - decayed(dt.min(10_000))) * (sample as f64 - expected);
            // Rounded to a whole number; doubles err by far less.
            let error = (ema.average().get() as f64 - expected).abs();
            prop_assert!(error <= 0.501, "{} {}", ema.average(), expected);
        }
    }

    /// However samples come, an average is no further from 0 than the largest of them would have
    /// brought it in the time that they speak for.
    #[test]
    fn rules_4_an_average_is_bounded_by_the_time_of_its_samples(
        steps in proptest::collection::vec((-1_000_000_i64..=1_000_000, 1..15_000_u64), 1..60),
        tau in 20_000..200_000_u64,
    ) {
        let mut ema = Ema::default();
        let mut spoken_ms = 0;
        for (sample, dt) in steps {
            ema.update(Ppb::new(sample), ms(dt), ms(tau));
            spoken_ms += dt.min(10_000);
            let most = 1e6 * (1.0 - (-(spoken_ms as f64) / tau as f64).exp());
            prop_assert!(ema.average().get().unsigned_abs() as f64 <= most + 0.5);
        }
    }
}
