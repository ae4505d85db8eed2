//! Kraken.
//!
//! - Spot, websocket v2: <https://docs.kraken.com/api/docs/websocket-v2/book>, `book` with depth
//!   10: a snapshot, then changed levels, each frame with a checksum, and a time on changes.
//! - The checksum: <https://docs.kraken.com/api/docs/guides/spot-ws-book-v2>, CRC-32 over the ten
//!   best asks, then the ten best bids: price and quantity with the pair's digits, without the
//!   point and leading zeros. A wrong one means that our book is not the venue's: subscribe anew.
//! - Perpetuals, Kraken Futures: <https://docs.kraken.com/api/docs/futures-api/websocket/ticker>,
//!   `ticker`: best bid, best ask, last trade and `time`, at most once a second.
//!   <https://docs.kraken.com/api/docs/guides/futures-websockets>: a ping at least every 60 s.
//! - Spot sends `{"channel":"heartbeat"}` each second by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::Deserialize;

use super::{parse, rfc3339_ms, Adapter, Fault, Heartbeat, Kind, Newest, Number, Quote, Venue};
use crate::sidecar::aggregate::Prices;

pub(super) const VENUE: Venue = Venue {
    name: "kraken",
    urls: |kind| match kind {
        Kind::Spot => "wss://ws.kraken.com/v2",
        Kind::Perpetual => "wss://futures.kraken.com/ws/v1",
    },
    adapter: |kind| match kind {
        Kind::Spot => Box::new(Spot::default()),
        Kind::Perpetual => Box::new(Futures::default()),
    },
};

/// Levels of a side that are subscribed to, and that the checksum covers.
const DEPTH: usize = 10;

/// The book's ten best levels of each side, by market.
#[derive(Debug, Default)]
struct Spot {
    books: BTreeMap<String, Book>,
}

#[derive(Debug, Default)]
struct Book {
    bids: BTreeMap<Decimal, Decimal>,
    asks: BTreeMap<Decimal, Decimal>,
    /// Digits after the point of the pair's prices and quantities: the most that were seen, since
    /// the venue writes them all.
    price_scale: u32,
    quantity_scale: u32,
    /// A snapshot came after the last subscription.
    complete: bool,
}

#[derive(Deserialize)]
struct SpotFrame {
    channel: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    method: Option<String>,
    success: Option<bool>,
    error: Option<String>,
    symbol: Option<String>,
}

#[derive(Deserialize)]
struct BookFrame {
    data: Vec<BookData>,
}

#[derive(Deserialize)]
struct BookData {
    symbol: String,
    bids: Vec<Level>,
    asks: Vec<Level>,
    checksum: u32,
    timestamp: Option<String>,
}

#[derive(Deserialize)]
struct Level {
    price: Number,
    qty: Number,
}

impl Adapter for Spot {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.books = symbols.iter().map(|symbol| (symbol.clone(), Book::default())).collect();
        vec![request("subscribe", symbols)]
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        let text = serde_json::json!({ "method": "ping" }).to_string();
        Some(Heartbeat { every: Duration::from_secs(30), text: Some(text) })
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        let frame: SpotFrame = parse(text)?;
        if frame.success == Some(false) {
            let why = frame.error.unwrap_or_default();
            return Err(Fault::Refused(format!("{}: {why}", frame.symbol.unwrap_or_default())));
        }
        match (frame.channel.as_deref(), frame.kind.as_deref(), frame.method) {
            (Some("book"), Some("snapshot"), _) => self.book(text, true, quotes),
            (Some("book"), Some("update"), _) => self.book(text, false, quotes),
            (Some(_), _, _) | (_, _, Some(_)) => Ok(()),
            _ => Err(Fault::Malformed("neither a channel nor an answer".to_owned())),
        }
    }
}

impl Spot {
    fn book(&mut self, text: &str, snapshot: bool, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        let frame: BookFrame = parse(text)?;
        for data in frame.data {
            let venue_time_ms = data.timestamp.as_deref().map(rfc3339_ms).transpose()?;
            let book = self.books.get_mut(&data.symbol).ok_or_else(|| {
                Fault::Malformed(format!("a book of {:?}, which was not asked for", data.symbol))
            })?;
            if snapshot {
                *book = Book { complete: true, ..Book::default() };
            } else if !book.complete {
                // Changes that were under way when the book was asked for anew.
                continue;
            }
            book.apply(&data);
            let checksum = book.checksum();
            if checksum != data.checksum {
                book.complete = false;
                let symbols = [data.symbol.clone()];
                return Err(Fault::Broken {
                    why: format!(
                        "the book's checksum is {checksum}, the venue's {}",
                        data.checksum
                    ),
                    send: vec![request("unsubscribe", &symbols), request("subscribe", &symbols)],
                    symbol: data.symbol,
                });
            }
            let bid = book.bids.last_key_value().map(|(price, _)| *price);
            let ask = book.asks.first_key_value().map(|(price, _)| *price);
            quotes.push(Quote {
                symbol: data.symbol,
                prices: Prices { bid, ask, last: None },
                venue_time_ms,
            });
        }
        Ok(())
    }
}

