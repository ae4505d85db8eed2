//! `oracle.toml`: what the sidecar asks, and how it makes one price of the answers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::Deserialize;

use super::aggregate::Rules;
use crate::venues::{self, Kind, Venue};

/// The default configuration, which `tidemark-oracle init` writes.
pub const DEFAULT: &str = include_str!("../../../../deploy/oracle.toml");

/// Most markets.
pub const MAX_MARKETS: usize = 256;
/// Most bytes of a symbol.
pub const MAX_SYMBOL_BYTES: usize = 32;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where gRPC and metrics are served: on loopback.
    pub listen: SocketAddr,
    /// Between two messages to the node, in milliseconds.
    pub publish_ms: u64,
    /// From venues' prices to one.
    pub aggregation: Aggregation,
    /// Of venues' timestamps against the local clock.
    pub clock: ClockBounds,
    /// Of every connection.
    pub connection: ConnectionBounds,
    /// By name.
    pub venues: BTreeMap<String, VenueConfig>,
    /// In the order of the file.
    #[serde(rename = "market")]
    pub markets: Vec<MarketConfig>,
}

/// How venues' prices become one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregation {
    /// Oldest venue price that counts, in milliseconds.
    pub max_age_ms: u64,
    /// Fewest venues for a price.
    pub min_venues: u32,
    /// Furthest from the median, in parts per million.
    pub outlier_band_ppm: u32,
    /// Widest spread whose middle is a price, in parts per million of the bid.
    pub max_spread_ppm: u32,
}

/// How far a venue's timestamp may be from the local clock.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClockBounds {
    /// Furthest ahead, in milliseconds.
    pub max_ahead_ms: u64,
    /// Furthest behind, in milliseconds.
    pub max_behind_ms: u64,
}

/// Bounds of time and size of a connection.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionBounds {
    /// For TCP, TLS and the websocket handshake together, and for sending a frame, in milliseconds.
    pub timeout_ms: u64,
    /// Longest time without a quote, in milliseconds; then the connection is opened anew.
    pub silence_ms: u64,
    /// First pause before the next attempt, in milliseconds.
    pub backoff_min_ms: u64,
    /// Longest pause, in milliseconds.
    pub backoff_max_ms: u64,
    /// Largest message, in bytes.
    pub max_frame_bytes: u32,
    /// Most frames in a second.
    pub max_frames_per_second: u32,
}

/// One venue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VenueConfig {
    /// Of its price in the median.
    pub weight: u32,
    /// Its spot endpoint, if not the public one.
    pub spot_url: Option<String>,
    /// Its perpetuals' endpoint, if not the public one.
    pub perpetual_url: Option<String>,
    /// Certificates in PEM to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Between two heartbeats in milliseconds, if not the venue's.
    pub heartbeat_ms: Option<u64>,
}

/// One market.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarketConfig {
    /// Its symbol on the chain.
    pub symbol: String,
    /// Its spot markets, by venue.
    #[serde(default)]
    pub spot: BTreeMap<String, VenueMarket>,
    /// Its perpetuals, by venue.
    #[serde(default)]
    pub perpetual: BTreeMap<String, VenueMarket>,
    /// Instead of the aggregation's.
    pub min_venues: Option<u32>,
    /// Instead of the aggregation's.
    pub max_age_ms: Option<u64>,
}

/// A venue's market, and how its price becomes one in USDC. In the file the symbol alone, or a
/// table.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct VenueMarket {
    /// The venue's own name of it.
    pub symbol: String,
    /// The market here whose spot price is what the venue's quote currency is worth; a quote
    /// currency that counts as USDC has none.
    pub quote: Option<String>,
    /// True if the venue quotes the inverse: the price is 1 divided by the venue's.
    #[serde(default)]
    pub inverse: bool,
}

