//! The mark price of one market (rules §4.5).
//!
//! Median of (a) `index + EMA₁₅₀ₛ(mid − index)`, (b) `median(best bid, best ask, last)`, (c) the
//! external perpetual price; with two of them, `EMA₃₀ₛ` of (b) is the third; with one, that one.
//! Clamped to `index ± mark_band`.
//!
//! Where the rule is silent: (b) and the mid need both sides of the book, since one order would
//! make them otherwise; before the first trade (b) is the mid. A premium never sampled, or long
//! ago, is 0, so that a market without a book has its index for a mark and can begin. Where two
//! prices have no average for a third, the index is the third: one venue alone does not move the
//! mark. For a while after a halt or a stale index the book has no part in the mark, since its
//! quotes may be those of before (rules §4.10). No side of a trade gains from a mark's rounding, so
//! every division rounds to the nearest tick, halves up; the clamp rounds towards the index.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Ppm, Ticks, TimeMs};

use crate::ema::Ema;

/// Time constant of the average of `mid − index`.
pub const PREMIUM_TAU_MS: TimeMs = TimeMs::new(150_000);
/// Time constant of the average of (b).
pub const BOOK_TAU_MS: TimeMs = TimeMs::new(30_000);

/// How long the book has no part in the mark after a halt or a stale index, in block time.
pub const BOOK_IGNORED_MS: TimeMs = TimeMs::new(150_000);

/// Age of an index, beyond which the next one is as after a halt.
pub const MAX_INDEX_GAP_MS: TimeMs = TimeMs::new(10_000);

/// Prices that a block fixes a market's mark from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkInputs {
    /// The last index, however old. Without one there is no mark.
    pub index_ticks: Option<Ticks>,
    /// True if the index is stale: `mid − index` is then no sample of a premium.
    pub index_is_stale: bool,
    /// Best bid after the block before.
    pub best_bid_ticks: Option<Ticks>,
    /// Best ask after the block before.
    pub best_ask_ticks: Option<Ticks>,
    /// Price of the last trade.
    pub last_ticks: Option<Ticks>,
    /// External perpetual price, unless stale.
    pub external_ticks: Option<Ticks>,
}

impl MarkInputs {
    /// Best bid plus best ask: twice the mid.
    fn double_mid(&self) -> Option<i128> {
        self.best_bid_ticks?.wide().checked_add(self.best_ask_ticks?.wide())
    }

    /// These prices with a book whose every price is the index: it says nothing about a premium.
    fn without_book(self) -> Self {
        Self {
            best_bid_ticks: self.index_ticks,
            best_ask_ticks: self.index_ticks,
            last_ticks: self.index_ticks,
            ..self
        }
    }

    /// Price (b) in ticks.
    fn book_ticks(&self) -> Option<Ticks> {
        match (self.best_bid_ticks?, self.best_ask_ticks?, self.last_ticks) {
            (bid, ask, Some(last)) => Some(median3(bid, ask, last)),
            (bid, ask, None) => Some(middle(bid, ask)),
        }
    }
}

/// A market's averages in the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MarkState {
    /// Of `2·(mid − index)`, in half ticks.
    premium: Ema,
    /// Of (b), in ticks.
    book: Ema,
    /// Block time of the last update.
    time_ms: Option<TimeMs>,
    /// Block time from which the book has a part in the mark again.
    book_ignored_until_ms: TimeMs,
}

impl MarkState {
    /// Forgets the averages, and leaves the book out of the mark for [`BOOK_IGNORED_MS`] from
    /// `now_ms` on: its quotes may be those of before a halt. The averages begin anew, with no
    /// premium.
    pub fn ignore_book(&mut self, now_ms: TimeMs) {
        (self.premium, self.book) = (Ema::default(), Ema::default());
        self.book_ignored_until_ms = now_ms.saturating_add(BOOK_IGNORED_MS);
    }

    /// The prices that count at the last update.
    fn counted(&self, inputs: &MarkInputs) -> MarkInputs {
        let is_ignored = self.time_ms.is_some_and(|now_ms| now_ms < self.book_ignored_until_ms);
        if is_ignored {
            inputs.without_book()
        } else {
            *inputs
        }
    }

    /// Takes the block's samples into the averages; before [`Self::mark_ticks`], once in every
    /// block. A price that is missing is no sample. A block time that does not advance adds
    /// nothing.
    pub fn update(&mut self, inputs: &MarkInputs, now_ms: TimeMs) {
        let dt_ms = self.time_ms.map_or(TimeMs::ZERO, |time_ms| now_ms.saturating_sub(time_ms));
        self.time_ms = Some(self.time_ms.map_or(now_ms, |time_ms| time_ms.max(now_ms)));
        let inputs = self.counted(inputs);
        let index = inputs.index_ticks.filter(|_| !inputs.index_is_stale);
        let premium = inputs
            .double_mid()
            .zip(index)
            .and_then(|(mid2, index)| mid2.checked_sub(index.wide().checked_mul(2)?));
        self.premium.update(premium, dt_ms, PREMIUM_TAU_MS);
        self.book.update(inputs.book_ticks().map(Ticks::wide), dt_ms, BOOK_TAU_MS);
    }

    /// The mark in ticks, within `index ± mark_band_ppm`. `None` when the market never had an
    /// index.
    #[must_use]
    pub fn mark_ticks(&self, inputs: &MarkInputs, mark_band_ppm: Ppm) -> Option<Ticks> {
        let inputs = self.counted(inputs);
        let index = inputs.index_ticks.filter(|index| !index.is_zero())?;
        let premium = self.premium.average(2).unwrap_or(0);
        let from_index = to_ticks(index.wide().saturating_add(premium));
        let third = self.book.average(1).map_or(index, to_ticks);
        let mark = match (inputs.book_ticks(), inputs.external_ticks) {
            (Some(book), Some(external)) => median3(from_index, book, external),
            (Some(one), None) | (None, Some(one)) => median3(from_index, one, third),
            (None, None) => from_index,
        };
        let (low, high) = band_ticks(index, mark_band_ppm);
        Some(mark.clamp(low, high))
    }
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

/// The middle of two prices, a half up.
fn middle(a: Ticks, b: Ticks) -> Ticks {
    let (low, high) = (a.min(b), a.max(b));
    // Halfway to the higher price at most: nothing saturates.
    low.saturating_add(Ticks::new(high.abs_diff(low).get().div_ceil(2)))
}

#[cfg(test)]
mod tests;
