//! Losses that nobody has covered, which shut the gate of withdrawals once they are large.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::Atoms;

use super::hourly::Hourly;

/// The least loss that shuts the gate, however small the fund is: 10 000 USDC.
const LEAST_ATOMS: Atoms = Atoms::from_usdc(10_000);

/// Losses of this block, and of the last 24 hours.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Losses {
    /// The insurance fund at the block's start.
    pub fund_atoms: Atoms,
    /// Bad debt that was booked in this block.
    pub booked_atoms: Atoms,
    /// Negative equity that the last sweep left.
    pub deficit_atoms: Atoms,
    /// Losses by hour, since the gate was last shut for them.
    pub day: Hourly,
}

impl Losses {
    /// At a block's start.
    pub(crate) fn begin_block(&mut self, fund_atoms: Atoms) {
        self.fund_atoms = fund_atoms;
        self.booked_atoms = Atoms::ZERO;
    }

    /// Notes bad debt.
    pub(crate) fn book(&mut self, atoms: Atoms) {
        self.booked_atoms = self.booked_atoms.saturating_add(atoms);
    }

    /// Notes the negative equity that a sweep left. Returns true if the losses shut the gate: those
    /// that stand and were booked now pass 1 % of the fund, or the new ones of 24 hours pass 3 %.
    /// The count of 24 hours begins anew then, so that the next small loss does not shut the gate
    /// again.
    pub(crate) fn note(&mut self, deficit_atoms: Atoms) -> bool {
        let now = deficit_atoms.saturating_add(self.booked_atoms);
        // A deficit that stands on is lost once, and one that becomes debt is no new loss.
        let new = now.saturating_sub(self.deficit_atoms).max(Atoms::ZERO);
        self.deficit_atoms = deficit_atoms;
        self.day.add(new);
        let of_block = now > LEAST_ATOMS.max(self.part(1));
        let of_day = self.day.sum() > LEAST_ATOMS.max(self.part(3));
        if of_day {
            self.day.atoms = Default::default();
        }
        of_block || of_day
    }

    fn part(&self, percent: i128) -> Atoms {
        let product = self.fund_atoms.get().max(0).saturating_mul(percent);
        product.checked_div(100).map_or(Atoms::ZERO, Atoms::new)
    }
}
