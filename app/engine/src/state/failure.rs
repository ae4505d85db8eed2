//! Why a market is quarantined (rules §8.5). The number is part of the hashed state; the sentence
//! is made where somebody reads it.

use borsh::{BorshDeserialize, BorshSerialize};
use thiserror::Error;

/// The kind of invariant that failed. Numbers are not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Failure {
    /// Phase 8.
    #[error("longs, shorts and open interest differ")]
    Unbalanced = 1,
    /// Phase 8.
    #[error("the book is crossed")]
    Crossed = 2,
    /// Of the book's host.
    #[error("a fill could not be applied")]
    Fill = 3,
    /// A pegged order, a trigger or a slice without what makes it one.
    #[error("an order is not what it was recorded as")]
    Order = 4,
    /// Isolated collateral.
    #[error("isolated collateral could not go back")]
    Collateral = 5,
    /// A final settlement.
    #[error("the settlement cannot go on")]
    Settlement = 6,
    /// An hour's payment.
    #[error("an hour's funding could not be computed")]
    Funding = 7,
    /// Stage 5.
    #[error("deleveraging failed")]
    Deleveraging = 8,
    /// The row of an account with a position, or its margin.
    #[error("the margin of an account could not be computed")]
    Margin = 9,
    /// Stages 1 to 4 and 6.
    #[error("a liquidation step failed")]
    Liquidation = 10,
    /// A due dead man's switch.
    #[error("a dead man's switch failed")]
    Switch = 11,
    /// An operation that was refused for it.
    #[error("an operation met a broken invariant")]
    Operation = 12,
}
