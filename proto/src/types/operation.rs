//! Order operations: the parts of a batch.

use borsh::{BorshDeserialize, BorshSerialize};

use super::message::Class;
use super::order::{Place, PostOnly};
use super::scale::Scale;
use crate::units::{ClientId, Lots, MarketId, OrderId, Side, Ticks, TimeMs};

/// Most slices of a TWAP.
pub const MAX_SLICES: u32 = 1_000;

/// Shortest time between two slices, in milliseconds.
pub const MIN_SLICE_MS: TimeMs = TimeMs::new(1_000);

/// Longest time between two slices, in milliseconds.
pub const MAX_SLICE_MS: TimeMs = TimeMs::new(86_400_000);

/// One operation of a batch.
#[allow(missing_docs)] // the fields are those of the wire's messages
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new order.
    Place(Place),
    /// Cancel one order.
    Cancel { market: MarketId, order: CancelBy },
    /// Change an order's price, quantity or trigger price; `None` leaves it, and no open lots
    /// cancel the order.
    Replace {
        market: MarketId,
        order: CancelBy,
        price_ticks: Option<Ticks>,
        lots: Option<NewLots>,
        trigger_price_ticks: Option<Ticks>,
    },
    /// Cancel all orders, of one market or all, of one side or both.
    CancelAll { market: Option<MarketId>, side: Option<Side> },
    /// Set the dead man's switch to a block time, or off.
    ScheduleCancelAll { at_ms: Option<TimeMs> },
    /// An order in slices over time.
    Twap(Twap),
    /// A ladder of limit orders, all or none.
    Scale(Scale),
    /// Two orders of one market of which one cancels the other; the second has a trigger.
    Oco(Box<(Place, Place)>),
    /// An order, and exits for what it fills.
    Bracket(Box<Bracket>),
}

/// The quantity that a replacement gives an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewLots {
    /// So much is open.
    Open(Lots),
    /// So much has traded and is open together.
    Total(Lots),
}

impl NewLots {
    /// The open lots of an order that has traded `filled_lots`.
    #[must_use]
    pub const fn open(self, filled_lots: Lots) -> Lots {
        match self {
            Self::Open(lots) => lots,
            Self::Total(lots) => lots.saturating_sub(filled_lots),
        }
    }
}

/// The name of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelBy {
    /// By the chain's id.
    Order(OrderId),
    /// By the client's.
    Client(ClientId),
}

/// An order with exits of the other side, of no lots of their own, that close what it fills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// The order, which comes at once.
    pub entry: Place,
    /// The first exit.
    pub exit: Place,
    /// A second exit, of which the first one cancels it and it the first.
    pub second: Option<Place>,
}

impl Bracket {
    /// Its exits.
    pub fn exits(&self) -> impl Iterator<Item = &Place> {
        std::iter::once(&self.exit).chain(&self.second)
    }
}

/// An order in equal parts over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Twap {
    /// Where.
    pub market: MarketId,
    /// Which way.
    pub side: Side,
    /// Of all slices, at least one for each.
    pub lots: Lots,
    /// 2 to [`MAX_SLICES`].
    pub slices: u32,
    /// Block time between slices.
    pub interval_ms: TimeMs,
    /// How far beyond the mark a slice may trade; `None` is the market's `market_slippage_ppm`.
    pub slippage_ppm: Option<u32>,
    /// No slice trades beyond this price.
    pub limit_ticks: Option<Ticks>,
    /// True if the order may only reduce the position.
    pub reduce_only: bool,
    /// The client's id; 0 is none.
    pub client_id: ClientId,
}

impl Operation {
    /// The market that it is about; `None` when it is about all.
    #[must_use]
    pub const fn market(&self) -> Option<MarketId> {
        match self {
            Self::Place(place) => Some(place.market),
            Self::Cancel { market, .. } | Self::Replace { market, .. } => Some(*market),
            Self::CancelAll { market, .. } => *market,
            Self::Twap(twap) => Some(twap.market),
            Self::Scale(scale) => Some(scale.market),
            Self::Oco(pair) => Some(pair.0.market),
            Self::Bracket(bracket) => Some(bracket.entry.market),
            Self::ScheduleCancelAll { .. } => None,
        }
    }

    /// Memory that the operation takes beside its own size.
    #[must_use]
    pub fn boxed_bytes(&self) -> usize {
        match self {
            Self::Oco(pair) => size_of_val(&**pair),
            Self::Bracket(bracket) => size_of_val(&**bracket),
            _ => 0,
        }
    }

    /// The operation's class (rules §8.3). A replacement has that of what may take, though it ranks
    /// with post-only orders where the order stays one.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::Cancel { .. } | Self::CancelAll { .. } | Self::ScheduleCancelAll { .. } => {
                Class::Cancels
            }
            Self::Place(Place { post_only, .. }) | Self::Scale(Scale { post_only, .. }) => {
                match post_only {
                    PostOnly::Off => Class::Orders,
                    PostOnly::Reject | PostOnly::Slide => Class::PostOnly,
                }
            }
            Self::Replace { .. } | Self::Twap(_) | Self::Oco(_) | Self::Bracket(_) => Class::Orders,
        }
    }

    /// Returns true if new orders may come of it.
    #[must_use]
    pub const fn places(&self) -> bool {
        match self {
            Self::Place(_) | Self::Twap(_) | Self::Scale(_) | Self::Oco(_) | Self::Bracket(_) => {
                true
            }
            Self::Cancel { .. }
            | Self::CancelAll { .. }
            | Self::Replace { .. }
            | Self::ScheduleCancelAll { .. } => false,
        }
    }
}
