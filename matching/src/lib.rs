//! One market's order book: price-time matching, pure and deterministic (exchange rules §2).
//!
//! [`Book`] owns orders, levels and order ids; it knows no accounts, no clock and no I/O. The
//! caller keeps positions and receives events, as the [`Host`]. Every operation is bounded: by
//! `max_visits`, by an owner's open orders, or by its own `max`.
//!
//! | module | contents |
//! |---|---|
//! | `types` | orders, changes, results, events |
//! | `digest`, `bounded`, `memory`, `cache` | digest type, sums, memory estimate, prefetch hint |
//! | `by_side` | a value for each side |
//! | `arena` | storage of live orders |
//! | `attributes` | client ids and expiries by slot |
//! | `icebergs` | hidden lots |
//! | `ids`, `clients` | order ids and client ids to slots |
//! | `order_node`, `order_tree` | digests over orders by id |
//! | `levels` | price levels and their queues |
//! | `reduce_only` | resting reduce-only orders of each account |
//! | `owners` | live orders of each account |
//! | `expiries` | heap of expiries |
//! | `page`, `ladder` | price levels in order of price |
//! | `pegs` | pegged orders, and levels with others |
//! | `book` | the book's state; insertion and removal of orders |
//! | `queries` | reads |
//! | `pegged` | marks of pegged orders, and the prices of others |
//! | `admission` | checks before an order enters |
//! | `sharing` | parts of a position that reduce-only orders show |
//! | `dead` | orders that stay on the book and do not trade |
//! | `matcher` | matching |
//! | `fillable` | the lots that an order would trade |
//! | `place`, `replace`, `cancel` | operations |
//! | `commit` | roots in the app hash |
//! | `proofs` | single orders and levels under the roots |
//! | `prefetch` | prefetching of large books |
//! | `snapshot` | the book as bytes |
//! | `triggers` | trigger prices, apart from the book |
//! | `trails` | trigger prices that follow the mark |
//! | `turns` | the order in which reached orders have their turn |
//!
//! A module imports only from modules above it in this table.

#![cfg_attr(
    any(test, feature = "model"),
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

mod admission;
mod arena;
mod attributes;
mod book;
mod bounded;
mod by_side;
mod cache;
mod cancel;
mod clients;
mod commit;
mod dead;
mod digest;
mod expiries;
mod fillable;
mod icebergs;
mod ids;
mod ladder;
mod levels;
mod matcher;
mod memory;
mod order_node;
mod order_tree;
mod owners;
mod page;
mod pegged;
mod pegs;
mod place;
mod prefetch;
mod proofs;
mod queries;
mod reduce_only;
mod replace;
mod sharing;
mod snapshot;
mod trails;
mod triggers;
mod turns;
mod types;

#[cfg(any(test, feature = "model"))]
#[doc(hidden)]
pub mod tests;

pub use book::Book;
pub use dead::{BestLive, DEPTH_VISITS};
pub use digest::Digest;
pub use prefetch::Prefetch;
pub use snapshot::FrozenBook;
pub use trails::{trail_price, TrailGroups, TrailMarks, Trails};
pub use triggers::{Backlog, TriggerBook, TriggerDirection};
pub use turns::TurnQueue;
// Two terms of proto, which orders are made of.
pub use tidemark_proto::types::{PostOnly, TimeInForce};
pub use types::{
    CancelledAll, Event, Fillable, Host, LevelView, NewOrder, OrderView, PlaceResult, Reject,
    Replace, MAX_ORDER_LOTS,
};
