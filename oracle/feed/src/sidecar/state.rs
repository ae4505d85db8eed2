//! The sidecar's knowledge: the last quote of each venue's market, and the state of each
//! connection.
//! Sessions write, the service reads; the last value wins, so nothing queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;

use super::aggregate::{aggregate, Outcome, Prices, Verdict, Voice};
use super::config::{ClockBounds, Config, MarketConfig};
use crate::venues::{self, Kind, Quote, Venue};

/// Highest price that is believed, in USDC.
const MAX_PRICE: Decimal = Decimal::from_parts(3_567_587_328, 232, 0, false, 0);

/// Digits of a converted price: more than any venue gives.
const CONVERTED_DIGITS: u32 = 12;

/// One venue's name of one market.
#[derive(Clone, Debug)]
pub struct Source {
    /// The venue's name in the configuration.
    pub venue: &'static str,
    /// The venue's name of the market.
    pub symbol: String,
    /// The venue's weight.
    pub weight: u32,
    /// The market, in order of symbol, whose spot price is the rate of its quote currency.
    rate: Option<usize>,
    /// True if the price is 1 divided by the venue's.
    inverse: bool,
}

/// Prices in USDC of the currencies in which venues quote, by market in order of symbol.
type Rates = BTreeMap<usize, Decimal>;

impl Source {
    /// Converts a price of the venue to USDC; `None` while the currency's rate is missing, or if
    /// the result is not a price.
    fn convert(&self, price: Decimal, rates: &Rates) -> Option<Decimal> {
        if self.rate.is_none() && !self.inverse {
            return Some(price);
        }
        let price = if self.inverse { Decimal::ONE.checked_div(price)? } else { price };
        let rate = self.rate.map_or(Some(Decimal::ONE), |market| rates.get(&market).copied())?;
        let converted = price.checked_mul(rate)?.round_sf(CONVERTED_DIGITS)?;
        (converted > Decimal::ZERO).then_some(converted)
    }
}

/// One connection to one venue.
#[derive(Clone, Debug)]
pub struct Link {
    /// The venue.
    pub venue: &'static Venue,
    /// The kind of the venue's markets.
    pub kind: Kind,
    /// The address of the websocket.
    pub url: String,
    /// The source of each symbol to which the link subscribes.
    sources: BTreeMap<String, usize>,
}

impl Link {
    /// The venue's names of the markets that it subscribes to, in order of the chain's symbol.
    #[must_use]
    pub fn symbols(&self) -> Vec<String> {
        let mut symbols: Vec<(&usize, &String)> =
            self.sources.iter().map(|(symbol, source)| (source, symbol)).collect();
        symbols.sort_unstable();
        symbols.into_iter().map(|(_, symbol)| symbol.clone()).collect()
    }
}

/// A quote and when it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedQuote {
    /// The venue's prices.
    pub prices: Prices,
    /// When, on the sidecar's monotonic clock.
    received_ms: u64,
    /// How old it was then by the venue's timestamp.
    lag_ms: u64,
}

impl ReceivedQuote {
    /// Its age at `now_ms` of the monotonic clock, in milliseconds: since it was received, and what
    /// the venue's timestamp says it took to come.
    #[must_use]
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.received_ms).saturating_add(self.lag_ms)
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// It is being opened.
    #[default]
    Connecting,
    /// It is open.
    Open,
    /// It broke, and waits.
    BackingOff,
}

/// The condition of a connection.
#[derive(Clone, Debug, Default)]
pub struct LinkReport {
    /// The connection's state.
    pub state: LinkState,
    /// Begin of that state, on the monotonic clock.
    pub since_ms: u64,
    /// Times opened.
    pub opened: u64,
    /// Times lost or not opened.
    pub lost: u64,
    /// The last error.
    pub last_error: String,
    /// Data frames.
    pub frames: u64,
    /// When the last frame of any sort came, on the monotonic clock.
    pub last_frame_ms: Option<u64>,
    /// Number of frames and quotes thrown away, by reason.
    pub refused: BTreeMap<&'static str, u64>,
}

