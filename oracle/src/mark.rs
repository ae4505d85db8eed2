//! The mark price of one market (rules §4.5).
//!
//! Index, external price and book have one say each: the mark is the median of the index, the
//! external perpetual price and `index·(1 + book)`; without an external price it is the last of
//! these. The book says the one nearer to 0 of two averages of its premium over the index, EMA₁₅₀ₛ
//! of `x` from the middle of its impact prices and EMA₃₀ₛ of `y` from the last trade between them;
//! 0 where their signs differ, and half of `mark_band` at most. So with an external price no book
//! moves the mark out of `[index, external]`, and without one a book below the impact notional
//! moves nothing.
//!
//! Samples are ratios to the index, clipped to `± mark_band` before they are averaged. A book
//! without the depth on both sides says "no premium", and so does every book while the index is
//! stale and for a while after a halt, since its quotes may be those of before (rules §4.10). The
//! book's price is rounded to the tick on the index's side: no rounding widens what a book may say.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::defence::Defence;
use tidemark_proto::units::{mul_div_floor, mul_div_trunc, NanoTicks, Ppb, Ppm, Ticks, TimeMs};

use crate::ema::Ema;
use crate::impact::Impact;

/// Time constant of the average of `x`.
pub const MIDDLE_TAU_MS: TimeMs = TimeMs::new(150_000);
/// Time constant of the average of `y`.
pub const TRADE_TAU_MS: TimeMs = TimeMs::new(30_000);

/// Age beyond which the last trade says nothing.
pub const MAX_TRADE_AGE_MS: TimeMs = TimeMs::new(600_000);

/// How long the book has no part in the mark after a halt or a stale index, in block time.
pub const BOOK_IGNORED_MS: TimeMs = TimeMs::new(150_000);

/// Age of an index, beyond which the next one is as after a halt.
pub const MAX_INDEX_GAP_MS: TimeMs = TimeMs::new(10_000);

/// A market's last trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct LastTrade {
    /// Its price.
    pub price_ticks: Ticks,
    /// Block time.
    pub time_ms: TimeMs,
}

/// Prices that a block fixes a market's mark from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkInputs {
    /// The last index, however old. Without one there is no mark.
    pub index_ticks: Option<Ticks>,
    /// True if the index is stale: the book then says nothing about a premium.
    pub index_is_stale: bool,
    /// Of each side the less favourable of the last two blocks' impact prices; `None` where a side
    /// of either lacked the depth.
    pub impact: Option<Impact>,
    /// The last trade.
    pub last_trade: Option<LastTrade>,
    /// External perpetual price, unless stale.
    pub external_ticks: Option<Ticks>,
    /// The market's `mark_band`.
    pub mark_band_ppm: Ppm,
}

/// A market's averages in the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MarkState {
    /// Of `x`, the premium of the middle of the impact prices.
    middle: Ema,
    /// Of `y`, the premium of the last trade between the impact prices.
    trade: Ema,
    /// Block time of the last update.
    time_ms: Option<TimeMs>,
    /// Block time from which the book has a part in the mark again.
    book_ignored_until_ms: TimeMs,
}

impl MarkState {
    /// Forgets the averages, and leaves the book out of the mark for [`BOOK_IGNORED_MS`] from
    /// `now_ms` on: its quotes may be those of before a halt.
    pub fn ignore_book(&mut self, now_ms: TimeMs) {
        (self.middle, self.trade) = (Ema::default(), Ema::default());
        self.book_ignored_until_ms = now_ms.saturating_add(BOOK_IGNORED_MS);
    }

    /// Takes the block's samples into the averages; before [`Self::mark_ticks`], once in every
    /// block. A block time that does not advance adds nothing.
    pub fn update(&mut self, inputs: &MarkInputs, now_ms: TimeMs) {
        let dt_ms = self.time_ms.map_or(TimeMs::ZERO, |time_ms| now_ms.saturating_sub(time_ms));
        let now_ms = self.time_ms.map_or(now_ms, |time_ms| time_ms.max(now_ms));
        self.time_ms = Some(now_ms);
        let is_ignored = now_ms < self.book_ignored_until_ms;
        let samples = if is_ignored { None } else { inputs.samples(now_ms) };
        let (middle, trade) = samples.unwrap_or_default();
        self.middle.update(middle, dt_ms, MIDDLE_TAU_MS);
        self.trade.update(trade, dt_ms, TRADE_TAU_MS);
    }

