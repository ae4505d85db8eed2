//! Gate: best bid and ask of spot and of USDT perpetuals.

use serde_json::{json, Value};
use tidemark_feed::venues::Kind;

use crate::harness::{Beat, Script};

pub const SPOT: Script = Script {
    venue: "gate",
    kind: Kind::Spot,
    symbols: ["BTC_USDT", "ETH_USDT"],
    subscription: |symbols| {
        vec![json!({"channel": "spot.book_ticker", "event": "subscribe", "payload": symbols})]
    },
    answers: |_, _| {
        vec![r#"{"time":1611541000,"time_ms":1611541000001,"channel":"spot.book_ticker","event":"subscribe","error":null,"result":{"status":"success"}}"#.into()]
    },
    quote: |wire, symbol, (bid, ask), time_ms| {
        let number = wire.next();
        ticker("spot", number, symbol, bid, ask, time_ms).to_string()
    },
    timed: true,
    beat: Beat::Text(
        r#"{"channel":"spot.ping"}"#,
        r#"{"time":1545404023,"time_ms":1545404023123,"channel":"spot.pong","event":"","result":null}"#,
    ),
    late: Some(|wire, symbol, (bid, ask), time_ms| {
        ticker("spot", wire.number - 1, symbol, bid, ask, time_ms).to_string()
    }),
    broken: None,
    refusal: (
        r#"{"time":1611541000,"channel":"spot.book_ticker","event":"subscribe","error":{"code":2,"message":"unknown currency pair BTCUSDT"},"result":null}"#,
        "unknown currency pair BTCUSDT",
    ),
    closing: None,
};

pub const PERPETUAL: Script = Script {
    kind: Kind::Perpetual,
    subscription: |symbols| {
        vec![json!({"channel": "futures.book_ticker", "event": "subscribe", "payload": symbols})]
    },
    answers: |_, _| {
        vec![r#"{"time":1545404023,"time_ms":1545404023123,"channel":"futures.book_ticker","event":"subscribe","result":{"status":"success"}}"#.into()]
    },
    quote: |wire, symbol, (bid, ask), time_ms| {
        let number = wire.next();
        ticker("futures", number, symbol, bid, ask, time_ms).to_string()
    },
    beat: Beat::Text(
        r#"{"channel":"futures.ping"}"#,
        r#"{"time":1545404023,"channel":"futures.pong","event":"","result":null}"#,
    ),
    late: Some(|wire, symbol, (bid, ask), time_ms| {
        ticker("futures", wire.number - 1, symbol, bid, ask, time_ms).to_string()
    }),
    ..SPOT
};

fn ticker(market: &str, number: u64, symbol: &str, bid: u32, ask: u32, time_ms: u64) -> Value {
    json!({
        "time": time_ms / 1_000, "time_ms": time_ms,
        "channel": format!("{market}.book_ticker"), "event": "update",
        "result": {
            "t": time_ms, "u": number, "s": symbol, "b": format!("{bid}.00"), "B": "0.0003341504",
            "a": format!("{ask}.00"), "A": "0.09",
        },
    })
}
