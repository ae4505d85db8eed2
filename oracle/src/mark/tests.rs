#![allow(clippy::float_arithmetic)]

use proptest::prelude::*;

use super::*;

const BAND: Ppm = Ppm::new(50_000);

fn inputs(
    index: u64,
    book: Option<(u64, u64)>,
    last: Option<u64>,
    external: Option<u64>,
) -> MarkInputs {
    MarkInputs {
        index_ticks: Some(Ticks::new(index)),
        index_is_stale: false,
        best_bid_ticks: book.map(|(bid, _)| Ticks::new(bid)),
        best_ask_ticks: book.map(|(_, ask)| Ticks::new(ask)),
        last_ticks: last.map(Ticks::new),
        external_ticks: external.map(Ticks::new),
    }
}

fn ms(time: u64) -> TimeMs {
    TimeMs::new(time)
}

fn mark_of(state: &MarkState, inputs: &MarkInputs) -> Option<u64> {
    state.mark_ticks(inputs, BAND).map(Ticks::get)
}

fn first_mark(inputs: &MarkInputs) -> Option<u64> {
    let mut state = MarkState::default();
    state.update(inputs, ms(1_000));
    mark_of(&state, inputs)
}

#[test]
fn rules_4_median_of_what_is_known() {
    // A first sample makes (a) the mid.
    let book = Some((10_020, 10_040));
    for (what, inputs, mark) in [
        ("three", inputs(10_000, book, Some(10_035), Some(10_100)), Some(10_035)),
        ("external below", inputs(10_000, book, Some(10_035), Some(9_000)), Some(10_030)),
        (
            "book only: a 10030, b 10035, its average 10035",
            inputs(10_000, book, Some(10_035), None),
            Some(10_035),
        ),
        ("last outside the spread", inputs(10_000, book, Some(1), None), Some(10_020)),
        ("no trade yet", inputs(10_000, book, None, None), Some(10_030)),
        ("one venue alone", inputs(10_000, None, Some(10_035), Some(3_000)), Some(10_000)),
        ("index alone", inputs(10_000, None, Some(10_035), None), Some(10_000)),
        (
            "one side is no book",
            MarkInputs { best_ask_ticks: None, ..inputs(10_000, book, Some(10_035), None) },
            Some(10_000),
        ),
        (
            "no index",
            MarkInputs { index_ticks: None, ..inputs(0, book, Some(10_035), Some(9)) },
            None,
        ),
        (
            "clamped from above",
            inputs(10_000, Some((19_999, 20_001)), Some(20_000), Some(20_000)),
            Some(10_500),
        ),
        ("clamped from below", inputs(10_000, Some((1, 3)), Some(2), Some(1)), Some(9_500)),
    ] {
        assert_eq!(first_mark(&inputs), mark, "{what}");
    }
}

#[test]
fn rules_4_with_two_known_the_books_average_is_the_third() {
    let mut state = MarkState::default();
    let calm = inputs(10_000, Some((9_995, 10_005)), Some(10_000), None);
    for second in 0..200 {
        state.update(&calm, ms(second * 1_000));
    }
    // The book jumps; (a) and the 30 s average of (b) hold the mark.
    let jump = inputs(10_000, Some((10_395, 10_405)), Some(10_400), None);
    state.update(&jump, ms(200_000));
    let mark = mark_of(&state, &jump).unwrap();
    assert!((10_003..=10_020).contains(&mark), "{mark}");
}

#[test]
fn two_known_without_an_average_are_decided_by_the_index() {
    let mut state = MarkState::default();
    let calm = inputs(10_000, Some((10_000, 10_010)), None, None);
    state.update(&calm, ms(0));
    state.update(&calm, ms(100_000));
    // Ten minutes without a book: the 30 s average is forgotten, the 150 s average is not.
    for (external, mark) in [(10_100, 10_005), (10_003, 10_003), (9_900, 10_000)] {
        let no_book = inputs(10_000, None, None, Some(external));
        state.update(&no_book, ms(700_000));
        assert_eq!(mark_of(&state, &no_book), Some(mark), "{external}");
    }
}

