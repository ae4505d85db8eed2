//! OKX: the `tickers` channel, for both kinds.

use serde_json::{json, Value};
use tidemark_feed::venues::Kind;

use crate::harness::{Beat, Script};

pub const SPOT: Script = Script {
    venue: "okx",
    kind: Kind::Spot,
    symbols: ["BTC-USDT", "ETH-USDT"],
    subscription: |symbols| {
        let args = symbols.map(|symbol| json!({"channel": "tickers", "instId": symbol}));
        vec![json!({"op": "subscribe", "args": args})]
    },
    answers: |_, symbols| {
        let answer = |symbol: &&str| {
            json!({
                "event": "subscribe", "arg": {"channel": "tickers", "instId": symbol},
                "connId": "accb8e21",
            })
            .to_string()
        };
        symbols.iter().map(answer).collect()
    },
    quote: |wire, symbol, (bid, ask), time_ms| {
        // The venue's time never falls.
        wire.number = wire.number.max(time_ms);
        ticker(symbol, bid, ask, time_ms).to_string()
    },
    timed: true,
    beat: Beat::Text("ping", "pong"),
    late: Some(|wire, symbol, (bid, ask), _| ticker(symbol, bid, ask, wire.number - 1).to_string()),
    broken: None,
    refusal: (
        r#"{"event":"error","code":"60018","msg":"Wrong URL or channel:tickers,instId:BTCUSDT doesn't exist","connId":"a4d3ae55"}"#,
        "60018: Wrong URL or channel",
    ),
    closing: Some(
        r#"{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service upgrade. Please reconnect.","connId":"a4d3ae55"}"#,
    ),
};

pub const PERPETUAL: Script =
    Script { kind: Kind::Perpetual, symbols: ["BTC-USDT-SWAP", "ETH-USDT-SWAP"], ..SPOT };

fn ticker(symbol: &str, bid: u32, ask: u32, time_ms: u64) -> Value {
    json!({
        "arg": {"channel": "tickers", "instId": symbol},
        "data": [{
            "instType": "SPOT", "instId": symbol, "last": "9999.99", "lastSz": "0.1",
            "askPx": ask.to_string(), "askSz": "11", "bidPx": bid.to_string(), "bidSz": "5",
            "open24h": "9000", "high24h": "10000", "low24h": "8888.88", "volCcy24h": "2222",
            "vol24h": "2222", "sodUtc0": "2222", "sodUtc8": "2222",
            "ts": time_ms.to_string(),
        }],
    })
}
