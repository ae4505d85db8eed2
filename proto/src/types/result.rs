//! Bounds on results, and the orders that wait as events and queries show them. Fields have the
//! names of the wire's messages, into which `crate::convert` turns them.

use super::order::{OrderType, Trigger};
use crate::units::{ClientId, Lots, MarketId, OrderId, Side, Ticks, TimeMs};

/// Most bytes of one operation's row in a block's results, with its protobuf frame (rules §10.6).
pub const MAX_OPERATION_RESULT_BYTES: u64 = 88;

/// Most bytes of one transaction's result in a block's results beside those of its operations.
pub const MAX_TX_RESULT_BYTES: u64 = 512;

/// Most bytes of results for each unit of gas: a block's gas bounds the size of its results.
pub const MAX_RESULT_BYTES_PER_GAS: u64 = 2;

/// An order that waits for its trigger or for its next slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConditionalOrder {
    /// The order's market.
    pub market: MarketId,
    /// The order's id, of the book's sequence.
    pub order_id: OrderId,
    /// The client's id; 0 is none.
    pub client_id: ClientId,
    /// Buy or sell; `None` for an order whose side is the book's to tell.
    pub side: Option<Side>,
    /// Lots that are still to be placed; 0 with `whole_position`.
    pub lots: Lots,
    /// Limit or protection price; 0 is none.
    pub price_ticks: Ticks,
    /// True if the order may only reduce the position.
    pub reduce_only: bool,
    /// First block time at which the order is gone; 0 is never.
    pub expires_ms: TimeMs,
    /// The mark that the order waits for; `None` for a TWAP.
    pub trigger: Option<Trigger>,
    /// The type of the order that is placed.
    pub order_type: OrderType,
    /// True if the order closes the position that is held when it triggers.
    pub whole_position: bool,
    /// The other order of an OCO pair; 0 is none.
    pub oco_order_id: OrderId,
    /// The order whose fills a bracket's exit closes, while it is on the book; 0 is none.
    pub entry_order_id: OrderId,
    /// Slices of a TWAP in all.
    pub slices: u32,
    /// Slices of a TWAP still to come.
    pub slices_left: u32,
    /// Time of a TWAP's next slice.
    pub next_ms: TimeMs,
    /// Lots that a TWAP has traded so far.
    pub filled_lots: Lots,
    /// Blocks in which a triggered order is still tried; 0 while it waits for its trigger.
    pub tries_left: u32,
}
