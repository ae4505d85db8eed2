use super::*;

#[test]
fn the_default_has_every_venue_with_the_weights_of_the_rules() {
    let config = Config::from_text(DEFAULT).unwrap();
    let weights: Vec<(&str, u32)> =
        config.venues.iter().map(|(name, venue)| (name.as_str(), venue.weight)).collect();
    let expected =
        [("binance", 3), ("bybit", 2), ("coinbase", 1), ("gate", 1), ("kraken", 1), ("okx", 2)];
    assert_eq!(weights, expected);
    let names: Vec<&str> = venues::VENUES.iter().map(|venue| venue.name).collect();
    assert_eq!(names, expected.map(|(name, _)| name));
    for market in &config.markets {
        assert_eq!(market.spot.len(), venues::VENUES.len(), "{}", market.symbol);
    }
}

#[test]
fn mistakes_are_refused_with_the_key_the_bound_and_the_value() {
    for (right, wrong, named) in [
        ("listen = \"127.0.0.1", "listen = \"0.0.0.0", "\"0.0.0.0:26670\" is not on loopback"),
        ("listen = ", "lisen = ", "lisen"),
        ("publish_ms = 250", "publish_ms = 5", "publish_ms = 5, must be 20 to 10000"),
        ("publish_ms = 250", "publish_ms = \"250\"", "publish_ms"),
        ("min_venues = 3", "min_venues = 7", "aggregation.min_venues = 7, must be 1 to 6"),
        (
            "max_age_ms = 5000",
            "max_age_ms = 50",
            "aggregation.max_age_ms = 50, must be 100 to 60000",
        ),
        (
            "[venues.binance]",
            "[venues.binanse]",
            "venues.binanse is no venue that is known; these are: binance,",
        ),
        ("weight = 3", "weight = 0", "venues.binance.weight = 0, must be 1 to 1000"),
        ("weight = 3", "wait = 3", "wait"),
        (
            "weight = 3",
            "weight = 3\nspot_url = \"ws://x\"",
            "venues.binance.spot_url = \"ws://x\" must begin with wss://",
        ),
        ("symbol = \"ETH-USD\"", "symbol = \"BTC-USD\"", "market BTC-USD is there twice"),
        ("symbol = \"ETH-USD\"", "symbol = \"ETH USD\"", "\"ETH USD\", must be 1 to 32 printable"),
        (
            "spot.binance = { symbol = \"BTCUSDT\"",
            "spot.binanse = { symbol = \"BTCUSDT\"",
            "names venue \"binanse\", which [venues] does not have",
        ),
        (
            "spot.binance = { symbol = \"BTCUSDT\"",
            "spot.binance = { symbol = \"ETHUSDT\"",
            "both take spot \"ETHUSDT\" of binance",
        ),
        (
            "spot.binance = { symbol = \"BTCUSDT\"",
            "min_venues = 0\nspot.binance = { symbol = \"BTCUSDT\"",
            "market BTC-USD: min_venues = 0",
        ),
        (
            "spot.binance = { symbol = \"BTCUSDT\"",
            "min_venues = 9\nspot.binance = { symbol = \"BTCUSDT\"",
            "spot has 6 venue(s), but min_venues = 9",
        ),
        (
            "symbol = \"BTCUSDT\", quote = \"USDT-USD\"",
            "symbol = \"BTCUSDT\", quote = \"USDT\"",
            "market BTC-USD: spot.binance: quote = \"USDT\" is no [[market]] with spot venues",
        ),
        (
            "spot.kraken = \"USDT/USD\"",
            "spot.kraken = { symbol = \"USDT/EUR\", quote = \"BTC-USD\" }",
            "quote = \"BTC-USD\", but that market's spot.binance has a quote itself",
        ),
        ("symbol = \"BTCUSDT\", quote", "symbol = \"BTCUSDT\", quotes", "unknown field `quotes`"),
        (
            "spot.kraken = \"BTC/USD\"",
            "spot.kraken = 7",
            "a venue's symbol, or a table of symbol, quote and inverse",
        ),
    ] {
        assert!(DEFAULT.contains(right), "{right}");
        let refusal = Config::from_text(&DEFAULT.replacen(right, wrong, 1)).unwrap_err();
        assert!(refusal.contains(named), "{wrong}: {refusal}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let refusal = Config::load(Path::new("/nowhere/oracle.toml")).unwrap_err();
    assert!(refusal.contains("/nowhere/oracle.toml") && refusal.contains("init"), "{refusal}");
}
