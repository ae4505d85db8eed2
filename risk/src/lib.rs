//! Margin, positions, funding, fees, liquidation, deleveraging: pure functions from state and event
//! to state (exchange rules §§1, 3, 5, 6, 7). No books, no clock, no I/O.

mod account;
pub mod adl;
pub mod at_risk;
pub mod backstop;
pub mod conservation;
mod error;
pub mod fees;
pub mod funding;
pub mod liquidation;
pub mod margin;
mod market;
pub mod math;
pub mod orders;
pub mod position;
pub mod settlement;
pub mod sharing;
#[cfg(test)]
mod tests;

pub use account::{Account, Isolated, Position, Volume, VOLUME_DAYS};
pub use error::{Party, RiskError};
pub use market::{Funding, Keeper, Market, Markets, MarketsMut, Treasury};
