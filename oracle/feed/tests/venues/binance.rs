//! Binance: book tickers of spot (no time) and of USDⓈ-M perpetuals.

use serde_json::{json, Value};
use tidemark_feed::venues::Kind;

use crate::harness::{Beat, Script};

pub const SPOT: Script = Script {
    venue: "binance",
    kind: Kind::Spot,
    symbols: ["BTCUSDT", "ETHUSDT"],
    subscription,
    answers: |_, _| vec![r#"{"result":null,"id":1}"#.into()],
    quote: |wire, symbol, (bid, ask), _| ticker(wire.next(), symbol, bid, ask).to_string(),
    timed: false,
    beat: Beat::None,
    late: Some(|wire, symbol, (bid, ask), _| ticker(wire.number - 1, symbol, bid, ask).to_string()),
    broken: None,
    refusal: (
        r#"{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":1}"#,
        "unknown variant",
    ),
    closing: Some(r#"{"e":"serverShutdown","E":1770123456789}"#),
};

pub const PERPETUAL: Script = Script {
    kind: Kind::Perpetual,
    quote: |wire, symbol, (bid, ask), time_ms| {
        let number = wire.next();
        timed(number, symbol, bid, ask, time_ms).to_string()
    },
    timed: true,
    late: Some(|wire, symbol, (bid, ask), time_ms| {
        timed(wire.number - 1, symbol, bid, ask, time_ms).to_string()
    }),
    closing: None,
    ..SPOT
};

fn subscription(symbols: &[&str; 2]) -> Vec<Value> {
    let streams = symbols.map(|symbol| format!("{}@bookTicker", symbol.to_lowercase()));
    vec![json!({"method": "SUBSCRIBE", "params": streams, "id": 1})]
}

fn ticker(number: u64, symbol: &str, bid: u32, ask: u32) -> Value {
    json!({
        "u": number, "s": symbol, "b": format!("{bid}.00000000"), "B": "31.21000000",
        "a": format!("{ask}.00000000"), "A": "40.66000000",
    })
}

fn timed(number: u64, symbol: &str, bid: u32, ask: u32, time_ms: u64) -> Value {
    let mut ticker = ticker(number, symbol, bid, ask);
    ticker["e"] = "bookTicker".into();
    ticker["E"] = time_ms.into();
    ticker["T"] = time_ms.into();
    ticker
}
