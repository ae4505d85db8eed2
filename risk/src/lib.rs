//! Margin, positions, funding, fees, liquidation, deleveraging: pure functions from state and event
//! to state (exchange rules §§1, 3, 5, 6, 7). No books, no clock, no I/O.

mod account;
pub mod adl;
pub mod backstop;
pub mod conservation;
pub mod endangered;
pub mod fees;
pub mod funding;
pub mod liquidation;
pub mod margin;
mod market;
pub mod math;
pub mod orders;
pub mod position;
pub mod sharing;
#[cfg(test)]
mod tests;

pub use account::{Account, Isolated, Position, Volume, VOLUME_DAYS};
pub use market::{Funding, Keeper, Market, Markets, MarketsMut, Treasury};
