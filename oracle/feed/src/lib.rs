//! Where a validator gets the prices that it reports. Not consensus: files, sockets, clocks and
//! decimals live here, and the chain takes what comes out of it as one vote among many.
//!
//! | module | what |
//! |---|---|
//! | [`feed`] | the trait of a price source, and the way from its decimals to a report |
//! | [`replay`] | a recorded history, played back |
//! | [`synthetic`] | made-up prices for devnets and tests |
#![cfg_attr(
    feature = "sidecar",
    doc = "| [`sidecar`], [`venues`] | `tidemark-oracle`: prices from real exchanges |"
)]

pub mod feed;
pub mod replay;
#[cfg(feature = "sidecar")]
pub mod sidecar;
pub mod synthetic;
#[cfg(feature = "sidecar")]
pub mod venues;

pub use feed::{to_report, to_ticks, Feed, FeedError, FeedPrice, ReportedMarket, TicksError};
