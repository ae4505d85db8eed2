//! Carries out a block, on six floors. Each floor imports only from those below it:
//!
//! 1. `account`: look-ups, health, accounts at risk
//! 2. `collateral`: cash and isolated collateral
//! 3. `order`: admission, the book's host, placing, replacing, cancelling, pruning, conditional
//!    orders
//! 4. `operation`: the dispatcher of operations, batches, ladders, settings, keepers
//! 5. `liquidation`, `settlement`, `administration`
//! 6. `phases`: the numbered phases of rules §8.1
//!
//! `use crate::…` and `super::…` between files make no circle. A folder's `mod.rs` only names its
//! files, so an import always leads to the file that defines the item.

pub mod account;
mod administration;
mod block;
mod collateral;
mod ctx;
mod later;
mod liquidation;
mod meter;
mod operation;
mod order;
mod phases;
mod settlement;

pub use block::{BallotExtension, Block, PriceBallot};
pub use phases::execute::{execute, through_sweep};
