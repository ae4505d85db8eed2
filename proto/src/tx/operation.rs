//! Order operations: what a batch is made of, read from the wire with every field checked.

use borsh::{BorshDeserialize, BorshSerialize};

use super::message::{invalid, market_id, Class};
use super::place::{place_order, OrderType, Place, PostOnly, TimeInForce};
use super::scale::{scale, Scale};
use crate::codes::Refusal;
use crate::convert;
use crate::units::{Lots, MarketId, OrderId, Side, Ticks, TimeMs};
use crate::v1;

/// Most slices of a TWAP.
pub const MAX_SLICES: u32 = 1_000;

/// Shortest time between two slices, in milliseconds.
pub const MIN_SLICE_MS: TimeMs = 1_000;

/// Longest time between two slices, in milliseconds.
pub const MAX_SLICE_MS: TimeMs = 86_400_000;

/// One operation of a batch.
#[allow(missing_docs)] // the fields are those of the wire's messages
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new order.
    Place(Place),
    /// Cancel one order.
    Cancel { market: MarketId, order: CancelBy },
    /// Change an order's price, open quantity or trigger price; `None` leaves it.
    Replace {
        market: MarketId,
        order: CancelBy,
        price_ticks: Option<Ticks>,
        lots: Option<Lots>,
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
}

/// How an order is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelBy {
    /// By the chain's id.
    Order(OrderId),
    /// By the client's.
    Client(u64),
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
    /// Whether it may only reduce the position.
    pub reduce_only: bool,
    /// The client's id; 0 is none.
    pub client_id: u64,
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
            Self::ScheduleCancelAll { .. } => None,
        }
    }

    /// When in a block it runs (rules §8).
    pub(super) fn class(&self) -> Class {
        match self {
            Self::Cancel { .. } | Self::CancelAll { .. } | Self::ScheduleCancelAll { .. } => {
                Class::Cancels
            }
            Self::Place(place) if place.post_only != PostOnly::Off => Class::PostOnly,
            Self::Scale(scale) if scale.post_only != PostOnly::Off => Class::PostOnly,
            Self::Place(_)
            | Self::Replace { .. }
            | Self::Twap(_)
            | Self::Scale(_)
            | Self::Oco(_) => Class::Orders,
        }
    }

    /// Gas by what it may do: now, and, where it waits, later (rules §10).
    pub(super) fn gas(&self) -> u64 {
        const PLACE: u64 = 200;
        const POST: u64 = 100;
        const CANCEL: u64 = 50;
        // It moves in block after block.
        const PEGGED: u64 = 2_000;
        let place = |order: &Place| {
            let placed = if order.post_only == PostOnly::Off { PLACE } else { POST };
            let waits = if order.trigger.is_some() { POST } else { 0 };
            placed + waits + if order.peg.is_some() { PEGGED } else { 0 }
        };
        match self {
            Self::Cancel { .. } => CANCEL,
            Self::CancelAll { .. } | Self::ScheduleCancelAll { .. } => 10 * CANCEL,
            Self::Place(order) => place(order),
            Self::Replace { .. } => PLACE,
            Self::Twap(twap) => PLACE * u64::from(twap.slices),
            Self::Scale(scale) => {
                u64::from(scale.count) * if scale.post_only == PostOnly::Off { PLACE } else { POST }
            }
            Self::Oco(pair) => place(&pair.0) + place(&pair.1),
        }
    }
}

