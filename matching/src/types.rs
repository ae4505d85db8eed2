//! The book's interface: the orders and changes it takes, the results and events it gives.

use tidemark_proto::types::{PostOnly, TimeInForce};
use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::{Code, Refusal};

/// Most lots in one order, so that a position, signed, can hold them.
pub const MAX_ORDER_LOTS: Lots = Lots::new(i64::MAX as u64);

/// The exchange around a book: positions that the book reads, events that the book emits.
pub trait Host {
    /// Returns the most lots that a reduce-only order of `owner` on `side` may trade now: the
    /// owner's position on the opposite side, or 0.
    ///
    /// The book calls this method only for reduce-only orders. The result must fall by exactly the
    /// lots that `owner` trades on `side` (down to 0) once [`Host::event`] has received the fill:
    /// fill-or-kill counts on that.
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots;

    /// Returns the block's time: an order whose `expires_ms` is no later is *dead*. By default no
    /// time has passed.
    fn now_ms(&self) -> TimeMs {
        TimeMs::ZERO
    }

    /// Returns true if [`Host::why_dead`] may name a code for any order. The book asks once for
    /// each operation that meets makers; the answer must hold until the operation ends.
    fn any_dead(&self) -> bool {
        false
    }

    /// Returns why an order of `owner` is dead for a reason beyond its time: a dead order never
    /// trades. Who meets a dead order removes it with this code, and nobody counts it.
    fn why_dead(&self, _owner: AccountId, _reduce_only: bool) -> Option<Code> {
        None
    }

    /// Begins a walk over makers, to trade or to count what would trade. Returns true if
    /// [`Host::admit`] is to be asked before each fill of the taker.
    fn begin_walk(&mut self) -> bool {
        false
    }

    /// Returns how many of these lots the taker may trade at this price, after all that it was
    /// admitted in this walk. The walk trades exactly those; where they are fewer than were asked
    /// for, it ends with `INSUFFICIENT_COLLATERAL`.
    fn admit(&mut self, _price_ticks: Ticks, lots: Lots) -> Lots {
        lots
    }

    /// Receives one event before the book continues. Events come in the order in which they happen.
    fn event(&mut self, event: Event);
}

/// An order to place.
#[derive(Clone, Copy, Debug)]
pub struct NewOrder {
    /// Account that owns the order.
    pub owner: AccountId,
    /// The owner's own id, unique among the owner's live orders; 0 means none.
    pub client_id: ClientId,
    /// Buy or sell.
    pub side: Side,
    /// Limit price. A market order is an IOC at a protection price. Any `u64`.
    pub price_ticks: Ticks,
    /// Quantity, 1 to [`MAX_ORDER_LOTS`].
    pub lots: Lots,
    /// Most lots that an iceberg order shows while it rests; 0 shows all. Only for orders that may
    /// rest. When the shown lots have traded, the next lots are shown at the back of the level's
    /// queue ([`Event::Refilled`]).
    pub display_lots: Lots,
    /// Time in force.
    pub time_in_force: TimeInForce,
    /// Post-only policy; only for orders that may rest.
    pub post_only: PostOnly,
    /// True if the order may only reduce its owner's position.
    pub reduce_only: bool,
    /// Policy when the order meets another order of the same owner.
    pub stp: SelfTradePrevention,
    /// Most makers that the order may meet, including makers removed by self-trade prevention or
    /// for lack of a position.
    pub max_fills: u32,
    /// Most makers that may be looked at for the order, met or not: each look is a *visit*, with
    /// the level that is entered for it. Fill-or-kill looks twice, and needs as many again.
    pub max_visits: u32,
}

