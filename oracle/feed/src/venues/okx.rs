//! OKX, API v5:
//! <https://www.okx.com/docs-v5/en/#order-book-trading-market-data-ws-tickers-channel>.
//!
//! - `tickers` has best bid, best ask, last trade and `ts`, and is sent at a trade or a change of
//!   best bid or ask, at most every 100 ms. It has no sequence number; `ts` never falls.
//! - "Connect": a text frame `ping`, answered by `pong`, at least every 30 s while nothing comes.
//! - "Notification": `{"event":"notice","code":"64008",…}` a minute before an upgrade: connect
//!   anew.

use std::time::Duration;

use serde::Deserialize;

use super::{parse, Adapter, Fault, Heartbeat, Kind, Newest, Number, Quote, Venue};
use crate::sidecar::aggregate::Prices;

pub(super) const VENUE: Venue = Venue {
    name: "okx",
    urls: |kind| match kind {
        // Both kinds are on one endpoint.
        Kind::Spot | Kind::Perpetual => "wss://ws.okx.com:8443/ws/v5/public",
    },
    adapter: |_| Box::new(Okx::default()),
};

#[derive(Debug, Default)]
struct Okx {
    newest: Newest,
}

#[derive(Deserialize)]
struct Frame {
    event: Option<String>,
    code: Option<String>,
    msg: Option<String>,
    data: Option<Vec<Ticker>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ticker {
    inst_id: String,
    // Empty strings when a side of the book is.
    last: String,
    bid_px: String,
    ask_px: String,
    ts: Number,
}

impl Adapter for Okx {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.newest = Newest::of(symbols);
        let args: Vec<_> = symbols
            .iter()
            .map(|symbol| serde_json::json!({ "channel": "tickers", "instId": symbol }))
            .collect();
        vec![serde_json::json!({ "op": "subscribe", "args": args }).to_string()]
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        Some(Heartbeat { every: Duration::from_secs(20), text: Some("ping".to_owned()) })
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        if text == "pong" {
            return Ok(());
        }
        let frame: Frame = parse(text)?;
        let reason = || {
            format!(
                "{}: {}",
                frame.code.as_deref().unwrap_or("?"),
                frame.msg.as_deref().unwrap_or_default()
            )
        };
        match (frame.event.as_deref(), &frame.data) {
            (Some("error"), _) => Err(Fault::Refused(reason())),
            (Some("notice"), _) => Err(Fault::Closing(reason())),
            (Some(_), _) => Ok(()),
            (None, Some(tickers)) => tickers.iter().try_for_each(|ticker| {
                quotes.push(self.quote(ticker)?);
                Ok(())
            }),
            (None, None) => Err(Fault::Malformed("neither data nor an event".to_owned())),
        }
    }
}

impl Okx {
    fn quote(&mut self, ticker: &Ticker) -> Result<Quote, Fault> {
        let price = |text: &str| match text {
            "" => Ok(None),
            text => super::decimal(text).map(Some).map_err(Fault::Malformed),
        };
        let venue_time_ms = u64::try_from(ticker.ts.0)
            .map_err(|_| Fault::Malformed(format!("ts {} is no time", ticker.ts.0)))?;
        self.newest.check(&ticker.inst_id, venue_time_ms)?;
        let prices = Prices {
            bid: price(&ticker.bid_px)?,
            ask: price(&ticker.ask_px)?,
            last: price(&ticker.last)?,
        };
        Ok(Quote { symbol: ticker.inst_id.clone(), prices, venue_time_ms: Some(venue_time_ms) })
    }
}
