//! One order, as a client asks for it.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::defence::Defence;
use crate::units::{Atoms, ClientId, Lots, MarketId, Side, Ticks, TimeMs};

/// Furthest that a pegged order may be from what it follows, either way.
pub const MAX_PEG_OFFSET_TICKS: u64 = 1 << 40;

/// Most reduce-only orders of an account that rest on one side of a market (rules §2.5).
pub const MAX_REDUCE_ONLY_ORDERS: u32 = 20;

/// Collateral that an order which waits and could increase exposure reserves (rules §2.11): 10
/// USDC.
pub const TRIGGER_RESERVE: Atoms = Atoms::from_usdc(10);

/// [`TRIGGER_RESERVE`] where the rule stands.
#[must_use]
pub fn trigger_reserve() -> Atoms {
    if Defence::WaitingTurns.stands() {
        TRIGGER_RESERVE
    } else {
        Atoms::ZERO
    }
}

/// The part of [`TRIGGER_RESERVE`] that such an order forfeits to the insurance fund when it is
/// refused at its trigger for want of collateral: 1 USDC.
pub const TRIGGER_FORFEIT: Atoms = Atoms::from_usdc(1);

/// Notional of a position for each order that may wait to reduce it: 100 USDC.
pub const NOTIONAL_PER_EXIT: Atoms = Atoms::from_usdc(100);

/// Orders that may wait to reduce a position, however small it is, and the most, however large.
pub const WAITING_EXITS: (u32, u32) = (2, 20);

/// Limit or market.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OrderType {
    /// At the price or better.
    #[default]
    Limit,
    /// At once, at the protection price or better; price 0 is `mark ± market_slippage`.
    Market,
}

/// How long an order lives (rules §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TimeInForce {
    /// Until cancelled.
    Gtc,
    /// Until the first block at or after a time.
    Gtt {
        /// First block time at which the order is gone.
        expires_ms: TimeMs,
    },
    /// The part that does not trade at once is cancelled.
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
            Self::Gtc | Self::Ioc | Self::Fok => None,
        }
    }

    /// True if what does not trade at once may rest on the book.
    #[must_use]
    #[inline]
    pub const fn rests(self) -> bool {
        matches!(self, Self::Gtc | Self::Gtt { .. })
    }
}

/// Treatment of an order that would trade at once (rules §2.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum PostOnly {
    /// The order trades.
    #[default]
    Off = 0,
    /// The order is refused.
    Reject = 1,
    /// The order rests one tick outside the best opposite price.
    Slide = 2,
}

/// A new order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Place {
    /// Where.
    pub market: MarketId,
    /// Which way.
    pub side: Side,
    /// Limit or protection price; 0 only for market orders.
    pub price_ticks: Ticks,
    /// How much.
    pub lots: Lots,
    /// Limit or market.
    pub order_type: OrderType,
    /// How long.
    pub time_in_force: TimeInForce,
    /// Treatment of the order if it would trade at once.
    pub post_only: PostOnly,
    /// True if the order may only reduce the position.
    pub reduce_only: bool,
    /// The client's id; 0 is none.
    pub client_id: ClientId,
    /// The mark that the order waits for.
    pub trigger: Option<Trigger>,
    /// True if the order closes the position that is held when it triggers: `lots` is 0,
    /// `reduce_only` set, `trigger` given.
    pub whole_position: bool,
    /// Most lots that it shows while it rests; 0 is all.
    pub display_lots: Lots,
    /// The reference of a pegged order; `price_ticks` is then its limit, 0 for none.
    pub peg: Option<Peg>,
}

impl Place {
    /// The block time at which it is gone, of a good-till-time order.
    #[must_use]
    pub const fn expires_ms(&self) -> Option<TimeMs> {
        self.time_in_force.expires_ms()
    }
}

/// The purpose of a trigger: to limit a loss, or to take a gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TriggerKind {
    /// A sell when the mark is at or below the price, a buy when it is at or above.
    Stop,
    /// A sell when the mark is at or above the price, a buy when it is at or below.
    TakeProfit,
}

/// A mark that an order waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Trigger {
    /// Stop or take-profit.
    pub kind: TriggerKind,
    /// The price, at least 1; of a trailing stop, the one with which it began.
    pub price_ticks: Ticks,
    /// The distance of a trailing stop from the best mark since it was placed.
    pub trail: Option<Trail>,
}

/// Furthest that a trailing stop may be from the best mark.
pub const MAX_TRAIL_TICKS: u64 = 1 << 40;

/// Furthest that a trailing stop may be from the best mark, as a part of it: less than all of it.
pub const MAX_TRAIL_PPM: u32 = 999_999;

/// A trailing stop's distance from the best mark since it was placed, at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Trail {
    /// In ticks, at most [`MAX_TRAIL_TICKS`].
    Ticks(u64),
    /// In parts per million of the best mark, at most [`MAX_TRAIL_PPM`].
    Ppm(u32),
}

impl Trail {
    /// A distance in parts per million, of a wider number.
    #[must_use]
    pub fn ppm(ppm: u64) -> Self {
        Self::Ppm(u32::try_from(ppm).unwrap_or(u32::MAX))
    }

    /// The distance from a best mark, up to the next tick.
    #[must_use]
    pub fn distance_ticks(self, best_ticks: Ticks) -> Ticks {
        let ticks = match self {
            Self::Ticks(ticks) => ticks,
            Self::Ppm(ppm) => {
                // 64 bits times 32 fit 128.
                let part = u128::from(best_ticks.get()).saturating_mul(u128::from(ppm));
                u64::try_from(part.div_ceil(1_000_000)).unwrap_or(u64::MAX)
            }
        };
        Ticks::new(ticks)
    }
}

/// The reference of a pegged order, and the distance that the order keeps from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Peg {
    /// The reference.
    pub to: PegTo,
    /// Added to the reference, within [`MAX_PEG_OFFSET_TICKS`].
    pub offset_ticks: i64,
}

/// The reference of a pegged order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PegTo {
    /// The block's mark.
    Mark,
    /// The best price of its own side, of orders that are not pegged.
    Best,
}
