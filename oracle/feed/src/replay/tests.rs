use std::io::Write;

use super::*;

const PLAYBACK: Playback = Playback { start_at_ms: 1_000_000, speed: 10, looped: false };

const HISTORY: &str = "\
time_ms,venue,symbol,price
100000,alpha,BTCUSD,100
100000,beta,BTC-USD,104
110000,gamma,BTC-USD,103
120000,delta,BTCUSD_PERP,90
130000,alpha,ETHUSD,50
200000,beta,BTC-USD,110
";

fn history(text: &str, playback: Playback) -> Result<Replay, FeedError> {
    Replay::read("history.csv", text.as_bytes(), playback)
}

fn decimal(n: i64) -> Option<Decimal> {
    Some(n.into())
}

fn btc(replay: &Replay, now_ms: u64) -> FeedPrice {
    replay.snapshot(now_ms).into_iter().find(|price| price.symbol == "BTC-USD").unwrap()
}

#[test]
fn index_is_the_median_over_venues_and_external_that_over_perpetuals() {
    let replay = history(HISTORY, PLAYBACK).unwrap();
    assert_eq!(replay.name(), "replay(history.csv ×10)");
    let at = |history_ms: u64| btc(&replay, 1_000_000 + (history_ms - 100_000) / 10);
    assert_eq!((at(100_000).index, at(100_000).external), (decimal(102), None));
    assert_eq!(at(110_000).index, decimal(103));
    assert_eq!((at(125_000).external, at(125_000).age_ms), (decimal(90), 0));
    // A minute on, alpha and beta do not count; half a minute later the perpetual does not either.
    assert_eq!((at(165_000).index, at(165_000).external), (decimal(103), decimal(90)));
    assert_eq!((at(190_000).index, at(190_000).external), (None, None));
    assert_eq!(at(200_000).index, decimal(110));
}

#[test]
fn before_the_start_the_first_row_plays() {
    let replay = history(HISTORY, PLAYBACK).unwrap();
    assert_eq!(btc(&replay, 0), btc(&replay, 1_000_000));
}

#[test]
fn after_the_end_the_last_prices_stay_and_age_in_wall_time() {
    let replay = history(HISTORY, PLAYBACK).unwrap();
    assert_eq!(replay.length_ms(), 10_000);
    let last = btc(&replay, 1_010_000);
    assert_eq!((last.index, last.age_ms), (decimal(110), 0));
    let later = btc(&replay, 1_017_500);
    assert_eq!((later.index, later.age_ms), (decimal(110), 7_500));
    let much_later = btc(&replay, u64::MAX);
    assert_eq!(much_later.index, decimal(110));
    assert!(much_later.age_ms > 1 << 40);
}

#[test]
fn a_looped_history_begins_again() {
    let replay = history(HISTORY, Playback { looped: true, speed: 1, ..PLAYBACK }).unwrap();
    let first = btc(&replay, 1_000_000);
    assert_eq!(btc(&replay, 1_000_000 + 100_001), first);
    assert_eq!(btc(&replay, 1_000_000 + 3 * 100_001), first);
}

#[test]
fn the_three_column_form_and_gzip() {
    let text = "time_ms,market,price\n5,SOL-USD,187.5\r\n3,SOL-USD,186\n";
    let path = std::env::temp_dir().join(format!("tidemark-replay-{}.csv.gz", std::process::id()));
    let mut file =
        flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::fast());
    file.write_all(text.as_bytes()).unwrap();
    file.finish().unwrap();
    let replay = Replay::open(&path, Playback { speed: 1, ..PLAYBACK });
    std::fs::remove_file(&path).unwrap();
    let prices = |now_ms| replay.as_ref().unwrap().snapshot(now_ms)[0].index.unwrap().to_string();
    assert_eq!((prices(1_000_000), prices(1_000_002)), ("186".into(), "187.5".into()));
}

#[test]
fn a_malformed_line_is_refused_with_its_number() {
    let head = "time_ms,venue,symbol,price\n1,alpha,BTCUSD,100\n";
    for (line, why) in [
        ("", "1 fields, must be 4"),
        ("2,alpha,BTCUSD", "3 fields, must be 4"),
        ("x,alpha,BTCUSD,1", "time_ms \"x\": invalid digit found in string"),
        (
            "18446744073709551615,alpha,BTCUSD,1",
            "time_ms 18446744073709551615, at most 1000000000000000",
        ),
        (
            "2,alpha,BTCEUR,1",
            "symbol \"BTCEUR\" is not a market in USD such as BTC-USD, BTCUSD, BTCUSD_PERP",
        ),
        (
            "2,alpha,-USD,1",
            "symbol \"-USD\" is not a market in USD such as BTC-USD, BTCUSD, BTCUSD_PERP",
        ),
        ("2,alpha,BTCUSD,0", "price 0 must be above 0"),
        ("2,alpha,BTCUSD,-1", "price -1 must be above 0"),
        (&"y".repeat(300), "longer than 256 bytes"),
    ] {
        let error = history(&format!("{head}{line}\n"), PLAYBACK).unwrap_err();
        assert_eq!(error.to_string(), format!("history.csv, line 3: {why}"));
    }
    let error = history("time,price\n", PLAYBACK).unwrap_err().to_string();
    assert!(error.starts_with("history.csv, line 1: header"), "{error}");
    assert!(history("time_ms,market,price\n", PLAYBACK)
        .unwrap_err()
        .to_string()
        .contains("no prices"));
    assert!(history(HISTORY, Playback { speed: 0, ..PLAYBACK })
        .unwrap_err()
        .to_string()
        .contains("speed is 0"));
}

#[test]
fn series_are_bounded() {
    let mut text = String::from("time_ms,venue,symbol,price\n");
    for venue in 0..=MAX_SERIES {
        text.push_str(&format!("1,v{venue},BTCUSD,1\n"));
    }
    let error = history(&text, PLAYBACK).unwrap_err().to_string();
    assert_eq!(error, "history.csv, line 1026: more than 1024 pairs of venue and symbol");
}
