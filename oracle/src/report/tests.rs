use proptest::prelude::*;

use super::*;

fn no_base(_: MarketId) -> Option<Ticks> {
    None
}

fn encoded(report: &Report) -> Vec<u8> {
    encode(report, &no_base, Limits::default()).unwrap()
}

fn entry(market: u16, index: u64, external: u64) -> PriceReport {
    let some = |ticks: u64| (ticks > 0).then_some(Ticks::new(ticks));
    let (index_ticks, external_ticks) = (some(index), some(external));
    PriceReport { market: MarketId::new(market), index_ticks, external_ticks }
}

const ZERO: MarketId = MarketId::ZERO;
const ONE: MarketId = MarketId::new(1);
const TWO: MarketId = MarketId::new(2);
const SEVEN: MarketId = MarketId::new(7);

#[test]
fn fifty_markets_with_small_moves_take_less_than_200_bytes() {
    let prices = (0..50).map(|id| entry(id, 1_000_000 + u64::from(id), 1_000_040)).collect();
    let report = Report { prices };
    let base = |_| Some(Ticks::new(1_000_010));
    let bytes = encode(&report, &base, Limits::default()).unwrap();
    assert!(bytes.len() <= 200, "{} bytes", bytes.len());
    assert_eq!(decode(&bytes, &base, Limits::default()), Ok(report));
}

#[test]
fn the_encoding_is_as_documented() {
    let report = Report { prices: vec![entry(1, 100, 0), entry(4, 0, 300)] };
    // Gaps 1 and 2; absolute prices; 300 is 0x2c + 2·128.
    assert_eq!(encoded(&report), [1, 2, 4 + 2, 100, 8 + 1, 0xac, 2]);
    let base = |id: MarketId| (id == ONE).then_some(Ticks::new(101));
    assert_eq!(encode(&report, &base, Limits::default()).unwrap(), [1, 2, 6, 1, 9, 0xac, 2]);
}

#[test]
fn what_encode_refuses() {
    let cases = [
        (
            vec![entry(1, 5, 0), entry(1, 5, 0)],
            ReportError::Unsorted { previous: ONE, market: ONE },
        ),
        (
            vec![entry(2, 5, 0), entry(1, 5, 0)],
            ReportError::Unsorted { previous: TWO, market: ONE },
        ),
        (vec![entry(7, 0, 0)], ReportError::NoPrice { market: SEVEN }),
        (
            vec![PriceReport {
                market: SEVEN,
                index_ticks: Some(Ticks::ZERO),
                external_ticks: None,
            }],
            ReportError::ZeroPrice { market: SEVEN },
        ),
        (
            (0..257).map(|id| entry(id, 1, 0)).collect(),
            ReportError::TooManyMarkets { markets: 257, max: 256 },
        ),
        (
            (0..100).map(|id| entry(id, u64::MAX, 0)).collect(),
            ReportError::TooLong { bytes: 2 + 11 * 100, max: 1024 },
        ),
    ];
    for (prices, error) in cases {
        assert_eq!(encode(&Report { prices }, &no_base, Limits::default()), Err(error));
    }
}

#[test]
fn what_decode_refuses() {
    let max = [0xff; 9];
    let long_varint = [&[1, 1, 2][..], &max, &[2]].concat();
    let endless_varint = [&[1, 1, 2][..], &[0xff; 11]].concat();
    let cases: Vec<(Vec<u8>, ReportError)> = vec![
        (vec![], ReportError::Truncated { at: 0 }),
        (vec![2], ReportError::Version { version: 2 }),
        (vec![1], ReportError::Truncated { at: 1 }),
        (vec![1, 0, 0], ReportError::Trailing { bytes: 1 }),
        (vec![1, 0x80, 0], ReportError::Varint { at: 3 }),
        (vec![1, 1, 2], ReportError::Truncated { at: 3 }),
        (vec![1, 1, 2, 0x80, 0], ReportError::Varint { at: 5 }),
        (vec![1, 1, 2, 0], ReportError::ZeroPrice { market: ZERO }),
        (vec![1, 1, 0, 9], ReportError::NoPrice { market: ZERO }),
        (vec![1, 1, 2, 9, 9], ReportError::Trailing { bytes: 1 }),
        (vec![1, 0x81, 2], ReportError::TooManyMarkets { markets: 257, max: 256 }),
        (vec![1, 2, 0xfe, 0xff, 0x0f, 9, 2, 9], ReportError::MarketId { id: 65_536 }),
        (long_varint, ReportError::Varint { at: 13 }),
        (endless_varint, ReportError::Varint { at: 13 }),
        (vec![1; 1025], ReportError::TooLong { bytes: 1025, max: 1024 }),
    ];
    for (bytes, error) in cases {
        assert_eq!(decode(&bytes, &no_base, Limits::default()), Err(error), "{bytes:?}");
    }
    let base = |_| Some(Ticks::new(5));
    // Five below a base of five.
    let zero = decode(&[1, 1, 2, 9], &base, Limits::default());
    assert_eq!(zero, Err(ReportError::ZeroPrice { market: ZERO }));
}

