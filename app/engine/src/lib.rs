//! The exchange as a pure function: from a state and a block to the next state, events and results.
//!
//! Nothing here reads a clock, a thread, a file or the network, and nothing knows of CometBFT.

pub mod canonical_order;
pub mod events;
pub mod exec;
pub mod genesis;
mod invariant;
pub mod outcome;
pub mod phase;
pub mod refusal;
pub mod state;
pub mod symbol;
