//! An amount of each of the last hours.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Atoms, TimeMs};

/// Milliseconds of an hour.
pub(super) const HOUR_MS: u64 = 3_600_000;

/// Hours that are kept: the running one, and 24 whole ones before it.
const HOURS: usize = 25;

/// An amount of the running hour of block time and of each of the 24 before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Hourly {
    /// The running hour's number since the Unix epoch.
    pub hour: u64,
    /// The amounts, the running hour's first.
    pub atoms: [Atoms; HOURS],
}

impl Hourly {
    /// Lets time go on: each hour that begins has the amount `fresh`.
    pub(crate) fn advance(&mut self, now_ms: TimeMs, fresh: Atoms) {
        let hour = now_ms.get().checked_div(HOUR_MS).unwrap_or(0);
        let begun = usize::try_from(hour.saturating_sub(self.hour)).unwrap_or(HOURS).min(HOURS);
        self.hour = self.hour.max(hour);
        self.atoms.rotate_right(begun);
        self.atoms.iter_mut().take(begun).for_each(|atoms| *atoms = fresh);
    }

    /// Lowers the running hour's amount to one that is less.
    pub(crate) fn lower(&mut self, atoms: Atoms) {
        if let Some(now) = self.atoms.first_mut() {
            *now = atoms.min(*now);
        }
    }

    /// Adds to the running hour's amount.
    pub(crate) fn add(&mut self, atoms: Atoms) {
        if let Some(now) = self.atoms.first_mut() {
            *now = now.saturating_add(atoms);
        }
    }

    /// The least amount.
    #[must_use]
    pub fn least(&self) -> Atoms {
        self.atoms.iter().copied().min().unwrap_or(Atoms::ZERO)
    }

    /// All amounts together.
    #[must_use]
    pub fn sum(&self) -> Atoms {
        self.atoms.iter().fold(Atoms::ZERO, |sum, atoms| sum.saturating_add(*atoms))
    }
}
