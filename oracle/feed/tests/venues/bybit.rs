//! Bybit: `orderbook.1`, for both kinds.

use serde_json::{json, Value};
use tidemark_feed::venues::Kind;

use crate::harness::{Beat, Script};

pub const SPOT: Script = Script {
    venue: "bybit",
    kind: Kind::Spot,
    symbols: ["BTCUSDT", "ETHUSDT"],
    subscription: |symbols| {
        let topics = symbols.map(|symbol| format!("orderbook.1.{symbol}"));
        vec![json!({"op": "subscribe", "args": topics})]
    },
    answers: |_, _| {
        vec![r#"{"success":true,"ret_msg":"subscribe","conn_id":"2324d924","req_id":"","op":"subscribe"}"#
            .into()]
    },
    quote: |wire, symbol, (bid, ask), time_ms| {
        // 1 is a restart of the venue's service.
        let number = wire.next() + 1;
        book(number, symbol, bid, ask, time_ms).to_string()
    },
    timed: true,
    beat: Beat::Text(
        r#"{"op":"ping"}"#,
        r#"{"success":true,"ret_msg":"pong","conn_id":"2324d924","req_id":"","op":"ping"}"#,
    ),
    late: Some(|wire, symbol, (bid, ask), time_ms| {
        wire.number += 5;
        book(wire.number - 5, symbol, bid, ask, time_ms).to_string()
    }),
    broken: None,
    refusal: (
        r#"{"success":false,"ret_msg":"error:handler not found,topic:orderbook.1.BTCUSD","conn_id":"2324d924","req_id":"","op":"subscribe"}"#,
        "handler not found",
    ),
    closing: None,
};

pub const PERPETUAL: Script = Script { kind: Kind::Perpetual, ..SPOT };

fn book(number: u64, symbol: &str, bid: u32, ask: u32, time_ms: u64) -> Value {
    json!({
        "topic": format!("orderbook.1.{symbol}"), "type": "snapshot", "ts": time_ms,
        "data": {
            "s": symbol, "u": number, "seq": 7_961_638_724_u64,
            "b": [[format!("{bid}.00"), "0.006"]], "a": [[format!("{ask}.00"), "0.029"]],
        },
        "cts": time_ms,
    })
}
