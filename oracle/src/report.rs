//! The prices that one validator reports in its vote extension, and their encoding.
//!
//! ```text
//! version   1 byte, 1
//! count     varint
//! count ×   tag       varint: gap·4 + 2·(has index) + (has external); gap = id − previous id − 1, first: id
//!           index     varint, if present
//!           external  varint, if present
//! ```
//! A price is the zigzag of its difference from a base, or the price itself where there is no base.
//! The base of an index price is the market's index that the caller names; that of an external
//! price is the index of the same entry, else the index that the caller names. The difference wraps
//! at 2⁶⁴, so every price has an encoding against every base. A varint is little-endian base 128 in
//! its shortest form. Every report has exactly one encoding against given bases.

use thiserror::Error;
use tidemark_proto::units::{MarketId, Ticks};

/// The version that [`encode`] writes and [`decode`] reads.
pub const VERSION: u8 = 1;

/// One validator's prices of one market. At least one of the two prices is there, and neither
/// is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceReport {
    /// The market.
    pub market: MarketId,
    /// Spot price in ticks, for the index.
    pub index_ticks: Option<Ticks>,
    /// Price of the perpetual on other venues in ticks, for the mark.
    pub external_ticks: Option<Ticks>,
}

/// One validator's report: market ids strictly ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// One entry a market.
    pub prices: Vec<PriceReport>,
}

/// Bounds on an encoded report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes.
    pub max_bytes: usize,
    /// Most markets.
    pub max_markets: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 1024, max_markets: 256 }
    }
}