/// One market's prices and what they are made of.
#[derive(Clone, Debug)]
pub struct MarketView<'a> {
    /// Which.
    pub kind: Kind,
    /// The result of the sources.
    pub outcome: Outcome,
    /// In the order of the outcome's verdicts.
    pub sources: Vec<SourceView<'a>>,
}

/// One venue's part in a market's price.
#[derive(Clone, Copy, Debug)]
pub struct SourceView<'a> {
    /// Which.
    pub source: &'a Source,
    /// The source's last quote.
    pub heard: Option<ReceivedQuote>,
    /// Its price in USDC.
    pub price: Option<Decimal>,
    /// The rate of its quote currency, where it is converted.
    pub rate: Option<Decimal>,
}

#[derive(Debug, Default)]
struct State {
    heard: Vec<Option<ReceivedQuote>>,
    links: Vec<LinkReport>,
}

/// The configuration and everything that is known.
#[derive(Debug)]
pub struct Sidecar {
    config: Config,
    sources: Vec<Source>,
    /// The sources of each market, in order of symbol, by kind.
    markets: Vec<[Vec<usize>; 2]>,
    links: Vec<Link>,
    /// The markets, in order of symbol, whose spot prices are rates.
    rates: BTreeSet<usize>,
    start: Instant,
    state: Mutex<State>,
}

