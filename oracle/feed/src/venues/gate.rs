//! Gate, API v4.
//!
//! - Spot: <https://www.gate.com/docs/developers/apiv4/ws/en/#best-bid-or-ask-price>,
//!   `spot.book_ticker`.
//! - USDT perpetuals:
//!   <https://www.gate.com/docs/developers/futures/ws/en/#best-ask-bid-subscription>,
//!   `futures.book_ticker`.
//! - Both: best bid `b` and best ask `a` at every change, an empty string or 0 where a side is
//!   empty; `t`, the venue's time in milliseconds; `u`, the order book's update id, which never
//!   falls.
//! - Subscribing is answered by `"event":"subscribe"` with `"error":null` or
//!   `"error":{"code":…,"message":…}`.
//! - Heartbeat: `{"time":…,"channel":"spot.ping"}` (`futures.ping`), answered by `spot.pong`.

use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{decimal, parse, Adapter, Fault, Heartbeat, Kind, Newest, Quote, Venue};
use crate::sidecar::aggregate::Prices;

pub(super) const VENUE: Venue = Venue {
    name: "gate",
    urls: |kind| match kind {
        Kind::Spot => "wss://api.gateio.ws/ws/v4/",
        Kind::Perpetual => "wss://fx-ws.gateio.ws/v4/ws/usdt",
    },
    adapter: |kind| Box::new(Gate { kind, newest: Newest::default() }),
};

#[derive(Debug)]
struct Gate {
    kind: Kind,
    newest: Newest,
}

#[derive(Deserialize)]
struct Frame<'a> {
    channel: String,
    event: Option<String>,
    error: Option<Refusal>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct Ticker {
    t: u64,
    u: u64,
    s: String,
    b: String,
    a: String,
}

impl Gate {
    fn channel(&self, name: &str) -> String {
        let market = match self.kind {
            Kind::Spot => "spot",
            Kind::Perpetual => "futures",
        };
        format!("{market}.{name}")
    }
}

impl Adapter for Gate {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.newest = Newest::of(symbols);
        let channel = self.channel("book_ticker");
        let request = serde_json::json!({
            "time": unix_seconds(), "channel": channel, "event": "subscribe", "payload": symbols
        });
        vec![request.to_string()]
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        let text = serde_json::json!({ "time": unix_seconds(), "channel": self.channel("ping") })
            .to_string();
        Some(Heartbeat { every: Duration::from_secs(15), text: Some(text) })
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        let frame: Frame = parse(text)?;
        if let Some(Refusal { code, message }) = frame.error {
            return Err(Fault::Refused(format!("{code}: {message}")));
        }
        match (frame.event.as_deref(), frame.result) {
            (Some("update"), Some(result)) if frame.channel.ends_with(".book_ticker") => {
                let ticker: Ticker = parse(result.get())?;
                self.newest.check(&ticker.s, ticker.u)?;
                let prices = Prices { bid: side(&ticker.b)?, ask: side(&ticker.a)?, last: None };
                quotes.push(Quote { symbol: ticker.s, prices, venue_time_ms: Some(ticker.t) });
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// The venue takes requests of its own minute only.
fn unix_seconds() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// A side's best price; `None` where it is empty.
fn side(text: &str) -> Result<Option<Decimal>, Fault> {
    match text {
        "" => Ok(None),
        text => decimal(text)
            .map(|price| Some(price).filter(|price| !price.is_zero()))
            .map_err(Fault::Malformed),
    }
}
