//! Draws on an owner's allowance (rules §10.13).

use super::message::{Class, Message};
use super::operation::Operation;

/// Operations drawn from an owner's two buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// Orders that may be placed, and replacements.
    pub orders: u64,
    /// Cancels.
    pub cancels: u64,
}

impl Draw {
    /// Both sums.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            orders: self.orders.saturating_add(other.orders),
            cancels: self.cancels.saturating_add(other.cancels),
        }
    }

    /// Each difference, 0 at least.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self {
            orders: self.orders.saturating_sub(other.orders),
            cancels: self.cancels.saturating_sub(other.cancels),
        }
    }

    /// Of each bucket the smaller draw.
    #[must_use]
    pub fn at_most(self, most: Self) -> Self {
        Self { orders: self.orders.min(most.orders), cancels: self.cancels.min(most.cancels) }
    }

    /// Of both buckets together.
    #[must_use]
    pub const fn all(self) -> u64 {
        self.orders.saturating_add(self.cancels)
    }
}

impl Operation {
    /// The draw of the operation: one for each order that it may place, whatever becomes of it.
    #[must_use]
    pub fn draw(&self) -> Draw {
        if self.class() == Class::Cancels {
            return Draw { orders: 0, cancels: 1 };
        }
        let orders = match self {
            Self::Twap(twap) => twap.slices.into(),
            Self::Scale(scale) => scale.count.into(),
            Self::Oco(_) => 2,
            Self::Bracket(bracket) => bracket.exits().fold(1_u64, |sum, _| sum.saturating_add(1)),
            _ => 1,
        };
        Draw { orders, cancels: 0 }
    }
}

impl Message {
    /// The draw of all its operations; of a message that is no batch of orders nothing.
    #[must_use]
    pub fn draw(&self) -> Draw {
        let Self::Orders { operations, .. } = self else { return Draw::default() };
        operations.iter().fold(Draw::default(), |sum, operation| sum.and(operation.draw()))
    }

    /// True if the transaction pays for what the allowance does not cover.
    #[must_use]
    pub const fn pays_flat_fee(&self) -> bool {
        matches!(self, Self::Orders { pays_flat_fee: true, .. })
    }
}
