//! Binance.
//!
//! - Spot: <https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams>,
//!   "Individual Symbol Book Ticker Streams". No time in it; the venue pings every 20 s and cuts
//!   the connection after 24 h.
//! - USDⓈ-M perpetuals:
//!   <https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Individual-Symbol-Book-Ticker-Streams>,
//!   with event time `E`; the path `/public` by "Important WebSocket Change Notice" there. Pings
//!   every 3 minutes.
//! - Live subscribing, for both: `{"method":"SUBSCRIBE","params":[…],"id":1}`, answered by
//!   `{"result":null,"id":1}` or `{"error":{…},"id":1}`; at most 5 messages a second.
//!
//! `u`, the order book's update id, never falls.

use serde::Deserialize;

use super::{parse, Adapter, Fault, Heartbeat, Kind, Newest, Number, Quote, Venue};
use crate::sidecar::aggregate::Prices;

pub(super) const VENUE: Venue = Venue {
    name: "binance",
    urls: |kind| match kind {
        Kind::Spot => "wss://stream.binance.com:9443/ws",
        Kind::Perpetual => "wss://fstream.binance.com/public/ws",
    },
    adapter: |_| Box::new(Binance::default()),
};

#[derive(Debug, Default)]
struct Binance {
    newest: Newest,
}

/// A book ticker, an answer, or anything else.
#[derive(Deserialize)]
struct Frame<'a> {
    s: Option<&'a str>,
    u: Option<u64>,
    b: Option<Number>,
    a: Option<Number>,
    #[serde(rename = "E")]
    event_time_ms: Option<u64>,
    error: Option<Refusal>,
    e: Option<&'a str>,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    code: i64,
    msg: String,
}

/// A combined stream's envelope.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    data: Option<&'a serde_json::value::RawValue>,
}

impl Adapter for Binance {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.newest = Newest::of(symbols);
        let streams: Vec<String> =
            symbols.iter().map(|symbol| format!("{}@bookTicker", symbol.to_lowercase())).collect();
        vec![serde_json::json!({ "method": "SUBSCRIBE", "params": streams, "id": 1 }).to_string()]
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        None
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        // An operator may configure a `/stream` endpoint, which wraps each event.
        let data = parse::<Envelope>(text)?.data;
        let frame: Frame = parse(data.map_or(text, |data| data.get()))?;
        if let Some(Refusal { code, msg }) = frame.error {
            return Err(Fault::Refused(format!("{code}: {msg}")));
        }
        match frame {
            Frame {
                s: Some(symbol),
                u: Some(update),
                b: Some(bid),
                a: Some(ask),
                event_time_ms,
                ..
            } => {
                self.newest.check(symbol, update)?;
                let prices = Prices { bid: Some(bid.0), ask: Some(ask.0), last: None };
                quotes.push(Quote {
                    symbol: symbol.to_owned(),
                    prices,
                    venue_time_ms: event_time_ms,
                });
                Ok(())
            }
            Frame { e: Some("serverShutdown"), .. } => {
                Err(Fault::Closing("serverShutdown".to_owned()))
            }
            Frame { id: Some(_), .. } => Ok(()),
            _ => Err(Fault::Malformed("neither a book ticker nor an answer".to_owned())),
        }
    }
}
