//! Bybit, API v5: <https://bybit-exchange.github.io/docs/v5/websocket/public/orderbook>.
//!
//! - `orderbook.1.SYMBOL`: every frame is a snapshot of the best bid and ask, with `ts`; sent again
//!   after 3 s without a change. `u`, the update id, never falls but for a restart of the venue's
//!   service, which sends 1.
//! - Subscribing: <https://bybit-exchange.github.io/docs/v5/ws/connect>, at most 10 topics a
//!   request on spot; answered by `{"success":true,"ret_msg":"","op":"subscribe",…}`.
//! - Heartbeat, ibid.: `{"op":"ping"}` every 20 s.

use std::time::Duration;

use serde::Deserialize;

use super::{parse, Adapter, Fault, Heartbeat, Kind, Newest, Number, Quote, Venue};
use crate::sidecar::aggregate::Prices;

pub(super) const VENUE: Venue = Venue {
    name: "bybit",
    urls: |kind| match kind {
        Kind::Spot => "wss://stream.bybit.com/v5/public/spot",
        Kind::Perpetual => "wss://stream.bybit.com/v5/public/linear",
    },
    adapter: |_| Box::new(Bybit::default()),
};

/// Most topics of a request.
const TOPICS: usize = 10;

#[derive(Debug, Default)]
struct Bybit {
    newest: Newest,
}

#[derive(Deserialize)]
struct Frame {
    topic: Option<String>,
    ts: Option<u64>,
    data: Option<Book>,
    success: Option<bool>,
    ret_msg: Option<String>,
    op: Option<String>,
}

#[derive(Deserialize)]
struct Book {
    s: String,
    b: Vec<(Number, Number)>,
    a: Vec<(Number, Number)>,
    u: u64,
}

impl Adapter for Bybit {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.newest = Newest::of(symbols);
        let request = |symbols: &[String]| {
            let topics: Vec<String> =
                symbols.iter().map(|symbol| format!("orderbook.1.{symbol}")).collect();
            serde_json::json!({ "op": "subscribe", "args": topics }).to_string()
        };
        symbols.chunks(TOPICS).map(request).collect()
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        Some(Heartbeat {
            every: Duration::from_secs(20),
            text: Some(r#"{"op":"ping"}"#.to_owned()),
        })
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        let frame: Frame = parse(text)?;
        match frame {
            Frame { success: Some(false), ret_msg, .. } => {
                Err(Fault::Refused(ret_msg.unwrap_or_default()))
            }
            Frame { topic: Some(_), ts, data: Some(book), .. } => {
                if book.u == 1 {
                    self.newest.restart(&book.s);
                }
                self.newest.check(&book.s, book.u)?;
                let best = |side: &[(Number, Number)]| side.first().map(|(price, _)| price.0);
                let prices = Prices { bid: best(&book.b), ask: best(&book.a), last: None };
                quotes.push(Quote { symbol: book.s, prices, venue_time_ms: ts });
                Ok(())
            }
            Frame { op: Some(_), .. } => Ok(()),
            _ => Err(Fault::Malformed("neither a book nor an answer".to_owned())),
        }
    }
}
