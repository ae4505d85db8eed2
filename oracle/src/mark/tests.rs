#![allow(clippy::float_arithmetic)]

use proptest::prelude::*;

use super::*;

const BAND: Ppm = Ppm::new(10_000);

fn ms(time: u64) -> TimeMs {
    TimeMs::new(time)
}

/// A book whose impact prices are whole ticks.
fn impact(bid: u64, ask: u64) -> Option<Impact> {
    let price = |ticks| NanoTicks::of(Ticks::new(ticks));
    Some(Impact { bid: price(bid), ask: price(ask) })
}

fn trade(price: u64, time_ms: u64) -> Option<LastTrade> {
    Some(LastTrade { price_ticks: Ticks::new(price), time_ms: ms(time_ms) })
}

/// An index and a book that has not traded.
fn inputs(index: u64, book: Option<(u64, u64)>, external: Option<u64>) -> MarkInputs {
    MarkInputs {
        index_ticks: Some(Ticks::new(index)),
        index_is_stale: false,
        impact: book.and_then(|(bid, ask)| impact(bid, ask)),
        last_trade: None,
        external_ticks: external.map(Ticks::new),
        mark_band_ppm: BAND,
    }
}

fn mark_of(state: &MarkState, inputs: &MarkInputs) -> Option<u64> {
    state.mark_ticks(inputs).map(Ticks::get)
}

/// A book that has stood for so many seconds.
fn stood(seconds: u64, inputs: &MarkInputs) -> MarkState {
    let mut state = MarkState::default();
    (0..=seconds).for_each(|second| state.update(inputs, ms(second * 1_000)));
    state
}

#[test]
fn rules_4_median_of_index_external_price_and_book() {
    let index = 1_000_000;
    for (what, book, external, mark) in [
        ("book alone", Some((1_001_990, 1_002_010)), None, 1_002_000),
        ("book below, alone", Some((997_990, 998_010)), None, 998_000),
        ("half of the band", Some((1_019_000, 1_021_000)), None, 1_005_000),
        ("half of the band, below", Some((889_000, 891_000)), None, 995_000),
        ("between index and external", Some((1_001_990, 1_002_010)), Some(1_003_000), 1_002_000),
        ("external nearer", Some((1_001_990, 1_002_010)), Some(1_001_000), 1_001_000),
        ("on two sides", Some((1_001_990, 1_002_010)), Some(900_000), 1_000_000),
        ("external alone", None, Some(900_000), 1_000_000),
        ("index alone", None, None, 1_000_000),
    ] {
        let inputs = inputs(index, book, external);
        assert_eq!(mark_of(&stood(10_000, &inputs), &inputs), Some(mark), "{what}");
    }
    let none = MarkInputs { index_ticks: None, ..inputs(0, Some((5, 6)), Some(9)) };
    assert_eq!(mark_of(&stood(10, &none), &none), None, "no index");
}

/// Attackers' dust, whatever its price, is a book without the depth.
#[test]
fn rules_4_a_book_below_the_notional_leaves_the_mark_at_the_index() {
    let dust = MarkInputs { last_trade: trade(950_000, 0), ..inputs(1_000_000, None, None) };
    assert_eq!(mark_of(&stood(600, &dust), &dust), Some(1_000_000));
    // Also where a book has stood and was left: what it said fades.
    let real = inputs(1_000_000, Some((1_003_990, 1_004_010)), None);
    let mut state = stood(3_000, &real);
    assert_eq!(mark_of(&state, &real), Some(1_004_000));
    for (seconds, most) in [(30, 1_001_472), (150, 1_000_027), (600, 1_000_000)] {
        (0..seconds).for_each(|_| {
            let now_ms = state.time_ms.unwrap().saturating_add(ms(1_000));
            state.update(&dust, now_ms);
        });
        assert!((1_000_000..=most).contains(&mark_of(&state, &dust).unwrap()), "{seconds} s");
    }
}

