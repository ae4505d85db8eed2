//! Floor 1: look-ups, and the health of an account.

pub(crate) mod agents;
pub mod at_risk;
pub(crate) mod cost;
pub mod health;
pub(crate) mod lookup;
