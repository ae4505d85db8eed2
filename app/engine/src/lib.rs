//! The exchange as a pure function: from a state and a block to the next state, events and results.
//!
//! Nothing here reads a clock, a thread, a file or the network, and nothing knows of CometBFT.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "a wrong index or sum in a test is a failed test"
    )
)]

pub mod admission;
pub mod beacon;
pub mod events;
pub mod exec;
pub mod genesis;
mod invariant;
pub mod outcome;
pub mod phase;
pub mod refusal;
pub mod snapshot;
pub mod state;
pub mod symbol;
