use proptest::prelude::*;

use super::*;

const START_MS: u64 = 1_700_000_000_000;

fn config(seed: u64, validator: u64) -> SyntheticConfig {
    let market = |symbol: &str, price: i64| SyntheticMarket {
        symbol: symbol.into(),
        start_price: price.into(),
        hourly_volatility_ppm: 5_000,
    };
    SyntheticConfig {
        seed,
        start_at_ms: START_MS,
        validator,
        noise_ppm: 5,
        markets: vec![market("ETH-USD", 4_000), market("BTC-USD", 100_000)],
        shocks: Vec::new(),
    }
}

fn feed(config: SyntheticConfig) -> Synthetic {
    Synthetic::new(config).unwrap()
}

fn btc(feed: &Synthetic, elapsed_ms: u64) -> f64 {
    f64::try_from(feed.snapshot(START_MS + elapsed_ms)[0].index.unwrap()).unwrap()
}

fn ppm_apart(a: f64, b: f64) -> f64 {
    (a / b - 1.0).abs() * 1e6
}

#[test]
fn it_says_that_it_is_synthetic() {
    assert_eq!(feed(config(7, 0)).name(), "synthetic(seed=7)");
}

#[test]
fn it_starts_at_the_start_price_and_stands_still_before() {
    let feed = feed(config(7, 0));
    assert!(ppm_apart(btc(&feed, 0), 100_000.0) <= 5.0);
    assert_eq!(feed.snapshot(0), feed.snapshot(START_MS));
    let symbols: Vec<_> = feed.snapshot(START_MS).into_iter().map(|price| price.symbol).collect();
    assert_eq!(symbols, ["BTC-USD", "ETH-USD"]);
}

#[test]
fn every_validator_has_its_own_noise() {
    let (one, other) = (feed(config(7, 1)), feed(config(7, 2)));
    let differ =
        (0..20).filter(|second| btc(&one, second * 1_000) != btc(&other, second * 1_000)).count();
    assert!(differ >= 18, "{differ} of 20");
}

#[test]
fn another_seed_is_another_path() {
    assert_ne!(btc(&feed(config(7, 0)), 3_600_000), btc(&feed(config(8, 0)), 3_600_000));
}

#[test]
fn it_moves_about_as_much_as_it_is_told() {
    let mean_square = |span_ms: u64| {
        let moves =
            (0..200_u64).map(|seed| (btc(&feed(config(seed, 0)), span_ms) / 100_000.0).ln());
        (moves.map(|m| m * m).sum::<f64>() / 200.0).sqrt() * 1e6
    };
    let (minute, hour) = (mean_square(60_000), mean_square(3_600_000));
    assert!((4_000.0..6_000.0).contains(&hour), "{hour} ppm an hour, told 5000");
    assert!(
        (4.0..14.0).contains(&(hour / minute)),
        "{minute} a minute, {hour} an hour: a walk's ratio is 7.7"
    );
}

#[test]
fn a_shock_moves_its_market_by_its_size_and_stays() {
    let shock =
        Shock { at_ms: 10_000, symbol: "BTC-USD".into(), move_ppm: -200_000, over_ms: 5_000 };
    let (calm, shocked) =
        (feed(config(7, 0)), feed(SyntheticConfig { shocks: vec![shock], ..config(7, 0) }));
    for (elapsed_ms, factor) in [(9_999, 1.0), (12_500, 0.9), (15_000, 0.8), (10_000_000, 0.8)] {
        let ratio = btc(&shocked, elapsed_ms) / btc(&calm, elapsed_ms);
        assert!((ratio - factor).abs() < 1e-6, "{ratio} at {elapsed_ms}");
    }
    let eth = |feed: &Synthetic| feed.snapshot(START_MS + 20_000)[1].clone();
    assert_eq!(eth(&calm), eth(&shocked));
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    let refusal = |config| Synthetic::new(config).unwrap_err().to_string();
    let good = config(7, 0);
    assert_eq!(
        refusal(SyntheticConfig { noise_ppm: 100_001, ..good.clone() }),
        "noise_ppm is 100001, at most 100000"
    );
    let shock =
        |symbol: &str, move_ppm| Shock { at_ms: 0, symbol: symbol.into(), move_ppm, over_ms: 0 };
    let with = |shock| SyntheticConfig { shocks: vec![shock], ..good.clone() };
    assert!(refusal(with(shock("BTC-USD", -1_000_000))).contains("move_ppm is -1000000"));
    assert!(refusal(with(shock("XYZ-USD", 1))).contains("XYZ-USD"));
    let mut twice = good.clone();
    twice.markets.push(twice.markets[0].clone());
    assert!(refusal(twice).contains("twice"));
    let mut free = good;
    free.markets[0].start_price = Decimal::ZERO;
    assert!(refusal(free).contains("start price of ETH-USD is 0"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn validators_agree_within_their_noise(
        seed in any::<u64>(),
        elapsed_ms in 0..100_000_000_u64,
        one in 0..50_u64,
        other in 0..50_u64,
    ) {
        let price = |validator| btc(&feed(config(seed, validator)), elapsed_ms);
        let (a, b) = (price(one), price(other));
        prop_assert!(ppm_apart(a, b) <= 10.1);
    }

    #[test]
    fn any_time_gives_a_price(seed in any::<u64>(), now_ms in any::<u64>()) {
        for price in feed(config(seed, 3)).snapshot(now_ms) {
            prop_assert!(price.index.is_some() && price.external.is_some());
        }
    }
}
