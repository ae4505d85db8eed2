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

#[test]
fn the_average_rounds_to_nearest_halves_up() {
    for (sample, divisor, expected) in
        [(3, 2, 2), (-3, 2, -1), (-5, 2, -2), (5, 3, 2), (-5, 3, -2), (7, 1, 7)]
    {
        let mut ema = Ema::default();
        ema.update(Some(sample), ms(100), ms(1_000));
        assert_eq!(ema.average(divisor), Some(expected), "{sample}/{divisor}");
    }
    assert_eq!(Ema::default().average(1), None);
}

#[test]
fn old_samples_fade_and_are_forgotten() {
    let mut ema = Ema::default();
    ema.update(Some(1_000), ms(0), ms(30_000));
    ema.update(Some(1_000), ms(10_000), ms(30_000));
    ema.update(None, ms(60_000), ms(30_000));
    assert_eq!(ema.average(1), Some(1_000));
    // exp(−10) of the weight of 10 s is below half a millisecond.
    ema.update(None, ms(300_000), ms(30_000));
    assert_eq!(ema.average(1), None);
}

#[test]
fn one_sample_after_a_gap_however_long_weighs_ten_seconds() {
    let settled = || {
        let mut ema = Ema::default();
        for _ in 0..1_000 {
            ema.update(Some(100), ms(1_000), ms(30_000));
        }
        ema
    };
    // One time constant's gap leaves 30.5 s·e⁻¹ = 11.2 s of old samples, against 10 s.
    let mut ema = settled();
    ema.update(Some(500), ms(30_000), ms(30_000));
    assert_eq!(ema.average(1), Some(288));
    for gap_ms in [3_600_000, 259_200_000] {
        let mut ema = settled();
        ema.update(Some(500), ms(gap_ms), ms(30_000));
        assert_eq!(ema.average(1), Some(500), "nothing old is left");
        // 10 s of samples of 0 in steps of 0.1 s: 10·e^(−1/3) = 7.2 s against 8.5 s.
        for _ in 0..100 {
            ema.update(Some(0), ms(100), ms(30_000));
        }
        let average = ema.average(1).unwrap();
        assert!((225..=232).contains(&average), "{average}");
    }
}

#[test]
fn no_input_overflows() {
    let extremes = [Some(1 << 65), Some(-(1 << 65)), Some(i128::MAX), Some(i128::MIN), None];
    let mut ema = Ema::default();
    for tau_ms in [0, 1, 150_000, u64::MAX] {
        for dt_ms in [0, 1, 150_000, u64::MAX] {
            for sample in extremes.into_iter().cycle().take(50) {
                ema.update(sample, ms(dt_ms), ms(tau_ms));
                let _ = ema.average(2);
            }
        }
    }
    let forged = [i128::MAX, i128::MIN, -1, 0].map(|value| Ema { num: value, den: value });
    for mut ema in forged {
        let _ = ema.average(2);
        ema.update(Some(1 << 65), ms(1), ms(150_000));
        let _ = ema.average(2);
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
            (proptest::option::weighted(0.8, -1_000_000_000_i64..1_000_000_000), 1..15_000_u64),
            1..200,
        ),
        tau in 20_000..200_000_u64,
    ) {
        let mut ema = Ema::default();
        let (mut num, mut den) = (0.0, 0.0);
        for (sample, dt) in steps {
            ema.update(sample.map(i128::from), ms(dt), ms(tau));
            let factor = (-(dt as f64) / tau as f64).exp();
            (num, den) = (num * factor, den * factor);
            if den < 0.5 {
                (num, den) = (0.0, 0.0);
            }
            if let Some(x) = sample {
                let weight = dt.min(10_000) as f64;
                (num, den) = (num + x as f64 * weight, den + weight);
            }
            // Half a tick of rounding; the steps' own error is far below a hundredth at such
            // distances.
            let expected = (den > 0.0).then(|| num / den);
            let average = ema.average(1).map(|average| average as f64);
            prop_assert_eq!(average.is_some(), expected.is_some());
            let error = (average.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs();
            prop_assert!(error <= 0.51, "{:?} {:?}", average, expected);
        }
    }

    #[test]
    fn weight_converges_below_two_time_constants(
        steps in proptest::collection::vec(1..1_000_000_u64, 1..100),
    ) {
        let mut ema = Ema::default();
        for dt in steps {
            ema.update(Some(1), ms(dt), ms(150_000));
            prop_assert!(ema.den <= LEAST_WEIGHT * 2 * 240_000);
        }
    }
}
