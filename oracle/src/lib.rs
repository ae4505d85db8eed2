//! Prices (exchange rules §4): from what validators report to the index and the mark of each
//! market.
//!
//! | module | what |
//! |---|---|
//! | [`report`] | what one validator says in its vote extension, and its codec |
//! | [`extension`] | the vote extension around a report: a node key to register |
//! | [`median`] | the power-weighted median and its quorum |
//! | [`index`] | a market's index: last quorum price, its age, when it is stale |
//! | [`impact`] | the average price at which a side of a book fills a notional |
//! | [`ema`] | moving averages by block time in fixed point |
//! | [`mark`] | a market's mark price |
//!
//! All of it is consensus code: integers, no clock, no I/O, no panic on any input.

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

pub mod ema;
pub mod extension;
pub mod impact;
pub mod index;
pub mod mark;
pub mod median;
pub mod report;
