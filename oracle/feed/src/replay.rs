//! A recorded price history, played back.
//!
//! Reads CSV, gzipped when the name ends in `.gz`, with one of two headers: `time_ms,market,price`,
//! or `time_ms,venue,symbol,price`. A symbol is a market's (`BTC-USD`), the same without its dash
//! (`BTCUSD`), or either with `_PERP`: a perpetual, which gives the external price.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rust_decimal::Decimal;

use crate::{Feed, FeedError, FeedPrice};

/// Longest line, in bytes.
pub const MAX_LINE_BYTES: usize = 256;
/// Longest file once unpacked, in bytes.
pub const MAX_FILE_BYTES: u64 = 512 << 20;
/// Most lines.
pub const MAX_LINES: u64 = 10_000_000;
/// Most pairs of venue and symbol.
pub const MAX_SERIES: usize = 1_024;
/// Latest time of a row: the year 33658.
pub const MAX_TIME_MS: u64 = 1_000_000_000_000_000;
/// Age in replay time up to which a venue's last price counts.
pub const MAX_VENUE_AGE_MS: u64 = 60_000;

/// How a history is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playback {
    /// Wall time (Unix, milliseconds) at which the first row plays. Validators that are to agree
    /// share it.
    pub start_at_ms: u64,
    /// Milliseconds of history per millisecond of wall time, 1 to 10 000.
    pub speed: u64,
    /// True if the file begins again after its last row. Otherwise the last prices stay, and age.
    pub looped: bool,
}

/// One price and its time in the history.
type Row = (u64, Decimal);

#[derive(Debug, Default)]
struct Market {
    /// One series a spot venue, in order of time.
    spot: Vec<Vec<Row>>,
    /// One series a venue's perpetual, in order of time.
    perps: Vec<Vec<Row>>,
}

/// A history in memory, and the clock that plays it.
#[derive(Debug)]
pub struct Replay {
    name: String,
    markets: BTreeMap<String, Market>,
    first_ms: u64,
    last_ms: u64,
    playback: Playback,
}

impl Replay {
    /// Loads `path` whole.
    ///
    /// # Errors
    /// [`FeedError`]: a file that cannot be read or passes a bound, a malformed line with its
    /// number, a speed out of bounds.
    pub fn open(path: &Path, playback: Playback) -> Result<Self, FeedError> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let opened =
            File::open(path).map_err(|source| FeedError::Io { file: file.clone(), source })?;
        if file.ends_with(".gz") {
            Self::read(&file, MultiGzDecoder::new(BufReader::new(opened)), playback)
        } else {
            Self::read(&file, opened, playback)
        }
    }

    /// Loads CSV text from `source`, called `file` in names and errors.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn read(file: &str, source: impl Read, playback: Playback) -> Result<Self, FeedError> {
        if !(1..=10_000).contains(&playback.speed) {
            return Err(FeedError::Setting(format!(
                "replay speed is {}, must be 1 to 10000",
                playback.speed
            )));
        }
        let series = Lines::new(file, source).series()?;
        let times = || series.values().flatten().map(|(time_ms, _)| *time_ms);
        let (Some(first_ms), Some(last_ms)) = (times().min(), times().max()) else {
            return Err(FeedError::Setting(format!("{file} has no prices")));
        };
        let mut markets = BTreeMap::<String, Market>::new();
        for ((market, perp, _venue), mut rows) in series {
            // Stable: of two rows at one time the later in the file counts.
            rows.sort_by_key(|(time_ms, _)| *time_ms);
            let market = markets.entry(market).or_default();
            if perp {
                market.perps.push(rows)
            } else {
                market.spot.push(rows)
            }
        }
        let name = format!("replay({file} ×{})", playback.speed);
        Ok(Self { name, markets, first_ms, last_ms, playback })
    }

    /// How long one pass takes, in milliseconds of wall time.
    #[must_use]
    pub fn length_ms(&self) -> u64 {
        (self.last_ms - self.first_ms) / self.playback.speed
    }

    /// The time in the history at wall time `now_ms`, and for how long, in wall time, it has been
    /// over.
    fn history_time(&self, now_ms: u64) -> (u64, u64) {
        let played_ms =
            now_ms.saturating_sub(self.playback.start_at_ms).saturating_mul(self.playback.speed);
        let length_ms = self.last_ms - self.first_ms;
        if self.playback.looped {
            return (self.first_ms + played_ms % (length_ms + 1), 0);
        }
        (
            self.first_ms + played_ms.min(length_ms),
            played_ms.saturating_sub(length_ms) / self.playback.speed,
        )
    }
}

impl Feed for Replay {
    fn name(&self) -> String {
        self.name.clone()
    }

    /// A market's index is the median over venues of each one's last price, if not older than
    /// [`MAX_VENUE_AGE_MS`] of history; its external price is the same over perpetuals. After the
    /// end the last prices stay, and their age is the time since.
    fn snapshot(&self, now_ms: u64) -> Vec<FeedPrice> {
        let (time_ms, over_ms) = self.history_time(now_ms);
        let price = |(symbol, market): (&String, &Market)| {
            let (index, external) =
                (consensus(&market.spot, time_ms), consensus(&market.perps, time_ms));
            FeedPrice { symbol: symbol.clone(), index, external, age_ms: over_ms }
        };
        self.markets.iter().map(price).collect()
    }
}

