//! Coinbase, Advanced Trade:
//! <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels>.
//!
//! - `ticker`: last trade, best bid and best ask at every match; a snapshot first. Perpetuals are
//!   products such as `BTC-PERP-INTX`.
//! - `heartbeats`: every second; keeps subscriptions to quiet markets open.
//! - "Sequence Numbers",
//!   <https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview>:
//!   `sequence_num` grows by one with each message of a connection, whatever its channel; more
//!   means that messages were lost, less that one came late.
//! - A subscription must be sent within 5 s of connecting. Errors are
//!   `{"type":"error","message":…}`.

use serde::Deserialize;

use super::{parse, rfc3339_ms, Adapter, Fault, Heartbeat, Kind, Number, Quote, Venue};
use crate::sidecar::aggregate::Prices;

pub(super) const VENUE: Venue = Venue {
    name: "coinbase",
    urls: |kind| match kind {
        // Both kinds are on one endpoint.
        Kind::Spot | Kind::Perpetual => "wss://advanced-trade-ws.coinbase.com",
    },
    adapter: |_| Box::new(Coinbase::default()),
};

#[derive(Debug, Default)]
struct Coinbase {
    /// The number that the next message must have; `None` before the first.
    next: Option<u64>,
}

#[derive(Deserialize)]
struct Frame {
    channel: Option<String>,
    timestamp: Option<String>,
    sequence_num: Option<u64>,
    events: Option<Vec<Event>>,
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    tickers: Vec<Ticker>,
}

#[derive(Deserialize)]
struct Ticker {
    product_id: String,
    price: Number,
    best_bid: Option<Number>,
    best_ask: Option<Number>,
}

impl Adapter for Coinbase {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.next = None;
        vec![
            serde_json::json!({ "type": "subscribe", "channel": "heartbeats" }).to_string(),
            serde_json::json!({ "type": "subscribe", "channel": "ticker", "product_ids": symbols })
                .to_string(),
        ]
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        None
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        let frame: Frame = parse(text)?;
        if frame.kind.as_deref() == Some("error") {
            return Err(Fault::Refused(frame.message.unwrap_or_default()));
        }
        let (Some(channel), Some(number)) = (frame.channel, frame.sequence_num) else {
            return Err(Fault::Malformed("no channel or no sequence_num".to_owned()));
        };
        match self.next {
            Some(next) if number < next => return Err(Fault::OutOfOrder),
            Some(next) if number > next => {
                return Err(Fault::Gap(format!("sequence_num is {number}, must be {next}")));
            }
            _ => self.next = number.checked_add(1),
        }
        if channel != "ticker" {
            return Ok(());
        }
        let venue_time_ms = frame.timestamp.as_deref().map(rfc3339_ms).transpose()?;
        for ticker in frame.events.unwrap_or_default().into_iter().flat_map(|event| event.tickers) {
            let price = |number: Option<Number>| number.map(|number| number.0);
            let prices = Prices {
                bid: price(ticker.best_bid),
                ask: price(ticker.best_ask),
                last: Some(ticker.price.0),
            };
            quotes.push(Quote { symbol: ticker.product_id, prices, venue_time_ms });
        }
        Ok(())
    }
}