    /// The book's premium over the index, within half of `mark_band_ppm`.
    #[must_use]
    pub fn book_ppb(&self, mark_band_ppm: Ppm) -> Ppb {
        let (middle, trade) = (self.middle.average(), self.trade.average());
        let nearer = if middle.is_positive() && trade.is_positive() {
            middle.min(trade)
        } else if middle.is_negative() && trade.is_negative() {
            middle.max(trade)
        } else {
            Ppb::ZERO
        };
        if !Defence::Band.stands() {
            return nearer;
        }
        let half = half_band_ppb(mark_band_ppm);
        nearer.clamp(half.saturating_neg(), half)
    }

    /// The mark in ticks, within `index ± mark_band_ppm/2`. `None` when the market never had an
    /// index.
    #[must_use]
    pub fn mark_ticks(&self, inputs: &MarkInputs) -> Option<Ticks> {
        let index = inputs.index_ticks.filter(|index| !index.is_zero())?;
        let book_ppb = self.book_ppb(inputs.mark_band_ppm);
        let premium = mul_div_trunc(index.wide(), book_ppb.wide(), Ppb::ONE.wide())?;
        let book_ticks = to_ticks(index.wide().saturating_add(premium));
        let external = inputs.external_ticks;
        Some(external.map_or(book_ticks, |external| median3(index, external, book_ticks)))
    }
}

impl MarkInputs {
    /// `x` and `y`; `None` where the book says nothing.
    fn samples(&self, now_ms: TimeMs) -> Option<(Ppb, Ppb)> {
        let index = self.index_ticks.filter(|_| !self.index_is_stale)?;
        let Impact { bid, ask } = self.impact?;
        let band_ppb = band_ppb(self.mark_band_ppm);
        let clip = |ppb: i128| {
            let band = if Defence::Band.stands() { band_ppb.wide() } else { Ppb::ONE.wide() };
            i64::try_from(ppb.clamp(band.saturating_neg(), band)).ok().map(Ppb::new)
        };
        let middle = clip(premium_ppb(bid.checked_add(ask)?, 2, index)?)?;
        let is_young = |trade: &LastTrade| now_ms.saturating_sub(trade.time_ms) <= MAX_TRADE_AGE_MS;
        let trade = match self.last_trade.filter(is_young) {
            Some(trade) => {
                let between = NanoTicks::of(trade.price_ticks).max(bid).min(ask);
                clip(premium_ppb(between, 1, index)?)?
            }
            None => middle,
        };
        Some((middle, trade))
    }
}

/// `sum/(count·index) − 1` in 10⁻⁹, to nearest, halves up. `None` for an index of 0.
fn premium_ppb(sum: NanoTicks, count: i128, index_ticks: Ticks) -> Option<i128> {
    // 10⁻⁹ ticks over ticks are 10⁻⁹ already; twice the remainder decides.
    let base = index_ticks.wide().checked_mul(count)?;
    let excess = sum.get().checked_sub(base.checked_mul(NanoTicks::PER_TICK)?)?;
    mul_div_floor(excess.checked_mul(2)?.checked_add(base)?, 1, base.checked_mul(2)?)
}

/// A rate from 0 to 1 in 10⁻⁹; one outside is taken as the nearer of these.
fn band_ppb(band_ppm: Ppm) -> Ppb {
    Ppb::new(band_ppm.clamp(Ppm::ZERO, Ppm::ONE).get().saturating_mul(1_000))
}

/// Half of [`band_ppb`], exactly.
fn half_band_ppb(band_ppm: Ppm) -> Ppb {
    Ppb::new(band_ppm.clamp(Ppm::ZERO, Ppm::ONE).get().saturating_mul(500))
}

/// The band `price ± band_ppm` in ticks, rounded inwards: every price in it is within the exact
/// band. It holds `price` itself, and no price of 0. A rate outside 0 to 10⁶ is taken as the nearer
/// of these.
#[must_use]
#[expect(clippy::arithmetic_side_effects, reason = "a price times two rates is below 2⁸⁵")]
pub fn band_ticks(price_ticks: Ticks, band_ppm: Ppm) -> (Ticks, Ticks) {
    let price = price_ticks.max(Ticks::ONE).wide();
    let band = band_ppm.clamp(Ppm::ZERO, Ppm::ONE).wide();
    let inside = (price * band).div_euclid(Ppm::ONE.wide());
    (to_ticks(price - inside), to_ticks(price + inside))
}

/// The nearest price from 1 to 2⁶⁴ − 1.
fn to_ticks(value: i128) -> Ticks {
    u64::try_from(value.max(1)).map_or(Ticks::MAX, Ticks::new)
}

fn median3(a: Ticks, b: Ticks, c: Ticks) -> Ticks {
    a.min(b).max(a.max(b).min(c))
}

#[cfg(test)]
mod tests;
