//! What goes into the book and what comes out.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{AccountId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs};
use tidemark_proto::{Code, Refusal};

/// Most lots in one order, so that a position, signed, can hold them.
pub const MAX_ORDER_LOTS: Lots = i64::MAX as u64;

/// What the book asks of, and tells, the exchange around it.
pub trait Host {
    /// The most lots that a reduce-only order of `owner` on `side` may trade now: its position on
    /// the other side, or 0.
    ///
    /// Asked only where a reduce-only order is concerned. It must fall by exactly the lots that
    /// `owner` trades on `side` (down to 0) once [`Host::event`] was told of the fill: fill-or-kill
    /// counts on it.
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots;

    /// Takes one event, in the order in which they happen, before the book goes on.
    fn event(&mut self, event: Event);
}

/// How long an order lives (rules §2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeInForce {
    /// Until cancelled.
    Gtc,
    /// Until cancelled, or [`Book::expire`](crate::Book::expire) at or after this block time.
    Gtt {
        /// First block time at which the order is gone.
        expires_ms: TimeMs,
    },
    /// What does not trade at once is cancelled.
    Ioc,
    /// Trades in full at once, or is refused.
    Fok,
}

impl TimeInForce {
    /// First block time at which the order is gone, if any.
    #[must_use]
    #[inline]
    pub const fn expires_ms(self) -> Option<TimeMs> {
        match self {
            Self::Gtt { expires_ms } => Some(expires_ms),
            _ => None,
        }
    }
}

/// What becomes of an order that would trade at once (rules §2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum PostOnly {
    /// It trades.
    #[default]
    No = 0,
    /// It is refused.
    Reject = 1,
    /// It rests one tick outside the best opposite price.
    Slide = 2,
}

/// An order to place.
#[derive(Clone, Copy, Debug)]
pub struct NewOrder {
    /// Whose it is.
    pub owner: AccountId,
    /// The owner's own id, unique among its live orders; 0 is none.
    pub client_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// Limit; a market order is an IOC at a protection price. Any `u64`.
    pub price_ticks: Ticks,
    /// Quantity, 1 to [`MAX_ORDER_LOTS`].
    pub lots: Lots,
    /// Most lots that it shows while it rests (an iceberg order); 0 shows all. Only for orders that
    /// may rest. When what it shows has traded, the next lots are shown at the back of its level's
    /// queue ([`Event::Refilled`]).
    pub display_lots: Lots,
    /// How long it lives.
    pub time_in_force: TimeInForce,
    /// Whether it may trade at once; only for orders that may rest.
    pub post_only: PostOnly,
    /// Whether it may only reduce its owner's position.
    pub reduce_only: bool,
    /// What to do on meeting the owner's own order.
    pub stp: SelfTradePrevention,
    /// Most makers it may meet, those that self-trade prevention or an empty position removes
    /// included.
    pub max_fills: u32,
}

/// A change of a live order. What is `None` stays.
#[derive(Clone, Copy, Debug)]
pub struct Replace {
    /// The order.
    pub order_id: OrderId,
    /// The caller; must own it.
    pub owner: AccountId,
    /// New limit.
    pub price_ticks: Option<Ticks>,
    /// New unfilled quantity, hidden lots included, 1 to [`MAX_ORDER_LOTS`].
    pub lots: Option<Lots>,
    /// What to do on meeting the owner's own order.
    pub stp: SelfTradePrevention,
    /// Most makers it may meet.
    pub max_fills: u32,
}

/// What became of an accepted order.
/// `lots = filled + decremented + resting + what went with code `rest``.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Assigned by the book; a replaced order keeps its own.
    pub order_id: OrderId,
    /// Lots traded.
    pub filled_lots: Lots,
    /// Lots taken off by [`SelfTradePrevention::Decrement`].
    pub decremented_lots: Lots,
    /// Lots now in the book, shown and hidden.
    pub resting_lots: Lots,
    /// Limit price after a slide, in ticks.
    pub price_ticks: Ticks,
    /// Why the rest neither traded nor rests: `UNFILLED`, `SELF_TRADE`, `MAX_FILLS` or
    /// `NOTHING_TO_REDUCE`.
    pub rest: Option<Code>,
}