/// A change of a live order. A field that is `None` keeps its value.
#[derive(Clone, Copy, Debug)]
pub struct Replace {
    /// The order.
    pub order_id: OrderId,
    /// The caller, who must own the order.
    pub owner: AccountId,
    /// New limit.
    pub price_ticks: Option<Ticks>,
    /// New unfilled quantity, hidden lots included, 1 to [`MAX_ORDER_LOTS`].
    pub lots: Option<Lots>,
    /// Policy when the order meets another order of the same owner.
    pub stp: SelfTradePrevention,
    /// Most makers that the order may meet.
    pub max_fills: u32,
    /// Most makers that may be looked at for the order, as for [`NewOrder::max_visits`].
    pub max_visits: u32,
}

/// Result of an accepted order. `lots = filled + decremented + resting + lots dropped with code
/// `rest``.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceResult {
    /// Id assigned by the book; a replaced order keeps its id.
    pub order_id: OrderId,
    /// Lots traded.
    pub filled_lots: Lots,
    /// Lots taken off by [`SelfTradePrevention::Decrement`].
    pub decremented_lots: Lots,
    /// Lots now in the book, shown and hidden.
    pub resting_lots: Lots,
    /// Limit price after a slide, in ticks.
    pub price_ticks: Ticks,
    /// Reason why the rest neither traded nor rests: `UNFILLED`, `SELF_TRADE`, `MAX_FILLS`,
    /// `OUT_OF_GAS`, `INSUFFICIENT_COLLATERAL` or `NOTHING_TO_REDUCE`; the latter also beside lots
    /// that rest, of a reduce-only order of more lots than its part of the position.
    pub rest: Option<Code>,
    /// Makers that were looked at, at most `max_visits`.
    pub visits: u32,
}

/// The lots that an order would trade at once, by a walk that changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fillable {
    /// Lots that would trade.
    pub lots: Lots,
    /// Makers that were looked at.
    pub visits: u32,
    /// Reason why the walk ended before its lots and before the last acceptable price:
    /// `OUT_OF_GAS`, `MAX_FILLS`, `SELF_TRADE` or `INSUFFICIENT_COLLATERAL`.
    pub stop: Option<Code>,
}

/// Result of a cancel-all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CancelledAll {
    /// Orders cancelled.
    pub gone: u32,
    /// Orders looked at.
    pub looked_at: u32,
    /// True if the account has orders that were not looked at.
    pub more: bool,
}

/// A live order, as callers of the book see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Order id.
    pub order_id: OrderId,
    /// Account that owns the order.
    pub owner: AccountId,
    /// The owner's own id; 0 means none.
    pub client_id: ClientId,
    /// Buy or sell.
    pub side: Side,
    /// Limit.
    pub price_ticks: Ticks,
    /// Unfilled quantity, shown and hidden.
    pub lots: Lots,
    /// Hidden part of `lots`, less than `lots`; 0 unless the order is an iceberg order.
    pub hidden_lots: Lots,
    /// Most lots that the order shows at a time; 0 shows all.
    pub display_lots: Lots,
    /// True if the order may only reduce its owner's position.
    pub reduce_only: bool,
    /// Post-only policy, kept for replacements.
    pub post_only: PostOnly,
    /// First block time at which the order has expired, if it expires.
    pub expires_ms: Option<TimeMs>,
}

impl OrderView {
    /// Returns the unfilled lots that the order's level shows.
    #[must_use]
    pub const fn shown_lots(&self) -> Lots {
        self.lots.saturating_sub(self.hidden_lots)
    }
}

/// One price level, as callers of the book see it. `lots` and `count` are 0 for a level without
/// orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelView {
    /// Side of the level.
    pub side: Side,
    /// Price of the level.
    pub price_ticks: Ticks,
    /// Sum of the unfilled lots that the level's orders show.
    pub lots: Lots,
    /// Number of orders in the level.
    pub count: u32,
}

