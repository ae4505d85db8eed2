//! Coinbase, Advanced Trade: `ticker` and `heartbeats`, for both kinds.

use serde_json::{json, Value};
use tidemark_feed::venues::Kind;

use crate::harness::{Beat, Book, Broken, Script, Wire};
use crate::kraken::rfc3339;

pub const SPOT: Script = Script {
    venue: "coinbase",
    kind: Kind::Spot,
    symbols: ["BTC-USD", "ETH-USD"],
    subscription: |symbols| {
        vec![
            json!({"type": "subscribe", "channel": "heartbeats"}),
            json!({"type": "subscribe", "channel": "ticker", "product_ids": symbols}),
        ]
    },
    answers: |wire, symbols| {
        let subscribed = json!({
            "channel": "subscriptions", "client_id": "",
            "timestamp": "2023-02-09T20:33:57.609931463Z", "sequence_num": number(wire),
            "events": [{"subscriptions": {"ticker": symbols}}],
        });
        let heartbeat = json!({
            "channel": "heartbeats", "client_id": "", "timestamp": "2023-06-23T20:31:26.122969572Z",
            "sequence_num": number(wire),
            "events": [{
                "current_time": "2023-06-23 20:31:56.121961769 +0000 UTC",
                "heartbeat_counter": 3049,
            }],
        });
        vec![subscribed.to_string(), heartbeat.to_string()]
    },
    quote: |wire, symbol, book, time_ms| {
        let number = number(wire);
        ticker(number, symbol, book, time_ms)
    },
    timed: true,
    beat: Beat::None,
    late: Some(|wire, symbol, book, time_ms| ticker(wire.number - 1, symbol, book, time_ms)),
    broken: Some(Broken {
        frame: |wire, symbol, book, time_ms| {
            wire.number += 1;
            let number = number(wire);
            ticker(number, symbol, book, time_ms)
        },
        requests: |_| Vec::new(),
    }),
    refusal: (
        r#"{"type":"error","message":"ErrBadRequest: product_ids: BTC-USX is not valid"}"#,
        "BTC-USX is not valid",
    ),
    closing: None,
};

pub const PERPETUAL: Script =
    Script { kind: Kind::Perpetual, symbols: ["BTC-PERP-INTX", "ETH-PERP-INTX"], ..SPOT };

/// Messages are numbered from 0.
fn number(wire: &mut Wire) -> u64 {
    wire.next() - 1
}

fn ticker(number: u64, symbol: &str, (bid, ask): Book, time_ms: u64) -> String {
    let ticker: Value = json!({
        "type": "ticker", "product_id": symbol,
        "price": "21932.98", "volume_24_h": "16038.28770938",
        "low_24_h": "21835.29", "high_24_h": "23011.18", "low_52_w": "15460", "high_52_w": "48240",
        "price_percent_chg_24_h": "-4.15775596190603",
        "best_bid": bid.to_string(), "best_bid_quantity": "8000.21",
        "best_ask": ask.to_string(), "best_ask_quantity": "8038.07770938",
    });
    json!({
        "channel": "ticker", "client_id": "", "timestamp": rfc3339(time_ms), "sequence_num": number,
        "events": [{"type": "update", "tickers": [ticker]}],
    })
    .to_string()
}
