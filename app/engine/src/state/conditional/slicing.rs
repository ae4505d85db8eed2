//! A TWAP on its way: which slice is due, of how many lots.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::Twap;
use tidemark_proto::units::{Lots, TimeMs};

/// A TWAP's slice is at most this many equal parts, to catch up with earlier slices that did not
/// fill.
pub const CATCH_UP: u64 = 3;

/// A TWAP on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Slicing {
    /// The TWAP as it was placed.
    pub twap: Twap,
    /// Time of the first slice; `None` until its block has come.
    pub start_ms: Option<TimeMs>,
    /// Time from which the next slice is due.
    pub next_ms: TimeMs,
    /// Lots traded.
    pub filled_lots: Lots,
}

impl Slicing {
    /// Slices that are still to come. A time that saturates is never reached.
    #[must_use]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "divisors are at least 1; 64-bit lots times 32-bit slices fit 128 bits"
    )]
    pub fn slices_left(&self) -> u32 {
        let passed = self.start_ms.map_or(0, |start_ms| {
            self.next_ms.saturating_sub(start_ms).get() / self.twap.interval_ms.get().max(1)
        });
        self.twap.slices.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// The lots of the slice that is due at `now_ms`, and the order with the time of the one after
    /// it.
    ///
    /// By slice `i` of `n`, `⌈lots·i/n⌉` are to have traded; a slice is what is missing, at most
    /// three times `⌈lots/n⌉`. `i` counts by time since the first, but one step takes at most three
    /// slices: what a longer pause held back moves the start, and so all slices after it.
    #[must_use]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "divisors are at least 1; 64-bit lots times 32-bit slices fit 128 bits"
    )]
    pub fn due(&self, now_ms: TimeMs) -> (Lots, Self) {
        let interval_ms = self.twap.interval_ms.get().max(1);
        let start_ms = self.start_ms.unwrap_or(now_ms);
        let intervals = |until_ms: TimeMs| until_ms.saturating_sub(start_ms).get() / interval_ms;
        let last = intervals(self.next_ms).saturating_add(CATCH_UP - 1);
        let elapsed = intervals(now_ms).min(last);
        let held_back = intervals(now_ms).saturating_sub(elapsed).saturating_mul(interval_ms);
        let start_ms = start_ms.saturating_add(TimeMs::new(held_back));
        let until_next_ms = TimeMs::new(elapsed.saturating_add(1).saturating_mul(interval_ms));
        let next_ms = start_ms.saturating_add(until_next_ms);
        let next = Self { start_ms: Some(start_ms), next_ms, ..*self };
        let (lots, slices) =
            (u128::from(self.twap.lots.get()), u128::from(self.twap.slices.max(1)));
        let slice = u128::from(self.twap.slices.saturating_sub(next.slices_left()));
        let target = (lots * slice).div_ceil(slices);
        let most = lots.div_ceil(slices) * u128::from(CATCH_UP);
        let due = target.saturating_sub(u128::from(self.filled_lots.get())).min(most);
        (u64::try_from(due).map_or(Lots::MAX, Lots::new), next)
    }
}