#[test]
fn rules_4_the_first_quotes_of_a_book_do_not_weigh_themselves() {
    let quotes = inputs(1_000_000, Some((1_009_990, 1_010_010)), None);
    // 1 % for t seconds: 1 − e^(−t/150).
    for (seconds, mark) in [(0, 1_000_000), (1, 1_000_066), (10, 1_000_644), (60, 1_003_296)] {
        assert_eq!(mark_of(&stood(seconds, &quotes), &quotes), Some(mark), "{seconds} s");
    }
    // Half of the band after 150·ln 2 = 104 s, and never more.
    assert!(mark_of(&stood(103, &quotes), &quotes) < Some(1_005_000));
    for seconds in [104, 150, 3_600] {
        assert_eq!(mark_of(&stood(seconds, &quotes), &quotes), Some(1_005_000), "{seconds} s");
    }
}

#[test]
fn rules_4_middle_and_last_trade_count_as_the_one_nearer_to_the_index() {
    let book = Some((998_000, 1_006_000));
    for (what, last, mark) in [
        ("no trade: the middle", None, 1_002_000),
        ("nearer than the middle", trade(1_001_000, 0), 1_001_000),
        ("further", trade(1_004_000, 0), 1_002_000),
        ("on the other side", trade(999_000, 0), 1_000_000),
        ("outside the book on the other side", trade(1, 0), 1_000_000),
        ("outside the book", trade(u64::MAX, 0), 1_002_000),
    ] {
        let inputs = MarkInputs { last_trade: last, ..inputs(1_000_000, book, None) };
        let mark_ticks = mark_of(&stood(600, &inputs), &inputs).unwrap();
        // 600 s leave e⁻⁴ of the way of the slow average.
        let expected = if mark == 1_002_000 { 1_001_963 } else { mark };
        assert_eq!(mark_ticks, expected, "{what}");
    }
}

#[test]
fn rules_4_a_trade_of_more_than_ten_minutes_ago_says_nothing() {
    let book = Some((998_000, 1_006_000));
    let inputs = MarkInputs { last_trade: trade(999_000, 0), ..inputs(1_000_000, book, None) };
    let mut state = stood(600, &inputs);
    assert_eq!(mark_of(&state, &inputs), Some(1_000_000));
    (601..4_000).for_each(|second| state.update(&inputs, ms(second * 1_000)));
    assert_eq!(mark_of(&state, &inputs), Some(1_002_000));
}

#[test]
fn a_stale_index_gives_no_premium_sample() {
    let book = Some((1_003_990, 1_004_010));
    let stale = MarkInputs { index_is_stale: true, ..inputs(1_000_000, book, None) };
    assert_eq!(mark_of(&stood(600, &stale), &stale), Some(1_000_000));
}

#[test]
fn a_clock_that_does_not_advance_changes_nothing() {
    let before = stood(6, &inputs(10_000, Some((9_990, 10_030)), None));
    let mut state = before;
    state.update(&inputs(10_000, Some((12_000, 12_010)), None), ms(6_000));
    state.update(&inputs(10_000, Some((12_000, 12_010)), None), ms(4_000));
    assert_eq!(state, before);
}

/// A book of before a halt of ten minutes, 8 % above the first index after it.
#[test]
fn rules_4_for_150_s_after_a_halt_the_book_has_no_part_in_the_mark() {
    let book = Some((999_990, 1_000_010));
    for external in [None, Some(920_000), Some(950_000)] {
        let mut state = stood(600, &inputs(1_000_000, Some((1_003_000, 1_003_010)), None));
        let fresh = inputs(920_000, book, external);
        let resumed_ms = 1_200_000;
        state.ignore_book(ms(resumed_ms));
        for second in 0..150 {
            state.update(&fresh, ms(resumed_ms + second * 1_000));
            assert_eq!(mark_of(&state, &fresh), Some(920_000), "{external:?}, {second} s");
        }
        state.update(&fresh, ms(resumed_ms + 150_000));
        let mark = mark_of(&state, &fresh).unwrap();
        let gently = if external == Some(920_000) { 920_000 } else { 920_061 };
        assert_eq!(mark, gently, "{external:?}: the book counts, for a second");
    }
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
    let state = stood(5, &inputs(10_000, Some((9_990, 10_050)), None));
    let bytes = borsh::to_vec(&state).unwrap();
    assert_eq!(MarkState::try_from_slice(&bytes).unwrap(), state);
}