/// Reads one operation.
pub(super) fn operation(wire: v1::Operation) -> Result<Operation, Refusal> {
    use v1::operation::Operation as Wire;
    match wire.operation {
        None => Err(invalid("has no content".into())),
        Some(Wire::Place(place)) => place_order(&place).map(Operation::Place),
        Some(Wire::Cancel(cancel)) => {
            let market = market_id(cancel.market)?;
            Ok(Operation::Cancel { market, order: named(cancel.order_id, cancel.client_id)? })
        }
        Some(Wire::Replace(replace)) => {
            let market = market_id(replace.market)?;
            let order = named(replace.order_id, replace.client_id)?;
            let given = |value: u64| (value != 0).then_some(value);
            let (price_ticks, lots) = (given(replace.price_ticks), given(replace.lots));
            let trigger_price_ticks = given(replace.trigger_price_ticks);
            if price_ticks.is_none() && lots.is_none() && trigger_price_ticks.is_none() {
                return Err(invalid(
                    "price_ticks, lots and trigger_price_ticks are all 0: nothing to replace"
                        .into(),
                ));
            }
            Ok(Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks })
        }
        Some(Wire::CancelAll(all)) => {
            let market = all.market.map(market_id).transpose()?;
            Ok(Operation::CancelAll { market, side: convert::side(all.side)? })
        }
        Some(Wire::ScheduleCancelAll(schedule)) => Ok(Operation::ScheduleCancelAll {
            at_ms: (schedule.at_ms != 0).then_some(schedule.at_ms),
        }),
        Some(Wire::Twap(wire)) => twap(&wire).map(Operation::Twap),
        Some(Wire::Scale(wire)) => scale(&wire).map(Operation::Scale),
        Some(Wire::Oco(wire)) => oco(&wire).map(|pair| Operation::Oco(Box::new(pair))),
    }
}

fn oco(wire: &v1::PlaceOco) -> Result<(Place, Place), Refusal> {
    let leg = |leg: &Option<v1::PlaceOrder>, name: &str| {
        let leg = leg.as_ref().ok_or_else(|| invalid(format!("{name} is missing")))?;
        place_order(leg).map_err(|refusal| {
            Refusal::new(refusal.code, format!("{name} order: {}", refusal.message))
        })
    };
    let (first, second) = (leg(&wire.first, "first")?, leg(&wire.second, "second")?);
    if first.market != second.market {
        return Err(invalid(format!(
            "the two are of markets {} and {}",
            first.market, second.market
        )));
    }
    if second.trigger.is_none() {
        return Err(invalid("the second order of a pair needs a trigger".into()));
    }
    let rests = first.order_type == OrderType::Limit
        && matches!(first.time_in_force, TimeInForce::Gtc | TimeInForce::Gtt(_));
    if second.whole_position && first.trigger.is_none() && !first.reduce_only {
        return Err(invalid(
            "beside an order for the whole position, a resting one is reduce-only".into(),
        ));
    }
    if first.peg.is_some() {
        return Err(invalid("a pegged order cannot be one of a pair".into()));
    }
    if first.trigger.is_none() && !rests {
        return Err(invalid(
            "the first order of a pair needs a trigger, or to be able to rest".into(),
        ));
    }
    Ok((first, second))
}

fn twap(wire: &v1::PlaceTwap) -> Result<Twap, Refusal> {
    let market = market_id(wire.market)?;
    let side = convert::side(wire.side)?.ok_or_else(|| invalid("side is missing".into()))?;
    let most = u64::from(MAX_SLICES).min(wire.lots);
    if !(2..=most).contains(&u64::from(wire.slices)) {
        return Err(invalid(format!(
            "slices is {}, must be 2 to {most}, of {} lots one each",
            wire.slices, wire.lots
        )));
    }
    if !(MIN_SLICE_MS..=MAX_SLICE_MS).contains(&wire.interval_ms) {
        return Err(invalid(format!(
            "interval_ms is {}, must be {MIN_SLICE_MS} to {MAX_SLICE_MS}",
            wire.interval_ms
        )));
    }
    if wire.slippage_ppm > 999_999 {
        return Err(invalid(format!(
            "slippage_ppm is {}, must be at most 999999",
            wire.slippage_ppm
        )));
    }
    Ok(Twap {
        market,
        side,
        lots: wire.lots,
        slices: wire.slices,
        interval_ms: wire.interval_ms,
        slippage_ppm: (wire.slippage_ppm != 0).then_some(wire.slippage_ppm),
        limit_ticks: (wire.limit_ticks != 0).then_some(wire.limit_ticks),
        reduce_only: wire.reduce_only,
        client_id: wire.client_id,
    })
}

fn named(order_id: u64, client_id: u64) -> Result<CancelBy, Refusal> {
    match (order_id, client_id) {
        (0, 0) => Err(invalid("order_id and client_id are both 0".into())),
        (0, client) => Ok(CancelBy::Client(client)),
        (order, _) => Ok(CancelBy::Order(order)),
    }
}
