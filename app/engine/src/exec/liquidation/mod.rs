//! Floor 5: liquidation, stage by stage.

mod backstop;
mod budget;
mod close;
mod danger;
pub(crate) mod deleverage;
mod step;
pub(crate) mod sweep;