#[test]
fn a_stale_index_gives_no_premium_sample() {
    let mut state = MarkState::default();
    state.update(&inputs(10_000, Some((9_990, 10_010)), None, None), ms(0));
    let fallen =
        MarkInputs { index_is_stale: true, ..inputs(10_000, Some((7_990, 8_010)), None, None) };
    for second in 1..60 {
        state.update(&fallen, ms(second * 1_000));
    }
    let fresh = inputs(8_000, None, None, None);
    assert_eq!(mark_of(&state, &fresh), Some(8_000));
}

#[test]
fn a_clock_that_does_not_advance_changes_nothing() {
    let mut state = MarkState::default();
    let book = inputs(10_000, Some((9_990, 10_010)), None, None);
    state.update(&book, ms(5_000));
    state.update(&book, ms(6_000));
    let before = state;
    state.update(&inputs(10_000, Some((12_000, 12_010)), None, None), ms(6_000));
    state.update(&inputs(10_000, Some((12_000, 12_010)), None, None), ms(4_000));
    assert_eq!(state, before);
}

/// A book of before a halt of ten minutes, 8 % above the first index after it.
#[test]
fn rules_4_for_150_s_after_a_halt_the_book_has_no_part_in_the_mark() {
    let book = Some((999_990, 1_000_010));
    for external in [None, Some(920_000), Some(950_000)] {
        let mut state = MarkState::default();
        for second in 0..600 {
            state.update(&inputs(1_000_000, book, Some(1_000_000), None), ms(second * 1_000));
        }
        let fresh = inputs(920_000, book, Some(1_000_000), external);
        let resumed_ms = 1_200_000;
        state.ignore_book(ms(resumed_ms));
        for second in 0..150 {
            state.update(&fresh, ms(resumed_ms + second * 1_000));
            assert_eq!(mark_of(&state, &fresh), Some(920_000), "{external:?}, {second} s");
        }
        state.update(&fresh, ms(resumed_ms + 150_000));
        // The averages lie near the index still, so that they or the external price decide.
        let (mark, most) = (mark_of(&state, &fresh).unwrap(), external.max(Some(923_000)).unwrap());
        assert!((920_000..=most).contains(&mark), "{external:?}: the book counts: {mark}");
    }
}

#[test]
fn rules_4_while_the_book_has_no_part_a_stale_index_is_the_mark_and_no_premium() {
    let mut state = MarkState::default();
    let old = MarkInputs {
        index_is_stale: true,
        ..inputs(10_000, Some((9_500, 9_510)), Some(9_505), None)
    };
    state.ignore_book(ms(1_000_000));
    for second in 1_000..1_150 {
        state.update(&old, ms(second * 1_000));
        assert_eq!(mark_of(&state, &old), Some(10_000));
    }
    assert_eq!(state.premium, Ema::default());
}

#[test]
fn the_band_is_rounded_inwards() {
    for (price, band, expected) in [
        (1_010, 50_000, (960, 1_060)),
        (5, 50_000, (5, 5)),
        (1, 999_999, (1, 1)),
        (10, 5_000_000, (1, 20)),
        (u64::MAX, 50_000, (17_524_406_870_024_074_035, u64::MAX)),
    ] {
        let (low, high) = band_ticks(Ticks::new(price), Ppm::new(band));
        assert_eq!((low.get(), high.get()), expected, "{price}");
    }
}

#[test]
fn state_round_trips() {
    let mut state = MarkState::default();
    state.update(&inputs(10_000, Some((9_990, 10_010)), Some(9_999), None), ms(5_000));
    let bytes = borsh::to_vec(&state).unwrap();
    assert_eq!(MarkState::try_from_slice(&bytes).unwrap(), state);
}

/// Rules §4.5 in floats, straight from the text.
#[derive(Default)]
struct Model {
    premium: (f64, f64),
    book: (f64, f64),
}

impl Model {
    fn average((num, den): (f64, f64), tau_ms: f64, sample: Option<f64>, dt_ms: f64) -> (f64, f64) {
        let decay = (-dt_ms / tau_ms).exp();
        let weight = if sample.is_some() { dt_ms.min(10_000.0) } else { 0.0 };
        (num * decay + sample.unwrap_or(0.0) * weight, den * decay + weight)
    }

