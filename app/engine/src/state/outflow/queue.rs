//! Owners that wait for money to leave, each in turn.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Atoms, OwnerId};

/// Most that one turn pays: 10 000 USDC.
pub const TURN_ATOMS: Atoms = Atoms::from_usdc(10_000);

/// Most owners that wait.
pub const MAX_QUEUED: usize = 1_024;

/// An owner's wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct QueuedWithdrawal {
    /// Whose it is.
    pub owner: OwnerId,
    /// Not paid yet; above 0.
    pub amount_atoms: Atoms,
    /// The height at which the owner came.
    pub height: u64,
}

/// Owners that wait, in the order of their turns, each with one place; at most [`MAX_QUEUED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Queue(Vec<QueuedWithdrawal>);

impl Queue {
    /// Who waits, in the order of their turns.
    #[must_use]
    pub fn rows(&self) -> &[QueuedWithdrawal] {
        &self.0
    }

    /// All that waits.
    #[must_use]
    pub fn atoms(&self) -> Atoms {
        self.0.iter().fold(Atoms::ZERO, |sum, row| sum.saturating_add(row.amount_atoms))
    }

    /// An owner's place.
    #[must_use]
    pub fn of(&self, owner: OwnerId) -> Option<&QueuedWithdrawal> {
        self.0.iter().find(|row| row.owner == owner)
    }

    /// Returns true if an owner has a place, or may have one.
    #[must_use]
    pub fn has_place_for(&self, owner: OwnerId) -> bool {
        self.0.len() < MAX_QUEUED || self.of(owner).is_some()
    }

    /// Adds an amount at an owner's place, or at the end. Ask [`Queue::has_place_for`] first.
    pub(crate) fn enter(&mut self, owner: OwnerId, amount_atoms: Atoms, height: u64) {
        match self.0.iter_mut().find(|row| row.owner == owner) {
            Some(row) => row.amount_atoms = row.amount_atoms.saturating_add(amount_atoms),
            None => self.0.push(QueuedWithdrawal { owner, amount_atoms, height }),
        }
    }

    /// Takes an owner out.
    pub(crate) fn leave(&mut self, owner: OwnerId) {
        self.0.retain(|row| row.owner != owner);
    }

    /// Pays out up to `left_atoms`, and returns what was paid: the first has a turn of at most
    /// [`TURN_ATOMS`] and goes to the end if something is left of what it waits for; one turn an
    /// owner. A turn that does not fit whole waits, and all others behind it.
    pub(crate) fn serve(&mut self, left_atoms: Atoms) -> Atoms {
        let (mut paid_atoms, mut served, mut again) = (Atoms::ZERO, 0_usize, Vec::new());
        for row in &self.0 {
            let turn_atoms = row.amount_atoms.min(TURN_ATOMS);
            let after_atoms = paid_atoms.saturating_add(turn_atoms);
            if after_atoms > left_atoms {
                break;
            }
            paid_atoms = after_atoms;
            served = served.saturating_add(1);
            let amount_atoms = row.amount_atoms.saturating_sub(turn_atoms);
            if amount_atoms.is_positive() {
                again.push(QueuedWithdrawal { amount_atoms, ..*row });
            }
        }
        self.0.drain(..served);
        self.0.append(&mut again);
        paid_atoms
    }
}