/// Why a report has no encoding, or bytes are no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReportError {
    /// More bytes than the limit.
    #[error("report has {bytes} bytes, at most {max}")]
    TooLong {
        /// How many it has.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// More markets than the limit.
    #[error("report has {markets} markets, at most {max}")]
    TooManyMarkets {
        /// How many it has, or claims.
        markets: u64,
        /// The limit.
        max: usize,
    },
    /// Another version.
    #[error("report version is {version}, must be {VERSION}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The bytes end within a value.
    #[error("report ends at byte {at}, within a value")]
    Truncated {
        /// Where.
        at: usize,
    },
    /// A varint in more bytes than it needs, or beyond 64 bits.
    #[error("varint that ends at byte {at} is not the shortest form of a 64-bit number")]
    Varint {
        /// One past its last byte read.
        at: usize,
    },
    /// A market id beyond 16 bits.
    #[error("market id {id} is above 65535")]
    MarketId {
        /// The id.
        id: u64,
    },
    /// Ids that do not ascend.
    #[error("market {market} follows market {previous}, ids must ascend")]
    Unsorted {
        /// The id before.
        previous: MarketId,
        /// The offender.
        market: MarketId,
    },
    /// A price of 0.
    #[error("a price of market {market} is 0, at least 1 tick")]
    ZeroPrice {
        /// The market.
        market: MarketId,
    },
    /// An entry without a price.
    #[error("market {market} has neither index nor external price")]
    NoPrice {
        /// The market.
        market: MarketId,
    },
    /// Bytes after the last entry.
    #[error("{bytes} bytes follow the last entry, must be 0")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

const HAS_INDEX: u64 = 2;
const HAS_EXTERNAL: u64 = 1;

/// The encoding of `report`. `base` gives a market's index in ticks in the state that the extension
/// is made against, if it has one.
///
/// # Errors
/// [`ReportError`] when the report is not in the form that [`decode`] accepts, or passes a limit.
pub fn encode(
    report: &Report,
    base: &dyn Fn(MarketId) -> Option<Ticks>,
    limits: Limits,
) -> Result<Vec<u8>, ReportError> {
    check_markets(report.prices.len() as u64, limits)?;
    let mut out = vec![VERSION];
    put_varint(&mut out, report.prices.len() as u64);
    let mut previous = None;
    for entry in &report.prices {
        put_entry(&mut out, entry, previous, base)?;
        previous = Some(entry.market);
    }
    check_bytes(out.len(), limits)?;
    Ok(out)
}

/// So many markets fit a report of [`Limits::default`] whatever their ids and prices are: a tag
/// takes at most 3 bytes and each of the two prices 10, version and number of markets 3 together.
pub const ALWAYS_FITTING_MARKETS: u64 = (1_024 - 3) / (3 + 2 * 10);

/// The market whose turn is first at a height, of a chain with `markets` markets. The turns move by
/// [`ALWAYS_FITTING_MARKETS`] a block, so that each market is among those that fit at least once in
/// `markets / ALWAYS_FITTING_MARKETS` blocks, rounded up.
#[must_use]
pub fn first_in_turn(height: u64, markets: usize) -> MarketId {
    let markets = markets as u64;
    // Modulo `markets` first, so that the product cannot overflow.
    let turn = height.checked_rem(markets).unwrap_or(0).saturating_mul(ALWAYS_FITTING_MARKETS);
    let first = turn.checked_rem(markets).unwrap_or(0);
    MarketId::new(u16::try_from(first).unwrap_or_default())
}

/// The encoding of as much of `report` as the limits allow, and how many markets it leaves out:
/// the markets come in a circle by id from `first` on, and as many as fit are kept. Validators take
/// `first` from [`first_in_turn`], a rule of the chain: whichever markets each of them knows, all
/// keep the markets whose turn it is, and those get their quorum together.
///
/// # Errors
/// As [`encode`], but not for a passed limit, unless not even an empty report fits.
pub fn encode_fitting(
    report: &Report,
    base: &dyn Fn(MarketId) -> Option<Ticks>,
    limits: Limits,
    first: MarketId,
) -> Result<(Vec<u8>, usize), ReportError> {
    let all = report.prices.len();
    let mut in_turn = report.prices.clone();
    in_turn.rotate_left(report.prices.partition_point(|entry| entry.market < first));
    let encode_first = |count: usize| {
        let mut prices: Vec<_> = in_turn.iter().take(count).copied().collect();
        prices.sort_by_key(|entry| entry.market);
        encode(&Report { prices }, base, limits)
    };
    let passes_limit = |result: &Result<Vec<u8>, ReportError>| {
        matches!(result, Err(ReportError::TooLong { .. } | ReportError::TooManyMarkets { .. }))
    };
    let whole = encode_first(all);
    if !passes_limit(&whole) {
        return whole.map(|bytes| (bytes, 0));
    }
    // One more market always takes more bytes, also where its id splits a gap: `fits` is the most
    // that fit, `fails` the fewest known not to.
    let (mut fits, mut fails) = (0, all);
    while fails.saturating_sub(fits) > 1 {
        let middle = fits.midpoint(fails);
        if passes_limit(&encode_first(middle)) {
            fails = middle;
        } else {
            fits = middle;
        }
    }
    encode_first(fits).map(|bytes| (bytes, all.saturating_sub(fits)))
}

fn put_entry(
    out: &mut Vec<u8>,
    entry: &PriceReport,
    previous: Option<MarketId>,
    base: &dyn Fn(MarketId) -> Option<Ticks>,
) -> Result<(), ReportError> {
    check_entry(entry)?;
    let gap = match previous {
        None => u64::from(entry.market.get()),
        Some(before) if before < entry.market => {
            u64::from(entry.market.get().abs_diff(before.get())).saturating_sub(1)
        }
        Some(before) => {
            return Err(ReportError::Unsorted { previous: before, market: entry.market })
        }
    };
    let flags = if entry.index_ticks.is_some() { HAS_INDEX } else { 0 }
        | if entry.external_ticks.is_some() { HAS_EXTERNAL } else { 0 };
    put_varint(out, gap << 2 | flags);
    if let Some(index) = entry.index_ticks {
        put_varint(out, to_delta(index, base(entry.market)));
    }
    if let Some(external) = entry.external_ticks {
        put_varint(out, to_delta(external, entry.index_ticks.or_else(|| base(entry.market))));
    }
    Ok(())
}

/// The report in `bytes`, which may come from anyone. `base` is as in [`encode`], of the same
/// state.
///
/// # Errors
/// [`ReportError`], naming the bound and the offending value, for anything that [`encode`] would
/// not have written.
pub fn decode(
    bytes: &[u8],
    base: &dyn Fn(MarketId) -> Option<Ticks>,
    limits: Limits,
) -> Result<Report, ReportError> {
    check_bytes(bytes.len(), limits)?;
    let mut reader = Reader { bytes, at: 0 };
    let version = reader.byte()?;
    if version != VERSION {
        return Err(ReportError::Version { version });
    }
    let count = reader.varint()?;
    check_markets(count, limits)?;
    // An entry has two bytes at least, so a claimed count cannot make us reserve more than the
    // bytes can hold.
    let mut prices = Vec::with_capacity(bytes.len() / 2);
    let mut next_id = 0;
    for _ in 0..count {
        let entry = reader.entry(next_id, base)?;
        next_id = u64::from(entry.market.get()).saturating_add(1);
        prices.push(entry);
    }
    match bytes.len().saturating_sub(reader.at) {
        0 => Ok(Report { prices }),
        rest => Err(ReportError::Trailing { bytes: rest }),
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ReportError> {
        let byte =
            self.bytes.get(self.at).copied().ok_or(ReportError::Truncated { at: self.at })?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, ReportError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit; a last byte of 0 is a longer form of a shorter
            // number.
            let fits = shift < 63 || bits <= 1;
            let last = byte & 0x80 == 0;
            if !fits || (last && byte == 0 && shift > 0) {
                return Err(ReportError::Varint { at: self.at });
            }
            value |= bits << shift;
            if last {
                return Ok(value);
            }
        }
        Err(ReportError::Varint { at: self.at })
    }

    fn entry(
        &mut self,
        next_id: u64,
        base: &dyn Fn(MarketId) -> Option<Ticks>,
    ) -> Result<PriceReport, ReportError> {
        let tag = self.varint()?;
        // tag >> 2 is below 2⁶² and next_id at most 2¹⁶: the sum does not saturate.
        let id = next_id.saturating_add(tag >> 2);
        let market =
            u16::try_from(id).map(MarketId::new).map_err(|_| ReportError::MarketId { id })?;
        let mut entry = PriceReport { market, index_ticks: None, external_ticks: None };
        if tag & HAS_INDEX != 0 {
            entry.index_ticks = Some(from_delta(self.varint()?, base(market)));
        }
        if tag & HAS_EXTERNAL != 0 {
            let against = entry.index_ticks.or_else(|| base(market));
            entry.external_ticks = Some(from_delta(self.varint()?, against));
        }
        check_entry(&entry)?;
        Ok(entry)
    }
}

fn check_bytes(bytes: usize, limits: Limits) -> Result<(), ReportError> {
    if bytes > limits.max_bytes {
        return Err(ReportError::TooLong { bytes, max: limits.max_bytes });
    }
    Ok(())
}

fn check_markets(markets: u64, limits: Limits) -> Result<(), ReportError> {
    if markets > limits.max_markets as u64 {
        return Err(ReportError::TooManyMarkets { markets, max: limits.max_markets });
    }
    Ok(())
}

fn check_entry(entry: &PriceReport) -> Result<(), ReportError> {
    let market = entry.market;
    match (entry.index_ticks, entry.external_ticks) {
        (None, None) => Err(ReportError::NoPrice { market }),
        (Some(Ticks::ZERO), _) | (_, Some(Ticks::ZERO)) => Err(ReportError::ZeroPrice { market }),
        _ => Ok(()),
    }
}

#[expect(clippy::cast_possible_wrap, clippy::cast_sign_loss, reason = "bits, not a number")]
fn to_delta(price: Ticks, base: Option<Ticks>) -> u64 {
    base.map_or(price.get(), |base| {
        let difference = price.get().wrapping_sub(base.get()) as i64;
        (difference << 1 ^ difference >> 63) as u64
    })
}

fn from_delta(delta: u64, base: Option<Ticks>) -> Ticks {
    let difference = delta >> 1 ^ (delta & 1).wrapping_neg();
    Ticks::new(base.map_or(delta, |base| base.get().wrapping_add(difference)))
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

#[cfg(test)]
mod tests;
