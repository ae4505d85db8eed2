//! Marks of the last hour, for the weights of deleveraging (rules §7.5).

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Ticks, TimeMs};

/// Time between two marks that are kept.
const SPACING_MS: TimeMs = TimeMs::new(300_000);

/// Marks that are kept: an hour of them.
const KEPT: usize = 12;

/// The first mark in each five minutes of a market's own time, for an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RecentMarks {
    /// The oldest first; at most [`KEPT`].
    marks: Vec<Ticks>,
    /// The five minutes of the youngest.
    slot: u64,
}

impl RecentMarks {
    /// Takes note of a block's mark.
    pub fn note(&mut self, clock_ms: TimeMs, mark_ticks: Ticks) {
        let slot = clock_ms.get().checked_div(SPACING_MS.get()).unwrap_or(0);
        if !self.marks.is_empty() && slot == self.slot {
            return;
        }
        self.slot = slot;
        if self.marks.len() >= KEPT {
            self.marks.remove(0);
        }
        self.marks.push(mark_ticks);
    }

    /// The furthest from one of the marks to this one that favoured a long position, or a short
    /// one: what somebody who closed and opened again within the hour has at least gained.
    #[must_use]
    pub fn favourable_ticks(&self, mark_ticks: Ticks, is_long: bool) -> Ticks {
        let kept = self.marks.iter().copied();
        if is_long {
            kept.min().map_or(Ticks::ZERO, |lowest| mark_ticks.saturating_sub(lowest))
        } else {
            kept.max().map_or(Ticks::ZERO, |highest| highest.saturating_sub(mark_ticks))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_an_hour_are_kept_five_minutes_apart() {
        let mut recent = RecentMarks::default();
        assert_eq!(recent.favourable_ticks(Ticks::new(9), true), Ticks::ZERO);
        let moves = |recent: &RecentMarks, mark| {
            [true, false].map(|is_long| recent.favourable_ticks(Ticks::new(mark), is_long).get())
        };
        for minute in 0..120 {
            recent.note(TimeMs::new(minute * 60_000), Ticks::new(1_000 + minute));
            let oldest = (minute / 5 * 5).saturating_sub(55);
            let youngest = minute / 5 * 5;
            assert_eq!(moves(&recent, 2_000), [1_000 - oldest, 0]);
            assert_eq!(moves(&recent, 500), [0, 500 + youngest]);
        }
        assert_eq!(moves(&recent, 1_080), [20, 35], "between 1 060 and 1 115");
    }
}