#[test]
fn a_refusal_names_the_bound_and_the_value() {
    let error = decode(&[1, 0x81, 2], &no_base, Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "report has 257 markets, at most 256");
}

/// The reports of two validators whose markets are every second of 300, and all, at a height.
fn full_reports(height: u64) -> [std::collections::BTreeSet<u16>; 2] {
    // Markets that never had an index need their price in full: not all fit.
    let all: Vec<_> = (0..300).map(|id| entry(id, u64::MAX, u64::MAX)).collect();
    let half = all.iter().filter(|entry| entry.market.get() % 2 == 0).copied().collect();
    [all, half].map(|prices| {
        let report = Report { prices };
        let first = first_in_turn(height, 300);
        let (bytes, left_out) =
            encode_fitting(&report, &no_base, Limits::default(), first).unwrap();
        let part = decode(&bytes, &no_base, Limits::default()).unwrap();
        assert_eq!(part.prices.len() + left_out, report.prices.len());
        part.prices.iter().map(|entry| entry.market.get()).collect()
    })
}

#[test]
fn every_market_gets_its_turn_from_all_who_know_it_whatever_else_they_know() {
    // 300 markets in turns of 44: seven blocks.
    for start in [0, 1, 1_000_003] {
        let mut heard = std::collections::BTreeSet::<u16>::new();
        for height in start..start + 7 {
            let [all, half] = full_reports(height);
            // A market whose turn it is is in both reports: their power adds up to one quorum.
            heard.extend(all.iter().filter(|market| **market % 2 == 1));
            heard.extend(all.intersection(&half));
        }
        assert_eq!(heard.len(), 300, "from height {start}");
    }
}

#[test]
fn the_turns_of_markets_move_on_by_what_always_fits_and_never_overflow() {
    assert_eq!(first_in_turn(0, 300).get(), 0);
    assert_eq!(first_in_turn(1, 300).get(), 44);
    assert_eq!(first_in_turn(7, 300).get(), 8);
    assert_eq!(first_in_turn(u64::MAX, 65_536).get(), 65_492);
    assert_eq!(first_in_turn(9, 0), ZERO);
    // Nearly the worst report: gaps of two bytes, prices of ten.
    let markets = u16::try_from(ALWAYS_FITTING_MARKETS).unwrap();
    let worst = (1..=markets + 1).map(|at| entry(at * 1_400, u64::MAX, u64::MAX / 2));
    let report = Report { prices: worst.collect() };
    let boundless = |_| Some(Ticks::new(1 << 63));
    let sent = |report| encode_fitting(report, &boundless, Limits::default(), ZERO).unwrap();
    assert!(sent(&report).0.len() <= 1_024);
    let kept = report.prices.len() - sent(&report).1;
    assert!(kept >= usize::from(markets), "{kept}");
}

#[test]
fn as_many_markets_as_fit_are_sent() {
    let few = Report { prices: vec![entry(1, 5, 0)] };
    let whole = (encoded(&few), 0);
    assert_eq!(encode_fitting(&few, &no_base, Limits::default(), MarketId::new(9)), Ok(whole));
    assert_eq!(
        encode_fitting(&Report::default(), &no_base, Limits::default(), ONE),
        Ok((vec![1, 0], 0))
    );
    let no_room = Limits { max_bytes: 1, max_markets: 1 };
    assert_eq!(
        encode_fitting(&few, &no_base, no_room, ZERO),
        Err(ReportError::TooLong { bytes: 2, max: 1 })
    );
    let twice = Report { prices: vec![entry(1, 5, 0), entry(1, 6, 0)] };
    let refusal = ReportError::Unsorted { previous: ONE, market: ONE };
    assert_eq!(encode_fitting(&twice, &no_base, Limits::default(), ZERO), Err(refusal));
}

fn price() -> impl Strategy<Value = u64> {
    prop_oneof![1..=1_u64 << 20, 1..=u64::MAX, Just(u64::MAX), Just(1)]
}

fn report() -> impl Strategy<Value = Report> {
    let prices = (proptest::option::of(price()), proptest::option::of(price()));
    proptest::collection::btree_map(any::<u16>(), prices, 0..40).prop_map(|markets| Report {
        prices: markets
            .into_iter()
            .filter(|(_, prices)| *prices != (None, None))
            .map(|(market, (index, external))| {
                entry(market, index.unwrap_or(0), external.unwrap_or(0))
            })
            .collect(),
    })
}

/// Most bytes of a market with both prices that follows the one before: its tag, and two varints of
/// ten bytes. After a gap the tag has up to three.
const MAX_ENTRY_BYTES: usize = 1 + 2 * 10;

/// A market's index in ticks, its move and the distance of the external price, both in ppm. Ticks
/// are fine, as an exchange's are: 1 to 50 ppm of a price.
fn usual_market() -> impl Strategy<Value = (u64, i64, i64)> {
    (20_000..=1_000_000_u64, -1_000..=1_000_i64, -500..=500_i64)
}

