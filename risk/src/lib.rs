//! Margin, positions, funding, fees, liquidation, deleveraging: pure functions from state and event
//! to state (exchange rules §§1, 3, 5, 6, 7). No books, no clock, no I/O.
//!
//! | module | contents |
//! |---|---|
//! | `error` | reasons why a calculation has no result |
//! | `fresh`, `recent`, `limits` | lots added a short while ago; marks of an hour; what a fund pays in a time |
//! | `account`, `market` | state of accounts, of markets and of the chain's money |
//! | `depth` | notional of the impact prices |
//! | [`sharing`] | lots shared in proportion |
//! | [`conservation`], [`fees`], [`settlement`] | sums of all money, fees, the end of a market |
//! | [`funding`] | premiums, rates, the cumulative index |
//! | [`margin`] | margin by tier |
//! | [`orders`] | reserve of open orders |
//! | [`health`] | equity and margin of an account |
//! | [`liquidation`] | stages, steps, fees, the insurance fund's part |
//! | [`position`] | fills, funding payments, debts |
//! | [`zero_price`] | zero price and bankruptcy price |
//! | [`claim`] | the part of a loss that the insurance fund pays |
//! | [`taking`] | orders that take, fill by fill |
//! | [`backstop`], [`adl`] | takeovers by keepers, deleveraging |
//! | [`at_risk`] | index of the accounts that the sweep looks at |
//!
//! A module imports only from modules above it in this table.

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

mod account;
pub mod adl;
pub mod at_risk;
pub mod backstop;
pub mod claim;
pub mod conservation;
pub mod debt;
mod depth;
mod error;
pub mod fees;
mod fresh;
pub mod funding;
pub mod health;
pub mod interest;
pub mod limits;
pub mod liquidation;
pub mod margin;
mod market;
pub mod orders;
pub mod position;
mod recent;
pub mod settlement;
pub mod sharing;
pub mod taking;
#[cfg(test)]
mod tests;
pub mod zero_price;

pub use account::{day, Account, Isolated, Position, Volume, VOLUME_DAYS};
pub use error::{Party, RiskError};
pub use fresh::{Fresh, WINDOW_MS};
pub use market::{Funding, GiveBack, Keeper, Market, Markets, MarketsMut, Treasury};
