use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { max_age_ms: 5_000, min_venues: 3, outlier_band_ppm: 20_000 };

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn voice(price: &str, age_ms: u64, weight: u32) -> Voice {
    Voice { said: Some((Some(decimal(price)), age_ms)), weight }
}

#[test]
fn a_venues_price_is_its_mid_or_its_last_trade() {
    for (bid, ask, last, price) in [
        ("100", "101", "", Some("100.5")),
        ("100", "101", "90", Some("100.5")),
        ("100", "100", "", Some("100")),
        ("100", "101.1", "90", Some("90")), // wider than 1 %
        ("100", "101.1", "", None),
        ("101", "100", "100.2", Some("100.2")), // crossed
        ("101", "100", "", None),
        ("100", "", "99", Some("99")),
        ("", "", "99", Some("99")),
        ("", "", "", None),
        ("1", "79228162514264337593543950335", "7", Some("7")),
        // The bound does not fit.
        ("79228162514264337593543950334", "79228162514264337593543950335", "7", Some("7")),
    ] {
        let side = |text: &str| (!text.is_empty()).then(|| decimal(text));
        let prices = Prices { bid: side(bid), ask: side(ask), last: side(last) };
        assert_eq!(prices.price(10_000), price.map(decimal), "{bid} {ask} {last}");
    }
}

#[test]
fn the_median_goes_by_weight() {
    // Five of ten: on an exact half the lower price.
    let weights = [3, 2, 2, 1, 1, 1];
    let prices = ["101", "101", "100", "100", "100", "100"];
    let voices: Vec<Voice> =
        prices.iter().zip(weights).map(|(price, weight)| voice(price, 0, weight)).collect();
    assert_eq!(aggregate(&voices, RULES).price.unwrap().price, decimal("100"));
}

#[test]
fn old_silent_and_far_voices_do_not_count() {
    let voices = [
        voice("100.0", 10, 3),
        voice("100.4", 4_900, 2),
        voice("100.2", 20, 2),
        voice("103", 5, 1),       // 3 % off
        voice("100.1", 5_001, 1), // old
        Voice { said: None, weight: 1 },
        Voice { said: Some((None, 3)), weight: 1 },
    ];
    let outcome = aggregate(&voices, RULES);
    assert_eq!(outcome.price, Ok(Aggregate { price: decimal("100.2"), age_ms: 4_900 }));
    let expected = {
        use Verdict::*;
        [Used, Used, Used, Outlier, Stale, Silent, Unusable]
    };
    assert_eq!(outcome.verdicts, expected);
    // (103 − 100) / 100.2
    assert_eq!(outcome.disagreement_ppm, 29_940);
}

#[test]
fn too_few_venues_give_no_price_and_say_so() {
    let fresh = [voice("100", 0, 3), voice("100", 0, 3), voice("100", 9_000, 3)];
    let refusal = aggregate(&fresh, RULES).price.unwrap_err();
    assert_eq!(refusal.to_string(), "2 of 3 venues are fresh, at least 3");
    let near = [voice("100", 0, 3), voice("100", 0, 3), voice("110", 0, 3)];
    let refusal = aggregate(&near, RULES).price.unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "2 of 3 fresh venues are within 20000 ppm of their median, at least 3"
    );
    let none = aggregate(&[], RULES);
    assert_eq!(none.price.unwrap_err().to_string(), "0 of 0 venues are fresh, at least 3");
}

fn voices(prices: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Voice>> {
    let voice = (
        prop::option::weighted(0.9, (prop::option::weighted(0.9, prices), 0_u64..8_000)),
        1_u32..4,
    );
    let voice = voice.prop_map(|(said, weight)| {
        let said = said.map(|(price, age_ms)| (price.map(|cents| Decimal::new(cents, 2)), age_ms));
        Voice { said, weight }
    });
    prop::collection::vec(voice, 0..9)
}

proptest! {
    #[test]
    fn a_price_is_one_that_a_used_venue_said(voices in voices(1..2_000_i64)) {
        let outcome = aggregate(&voices, RULES);
        prop_assert_eq!(outcome.verdicts.len(), voices.len());
        let used: Vec<(Decimal, u64)> = voices.iter().zip(&outcome.verdicts)
            .filter(|(_, verdict)| **verdict == Verdict::Used)
            .map(|(voice, _)| voice.said.map(|(price, age_ms)| (price.unwrap(), age_ms)).unwrap())
            .collect();
        if let Ok(aggregate) = outcome.price {
            prop_assert!(used.len() >= 3);
            prop_assert!(used.iter().any(|(price, _)| *price == aggregate.price));
            prop_assert_eq!(Some(aggregate.age_ms), used.iter().map(|(_, age_ms)| *age_ms).max());
            prop_assert!(aggregate.age_ms <= RULES.max_age_ms);
        }
    }

    #[test]
    fn the_order_of_venues_changes_nothing(
        (voices, shuffled) in voices(9_900..10_300_i64)
            .prop_flat_map(|voices| (Just(voices.clone()), Just(voices).prop_shuffle()))
    ) {
        let (outcome, other) = (aggregate(&voices, RULES), aggregate(&shuffled, RULES));
        prop_assert_eq!(outcome.price, other.price);
        prop_assert_eq!(outcome.disagreement_ppm, other.disagreement_ppm);
    }

    /// Honest venues are within the band of each other; liars say anything.
    #[test]
    fn an_honest_majority_of_weight_keeps_the_price(
        honest in prop::collection::vec((10_000..10_150_i64, 1_u32..4), 3..7),
        liars in prop::collection::vec((1..1_000_000_i64, 1_u32..4), 0..7),
    ) {
        let weight = |voices: &[(i64, u32)]| voices.iter().map(|(_, weight)| *weight).sum::<u32>();
        prop_assume!(weight(&honest) > weight(&liars));
        let said = |&(cents, weight): &(i64, u32)| {
            let price = Some(Decimal::new(cents, 2));
            Voice { said: Some((price, 0)), weight }
        };
        let voices: Vec<Voice> = honest.iter().chain(&liars).map(said).collect();
        let price = aggregate(&voices, RULES).price.unwrap().price;
        let bounds = || honest.iter().map(|(cents, _)| Decimal::new(*cents, 2));
        prop_assert!(bounds().min().unwrap() <= price && price <= bounds().max().unwrap());
    }

    #[test]
    fn no_price_however_large_panics(
        mantissas in prop::collection::vec((any::<i128>(), 0_u32..=28), 0..7),
    ) {
        let said = |(mantissa, scale): (i128, u32)| {
            let price = Decimal::try_from_i128_with_scale(mantissa >> 32, scale);
            let price = price.unwrap_or(Decimal::MAX).abs();
            Voice { said: Some((Some(price), 0)), weight: 1 }
        };
        let voices: Vec<Voice> = mantissas.into_iter().map(said).collect();
        let _ = aggregate(&voices, RULES);
    }
}