fn moved(ticks: u64, ppm: i64) -> u64 {
    ticks.saturating_add_signed(ticks as i64 * ppm / 1_000_000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Fifty markets, each index within 0.1 % of the last and the external price within 0.05 % of
    /// it. Every price is then within 1 000 ticks of its base: two bytes at most, and a byte for
    /// the tag.
    #[test]
    fn fifty_usual_markets_take_five_bytes_each_at_most(
        markets in proptest::collection::vec(usual_market(), 50),
    ) {
        let prices = (0..).zip(&markets).map(|(id, &(base, index_ppm, external_ppm))| {
            let index = moved(base, index_ppm);
            entry(id, index, moved(index, external_ppm))
        });
        let report = Report { prices: prices.collect() };
        let base = |id: MarketId| markets.get(id.index()).map(|market| Ticks::new(market.0));
        let bytes = encode(&report, &base, Limits::default()).unwrap();
        prop_assert!(bytes.len() <= 2 + 50 * 5, "{} bytes", bytes.len());
        prop_assert_eq!(decode(&bytes, &base, Limits::default()), Ok(report));
    }

    /// Whatever the prices and the bases: an entry of consecutive markets has a bound, and what is
    /// sent has the limit's.
    #[test]
    fn no_prices_take_more_than_the_bound(
        prices in proptest::collection::vec((price(), price()), 0..300),
        seed in any::<u64>(),
        first in any::<u16>(),
    ) {
        let entries = (0..).zip(&prices).map(|(id, &(index, external))| entry(id, index, external));
        let report = Report { prices: entries.collect() };
        let base = |id: MarketId| {
            let id = id.get();
            (id % 3 != 0).then(|| Ticks::new(seed.rotate_left(id.into())))
        };
        let boundless = Limits { max_bytes: usize::MAX, max_markets: usize::MAX };
        let bytes = encode(&report, &base, boundless).unwrap();
        prop_assert!(bytes.len() <= 3 + MAX_ENTRY_BYTES * prices.len(), "{} bytes", bytes.len());
        let first = MarketId::new(first);
        let (sent, left_out) = encode_fitting(&report, &base, Limits::default(), first).unwrap();
        prop_assert!(sent.len() <= Limits::default().max_bytes);
        // 48 entries of 21 bytes fit in 1 024.
        let kept = prices.len() - left_out;
        prop_assert!(kept >= prices.len().min(48), "{} of {}", kept, prices.len());
    }

    /// Decoding takes two bytes an entry at least and looks up a base at most twice: its work is
    /// linear in at most 1 024 bytes.
    #[test]
    fn decoding_is_bounded_by_the_bytes(
        body in proptest::collection::vec(
            prop_oneof![Just(6_u8), Just(3), Just(2), any::<u8>()],
            0..1_200,
        ),
        count in prop_oneof![0..600_u64, any::<u64>()],
    ) {
        let mut bytes = vec![VERSION];
        put_varint(&mut bytes, count);
        bytes.extend(body);
        let lookups = std::cell::Cell::new(0_usize);
        let base = |_: MarketId| {
            lookups.set(lookups.get() + 1);
            Some(Ticks::new(1_000))
        };
        let result = decode(&bytes, &base, Limits::default());
        prop_assert!(lookups.get() <= bytes.len(), "{} for {} bytes", lookups.get(), bytes.len());
        if let Ok(report) = result {
            prop_assert_eq!(report.prices.len() as u64, count);
            prop_assert!(report.prices.len() <= Limits::default().max_markets.min(bytes.len() / 2));
        }
        // Nothing is looked at when there are too many bytes or too many markets are claimed.
        let Limits { max_bytes, max_markets } = Limits::default();
        if bytes.len() > max_bytes || count > max_markets as u64 {
            prop_assert!(lookups.get() == 0);
            prop_assert!(decode(&bytes, &base, Limits::default()).is_err());
        }
    }

    #[test]
    fn decode_gives_back_what_was_encoded(report in report(), seed in any::<u64>()) {
        let base = |id: MarketId| {
            let id = id.get();
            (id % 3 != 0).then(|| Ticks::new(seed.rotate_left(id.into())))
        };
        let bytes = encode(&report, &base, Limits::default()).unwrap();
        prop_assert_eq!(decode(&bytes, &base, Limits::default()), Ok(report));
    }

    #[test]
    fn bytes_that_decode_are_the_one_encoding(
        body in proptest::collection::vec(prop_oneof![0_u8..16, any::<u8>()], 0..60),
        count in 0_u8..6,
    ) {
        let base = |id: MarketId| (id.get() % 2 == 0).then_some(Ticks::new(1_000));
        let bytes = [&[VERSION, count][..], &body].concat();
        // Any prefix that decodes must encode to the same bytes; none may panic.
        for end in 0..=bytes.len() {
            if let Ok(report) = decode(&bytes[..end], &base, Limits::default()) {
                let again = encode(&report, &base, Limits::default()).unwrap();
                prop_assert_eq!(&again[..], &bytes[..end]);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1_100)) {
        let _ = decode(&bytes, &no_base, Limits::default());
    }
}
