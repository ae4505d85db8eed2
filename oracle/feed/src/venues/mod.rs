//! The protocol of each venue's public websocket: one file a venue, and one line in [`VENUES`].
//!
//! An adapter is the protocol without the socket: it says what to send and reads what came. It
//! never panics on what a venue sends. Connecting, time-outs, clocks and counters are the same for
//! all, in [`crate::sidecar::session`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;
use serde::de::{Deserialize, Deserializer, Error as _};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

use crate::sidecar::aggregate::Prices;

mod binance;
mod bybit;
mod coinbase;
mod gate;
mod kraken;
mod okx;

/// Which of a venue's markets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Spot, for the index.
    Spot,
    /// The perpetual, for the external mark.
    Perpetual,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spot, Self::Perpetual];

    /// The word for it in configuration, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::Perpetual => "perpetual",
        }
    }
}

/// A venue that we can speak to.
#[derive(Clone, Copy, Debug)]
pub struct Venue {
    /// Its name in the configuration.
    pub name: &'static str,
    /// Its public endpoint for each kind.
    pub urls: fn(Kind) -> &'static str,
    /// A fresh adapter for one connection.
    pub adapter: fn(Kind) -> Box<dyn Adapter>,
}

/// Every venue, in order of name.
pub const VENUES: &[Venue] =
    &[binance::VENUE, bybit::VENUE, coinbase::VENUE, gate::VENUE, kraken::VENUE, okx::VENUE];

/// The venue called `name`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Venue> {
    VENUES.iter().find(|venue| venue.name == name)
}

/// The protocol of one connection to one venue.
pub trait Adapter: Send {
    /// The text frames that subscribe to the venue's markets `symbols`.
    fn subscribe(&mut self, symbols: &[String]) -> Vec<String>;

    /// The frame that keeps the connection open now, beyond the answers to the venue's pings that
    /// the websocket gives by itself.
    fn heartbeat(&self) -> Option<Heartbeat>;

    /// Reads one text frame; adds the quotes that it holds to `quotes`.
    ///
    /// # Errors
    /// [`Fault`]; the quotes added before stand.
    fn read(&mut self, text: &str, quotes: &mut Vec<Quote>) -> Result<(), Fault>;
}

/// A frame to send when nothing else is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often.
    pub every: Duration,
    /// A text frame; `None` is a websocket ping.
    pub text: Option<String>,
}

/// A venue's quote of one market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The venue's name of the market.
    pub symbol: String,
    /// Its prices, which replace the last ones.
    pub prices: Prices,
    /// The venue's time of them, Unix time in milliseconds, where it gives one.
    pub venue_time_ms: Option<u64>,
}

/// The fault of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The frame is not as the venue documents it, and is dropped.
    Malformed(String),
    /// The frame is older than one before it, and is dropped.
    OutOfOrder,
    /// The venue refused a subscription. The other subscriptions go on; an operator must check the
    /// symbols.
    Refused(String),
    /// Frames of `symbol` are missing or its checksum is wrong: its price is forgotten, and `send`
    /// asks for it anew.
    Broken {
        /// The venue's name of the market.
        symbol: String,
        /// The finding.
        why: String,
        /// Text frames that subscribe to it anew.
        send: Vec<String>,
    },
    /// Frames are missing, of which markets is not known: every price of the connection is
    /// forgotten, and it is opened anew.
    Gap(String),
    /// The venue says that it will close the connection, which is opened anew.
    Closing(String),
}

/// The order of frames by a number that never falls: a lower one is late.
#[derive(Clone, Debug, Default)]
struct Newest(std::collections::BTreeMap<String, u64>);

impl Newest {
    /// Takes note of `number`.
    fn check(&mut self, symbol: &str, number: u64) -> Result<(), Fault> {
        match self.0.get_mut(symbol) {
            Some(newest) if number < *newest => Err(Fault::OutOfOrder),
            Some(newest) => {
                *newest = number;
                Ok(())
            }
            // Only symbols that were asked for are kept: a venue cannot make the map grow.
            None => Ok(()),
        }
    }

    /// Lets the numbers of `symbol` begin again.
    fn restart(&mut self, symbol: &str) {
        if let Some(newest) = self.0.get_mut(symbol) {
            *newest = 0;
        }
    }

    /// Starts with `symbols`.
    fn of(symbols: &[String]) -> Self {
        Self(symbols.iter().map(|symbol| (symbol.clone(), 0)).collect())
    }
}

/// The frame as `T`.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Malformed(error.to_string()))
}

/// A decimal out of a JSON string or number, digit by digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number(Decimal);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&serde_json::value::RawValue>::deserialize(deserializer)?.get();
        // Digits have no escapes, so the text between the quotes is the string.
        let text = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(raw);
        decimal(text).map(Self).map_err(D::Error::custom)
    }
}

/// A decimal with or without an exponent. The digits after the point are kept, zeros too.
fn decimal(text: &str) -> Result<Decimal, String> {
    let number = if text.contains(['e', 'E']) {
        Decimal::from_scientific(text)
    } else {
        Decimal::from_str(text)
    };
    number.map_err(|error| format!("{text:?} is no decimal: {error}"))
}

/// A time in RFC 3339 as Unix time in milliseconds.
fn rfc3339_ms(text: &str) -> Result<u64, Fault> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let time_ms = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
    time_ms.ok_or_else(|| Fault::Malformed(format!("time {text:?} is not in RFC 3339")))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "malformed frame: {why}"),
            Self::OutOfOrder => f.write_str("frame older than one before"),
            Self::Refused(why) => write!(f, "the venue refused a subscription: {why}"),
            Self::Broken { symbol, why, .. } => write!(f, "{symbol}: {why}"),
            Self::Gap(why) => write!(f, "frames are missing: {why}"),
            Self::Closing(why) => write!(f, "the venue closes the connection: {why}"),
        }
    }
}
