//! Bounds on what a fund pays in a time (rules §7.15).

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Atoms, TimeMs};

/// The most by which a block moves what is counted by time: a pause is no time in which anybody
/// could have acted.
pub const MAX_STEP_MS: TimeMs = TimeMs::new(10_000);

const HOUR_MS: TimeMs = TimeMs::new(3_600_000);
const DAY_MS: TimeMs = TimeMs::new(86_400_000);

/// Amounts that were drawn, and come back evenly over a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bucket {
    /// Drawn and not yet back.
    drawn_atoms: Atoms,
    /// Drawn in this block.
    drawn_in_block_atoms: Atoms,
}

impl Bucket {
    /// Begins a block: of a bucket of this size, a day's part comes back.
    pub fn refill(&mut self, size_atoms: Atoms, step_ms: TimeMs) {
        let back = size_atoms.mul_div_floor(step_ms.get().into(), DAY_MS.get().into());
        let back = back.unwrap_or(Atoms::MAX).max(Atoms::ZERO);
        self.drawn_atoms = self.drawn_atoms.saturating_sub(back).max(Atoms::ZERO);
        self.drawn_in_block_atoms = Atoms::ZERO;
    }

    /// The amount that may still be drawn in this block from a bucket of this size: a quarter in a
    /// block at most.
    #[must_use]
    pub fn left_atoms(&self, size_atoms: Atoms) -> Atoms {
        let quarter = size_atoms.mul_div_floor(1, 4).unwrap_or(Atoms::ZERO);
        let in_block = quarter.saturating_sub(self.drawn_in_block_atoms);
        size_atoms.saturating_sub(self.drawn_atoms).min(in_block).max(Atoms::ZERO)
    }

    /// Draws an amount.
    pub fn draw(&mut self, atoms: Atoms) {
        self.drawn_atoms = self.drawn_atoms.saturating_add(atoms);
        self.drawn_in_block_atoms = self.drawn_in_block_atoms.saturating_add(atoms);
    }

    /// Amount drawn in this block.
    #[must_use]
    pub const fn drawn_in_block_atoms(&self) -> Atoms {
        self.drawn_in_block_atoms
    }
}

/// Hours in a day.
const HOURS: usize = 24;

/// A fund's balance at each full hour of the last day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Balances {
    /// The oldest first, as far as they are known.
    hours: [Atoms; HOURS],
    /// Hours that are known.
    known: u8,
    /// Time since the last of them.
    passed_ms: TimeMs,
}

impl Balances {
    /// Lets time pass, no more than [`MAX_STEP_MS`].
    pub fn pass(&mut self, balance_atoms: Atoms, step_ms: TimeMs) {
        self.passed_ms = self.passed_ms.saturating_add(step_ms);
        let Some(rest_ms) = self.passed_ms.checked_sub(HOUR_MS) else { return };
        self.passed_ms = rest_ms;
        let known = usize::from(self.known);
        if let Some(next) = self.hours.get_mut(known) {
            *next = balance_atoms;
            self.known = self.known.saturating_add(1);
            return;
        }
        self.hours.rotate_left(1);
        if let Some(last) = self.hours.last_mut() {
            *last = balance_atoms;
        }
    }

    /// The lower of a balance and that of a day ago; of the oldest one that is known in a younger
    /// fund.
    #[must_use]
    pub fn lower_atoms(&self, balance_atoms: Atoms) -> Atoms {
        let oldest = self.hours.first().filter(|_| self.known > 0);
        oldest.map_or(balance_atoms, |oldest| balance_atoms.min(*oldest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Over a day, in blocks of any length, a bucket of a constant size pays twice its size at
        /// most: what it held, and what has come back; in a block a quarter.
        #[test]
        fn rules_7_a_bucket_pays_its_size_and_what_a_day_brings_back(
            size in 0_i128..1_000_000_000_000,
            wishes in prop::collection::vec((0_u64..10_000, 0_i128..1_000_000_000_000), 1..200),
        ) {
            let size = Atoms::new(size);
            let (mut bucket, mut paid, mut passed) = (Bucket::default(), Atoms::ZERO, 0_u64);
            for (step, wish) in wishes {
                bucket.refill(size, TimeMs::new(step));
                passed += step;
                let part = Atoms::new(wish).min(bucket.left_atoms(size));
                bucket.draw(part);
                paid += part;
                prop_assert!(part.get() <= size.get() / 4);
                let back = size.get() * i128::from(passed) / i128::from(DAY_MS.get());
                prop_assert!(paid.get() <= size.get() + back);
                prop_assert_eq!(bucket.drawn_in_block_atoms(), part);
            }
        }
    }

    #[test]
    fn rules_7_a_fund_counts_as_it_was_a_day_ago_where_that_was_less() {
        let mut balances = Balances::default();
        let atoms = Atoms::new;
        assert_eq!(balances.lower_atoms(atoms(7)), atoms(7), "nothing is known yet");
        for hour in 1..=60 {
            // 360 steps of 10 s: the balance is the hour's number.
            for _ in 0..360 {
                balances.pass(atoms(hour), MAX_STEP_MS);
            }
            let oldest = (hour - 23).max(1);
            assert_eq!(balances.lower_atoms(atoms(1_000)), atoms(oldest));
            assert_eq!(balances.lower_atoms(atoms(0)), atoms(0));
        }
    }
}