/// A live order, as seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderView {
    /// Its id.
    pub order_id: OrderId,
    /// Whose it is.
    pub owner: AccountId,
    /// The owner's id for it; 0 is none.
    pub client_id: u64,
    /// Buy or sell.
    pub side: Side,
    /// Limit.
    pub price_ticks: Ticks,
    /// Unfilled quantity, shown and hidden.
    pub lots: Lots,
    /// What of it is hidden, below `lots`; 0 but for an iceberg order.
    pub hidden_lots: Lots,
    /// Most lots that it shows at a time; 0 for all.
    pub display_lots: Lots,
    /// Whether it may only reduce.
    pub reduce_only: bool,
    /// Whether it may only make; kept for replacements.
    pub post_only: PostOnly,
    /// First block time at which it is gone, if any.
    pub expires_ms: Option<TimeMs>,
}

impl OrderView {
    /// Unfilled lots that its level shows.
    #[must_use]
    pub const fn shown_lots(&self) -> Lots {
        self.lots - self.hidden_lots
    }
}

/// One price level, as seen from outside. `lots` and `count` are 0 for a level that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelView {
    /// Its side.
    pub side: Side,
    /// Its price.
    pub price_ticks: Ticks,
    /// Sum of its orders' unfilled lots that are shown.
    pub lots: Lots,
    /// How many orders it has.
    pub count: u32,
}

/// What happened, in order. An order's life: `Rested`, then `Fill`s, `Refilled`s and `Reduced`s,
/// until a fill leaves `maker_remaining_lots` 0 or `Removed` comes. The rest of a taker that never
/// rested is told by [`Placed`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Two orders traded, at the maker's price.
    Fill {
        /// The resting order.
        maker_order_id: OrderId,
        /// Its owner.
        maker: AccountId,
        /// Its client id, or 0.
        maker_client_id: u64,
        /// Whether it is reduce-only.
        maker_reduce_only: bool,
        /// Its unfilled lots after this fill, hidden ones included; at 0 it is gone.
        maker_remaining_lots: Lots,
        /// The incoming order.
        taker_order_id: OrderId,
        /// Its owner.
        taker: AccountId,
        /// Its client id, or 0.
        taker_client_id: u64,
        /// Its side.
        taker_side: Side,
        /// The maker's price.
        price_ticks: Ticks,
        /// Quantity.
        lots: Lots,
    },
    /// An order, or its rest, came to rest at the back of its level.
    Rested(OrderView),
    /// An iceberg order whose shown lots have traded shows its next ones, at the back of its level.
    /// Comes right after the fill.
    Refilled(OrderView),
    /// A resting order became smaller without a trade and kept its place; `order.lots` is what is
    /// left. An iceberg order loses hidden lots first.
    Reduced {
        /// The order, after it.
        order: OrderView,
        /// By how much.
        by_lots: Lots,
        /// `CANCELLED` by its owner, `SELF_TRADE` by decrement.
        reason: Code,
    },
    /// A resting order left the book with these lots unfilled.
    Removed {
        /// The order, before it.
        order: OrderView,
        /// Why: e.g. `CANCELLED`, `EXPIRED`, `SELF_TRADE`, `NOTHING_TO_REDUCE`; `REPLACED` when it
        /// comes back under the same id.
        reason: Code,
    },
}

/// A refusal as the book makes it: no text until someone reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Why.
    pub code: Code,
    /// The bound that was passed; what it counts depends on `code`.
    pub bound: u64,
    /// The value that passed it.
    pub offender: u64,
}

impl Reject {
    pub(crate) const fn new(code: Code, bound: u64, offender: u64) -> Self {
        Self { code, bound, offender }
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        let Reject { code, bound, offender } = reject;
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
            Code::DuplicateClientId => {
                format!("client id {offender} is that of live order {bound}")
            }
            Code::UnknownOrder => format!("the account has no live order {offender}"),
            Code::Overflow => {
                format!("{offender} lots more would take the level's total above {bound}")
            }
            Code::TooManyOpenOrders => format!("the book is full: {bound} live orders"),
            Code::InvalidArgument => "a post-only or iceberg order must be good-till-cancelled or \
                                      good-till-time"
                .to_owned(),
            other => format!("{other}: bound {bound}, value {offender}"),
        };
        Self::new(code, message)
    }
}
