//! Lots that were added to a position a short while ago (rules §7.14).
//!
//! A position keeps two numbers: the lots added in the running window of a market's own time, and
//! in the one before. So lots are fresh for 10 to 20 minutes. A closing takes fresh and old lots in
//! proportion, rounded towards fresh ones: closing and opening again makes no lot older.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::defence::Defence;
use tidemark_proto::units::{mul_div_ceil, Lots, SignedLots, TimeMs};

/// Length of a window.
pub const WINDOW_MS: TimeMs = TimeMs::new(600_000);

/// The fresh lots of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Fresh {
    /// The window in which lots were added last.
    window: u32,
    /// Lots added in it that are still there.
    latest_lots: Lots,
    /// As many of the window before it.
    before_lots: Lots,
}

impl Fresh {
    /// No fresh lots.
    pub const NONE: Self = Self { window: 0, latest_lots: Lots::ZERO, before_lots: Lots::ZERO };

    /// As it stands in a window.
    fn at(self, window: u32) -> Self {
        match window.saturating_sub(self.window) {
            0 => self,
            1 => Self { window, latest_lots: Lots::ZERO, before_lots: self.latest_lots },
            _ => Self { window, ..Self::default() },
        }
    }

    /// Lots added in this window and the one before.
    #[must_use]
    pub fn lots(self, window: u32) -> Lots {
        if !Defence::FreshLots.stands() {
            return Lots::ZERO;
        }
        let now = self.at(window);
        now.latest_lots.saturating_add(now.before_lots)
    }

    /// After a position has changed: what was added is fresh, and of what closed a part is in
    /// proportion.
    #[must_use]
    pub fn changed(self, window: u32, from: SignedLots, to: SignedLots) -> Self {
        let (was, is) = (from.unsigned_abs(), to.unsigned_abs());
        if is.is_zero() {
            return Self::default();
        }
        if from.signum() != to.signum() {
            return Self { window, latest_lots: is, before_lots: Lots::ZERO };
        }
        let now = self.at(window);
        if is >= was {
            let added = is.saturating_sub(was);
            return Self { latest_lots: now.latest_lots.saturating_add(added), ..now };
        }
        let part = |lots: Lots| {
            let part = mul_div_ceil(lots.wide(), is.wide(), was.wide());
            part.and_then(|part| u64::try_from(part).ok()).map_or(lots, Lots::new)
        };
        let parts =
            Self { latest_lots: part(now.latest_lots), before_lots: part(now.before_lots), ..now };
        parts.within(is)
    }

    /// After so many fresh lots have closed: older ones first.
    #[must_use]
    pub fn taken(self, window: u32, lots: Lots) -> Self {
        let now = self.at(window);
        let before_lots = now.before_lots.saturating_sub(lots);
        let rest = lots.saturating_sub(now.before_lots);
        Self { latest_lots: now.latest_lots.saturating_sub(rest), before_lots, ..now }
    }

    /// No more of them than there are lots: of a position whose old lots alone have closed.
    #[must_use]
    pub fn within(self, lots: Lots) -> Self {
        let latest_lots = self.latest_lots.min(lots);
        let before_lots = self.before_lots.min(lots.saturating_sub(latest_lots));
        if lots.is_zero() {
            return Self::default();
        }
        Self { latest_lots, before_lots, ..self }
    }
}

#[cfg(test)]
#[expect(clippy::float_arithmetic, reason = "the model keeps fractions of lots")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signed(lots: i64) -> SignedLots {
        SignedLots::new(lots)
    }

    #[test]
    fn rules_7_lots_are_fresh_in_their_window_and_the_next() {
        let of =
            Fresh::default().changed(7, signed(0), signed(10)).changed(8, signed(10), signed(14));
        assert_eq!([7, 8, 9, 10].map(|window| of.lots(window).get()), [14, 14, 4, 0]);
        let flipped = of.changed(9, signed(14), signed(-3));
        assert_eq!([9, 10, 11].map(|window| flipped.lots(window).get()), [3, 3, 0]);
        assert_eq!(of.changed(9, signed(14), signed(0)), Fresh::default());
    }

    proptest! {
        /// Against a model that keeps the age of every lot, as a fraction: never fewer, never more
        /// than the position, and no more than a lot too many for each closing and window.
        #[test]
        fn rules_7_a_closing_takes_fresh_and_old_lots_in_proportion(
            steps in prop::collection::vec((0_u32..3, -400_i64..400), 1..24),
        ) {
            let (mut of, mut held, mut window) = (Fresh::default(), 0_i64, 5_u32);
            // Lots by window.
            let mut model: Vec<(u32, f64)> = Vec::new();
            let mut closings = 0;
            for (later, change) in steps {
                window += later;
                let next = held + change;
                of = of.changed(window, signed(held), signed(next));
                if next.signum() != held.signum() {
                    model = vec![(window, next.abs() as f64)];
                } else if next.abs() >= held.abs() {
                    model.push((window, (next.abs() - held.abs()) as f64));
                } else {
                    let part = next.abs() as f64 / held.abs() as f64;
                    model.iter_mut().for_each(|(_, lots)| *lots *= part);
                    closings += 2;
                }
                held = next;
                let fresh = of.lots(window).get() as f64;
                let young = model.iter().filter(|(at, _)| window - at <= 1);
                let modelled: f64 = young.map(|(_, lots)| lots).sum();
                prop_assert!(fresh + 1e-6 >= modelled && fresh <= held.abs() as f64);
                prop_assert!(fresh <= modelled + f64::from(closings) + 1e-6);
            }
        }
    }
}