impl Book {
    fn apply(&mut self, data: &BookData) {
        for level in data.bids.iter().chain(&data.asks) {
            self.price_scale = self.price_scale.max(level.price.0.scale());
            self.quantity_scale = self.quantity_scale.max(level.qty.0.scale());
        }
        for (side, levels) in [(&mut self.bids, &data.bids), (&mut self.asks, &data.asks)] {
            for level in levels {
                if level.qty.0.is_zero() {
                    side.remove(&level.price.0);
                } else {
                    side.insert(level.price.0, level.qty.0);
                }
            }
        }
        // The venue says nothing of levels that fall out of the depth.
        while self.bids.len() > DEPTH {
            self.bids.pop_first();
        }
        while self.asks.len() > DEPTH {
            self.asks.pop_last();
        }
    }

    fn checksum(&self) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        for (price, quantity) in self.asks.iter().chain(self.bids.iter().rev()) {
            for (number, scale) in [(price, self.price_scale), (quantity, self.quantity_scale)] {
                let mut number = *number;
                number.rescale(scale);
                crc.update(number.mantissa().to_string().as_bytes());
            }
        }
        crc.finalize()
    }
}

fn request(method: &str, symbols: &[String]) -> String {
    let params = serde_json::json!({ "channel": "book", "symbol": symbols, "depth": DEPTH });
    serde_json::json!({ "method": method, "params": params }).to_string()
}

#[derive(Debug, Default)]
struct Futures {
    newest: Newest,
}

#[derive(Deserialize)]
struct FuturesFrame {
    event: Option<String>,
    feed: Option<String>,
    message: Option<String>,
    reason: Option<String>,
    product_id: Option<String>,
    time: Option<u64>,
    bid: Option<Number>,
    ask: Option<Number>,
    last: Option<Number>,
}

impl Adapter for Futures {
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String> {
        self.newest = Newest::of(symbols);
        vec![serde_json::json!({ "event": "subscribe", "feed": "ticker", "product_ids": symbols })
            .to_string()]
    }

    fn heartbeat(&self) -> Option<Heartbeat> {
        Some(Heartbeat { every: Duration::from_secs(30), text: None })
    }

    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault> {
        let frame: FuturesFrame = parse(text)?;
        match (frame.event.as_deref(), frame.feed.as_deref(), frame.product_id) {
            (Some("error" | "alert" | "subscribed_failed"), _, _) => {
                Err(Fault::Refused(frame.message.or(frame.reason).unwrap_or_default()))
            }
            (None, Some("ticker"), Some(symbol)) => {
                if let Some(time_ms) = frame.time {
                    self.newest.check(&symbol, time_ms)?;
                }
                let price = |number: Option<Number>| number.map(|number| number.0);
                let prices = Prices {
                    bid: price(frame.bid),
                    ask: price(frame.ask),
                    last: price(frame.last),
                };
                quotes.push(Quote { symbol, prices, venue_time_ms: frame.time });
                Ok(())
            }
            (Some(_), _, _) | (None, Some(_), _) => Ok(()),
            (None, None, _) => Err(Fault::Malformed("neither a feed nor an event".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of the venue's guide.
    const GUIDE: &str = r#"{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USD",
        "bids":[{"price":45283.5,"qty":0.10000000},{"price":45283.4,"qty":1.54582015},{"price":45282.1,"qty":0.10000000},
        {"price":45281.0,"qty":0.10000000},{"price":45280.3,"qty":1.54592586},{"price":45279.0,"qty":0.07990000},
        {"price":45277.6,"qty":0.03310103},{"price":45277.5,"qty":0.30000000},{"price":45277.3,"qty":1.54602737},
        {"price":45276.6,"qty":0.15445238}],
        "asks":[{"price":45285.2,"qty":0.00100000},{"price":45286.4,"qty":1.54571953},{"price":45286.6,"qty":1.54571109},
        {"price":45289.6,"qty":1.54560911},{"price":45290.2,"qty":0.15890660},{"price":45291.8,"qty":1.54553491},
        {"price":45294.7,"qty":0.04454749},{"price":45296.1,"qty":0.35380000},{"price":45297.5,"qty":0.09945542},
        {"price":45299.5,"qty":0.18772827}],"checksum":3310070434}]}"#;

    fn read(text: &str) -> Result<Vec<Quote>, Fault> {
        let (mut adapter, mut quotes) = (Spot::default(), Vec::new());
        adapter.subscribe(&["BTC/USD".to_owned()]);
        adapter.read(text, &mut quotes).map(|()| quotes)
    }

    #[test]
    fn the_checksum_is_that_of_the_venues_guide() {
        let prices = read(GUIDE).unwrap()[0].prices;
        let price = |text: &str| Some(text.parse().unwrap());
        assert_eq!(prices, Prices { bid: price("45283.5"), ask: price("45285.2"), last: None });
    }

    #[test]
    fn one_digit_off_is_told() {
        let fault = read(&GUIDE.replace("0.15445238", "0.15445239")).unwrap_err();
        assert!(matches!(fault, Fault::Broken { .. }), "{fault}");
        assert!(fault.to_string().contains("the venue's 3310070434"), "{fault}");
    }

    #[test]
    fn digits_that_the_venue_leaves_out_are_those_of_the_pair() {
        // The same numbers, one in scientific notation, one without its zeros.
        let text = GUIDE.replace("0.00100000", "1e-3").replace("0.30000000", "0.3");
        assert!(read(&text).is_ok());
    }
}
