//! The hour's and the day's bucket of what may leave.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::params::ChainParams;
use tidemark_proto::units::{Atoms, TimeMs};

use super::hourly::{Hourly, HOUR_MS};
use super::losses::Losses;
use super::queue::Queue;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Outflow, its queue, and what shuts the gate.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Outflow {
    /// Gone out of the hour's bucket, and not come back in.
    pub hour_atoms: Atoms,
    /// Gone out of the day's bucket, and not come back in.
    pub day_atoms: Atoms,
    /// The least of deposits less withdrawals, by hour.
    pub deposits: Hourly,
    /// Owners that wait.
    pub queue: Queue,
    /// Losses that nobody has covered.
    pub losses: Losses,
}

/// The sizes of the hour's and the day's bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Most that a full bucket of an hour lets out.
    pub hour_atoms: Atoms,
    /// Most that a full bucket of a day lets out.
    pub day_atoms: Atoms,
}

impl Outflow {
    /// Lets block time go on by `passed_ms`, of which the buckets count `halt_ms` at most, to
    /// `now_ms`; `deposits_atoms` are deposits less withdrawals.
    pub(crate) fn advance(
        &mut self,
        params: &ChainParams,
        (now_ms, passed_ms): (TimeMs, TimeMs),
        deposits_atoms: Atoms,
    ) {
        let sizes = self.sizes(params);
        let passed_ms = passed_ms.min(params.halt_ms).get();
        self.hour_atoms = refilled(self.hour_atoms, sizes.hour_atoms, passed_ms, HOUR_MS);
        self.day_atoms = refilled(self.day_atoms, sizes.day_atoms, passed_ms, DAY_MS);
        self.deposits.advance(now_ms, deposits_atoms);
        self.deposits.lower(deposits_atoms);
        self.losses.day.advance(now_ms, Atoms::ZERO);
    }

    /// The buckets' sizes: the governed amounts, or 1 % and 10 % of the least deposits of the last
    /// 24 hours.
    #[must_use]
    pub fn sizes(&self, params: &ChainParams) -> Sizes {
        let least = self.deposits.least();
        let part = |by| least.get().checked_div(by).map_or(Atoms::ZERO, Atoms::new);
        Sizes {
            hour_atoms: params.hour_outflow_atoms.max(part(100)),
            day_atoms: params.day_outflow_atoms.max(part(10)),
        }
    }

    /// The contents of the hour's and the day's bucket.
    #[must_use]
    pub fn left(&self, params: &ChainParams) -> Sizes {
        let sizes = self.sizes(params);
        let left = |size: Atoms, gone| size.saturating_sub(gone).max(Atoms::ZERO);
        Sizes {
            hour_atoms: left(sizes.hour_atoms, self.hour_atoms),
            day_atoms: left(sizes.day_atoms, self.day_atoms),
        }
    }

    /// The amount that may leave now.
    #[must_use]
    pub fn left_atoms(&self, params: &ChainParams) -> Atoms {
        let left = self.left(params);
        left.hour_atoms.min(left.day_atoms)
    }

    /// Notes that an amount has left.
    pub(crate) fn spend(&mut self, amount_atoms: Atoms) {
        self.hour_atoms = self.hour_atoms.saturating_add(amount_atoms);
        self.day_atoms = self.day_atoms.saturating_add(amount_atoms);
    }

    /// Pays owners that wait, in turn, as far as the buckets reach.
    pub(crate) fn serve(&mut self, params: &ChainParams) {
        let left_atoms = self.left_atoms(params);
        let paid_atoms = self.queue.serve(left_atoms);
        self.spend(paid_atoms);
    }
}

/// A bucket of so much after `passed_ms`: what is gone comes back evenly over its window, rounded
/// against who withdraws.
fn refilled(gone: Atoms, size: Atoms, passed_ms: u64, window_ms: u64) -> Atoms {
    let back = size.get().saturating_mul(i128::from(passed_ms));
    let back = back.checked_div(i128::from(window_ms)).map_or(Atoms::ZERO, Atoms::new);
    gone.saturating_sub(back).max(Atoms::ZERO)
}