/// A change of the book. An order's life: `Rested`, then `Fill`s, `Refilled`s and `Reduced`s, until
/// a fill leaves `maker_remaining_lots` 0 or `Removed` comes. The rest of a taker that never rested
/// appears only in its [`PlaceResult`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Two orders traded, at the maker's price.
    Fill {
        /// The resting order.
        maker_order_id: OrderId,
        /// Owner of the maker order.
        maker: AccountId,
        /// Client id of the maker order, or 0.
        maker_client_id: ClientId,
        /// True if the maker order is reduce-only.
        maker_reduce_only: bool,
        /// Unfilled lots of the maker order after this fill, hidden lots included; at 0 the order
        /// has left the book.
        maker_remaining_lots: Lots,
        /// The incoming order.
        taker_order_id: OrderId,
        /// Owner of the taker order.
        taker: AccountId,
        /// Client id of the taker order, or 0.
        taker_client_id: ClientId,
        /// Side of the taker order.
        taker_side: Side,
        /// The maker's price.
        price_ticks: Ticks,
        /// Quantity.
        lots: Lots,
    },
    /// An order, or an order's rest, came to rest at the back of its level.
    Rested(OrderView),
    /// An iceberg order whose shown lots have traded shows its next lots, at the back of its level.
    /// This event follows the fill directly.
    Refilled(OrderView),
    /// A resting order became smaller without a trade and kept its place in the queue; `order.lots`
    /// is the quantity left. An iceberg order loses hidden lots first.
    Reduced {
        /// The order after the reduction.
        order: OrderView,
        /// Lots taken off.
        by_lots: Lots,
        /// `CANCELLED` by its owner, `SELF_TRADE` by decrement, `NOTHING_TO_REDUCE` with the
        /// position that a reduce-only order reduces.
        reason: Code,
    },
    /// A resting order left the book with these lots unfilled.
    Removed {
        /// The order before its removal.
        order: OrderView,
        /// Reason, e.g. `CANCELLED`, `EXPIRED`, `SELF_TRADE`, `NOTHING_TO_REDUCE`; `REPLACED` if
        /// the order may return under the same id.
        reason: Code,
    },
}

/// A refusal by the book. The sentence for a reader is composed only when a `Reject` becomes a
/// [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Reason.
    pub code: Code,
    /// The bound that was exceeded; the quantity that it limits depends on `code`.
    pub bound: u64,
    /// The value that exceeded `bound`.
    pub offender: u64,
    /// Makers that were looked at for the refusal.
    pub visits: u32,
}

impl Reject {
    pub(crate) const fn new(code: Code, bound: u64, offender: u64) -> Self {
        Self { code, bound, offender, visits: 0 }
    }

    /// Returns the refusal with the makers that were looked at for it.
    pub(crate) const fn after(self, visits: u32) -> Self {
        Self { visits, ..self }
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        let Reject { code, bound, offender, .. } = reject;
        let message = match code {
            Code::QuantityTooSmall => {
                format!("quantity is {offender} lots, must be at least {bound}")
            }
            Code::QuantityTooLarge => {
                format!("quantity is {offender} lots, must be at most {bound}")
            }
            Code::WouldCross => {
                format!(
                    "post-only price {offender} ticks would trade with the best opposite, {bound}"
                )
            }
            Code::WouldIncrease => {
                format!("reduce-only order of {offender} lots, but only {bound} can be reduced")
            }
            Code::NotFillable => {
                format!("fill-or-kill for {offender} lots, but only {bound} can trade")
            }
            Code::InsufficientCollateral => {
                format!("free collateral covers {bound} of {offender} lots")
            }
            Code::OutOfGas => {
                format!("gas for {bound} makers does not reach over {offender} lots")
            }
            Code::DuplicateClientId => {
                format!("client id {offender} is that of live order {bound}")
            }
            Code::UnknownOrder => format!("the account has no live order {offender}"),
            Code::Overflow => {
                format!("{offender} lots more would take the level's total above {bound}")
            }
            Code::TooManyOpenOrders => {
                format!("{offender} such orders rest, at most {bound}")
            }
            Code::InvalidArgument => "a post-only or iceberg order must be good-till-cancelled or \
                                      good-till-time"
                .to_owned(),
            other => format!("{other}: bound {bound}, value {offender}"),
        };
        Self::new(code, message)
    }
}
