//! The surroundings of one operation: the exchange that it changes, the events that it causes, and
//! the meter of its work.

use tidemark_proto::units::{AccountId, MarketId, OrderId};

use crate::events::{Event, Work};
use crate::exec::later::LaterOrders;
use crate::exec::meter::{Budget, Meter};
use crate::state::State;

/// Passed down through every function that changes the exchange and reports events.
pub struct Ctx<'a> {
    /// The state that operations change.
    pub exchange: &'a mut State,
    /// The block's events so far, in order.
    pub events: Vec<Event>,
    /// Counts of visited orders and accounts.
    pub work: Work,
    /// Gas of the operation that is carried out.
    pub meter: Meter,
    /// Orders that the operation may not name, because it comes before them.
    pub later: LaterOrders,
    /// Gas that pruning has left in the block, whoever asks for it (rules §7.12).
    pub pruning: Budget,
    /// Orders that have triggered, each with the one that came of it, if any did.
    pub triggered: Vec<TriggeredOrder>,
    /// Events up to here have been looked at for orders that have ended (rules §2.7).
    pub noted: usize,
}

/// An order that has triggered, for the allowance of its owner.
#[derive(Clone, Copy, Debug)]
pub struct TriggeredOrder {
    pub market: MarketId,
    pub account: AccountId,
    pub order_id: OrderId,
    /// The order that was placed.
    pub placed_order_id: Option<OrderId>,
}

impl<'a> Ctx<'a> {
    /// An exchange without events and work yet.
    pub fn new(exchange: &'a mut State) -> Self {
        let pruning = Budget::of(exchange.chain.params.sweep_gas / 8);
        Self {
            exchange,
            events: Vec::new(),
            work: Work::default(),
            meter: Meter::default(),
            later: LaterOrders::default(),
            pruning,
            triggered: Vec::new(),
            noted: 0,
        }
    }
}