/// The median of the venues' last prices at `time_ms`, of those that are not too old.
fn consensus(venues: &[Vec<Row>], time_ms: u64) -> Option<Decimal> {
    let last = |rows: &Vec<Row>| {
        let after = rows.partition_point(|(at_ms, _)| *at_ms <= time_ms);
        let (at_ms, price) = rows[..after].last()?;
        (time_ms - at_ms <= MAX_VENUE_AGE_MS).then_some(*price)
    };
    let mut prices: Vec<Decimal> = venues.iter().filter_map(last).collect();
    prices.sort_unstable();
    let (low, high) =
        (prices.get(prices.len().checked_sub(1)? / 2)?, prices.get(prices.len() / 2)?);
    // The sum of two prices near the largest decimal would overflow.
    Some(low + (high - low) / Decimal::TWO)
}

/// Market, whether a perpetual, venue.
type SeriesKey = (String, bool, String);

/// Reads lines within the bounds, counting them.
struct Lines<'a, R: Read> {
    file: &'a str,
    source: BufReader<std::io::Take<R>>,
    line: u64,
}

impl<'a, R: Read> Lines<'a, R> {
    fn new(file: &'a str, source: R) -> Self {
        Self { file, source: BufReader::new(source.take(MAX_FILE_BYTES)), line: 0 }
    }

    fn error(&self, why: impl Into<String>) -> FeedError {
        FeedError::Line { file: self.file.to_owned(), line: self.line, why: why.into() }
    }

    /// The next line without its end, or `None` after the last.
    fn next(&mut self) -> Result<Option<String>, FeedError> {
        self.line += 1;
        if self.line > MAX_LINES {
            return Err(self.error(format!("more than {MAX_LINES} lines")));
        }
        let mut bytes = Vec::new();
        let read =
            self.source.by_ref().take(MAX_LINE_BYTES as u64 + 1).read_until(b'\n', &mut bytes);
        read.map_err(|source| FeedError::Io { file: self.file.to_owned(), source })?;
        if bytes.len() > MAX_LINE_BYTES {
            return Err(self.error(format!("longer than {MAX_LINE_BYTES} bytes")));
        }
        if bytes.is_empty() {
            return match self.source.get_ref().limit() {
                0 => Err(self.error(format!("the file is longer than {MAX_FILE_BYTES} bytes"))),
                _ => Ok(None),
            };
        }
        let text = String::from_utf8(bytes).map_err(|_| self.error("is not UTF-8"))?;
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// All rows by series, in the order of the file.
    fn series(mut self) -> Result<BTreeMap<SeriesKey, Vec<Row>>, FeedError> {
        let header = self.next()?;
        let with_venue = match header.as_deref() {
            Some("time_ms,market,price") => false,
            Some("time_ms,venue,symbol,price") => true,
            other => {
                return Err(self.error(format!("header {other:?} is neither of the two known")))
            }
        };
        let mut series = BTreeMap::<SeriesKey, Vec<Row>>::new();
        while let Some(line) = self.next()? {
            let (key, row) = parse_row(&line, with_venue).map_err(|why| self.error(why))?;
            if series.len() == MAX_SERIES && !series.contains_key(&key) {
                return Err(self.error(format!("more than {MAX_SERIES} pairs of venue and symbol")));
            }
            series.entry(key).or_default().push(row);
        }
        Ok(series)
    }
}

fn parse_row(line: &str, with_venue: bool) -> Result<(SeriesKey, Row), String> {
    let fields: Vec<&str> = line.split(',').collect();
    let (time, venue, symbol, price) = match (fields.as_slice(), with_venue) {
        (&[time, market, price], false) => (time, "", market, price),
        (&[time, venue, symbol, price], true) => (time, venue, symbol, price),
        _ => {
            return Err(format!("{} fields, must be {}", fields.len(), 3 + usize::from(with_venue)))
        }
    };
    let time_ms = time.parse::<u64>().map_err(|e| format!("time_ms {time:?}: {e}"))?;
    if time_ms > MAX_TIME_MS {
        return Err(format!("time_ms {time_ms}, at most {MAX_TIME_MS}"));
    }
    let (market, perp) = market_of(symbol).ok_or_else(|| {
        format!("symbol {symbol:?} is not a market in USD such as BTC-USD, BTCUSD, BTCUSD_PERP")
    })?;
    let price_usdc = price.parse::<Decimal>().map_err(|e| format!("price {price:?}: {e}"))?;
    if price_usdc <= Decimal::ZERO {
        return Err(format!("price {price} must be above 0"));
    }
    Ok(((market, perp, venue.to_owned()), (time_ms, price_usdc)))
}

/// The market that a venue's symbol stands for, and whether it is its perpetual.
fn market_of(symbol: &str) -> Option<(String, bool)> {
    let (pair, perp) = symbol.strip_suffix("_PERP").map_or((symbol, false), |pair| (pair, true));
    let base = pair.strip_suffix("-USD").or_else(|| pair.strip_suffix("USD"))?;
    let good =
        !base.is_empty() && base.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    good.then(|| (format!("{base}-USD"), perp))
}

#[cfg(test)]
mod tests;
