//! Floor 5: liquidation, stage by stage.

mod backstop;
mod budget;
pub(crate) mod claims;
mod close;
mod counterparties;
mod danger;
mod debt;
mod deficits;
pub(crate) mod deleverage;
pub(crate) mod review;
mod step;
pub(crate) mod sweep;
