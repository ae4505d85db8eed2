//! Kraken: the spot book with its checksum, and the perpetuals' ticker.

use serde_json::{json, Value};
use tidemark_feed::venues::Kind;

use crate::harness::{Beat, Book, Broken, Script};

pub const SPOT: Script = Script {
    venue: "kraken",
    kind: Kind::Spot,
    symbols: ["BTC/USD", "ETH/USD"],
    subscription: |symbols| vec![request("subscribe", symbols)],
    answers: |_, symbols| {
        let status = r#"{"channel":"status","type":"update","data":[{"version":"2.0.0","system":"online","api_version":"v2","connection_id":12834461237212948}]}"#;
        let answer = |symbol: &&str| {
            json!({
                "method": "subscribe", "success": true, "time_in": "2023-10-06T17:35:55.219022Z",
                "time_out": "2023-10-06T17:35:55.219067Z",
                "result": {"channel": "book", "depth": 10, "snapshot": true, "symbol": symbol},
            })
            .to_string()
        };
        let answers = symbols.iter().map(answer);
        [status.to_owned()]
            .into_iter()
            .chain(answers)
            .chain([r#"{"channel":"heartbeat"}"#.into()])
            .collect()
    },
    quote: |wire, symbol, book, time_ms| {
        let frame = match wire.last {
            // The best levels change; the others stay.
            Some(last) => change(symbol, last, book, checksum(book), time_ms),
            None => snapshot(symbol, book),
        };
        wire.last = Some(book);
        frame
    },
    // A snapshot has no time, so what is first is not timed.
    timed: false,
    beat: Beat::Text(
        r#"{"method":"ping"}"#,
        r#"{"method":"pong","time_in":"2023-07-17T10:55:10.123Z","time_out":"2023-07-17T10:55:10.124Z"}"#,
    ),
    late: None,
    broken: Some(Broken {
        frame: |wire, symbol, book, time_ms| {
            let last = wire.last.take().expect("a snapshot before");
            change(symbol, last, book, checksum(last), time_ms)
        },
        requests: |symbol| vec![request("unsubscribe", &[symbol]), request("subscribe", &[symbol])],
    }),
    refusal: (
        r#"{"error":"Currency pair not supported XBT/USD","method":"subscribe","success":false,"symbol":"XBT/USD","time_in":"2023-07-17T10:55:10.123Z","time_out":"2023-07-17T10:55:10.124Z"}"#,
        "Currency pair not supported XBT/USD",
    ),
    closing: None,
};

pub const PERPETUAL: Script = Script {
    venue: "kraken",
    kind: Kind::Perpetual,
    symbols: ["PF_XBTUSD", "PF_ETHUSD"],
    subscription: |symbols| {
        vec![json!({"event": "subscribe", "feed": "ticker", "product_ids": symbols})]
    },
    answers: |_, symbols| {
        vec![
            r#"{"event":"info","version":1}"#.into(),
            json!({"event": "subscribed", "feed": "ticker", "product_ids": symbols}).to_string(),
        ]
    },
    quote: |wire, symbol, book, time_ms| {
        wire.number = wire.number.max(time_ms);
        ticker(symbol, book, time_ms)
    },
    timed: true,
    beat: Beat::Ping,
    late: Some(|wire, symbol, book, _| ticker(symbol, book, wire.number - 1)),
    broken: None,
    refusal: (r#"{"event":"error","message":"Invalid product id"}"#, "Invalid product id"),
    closing: None,
};

fn request(method: &str, symbols: &[&str]) -> Value {
    json!({"method": method, "params": {"channel": "book", "symbol": symbols, "depth": 10}})
}

/// Best level and one more of each side. Numbers are written as the venue does: with every digit.
fn levels((bid, ask): Book) -> ([String; 2], [String; 2]) {
    let quantity = "0.10000000";
    (
        [level(bid, quantity), r#"{"price":1.0,"qty":4831.75496356}"#.to_owned()],
        [level(ask, quantity), r#"{"price":999999.0,"qty":12.00000001}"#.to_owned()],
    )
}

fn level(price: u32, quantity: &str) -> String {
    format!(r#"{{"price":{price}.0,"qty":{quantity}}}"#)
}

fn snapshot(symbol: &str, book: Book) -> String {
    let (bids, asks) = levels(book);
    let (bids, asks, checksum) = (bids.join(","), asks.join(","), checksum(book));
    format!(
        r#"{{"channel":"book","type":"snapshot","data":[{{"symbol":"{symbol}","bids":[{bids}],"asks":[{asks}],"checksum":{checksum}}}]}}"#
    )
}

/// The best levels of `last` go, those of `book` come; one that stays keeps its quantity.
fn change(symbol: &str, last: Book, book: Book, checksum: u32, time_ms: u64) -> String {
    let side = |last: u32, now: u32| {
        if last == now {
            level(now, "0.10000000")
        } else {
            format!("{},{}", level(last, "0.00000000"), level(now, "0.10000000"))
        }
    };
    let (bids, asks) = (side(last.0, book.0), side(last.1, book.1));
    let time = rfc3339(time_ms);
    format!(
        r#"{{"channel":"book","type":"update","data":[{{"symbol":"{symbol}","bids":[{bids}],"asks":[{asks}],"checksum":{checksum},"timestamp":"{time}"}}]}}"#
    )
}

/// As the venue's guide has it: digits of asks, lowest first, then of bids, highest first; no
/// point, no leading zeros.
fn checksum((bid, ask): Book) -> u32 {
    crc32fast::hash(
        format!("{ask}01000000099999901200000001{bid}01000000010483175496356").as_bytes(),
    )
}

fn ticker(symbol: &str, (bid, ask): Book, time_ms: u64) -> String {
    json!({
        "time": time_ms, "product_id": symbol, "funding_rate": -6.2604214e-11, "feed": "ticker",
        "bid": bid, "ask": f64::from(ask), "bid_size": 5000.0, "ask_size": 8071.0,
        "volume": 21266053.0, "dtm": 0, "leverage": "50x", "index": 34803.45, "premium": 0.1,
        "last": 34852.0, "change": 2.995109121267192, "suspended": false,
        "tag": "perpetual", "pair": "XBT:USD", "openInterest": 30072580.0, "markPrice": 34844.25,
    })
    .to_string()
}

/// A time as the venue writes it.
pub fn rfc3339(time_ms: u64) -> String {
    use time::format_description::well_known::Rfc3339;
    let nanos = i128::from(time_ms) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap().format(&Rfc3339).unwrap()
}
