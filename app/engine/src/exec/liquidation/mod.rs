//! Floor 5: liquidation, stage by stage.

mod backstop;
mod close;
pub(crate) mod deleverage;
mod step;
pub(crate) mod sweep;