impl<'de> Deserialize<'de> for VenueMarket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SymbolOrTable;
        impl<'de> Visitor<'de> for SymbolOrTable {
            type Value = VenueMarket;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a venue's symbol, or a table of symbol, quote and inverse")
            }

            fn visit_str<E>(self, symbol: &str) -> Result<VenueMarket, E> {
                Ok(VenueMarket { symbol: symbol.to_owned(), quote: None, inverse: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<VenueMarket, A::Error> {
                // The derived one of all fields: `remote` keeps it from being the trait's.
                VenueMarket::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(SymbolOrTable)
    }
}

impl VenueConfig {
    /// Where its markets of `kind` are.
    #[must_use]
    pub fn url(&self, venue: &Venue, kind: Kind) -> String {
        let own = match kind {
            Kind::Spot => &self.spot_url,
            Kind::Perpetual => &self.perpetual_url,
        };
        own.clone().unwrap_or_else(|| (venue.urls)(kind).to_owned())
    }

    /// Checks the table `[venues.NAME]`.
    fn check(&self, name: &str) -> Result<(), String> {
        if venues::find(name).is_none() {
            let known: Vec<&str> = venues::VENUES.iter().map(|venue| venue.name).collect();
            return Err(format!(
                "venues.{name} is no venue that is known; these are: {}",
                known.join(", ")
            ));
        }
        within(&format!("venues.{name}.weight"), self.weight.into(), 1, 1_000)?;
        if let Some(heartbeat_ms) = self.heartbeat_ms {
            within(&format!("venues.{name}.heartbeat_ms"), heartbeat_ms, 10, 3_600_000)?;
        }
        for (key, url) in [("spot_url", &self.spot_url), ("perpetual_url", &self.perpetual_url)] {
            if let Some(url) = url.as_ref().filter(|url| !url.starts_with("wss://")) {
                return Err(format!("venues.{name}.{key} = {url:?} must begin with wss://"));
            }
        }
        Ok(())
    }
}

impl MarketConfig {
    /// Its markets, by venue.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &BTreeMap<String, VenueMarket> {
        match kind {
            Kind::Spot => &self.spot,
            Kind::Perpetual => &self.perpetual,
        }
    }
}

impl ConnectionBounds {
    /// [`Self::timeout_ms`].
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    /// [`Self::silence_ms`].
    #[must_use]
    pub fn silence(&self) -> Duration {
        Duration::from_millis(self.silence_ms)
    }
}

impl Config {
    /// Reads the file at `path`; a relative `ca_file` is looked for beside it.
    ///
    /// # Errors
    /// A sentence that names the file, the key, its bound and the value found.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("cannot read {}: {error}; `tidemark-oracle init` writes one", path.display())
        })?;
        let mut config =
            Self::from_text(&text).map_err(|why| format!("{}: {why}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for file in config.venues.values_mut().filter_map(|venue| venue.ca_file.as_mut()) {
            *file = folder.join(&file);
        }
        Ok(config)
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// A sentence that names the key, its bound and the value found, or the line of a syntax error.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let config: Self = toml_edit::de::from_str(text).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    /// The rules for one market's prices.
    #[must_use]
    pub fn rules(&self, market: &MarketConfig) -> Rules {
        Rules {
            max_age_ms: market.max_age_ms.unwrap_or(self.aggregation.max_age_ms),
            min_venues: market.min_venues.unwrap_or(self.aggregation.min_venues),
            outlier_band_ppm: self.aggregation.outlier_band_ppm,
        }
    }

    fn check(&self) -> Result<(), String> {
        if !self.listen.ip().is_loopback() {
            return Err(format!(
                "listen = {:?} is not on loopback: the node trusts what it is told there",
                self.listen.to_string()
            ));
        }
        self.check_bounds()?;
        for (name, venue) in &self.venues {
            venue.check(name)?;
        }
        self.check_markets()
    }

    /// Checks the figures that stand outside of the tables of venues and markets.
    fn check_bounds(&self) -> Result<(), String> {
        let Self { aggregation, clock, connection, .. } = self;
        let (venues, markets) = (venues::VENUES.len() as u64, self.markets.len() as u64);
        let frames_per_second = connection.max_frames_per_second.into();
        within("publish_ms", self.publish_ms, 20, 10_000)?;
        within("aggregation.max_age_ms", aggregation.max_age_ms, 100, 60_000)?;
        within("aggregation.min_venues", aggregation.min_venues.into(), 1, venues)?;
        within("aggregation.outlier_band_ppm", aggregation.outlier_band_ppm.into(), 100, 500_000)?;
        within("aggregation.max_spread_ppm", aggregation.max_spread_ppm.into(), 1, 500_000)?;
        within("clock.max_ahead_ms", clock.max_ahead_ms, 1, 60_000)?;
        within("clock.max_behind_ms", clock.max_behind_ms, 1, 600_000)?;
        within("connection.timeout_ms", connection.timeout_ms, 100, 120_000)?;
        within("connection.silence_ms", connection.silence_ms, 100, 3_600_000)?;
        let backoff_min_ms = connection.backoff_min_ms;
        within("connection.backoff_min_ms", backoff_min_ms, 1, 60_000)?;
        let backoff_max_ms = connection.backoff_max_ms;
        within("connection.backoff_max_ms", backoff_max_ms, backoff_min_ms, 3_600_000)?;
        within("connection.max_frame_bytes", connection.max_frame_bytes.into(), 4_096, 64 << 20)?;
        within("connection.max_frames_per_second", frames_per_second, 10, 1_000_000)?;
        within("the number of [[market]] tables", markets, 1, MAX_MARKETS as u64)
    }

    fn check_markets(&self) -> Result<(), String> {
        for (at, market) in self.markets.iter().enumerate() {
            let symbol = &market.symbol;
            check_symbol(&format!("symbol of [[market]] number {}", at + 1), symbol)?;
            if self.markets[..at].iter().any(|other| other.symbol == *symbol) {
                return Err(format!("market {symbol} is there twice"));
            }
            if market.spot.is_empty() && market.perpetual.is_empty() {
                return Err(format!("market {symbol} has neither spot nor perpetual"));
            }
            for kind in Kind::ALL {
                self.check_symbols(market, kind)?;
            }
        }
        for kind in Kind::ALL {
            let mut seen = BTreeMap::new();
            for market in &self.markets {
                for (venue, VenueMarket { symbol: name, .. }) in market.of(kind) {
                    if let Some(first) = seen.insert((venue, name), &market.symbol) {
                        return Err(format!(
                            "markets {first} and {} both take {kind} {name:?} of {venue}",
                            market.symbol
                        ));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_symbols(&self, market: &MarketConfig, kind: Kind) -> Result<(), String> {
        let (symbol, of_kind) = (&market.symbol, market.of(kind));
        for (venue, of) in of_kind {
            if !self.venues.contains_key(venue) {
                return Err(format!(
                    "market {symbol}: {kind} names venue {venue:?}, which [venues] does not have"
                ));
            }
            check_symbol(&format!("market {symbol}: {kind}.{venue}"), &of.symbol)?;
            self.check_quote(of)
                .map_err(|why| format!("market {symbol}: {kind}.{venue}: {why}"))?;
        }
        let Rules { min_venues, max_age_ms, .. } = self.rules(market);
        if !(100..=60_000).contains(&max_age_ms) {
            return Err(format!(
                "market {symbol}: max_age_ms = {max_age_ms}, must be 100 to 60000"
            ));
        }
        if min_venues == 0 {
            return Err(format!("market {symbol}: min_venues = 0, must be at least 1"));
        }
        if !of_kind.is_empty() && of_kind.len() < min_venues as usize {
            return Err(format!(
                "market {symbol}: {kind} has {} venue(s), but min_venues = {min_venues}: it would \
                 never have a price",
                of_kind.len()
            ));
        }
        Ok(())
    }

    /// A rate is the spot price of a market here whose venues' prices are not converted themselves.
    fn check_quote(&self, of: &VenueMarket) -> Result<(), String> {
        let Some(quote) = &of.quote else { return Ok(()) };
        let rate =
            self.markets.iter().find(|market| market.symbol == *quote && !market.spot.is_empty());
        let Some(rate) = rate else {
            return Err(format!("quote = {quote:?} is no [[market]] with spot venues"));
        };
        match rate.spot.iter().find(|(_, of)| of.quote.is_some()) {
            None => Ok(()),
            Some((venue, _)) => {
                Err(format!("quote = {quote:?}, but that market's spot.{venue} has a quote itself"))
            }
        }
    }
}

/// Checks that the figure `key` is `low` to `high`.
fn within(key: &str, value: u64, low: u64, high: u64) -> Result<(), String> {
    let fits = (low..=high).contains(&value);
    fits.then_some(()).ok_or_else(|| format!("{key} = {value}, must be {low} to {high}"))
}

fn check_symbol(what: &str, symbol: &str) -> Result<(), String> {
    let good = (1..=MAX_SYMBOL_BYTES).contains(&symbol.len())
        && symbol.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    good.then_some(()).ok_or_else(|| {
        format!(
            "{what} = {symbol:?}, must be 1 to {MAX_SYMBOL_BYTES} printable ASCII characters \
             without spaces"
        )
    })
}

#[cfg(test)]
mod tests;