/// Rules §4.5 in floats, straight from the text.
#[derive(Default)]
struct Model {
    middle: f64,
    trade: f64,
}

impl Model {
    fn average(average: f64, sample: f64, dt: f64, tau: f64) -> f64 {
        let faded = average * (-(dt - 10.0).max(0.0) / tau).exp();
        faded + (1.0 - (-dt.min(10.0) / tau).exp()) * (sample - faded)
    }

    fn mark(&mut self, inputs: &MarkInputs, now_ms: u64, dt_ms: u64) -> f64 {
        let index = inputs.index_ticks.unwrap().get() as f64;
        let band = inputs.mark_band_ppm.get() as f64 / 1e6;
        let (mut x, mut y) = (0.0, 0.0);
        if let Some(Impact { bid, ask }) = inputs.impact {
            let (bid, ask) = (bid.get() as f64 / 1e9, ask.get() as f64 / 1e9);
            let young = inputs.last_trade.filter(|last| now_ms - last.time_ms.get() <= 600_000);
            let last = young.map_or((bid + ask) / 2.0, |last| last.price_ticks.get() as f64);
            x = ((bid + ask) / 2.0 / index - 1.0).clamp(-band, band);
            y = (last.clamp(bid, ask) / index - 1.0).clamp(-band, band);
        }
        let dt = dt_ms as f64 / 1e3;
        self.middle = Self::average(self.middle, x, dt, 150.0);
        self.trade = Self::average(self.trade, y, dt, 30.0);
        let same_sign = self.middle * self.trade > 0.0;
        let nearer = self.middle.abs().min(self.trade.abs()) * self.middle.signum();
        let book = if same_sign { nearer.clamp(-band / 2.0, band / 2.0) } else { 0.0 };
        let mut three = vec![index, index * (1.0 + book)];
        three.extend(inputs.external_ticks.map(|external| external.get() as f64));
        three.sort_by(f64::total_cmp);
        if three.len() == 3 {
            three[1]
        } else {
            index * (1.0 + book)
        }
    }
}

/// A block: what it says, and how long after the one before.
fn block_near(index: u64) -> impl Strategy<Value = (MarkInputs, u64)> {
    let near = move || index - index / 50..index + index / 50;
    let some = move || proptest::option::weighted(0.8, near());
    let book = proptest::option::weighted(0.8, (near(), 1..1_000_u64));
    (near(), book, some(), some(), 1..20_000_u64).prop_map(
        |(index, book, last, external, dt_ms)| {
            let book = book.map(|(bid, spread)| (bid, bid + spread));
            let last_trade = last.and_then(|price| trade(price, 0));
            (MarkInputs { last_trade, ..inputs(index, book, external) }, dt_ms)
        },
    )
}

fn any_price() -> impl Strategy<Value = Ticks> {
    prop_oneof![1..20_000_u64, any::<u64>(), Just(u64::MAX), Just(1)].prop_map(Ticks::new)
}

fn any_impact() -> impl Strategy<Value = Impact> {
    let price = || prop_oneof![0..20_000_000_000_000_i128, any::<i128>()].prop_map(NanoTicks::new);
    (price(), price()).prop_map(|(bid, ask)| Impact { bid, ask })
}

