//! Bounds on what a fund pays in a time (rules §7.15).

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::defence::Defence;
use tidemark_proto::units::{Atoms, TimeMs};

/// The most by which a block moves what is counted by time: a pause is no time in which anybody
/// could have acted.
pub const MAX_STEP_MS: TimeMs = TimeMs::new(10_000);

const HOUR_MS: TimeMs = TimeMs::new(3_600_000);
pub(crate) const DAY_MS: TimeMs = TimeMs::new(86_400_000);

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
        if !Defence::FundBuckets.stands() {
            return Atoms::MAX;
        }
        let quarter = size_atoms.mul_div_floor(1, 4).unwrap_or(Atoms::ZERO);
        let in_block = quarter.saturating_sub(self.drawn_in_block_atoms);
        size_atoms.saturating_sub(self.drawn_atoms).min(in_block).max(Atoms::ZERO)
    }

    /// The amount that a bucket of this size holds, however little of it a block may take.
    #[must_use]
    pub fn held_atoms(&self, size_atoms: Atoms) -> Atoms {
        size_atoms.saturating_sub(self.drawn_atoms).max(Atoms::ZERO)
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

/// Days for which fees stand for premiums.
const LEDGER_DAYS: u32 = 30;

/// Liquidation fees that a market has brought, and premiums that keepers got there, by day.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ledger {
    /// Ascending; of the last 30 days.
    days: Vec<LedgerDay>,
}

/// One day of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct LedgerDay {
    day: u32,
    fees_atoms: Atoms,
    premiums_atoms: Atoms,
}

impl Ledger {
    /// Counts a fee and a premium of a day.
    pub fn count(&mut self, day: u32, fee_atoms: Atoms, premium_atoms: Atoms) {
        self.days.retain(|of| of.day.saturating_add(LEDGER_DAYS) > day);
        if self.days.last().is_none_or(|of| of.day < day) {
            let (fees_atoms, premiums_atoms) = (Atoms::ZERO, Atoms::ZERO);
            self.days.push(LedgerDay { day, fees_atoms, premiums_atoms });
        }
        if let Some(of) = self.days.last_mut() {
            of.fees_atoms = of.fees_atoms.saturating_add(fee_atoms);
            of.premiums_atoms = of.premiums_atoms.saturating_add(premium_atoms);
        }
    }

    /// The premiums that the last 30 days' fees still stand for.
    #[must_use]
    pub fn room_atoms(&self, day: u32) -> Atoms {
        let recent = self.days.iter().filter(|of| of.day.saturating_add(LEDGER_DAYS) > day);
        let add = |sum: Atoms, of: &LedgerDay| {
            sum.saturating_add(of.fees_atoms).saturating_sub(of.premiums_atoms)
        };
        recent.fold(Atoms::ZERO, add).max(Atoms::ZERO)
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
    fn rules_7_the_premiums_of_30_days_are_at_most_the_fees_of_30_days() {
        let (mut ledger, atoms) = (Ledger::default(), Atoms::new);
        assert_eq!(ledger.room_atoms(0), Atoms::ZERO);
        ledger.count(3, atoms(100), Atoms::ZERO);
        ledger.count(9, atoms(10), atoms(60));
        let room = |ledger: &Ledger| [9, 32, 33, 38, 39].map(|day| ledger.room_atoms(day).get());
        assert_eq!(room(&ledger), [50, 50, 0, 0, 0]);
        ledger.count(9, atoms(70), Atoms::ZERO);
        assert_eq!(room(&ledger), [120, 120, 20, 20, 0]);
        (40..200).for_each(|day| ledger.count(day, atoms(1), Atoms::ZERO));
        assert_eq!((ledger.room_atoms(199), ledger.days.len()), (atoms(30), 30));
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
