//! Stages of a liquidation.

use borsh::{BorshDeserialize, BorshSerialize};

/// The stages of a liquidation, in the order in which they come (rules §7.8).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum LiquidationStage {
    /// Orders that increase exposure are cancelled.
    #[default]
    Prune = 0,
    /// The position is closed on the book at the zero price or better.
    Book = 1,
    /// Keepers take the position at the zero price.
    Backstop = 2,
    /// The position is closed on the book beyond the zero price; the insurance fund pays the
    /// difference.
    InsuranceFund = 3,
    /// The position is closed against opposite positions at the zero price.
    Adl = 4,
    /// Nothing is left to close, and the debt is booked.
    BadDebt = 5,
}