impl Sidecar {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config.markets.sort_by(|a, b| a.symbol.cmp(&b.symbol));
        let (mut sources, mut links) = (Vec::new(), Vec::<Link>::new());
        let named =
            |symbol: &String| config.markets.iter().position(|market| market.symbol == *symbol);
        let mut markets = vec![[Vec::new(), Vec::new()]; config.markets.len()];
        for (name, venue_config) in &config.venues {
            // The configuration was checked: every venue is known.
            let Some(venue) = venues::find(name) else { continue };
            for kind in Kind::ALL {
                let mut of_link = BTreeMap::new();
                for (market, of_market) in config.markets.iter().zip(&mut markets) {
                    let Some(of) = market.of(kind).get(name) else { continue };
                    of_market[kind as usize].push(sources.len());
                    of_link.insert(of.symbol.clone(), sources.len());
                    sources.push(Source {
                        venue: venue.name,
                        symbol: of.symbol.clone(),
                        weight: venue_config.weight,
                        rate: of.quote.as_ref().and_then(named),
                        inverse: of.inverse,
                    });
                }
                if !of_link.is_empty() {
                    links.push(Link {
                        venue,
                        kind,
                        url: venue_config.url(venue, kind),
                        sources: of_link,
                    });
                }
            }
        }
        let state = State {
            heard: vec![None; sources.len()],
            links: vec![LinkReport::default(); links.len()],
        };
        let rates = sources.iter().filter_map(|source| source.rate).collect();
        Self {
            config,
            sources,
            markets,
            links,
            rates,
            start: Instant::now(),
            state: Mutex::new(state),
        }
    }

    /// The configuration, markets in order of symbol.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Every connection to be held.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The monotonic clock: milliseconds since the start.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How each connection does, in the order of [`Self::links`].
    #[must_use]
    pub fn reports(&self) -> Vec<LinkReport> {
        self.state().links.clone()
    }

    /// Changes the report of a connection.
    pub(super) fn report<R>(&self, link: usize, change: impl FnOnce(&mut LinkReport) -> R) -> R {
        change(&mut self.state().links[link])
    }

    /// Takes a quote that came on a connection at wall time `wall_ms`.
    ///
    /// # Errors
    /// The reason why it is thrown away.
    pub(super) fn take(
        &self,
        link: usize,
        quote: &Quote,
        wall_ms: u64,
    ) -> Result<(), &'static str> {
        let source = *self.links[link].sources.get(&quote.symbol).ok_or("unknown_symbol")?;
        let Prices { bid, ask, last } = quote.prices;
        if [bid, ask, last]
            .into_iter()
            .flatten()
            .any(|price| price <= Decimal::ZERO || price > MAX_PRICE)
        {
            return Err("bad_price");
        }
        let lag_ms = lag(quote.venue_time_ms, wall_ms, self.config.clock)?;
        let heard = ReceivedQuote { prices: quote.prices, received_ms: self.now_ms(), lag_ms };
        self.state().heard[source] = Some(heard);
        Ok(())
    }

    /// Forgets what a connection said of `symbol`, or of all of its markets.
    pub(super) fn forget(&self, link: usize, symbol: Option<&str>) {
        let mut state = self.state();
        for (name, source) in &self.links[link].sources {
            if symbol.is_none_or(|symbol| symbol == name) {
                state.heard[*source] = None;
            }
        }
    }

    /// Every market with its spot and perpetual prices now, in order of symbol.
    #[must_use]
    pub fn view(&self) -> Vec<(&MarketConfig, [MarketView<'_>; 2])> {
        let heard = self.state().heard.clone();
        let now_ms = self.now_ms();
        // The configuration was checked: no rate needs another.
        let rate = |&market: &usize| {
            let view = self.market_view(market, Kind::Spot, &heard, now_ms, &Rates::new());
            Some((market, view.outcome.price.ok()?.price))
        };
        let rates: Rates = self.rates.iter().filter_map(rate).collect();
        let markets = self.config.markets.iter().enumerate();
        markets
            .map(|(at, market)| {
                (market, Kind::ALL.map(|kind| self.market_view(at, kind, &heard, now_ms, &rates)))
            })
            .collect()
    }

    fn market_view(
        &self,
        market: usize,
        kind: Kind,
        heard: &[Option<ReceivedQuote>],
        now_ms: u64,
        rates: &Rates,
    ) -> MarketView<'_> {
        let own = |heard: Option<ReceivedQuote>| {
            heard?.prices.price(self.config.aggregation.max_spread_ppm)
        };
        let view = |&at: &usize| {
            let (source, heard) = (&self.sources[at], heard[at]);
            let price = own(heard).and_then(|price| source.convert(price, rates));
            SourceView {
                source,
                heard,
                price,
                rate: source.rate.and_then(|market| rates.get(&market).copied()),
            }
        };
        let sources: Vec<SourceView> =
            self.markets[market][kind as usize].iter().map(view).collect();
        let voices: Vec<Voice> = sources
            .iter()
            .map(|of| Voice {
                said: of.heard.map(|heard| (of.price, heard.age_ms(now_ms))),
                weight: of.source.weight,
            })
            .collect();
        let mut outcome = aggregate(&voices, self.config.rules(&self.config.markets[market]));
        for (of, verdict) in sources.iter().zip(&mut outcome.verdicts) {
            let lacks_rate = of.source.rate.is_some() && of.rate.is_none();
            if *verdict == Verdict::Unusable && lacks_rate && own(of.heard).is_some() {
                *verdict = Verdict::NoRate;
            }
        }
        MarketView { kind, outcome, sources }
    }
}

/// How old a price with the venue's time `venue_time_ms` is at wall time `wall_ms`: 0 where the
/// venue gives no time, or one that is ahead within the bound.
fn lag(venue_time_ms: Option<u64>, wall_ms: u64, bounds: ClockBounds) -> Result<u64, &'static str> {
    let Some(venue_time_ms) = venue_time_ms else { return Ok(0) };
    if venue_time_ms.saturating_sub(wall_ms) > bounds.max_ahead_ms {
        return Err("clock_ahead");
    }
    let lag_ms = wall_ms.saturating_sub(venue_time_ms);
    if lag_ms > bounds.max_behind_ms {
        return Err("clock_behind");
    }
    Ok(lag_ms)
}

/// This machine's clock, Unix time in milliseconds.
#[must_use]
pub fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