fn any_inputs() -> impl Strategy<Value = MarkInputs> {
    let some = || proptest::option::of(any_price());
    let trade = (any_price(), any::<u64>())
        .prop_map(|(price_ticks, time_ms)| LastTrade { price_ticks, time_ms: ms(time_ms) });
    (
        some(),
        proptest::bool::weighted(0.2),
        proptest::option::weighted(0.8, any_impact()),
        proptest::option::of(trade),
        some(),
        any::<i64>(),
    )
        .prop_map(|(index_ticks, index_is_stale, impact, last_trade, external_ticks, band)| {
            MarkInputs {
                index_ticks,
                index_is_stale,
                impact,
                last_trade,
                external_ticks,
                mark_band_ppm: Ppm::new(band.rem_euclid(1_000_000)),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// With an external price the mark is between it and the index, whatever the book; and always
    /// within half of the band of the index.
    #[test]
    fn rules_4_no_book_moves_the_mark_out_of_index_and_external_nor_beyond_half_of_the_band(
        blocks in proptest::collection::vec(
            (any_inputs(), prop_oneof![0..10_000_u64, any::<u64>()]),
            1..40,
        ),
    ) {
        let mut state = MarkState::default();
        for (inputs, now_ms) in blocks {
            state.update(&inputs, ms(now_ms));
            let Some(mark) = state.mark_ticks(&inputs) else { continue };
            let index = inputs.index_ticks.unwrap();
            if let Some(external) = inputs.external_ticks {
                let (low, high) = (index.min(external), index.max(external));
                prop_assert!((low..=high).contains(&mark), "{} {} {}", index, external, mark);
            }
            let distance = u128::from(mark.abs_diff(index).get());
            let band = u128::from(inputs.mark_band_ppm.get().unsigned_abs());
            let most = u128::from(index.get()) * band;
            prop_assert!(mark > Ticks::ZERO && distance * 2_000_000 <= most);
        }
    }

    /// Without an external price a book that has had its depth for `t` seconds moves the mark by
    /// `min(band/2, band·(1 − e^(−t/150)))` of the index at most, but for a rounding of 10⁻⁹, and
    /// not at all at `t = 0`.
    #[test]
    fn rules_4_a_book_moves_the_mark_no_further_than_the_time_that_its_depth_stood(
        blocks in proptest::collection::vec(block_near(1_000_000_000), 1..80),
    ) {
        let mut state = MarkState { time_ms: Some(ms(0)), ..MarkState::default() };
        let (mut now_ms, mut stood_ms) = (0, 0);
        for (inputs, dt_ms) in blocks {
            now_ms += dt_ms;
            let inputs = MarkInputs { external_ticks: None, ..inputs };
            state.update(&inputs, ms(now_ms));
            if inputs.impact.is_some() {
                stood_ms += dt_ms.min(10_000);
            }
            let index = inputs.index_ticks.unwrap().get();
            let distance = state.mark_ticks(&inputs).unwrap().get().abs_diff(index) as f64;
            let grown = 1.0 - (-(stood_ms as f64) / 150_000.0).exp();
            let most = index as f64 * 0.01 * grown.min(0.5);
            prop_assert!(distance <= most + 1.0, "{} of {} after {}", distance, most, stood_ms);
            prop_assert!(stood_ms > 0 || distance == 0.0);
        }
    }

    #[test]
    fn mark_agrees_with_a_float_model(
        blocks in proptest::collection::vec(block_near(1_000_000_000), 1..80),
    ) {
        let mut state = MarkState { time_ms: Some(ms(0)), ..MarkState::default() };
        let mut model = Model::default();
        let mut now_ms = 0;
        for (inputs, dt_ms) in blocks {
            now_ms += dt_ms;
            state.update(&inputs, ms(now_ms));
            let mark = mark_of(&state, &inputs).unwrap();
            let expected = model.mark(&inputs, now_ms, dt_ms);
            // Samples and averages are rounded to 10⁻⁹, here a tick, and the mark is cut to a tick;
            // averages that close to 0 may differ in sign.
            prop_assert!((mark as f64 - expected).abs() < 3.0, "{} {}", mark, expected);
        }
    }
}
