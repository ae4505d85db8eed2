//! One market's order book: price-time matching, pure and deterministic (exchange rules §2).
//!
//! [`Book`] owns orders, levels and order ids; it knows no accounts, no clock and no I/O. Positions
//! and events are the caller's, behind [`Host`]. Every operation is bounded: by `max_fills`, by an
//! owner's open orders, or by its own `max`.
//!
//! | module | one reason to change |
//! |---|---|
//! | `types` | what goes in and comes out |
//! | `arena` | where orders are stored |
//! | `clients` | client id to slot |
//! | `expiries` | which order expires next |
//! | `attributes` | what few orders have |
//! | `icebergs` | what an order does not show |
//! | `ids` | order id to slot |
//! | `owners` | an account's live orders |
//! | `levels` | price levels: their queues |
//! | `page`, `ladder` | where they are, in order of price |
//! | `book` | queues, indexes, reads |
//! | `ops` | place, replace, reduce, cancel, expire |
//! | `take` | matching |
//! | `probe` | what an order would do |
//! | `commit` | the roots in the app hash |
//! | `memory` | bytes held |
//! | `prefetch`, `hint` | large books: memory before it is needed |
//! | `sums` | counts and sums of lots that cannot wrap |
//! | `snapshot` | the book as bytes |
//! | `triggers` | orders that wait for the mark; apart from the book |

mod admission;
mod arena;
mod attributes;
mod book;
mod bounded;
mod cache;
mod cancel;
mod clients;
mod commit;
mod digest;
mod expiries;
mod fillable;
mod icebergs;
mod ids;
mod ladder;
mod levels;
mod matcher;
mod memory;
mod owners;
mod page;
mod place;
mod prefetch;
mod queries;
mod replace;
mod snapshot;
mod triggers;
mod types;

#[cfg(any(test, feature = "model"))]
#[doc(hidden)]
pub mod tests;

pub use book::Book;
pub use digest::Digest;
pub use prefetch::Prefetch;
pub use triggers::{Backlog, Reach, TriggerBook};
pub use types::{
    Event, Host, LevelView, NewOrder, OrderView, Placed, PostOnly, Reject, Replace, TimeInForce,
    MAX_ORDER_LOTS,
};
