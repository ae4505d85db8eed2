//! An owner's deposits less withdrawals, of which the least of the last 24 hours counts.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Atoms, TimeMs};

const HOUR_MS: u64 = 3_600_000;

/// Hours for which an amount counts beyond the one in which it ended.
const HOURS: u64 = 24;

/// Deposits less withdrawals, and the smaller amounts of the hours before. It may be below 0: who
/// takes out what others have lost brings nothing back by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(super) struct NetDeposits {
    now_atoms: Atoms,
    /// Amounts below today's, each with the last hour in which it held. Hours and amounts ascend,
    /// so that the first that counts is the least: at most [`HOURS`] and one more.
    earlier: Vec<(u64, Atoms)>,
}

fn hour(now_ms: TimeMs) -> u64 {
    now_ms.get().checked_div(HOUR_MS).unwrap_or(0)
}

/// Returns true if what held in one hour counts in another.
const fn counts(held: u64, hour: u64) -> bool {
    held.saturating_add(HOURS) >= hour
}

impl NetDeposits {
    /// The least amount of the running hour and the 24 before.
    pub(super) fn least(&self, now_ms: TimeMs) -> Atoms {
        let now = hour(now_ms);
        let earlier = self.earlier.iter().find(|(held, _)| counts(*held, now));
        earlier.map_or(self.now_atoms, |(_, atoms)| *atoms)
    }

    /// Adds a deposit, or a withdrawal where it is negative.
    pub(super) fn change(&mut self, now_ms: TimeMs, change_atoms: Atoms) {
        let (now, before) = (hour(now_ms), self.now_atoms);
        self.now_atoms = before.saturating_add(change_atoms);
        let least = before.min(self.now_atoms);
        self.earlier.retain(|(held, atoms)| counts(*held, now) && *atoms < least);
        // Of one hour only the least counts, and it is there already.
        if before < self.now_atoms && self.earlier.last().is_none_or(|(held, _)| *held < now) {
            self.earlier.push((now, before));
        }
    }
}
