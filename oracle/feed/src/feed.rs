//! The trait of a price source, and the way from its decimals to the report of a validator.

use rust_decimal::Decimal;
use thiserror::Error;
use tidemark_oracle::report::{PriceReport, Report};
use tidemark_proto::units::{MarketId, Ticks, TimeMs};

/// The last known prices of one market, in USDC per base unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPrice {
    /// The market's symbol, e.g. `BTC-USD`.
    pub symbol: String,
    /// Spot price.
    pub index: Option<Decimal>,
    /// Price of the perpetual on other venues.
    pub external: Option<Decimal>,
    /// For how long the source has been silent, in milliseconds of wall time: 0 while it is live.
    /// How long a live venue's last trade stands is the source's own rule.
    pub age_ms: u64,
}

/// A source of prices. It answers from memory, at once: what fetches prices does so elsewhere.
pub trait Feed: Send {
    /// The source's name in logs and metrics: `synthetic(seed=7)`, `replay(crash.csv.gz ×60)`.
    fn name(&self) -> String;

    /// The last known prices at wall time `now_ms` (Unix, milliseconds), one entry a market, in
    /// order of symbol.
    fn snapshot(&self, now_ms: u64) -> Vec<FeedPrice>;
}

/// Why a feed cannot start.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The file cannot be read.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// A line of the file is not what it should be.
    #[error("{file}, line {line}: {why}")]
    Line {
        /// The file.
        file: String,
        /// From 1, the header.
        line: u64,
        /// The bound and the offending value.
        why: String,
    },
    /// A setting out of its bounds.
    #[error("{0}")]
    Setting(String),
}

/// Why a decimal has no price in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TicksError {
    /// Zero, negative, or nearer to zero than to one tick.
    #[error("price {0} is below half a tick")]
    TooSmall(Decimal),
    /// Beyond 64 bits.
    #[error("price {0} is above 2^64 - 1 ticks")]
    TooLarge(Decimal),
    /// The tick is not a size.
    #[error("tick size is 0, at least 10^-9")]
    NoTick,
}

/// A price in USDC as ticks of `tick_size_e9` 10⁻⁹ USDC: the nearest, halves up.
///
/// # Errors
/// [`TicksError`] for a price below half a tick or above 2⁶⁴ − 1 ticks, and for a tick size of 0.
pub fn to_ticks(price: Decimal, tick_size_e9: u64) -> Result<Ticks, TicksError> {
    if tick_size_e9 == 0 {
        return Err(TicksError::NoTick);
    }
    let price = price.normalize();
    // A mantissa has 96 bits: ten digits more stay below 2¹²⁷.
    let mantissa = u128::try_from(price.mantissa()).map_err(|_| TicksError::TooSmall(price))?;
    let numerator = mantissa * 1_000_000_000;
    let denominator =
        10_u128.checked_pow(price.scale()).and_then(|unit| unit.checked_mul(tick_size_e9.into()));
    // A denominator beyond 2¹²⁸ is more than twice the numerator.
    let denominator = denominator.ok_or(TicksError::TooSmall(price))?;
    let (floor, rest) = (numerator / denominator, numerator % denominator);
    match u64::try_from(floor + u128::from(rest >= denominator - rest)) {
        Ok(0) => Err(TicksError::TooSmall(price)),
        Ok(ticks) => Ok(Ticks::new(ticks)),
        Err(_) => Err(TicksError::TooLarge(price)),
    }
}

/// A market as a report needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedMarket<'a> {
    /// Its id.
    pub id: MarketId,
    /// Its symbol, as feeds call it.
    pub symbol: &'a str,
    /// Its tick, in 10⁻⁹ USDC.
    pub tick_size_e9: u64,
    /// Longest silence of the source after which its prices are still reported.
    pub max_age_ms: TimeMs,
}

/// The report that `snapshot` gives for `markets`, each once, in any order. A market is left out
/// when the feed does not have it, when it has been silent for longer than `max_age_ms`, or when it
/// has no price in the market's ticks: silence is safer than an old price.
#[must_use]
pub fn to_report<'a>(
    snapshot: &[FeedPrice],
    markets: impl IntoIterator<Item = ReportedMarket<'a>>,
) -> Report {
    let entry = |market: ReportedMarket| {
        let known = snapshot.iter().find(|price| price.symbol == market.symbol)?;
        let ticks = |price: Option<Decimal>| to_ticks(price?, market.tick_size_e9).ok();
        let (index_ticks, external_ticks) = (ticks(known.index), ticks(known.external));
        let is_fresh = TimeMs::new(known.age_ms) <= market.max_age_ms;
        let speaks = is_fresh && index_ticks.or(external_ticks).is_some();
        speaks.then_some(PriceReport { market: market.id, index_ticks, external_ticks })
    };
    let mut prices: Vec<PriceReport> = markets.into_iter().filter_map(entry).collect();
    prices.sort_by_key(|price| price.market);
    Report { prices }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_price_becomes_the_nearest_tick() {
        for (usdc, tick_size_e9, ticks) in [
            ("117432.15", 100_000_000, Ok(1_174_322)),
            ("117432.149", 100_000_000, Ok(1_174_321)),
            ("0.24371", 1, Ok(243_710_000)),
            ("0.0000000005", 1, Ok(1)),
            ("0.00000000049", 1, Err(TicksError::TooSmall(price("0.00000000049")))),
            ("0", 1, Err(TicksError::TooSmall(price("0")))),
            ("-5", 1, Err(TicksError::TooSmall(price("-5")))),
            ("18446744073.709551615", 1, Ok(u64::MAX)),
            ("18446744073.709551616", 1, Err(TicksError::TooLarge(price("18446744073.709551616")))),
            ("79228162514264337593543950335", 1, Err(TicksError::TooLarge(Decimal::MAX))),
            (
                "0.0000000000000000000000000001",
                u64::MAX,
                Err(TicksError::TooSmall(Decimal::new(1, 28))),
            ),
            ("1", 0, Err(TicksError::NoTick)),
        ] {
            let got = to_ticks(price(usdc), tick_size_e9);
            assert_eq!(got, ticks.map(Ticks::new), "{usdc}");
        }
    }

    #[test]
    fn a_report_leaves_out_what_is_old_unknown_or_no_price() {
        let feed = |symbol: &str, index: &str, age_ms| FeedPrice {
            symbol: symbol.into(),
            index: Some(price(index)),
            external: None,
            age_ms,
        };
        let market = |id, symbol: &'static str| ReportedMarket {
            id: MarketId::new(id),
            symbol,
            tick_size_e9: 10_000_000,
            max_age_ms: TimeMs::new(5_000),
        };
        let snapshot = [
            feed("AAVE-USD", "259.75", 0),
            feed("BTC-USD", "117432.1", 5_001),
            feed("DUST-USD", "0.001", 0),
            feed("SOL-USD", "187.5", 5_000),
        ];
        let markets = [
            market(9, "AAVE-USD"),
            market(3, "SOL-USD"),
            market(0, "BTC-USD"),
            market(1, "DUST-USD"),
            market(2, "ETH-USD"),
        ];
        let report = to_report(&snapshot, markets);
        let entry = |id, ticks| PriceReport {
            market: MarketId::new(id),
            index_ticks: Some(Ticks::new(ticks)),
            external_ticks: None,
        };
        assert_eq!(report.prices, [entry(3, 18_750), entry(9, 25_975)]);
    }
}
