use super::*;
use crate::sidecar::config::DEFAULT;

fn quote(symbol: &str, bid: &str, venue_time_ms: Option<u64>) -> Quote {
    let bid = bid.parse::<Decimal>().unwrap();
    let prices = Prices { bid: Some(bid), ask: Some(bid), last: None };
    Quote { symbol: symbol.into(), prices, venue_time_ms }
}

#[test]
fn quotes_out_of_their_bounds_are_refused() {
    let sidecar = Sidecar::new(Config::from_text(DEFAULT).unwrap());
    let now_ms = 1_000_000;
    for (symbol, bid, venue_time_ms, result) in [
        ("BTCUSDT", "60000", None, Ok(())),
        ("BTCUSDT", "60000", Some(now_ms + 2_000), Ok(())),
        ("BTCUSDT", "60000", Some(now_ms + 2_001), Err("clock_ahead")),
        ("BTCUSDT", "60000", Some(u64::MAX), Err("clock_ahead")),
        ("BTCUSDT", "60000", Some(now_ms - 10_000), Ok(())),
        ("BTCUSDT", "60000", Some(now_ms - 10_001), Err("clock_behind")),
        ("BTCUSDT", "0", None, Err("bad_price")),
        ("BTCUSDT", "-1", None, Err("bad_price")),
        ("BTCUSDT", "1000000000000", None, Ok(())),
        ("BTCUSDT", "1000000000000.1", None, Err("bad_price")),
        ("XBTUSDT", "60000", None, Err("unknown_symbol")),
    ] {
        let quote = quote(symbol, bid, venue_time_ms);
        assert_eq!(sidecar.take(0, &quote, now_ms), result, "{quote:?}");
    }
}

#[test]
fn a_price_is_as_old_as_the_larger_of_both_clocks_says() {
    let heard = |lag_ms| ReceivedQuote { prices: Prices::default(), received_ms: 500, lag_ms };
    assert_eq!(heard(0).age_ms(700), 200);
    assert_eq!(heard(3_000).age_ms(700), 3_200);
    assert_eq!(heard(1).age_ms(400), 1);
}

#[test]
fn three_fresh_venues_make_a_price_and_forgetting_one_takes_it() {
    let sidecar = Sidecar::new(Config::from_text(DEFAULT).unwrap());
    let spot = |venue: &str| {
        sidecar
            .links()
            .iter()
            .position(|link| link.venue.name == venue && link.kind == Kind::Spot)
            .unwrap()
    };
    let index = || sidecar.view()[0].1[0].outcome.price;
    for (venue, symbol) in [("kraken", "USDT/USD"), ("coinbase", "USDT-USD"), ("gate", "USDC_USDT")]
    {
        sidecar.take(spot(venue), &quote(symbol, "1", None), 0).unwrap();
    }
    for (venue, symbol, bid) in [
        ("binance", "BTCUSDT", "60000"),
        ("okx", "BTC-USDT", "60010"),
        ("kraken", "BTC/USD", "60020"),
    ] {
        assert!(index().is_err());
        sidecar.take(spot(venue), &quote(symbol, bid, None), 0).unwrap();
    }
    assert_eq!(index().unwrap().price, "60000".parse().unwrap(), "half of the weight is binance's");
    sidecar.forget(spot("kraken"), Some("ETH/USD"));
    assert!(index().is_ok());
    sidecar.forget(spot("kraken"), Some("BTC/USD"));
    assert_eq!(index().unwrap_err().to_string(), "2 of 6 venues are fresh, at least 3");
}

#[test]
fn a_venues_quote_currency_is_converted_while_its_rate_is_fresh() {
    let text = DEFAULT.replacen("max_age_ms = 30000", "max_age_ms = 6000", 1);
    assert_ne!(text, DEFAULT);
    let sidecar = Sidecar::new(Config::from_text(&text).unwrap());
    let now_ms = 1_000_000;
    let say = |venue: &str, kind: Kind, symbol: &str, price: &str, old_ms: u64| {
        let link = |link: &Link| link.venue.name == venue && link.kind == kind;
        let at = sidecar.links().iter().position(link).unwrap();
        sidecar.take(at, &quote(symbol, price, Some(now_ms - old_ms)), now_ms).unwrap();
    };
    let btc = |kind: Kind| {
        let view = sidecar.view().swap_remove(0).1[kind as usize].clone();
        let of = |venue: &str| view.sources.iter().position(|of| of.source.venue == venue).unwrap();
        let shown = |venue| {
            let SourceView { price, rate, .. } = view.sources[of(venue)];
            (
                view.outcome.verdicts[of(venue)],
                price.map(|p| p.to_string()),
                rate.map(|r| r.to_string()),
            )
        };
        ["binance", "kraken"].map(shown)
    };
    let text = |text: &str| Some(text.to_owned());
    say("binance", Kind::Spot, "BTCUSDT", "60000", 0);
    say("binance", Kind::Perpetual, "BTCUSDT", "60100", 0);
    say("kraken", Kind::Spot, "BTC/USD", "59000", 0);
    let kraken = (Verdict::Used, text("59000"), None);
    let no_rate = [(Verdict::NoRate, None, None), kraken.clone()];
    assert_eq!(btc(Kind::Spot), no_rate, "nobody says what a USDT is worth");
    // A USDT is 0.98 USD at two venues, and a USDC 1.020408 USDT at another.
    say("kraken", Kind::Spot, "USDT/USD", "0.98", 0);
    say("coinbase", Kind::Spot, "USDT-USD", "0.98", 0);
    assert_eq!(btc(Kind::Spot), no_rate, "two venues are too few");
    say("binance", Kind::Spot, "USDCUSDT", "1.020408", 0);
    // Binance's weight is more than half: its 1 / 1.020408 is the rate.
    let binance = |price: &str| (Verdict::Used, text(price), text("0.980000156800"));
    assert_eq!(btc(Kind::Spot), [binance("58800.0094080"), kraken.clone()]);
    assert_eq!(btc(Kind::Perpetual)[0], binance("58898.0094237"));
    say("kraken", Kind::Spot, "USDT/USD", "0.98", 6_001);
    assert_eq!(btc(Kind::Spot), no_rate, "an old rate is none");
}