    fn mark(&mut self, inputs: &MarkInputs, dt_ms: u64) -> f64 {
        let float = |ticks: Option<Ticks>| ticks.map(|ticks| ticks.get() as f64);
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0
        };
        let index = inputs.index_ticks.unwrap().get() as f64;
        let sides = float(inputs.best_bid_ticks).zip(float(inputs.best_ask_ticks));
        let book = sides.map(|(bid, ask)| {
            median([bid, ask].into_iter().chain(float(inputs.last_ticks)).collect())
        });
        let premium = sides.map(|(bid, ask)| (bid + ask) / 2.0 - index);
        self.premium = Self::average(self.premium, 150_000.0, premium, dt_ms as f64);
        self.book = Self::average(self.book, 30_000.0, book, dt_ms as f64);
        let known = |(num, den): (f64, f64)| (den >= 0.5).then(|| num / den);
        let from_index = index + known(self.premium).unwrap_or(0.0);
        let mut prices: Vec<f64> = [book, float(inputs.external_ticks)]
            .into_iter()
            .flatten()
            .chain([from_index])
            .collect();
        if prices.len() == 2 {
            prices.push(known(self.book).unwrap_or(index));
        }
        median(prices).clamp(index * 0.95, index * 1.05)
    }
}

fn block_near(index: u64) -> impl Strategy<Value = (MarkInputs, u64)> {
    let near = move || index - index / 10..index + index / 10;
    let some = move || proptest::option::weighted(0.8, near());
    (near(), proptest::option::weighted(0.8, (near(), 1..1_000_u64)), some(), some(), 1..20_000_u64)
        .prop_map(|(index, book, last, external, dt_ms)| {
            (inputs(index, book.map(|(bid, spread)| (bid, bid + spread)), last, external), dt_ms)
        })
}

fn any_price() -> impl Strategy<Value = Ticks> {
    prop_oneof![1..20_000_u64, any::<u64>(), Just(u64::MAX), Just(1)].prop_map(Ticks::new)
}

fn any_inputs() -> impl Strategy<Value = MarkInputs> {
    let some = || proptest::option::of(any_price());
    (some(), any::<bool>(), some(), some(), some(), some()).prop_map(
        |(index, stale, bid, ask, last, external)| MarkInputs {
            index_ticks: index,
            index_is_stale: stale,
            best_bid_ticks: bid,
            best_ask_ticks: ask,
            last_ticks: last,
            external_ticks: external,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn mark_is_within_the_band_for_any_prices_and_times(
        blocks in proptest::collection::vec(
            (any_inputs(), prop_oneof![0..10_000_u64, any::<u64>()]),
            1..40,
        ),
        band in 0..1_000_000_i64,
    ) {
        let mut state = MarkState::default();
        for (inputs, now_ms) in blocks {
            state.update(&inputs, ms(now_ms));
            let Some(mark) = state.mark_ticks(&inputs, Ppm::new(band)) else { continue };
            let index = u128::from(inputs.index_ticks.unwrap().get());
            let (mark, band) = (u128::from(mark.get()), u128::from(band.unsigned_abs()));
            let is_within = mark > 0 && mark.abs_diff(index) * 1_000_000 <= index * band;
            prop_assert!(is_within, "mark {} index {}", mark, index);
        }
    }

    #[test]
    fn mark_agrees_with_a_float_model(
        blocks in proptest::collection::vec(block_near(1_000_000), 1..80),
    ) {
        let mut state = MarkState { time_ms: Some(ms(0)), ..MarkState::default() };
        let mut model = Model::default();
        let mut now_ms = 0;
        for (inputs, dt_ms) in blocks {
            now_ms += dt_ms;
            state.update(&inputs, ms(now_ms));
            let mark = mark_of(&state, &inputs).unwrap();
            let expected = model.mark(&inputs, dt_ms);
            // Half a tick where a division rounds, less than one where the band does.
            prop_assert!((mark as f64 - expected).abs() < 1.0, "{} {}", mark, expected);
        }
    }

    #[test]
    fn a_steady_premium_is_the_mark(
        index in 1_000_000..10_000_000_u64,
        premium in -20_000..20_000_i64,
        steps in proptest::collection::vec(1..3_000_u64, 1..60),
    ) {
        let mid = index.checked_add_signed(premium).unwrap();
        let inputs = inputs(index, Some((mid - 1, mid + 1)), Some(mid), None);
        let mut state = MarkState::default();
        let mut now_ms = 0;
        for step in steps {
            now_ms += step;
            state.update(&inputs, ms(now_ms));
            prop_assert_eq!(mark_of(&state, &inputs), Some(mid));
        }
    }
}
