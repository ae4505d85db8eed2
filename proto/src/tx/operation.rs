//! Order operations: what a batch is made of, read from the wire with every field checked.

use borsh::{BorshDeserialize, BorshSerialize};

use super::message::{invalid, market_id, Class};
use super::scale::{scale, Scale};
use crate::codes::{Code, Refusal};
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

/// Limit or market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum OrderType {
    /// At the price or better.
    Limit,
    /// At once, at the protection price or better; price 0 is `mark ± market_slippage`.
    Market,
}

/// How long an order stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum TimeInForce {
    /// Until it is cancelled.
    Gtc,
    /// Until this block time.
    Gtt(TimeMs),
    /// What does not trade at once is cancelled.
    Ioc,
    /// All at once, or nothing.
    Fok,
}

/// What an order that must not take does when it would.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PostOnly {
    /// It may take.
    Off,
    /// It is refused.
    Reject,
    /// It moves to one tick outside the best opposite price.
    Slide,
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
    /// Whether it may take.
    pub post_only: PostOnly,
    /// Whether it may only reduce the position.
    pub reduce_only: bool,
    /// The client's id; 0 is none.
    pub client_id: u64,
    /// What it waits for.
    pub trigger: Option<Trigger>,
    /// Whether it closes the position as it is when it triggers: `lots` is 0, `reduce_only` set, `trigger` given.
    pub whole_position: bool,
    /// Most lots that it shows while it rests; 0 is all.
    pub display_lots: Lots,
}

impl Place {
    /// The block time at which it is gone, of a good-till-time order.
    #[must_use]
    pub const fn expires_ms(&self) -> Option<TimeMs> {
        match self.time_in_force {
            TimeInForce::Gtt(expires_ms) => Some(expires_ms),
            TimeInForce::Gtc | TimeInForce::Ioc | TimeInForce::Fok => None,
        }
    }
}

/// Whether a trigger is for a loss or for a gain.
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
    /// The price, at least 1.
    pub price_ticks: Ticks,
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
            Self::Cancel { .. } | Self::CancelAll { .. } | Self::ScheduleCancelAll { .. } => Class::Cancels,
            Self::Place(place) if place.post_only != PostOnly::Off => Class::PostOnly,
            Self::Scale(scale) if scale.post_only != PostOnly::Off => Class::PostOnly,
            Self::Place(_) | Self::Replace { .. } | Self::Twap(_) | Self::Scale(_) | Self::Oco(_) => {
                Class::Orders
            }
        }
    }

    /// Gas by what it may do: now, and, where it waits, later (rules §10).
    pub(super) fn gas(&self) -> u64 {
        const PLACE: u64 = 200;
        const POST: u64 = 100;
        const CANCEL: u64 = 50;
        let place = |order: &Place| {
            let placed = if order.post_only == PostOnly::Off { PLACE } else { POST };
            placed + if order.trigger.is_some() { POST } else { 0 }
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
                    "price_ticks, lots and trigger_price_ticks are all 0: nothing to replace".into(),
                ));
            }
            Ok(Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks })
        }
        Some(Wire::CancelAll(all)) => {
            let market = all.market.map(market_id).transpose()?;
            Ok(Operation::CancelAll { market, side: convert::side(all.side)? })
        }
        Some(Wire::ScheduleCancelAll(schedule)) => {
            Ok(Operation::ScheduleCancelAll { at_ms: (schedule.at_ms != 0).then_some(schedule.at_ms) })
        }
        Some(Wire::Twap(wire)) => twap(&wire).map(Operation::Twap),
        Some(Wire::Scale(wire)) => scale(&wire).map(Operation::Scale),
        Some(Wire::Oco(wire)) => oco(&wire).map(|pair| Operation::Oco(Box::new(pair))),
    }
}

fn oco(wire: &v1::PlaceOco) -> Result<(Place, Place), Refusal> {
    let leg = |leg: &Option<v1::PlaceOrder>, name: &str| {
        let leg = leg.as_ref().ok_or_else(|| invalid(format!("{name} is missing")))?;
        place_order(leg)
            .map_err(|refusal| Refusal::new(refusal.code, format!("{name} order: {}", refusal.message)))
    };
    let (first, second) = (leg(&wire.first, "first")?, leg(&wire.second, "second")?);
    if first.market != second.market {
        return Err(invalid(format!("the two are of markets {} and {}", first.market, second.market)));
    }
    if second.trigger.is_none() {
        return Err(invalid("the second order of a pair needs a trigger".into()));
    }
    let rests = first.order_type == OrderType::Limit
        && matches!(first.time_in_force, TimeInForce::Gtc | TimeInForce::Gtt(_));
    if second.whole_position && first.trigger.is_none() && !first.reduce_only {
        return Err(invalid("beside an order for the whole position, a resting one is reduce-only".into()));
    }
    if first.trigger.is_none() && !rests {
        return Err(invalid("the first order of a pair needs a trigger, or to be able to rest".into()));
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
        return Err(invalid(format!("slippage_ppm is {}, must be at most 999999", wire.slippage_ppm)));
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

/// That an order can show a part of itself.
fn check_iceberg(order: &Place) -> Result<(), Refusal> {
    let rests = matches!(order.time_in_force, TimeInForce::Gtc | TimeInForce::Gtt(_));
    if order.order_type == OrderType::Market || !rests || order.whole_position {
        return Err(invalid("an iceberg order is a limit order that may rest, of a size of its own".into()));
    }
    if order.display_lots > order.lots {
        return Err(invalid(format!(
            "display_lots is {}, must be at most lots, {}",
            order.display_lots, order.lots
        )));
    }
    Ok(())
}

/// Reads what an order waits for.
fn trigger(wire: &v1::PlaceOrder) -> Result<Option<Trigger>, Refusal> {
    let kind = match v1::Trigger::try_from(wire.trigger) {
        Ok(v1::Trigger::None) => None,
        Ok(v1::Trigger::Stop) => Some(TriggerKind::Stop),
        Ok(v1::Trigger::TakeProfit) => Some(TriggerKind::TakeProfit),
        Err(_) => return Err(invalid(format!("trigger is {}, must be 0 to 2", wire.trigger))),
    };
    let price_ticks = wire.trigger_price_ticks;
    match kind {
        None if price_ticks != 0 => Err(invalid("trigger_price_ticks without a trigger".into())),
        None if wire.whole_position => Err(invalid("whole_position needs a trigger".into())),
        Some(_) if price_ticks == 0 => {
            Err(Refusal::new(Code::PriceOutOfBand, "trigger_price_ticks is 0, must be at least 1"))
        }
        Some(_) if wire.whole_position && wire.lots != 0 => {
            Err(invalid(format!("lots is {}, must be 0 for the whole position", wire.lots)))
        }
        None => Ok(None),
        Some(kind) => Ok(Some(Trigger { kind, price_ticks })),
    }
}

fn named(order_id: u64, client_id: u64) -> Result<CancelBy, Refusal> {
    match (order_id, client_id) {
        (0, 0) => Err(invalid("order_id and client_id are both 0".into())),
        (0, client) => Ok(CancelBy::Client(client)),
        (order, _) => Ok(CancelBy::Order(order)),
    }
}

fn place_order(wire: &v1::PlaceOrder) -> Result<Place, Refusal> {
    let market = market_id(wire.market)?;
    let side = convert::side(wire.side)?.ok_or_else(|| invalid("side is missing".into()))?;
    let order_type = match v1::OrderType::try_from(wire.r#type) {
        Ok(v1::OrderType::Limit) => OrderType::Limit,
        Ok(v1::OrderType::Market) => OrderType::Market,
        Err(_) => return Err(invalid(format!("type is {}, must be 0 or 1", wire.r#type))),
    };
    let time_in_force = match v1::TimeInForce::try_from(wire.time_in_force) {
        Ok(v1::TimeInForce::Gtc) => TimeInForce::Gtc,
        Ok(v1::TimeInForce::Gtt) => TimeInForce::Gtt(wire.expires_ms),
        Ok(v1::TimeInForce::Ioc) => TimeInForce::Ioc,
        Ok(v1::TimeInForce::Fok) => TimeInForce::Fok,
        Err(_) => return Err(invalid(format!("time_in_force is {}, must be 0 to 3", wire.time_in_force))),
    };
    let post_only = convert::post_only(wire.post_only)?;
    let rests = matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Gtt(_));
    let place = Place {
        market,
        side,
        price_ticks: wire.price_ticks,
        lots: wire.lots,
        order_type,
        time_in_force,
        post_only,
        reduce_only: wire.reduce_only || wire.whole_position,
        client_id: wire.client_id,
        trigger: trigger(wire)?,
        whole_position: wire.whole_position,
        display_lots: wire.display_lots,
    };
    if place.display_lots != 0 {
        check_iceberg(&place)?;
    }
    match (order_type, post_only) {
        (OrderType::Market, PostOnly::Reject | PostOnly::Slide) => {
            Err(invalid("a market order cannot be post-only".into()))
        }
        (OrderType::Market, PostOnly::Off) if matches!(time_in_force, TimeInForce::Gtt(_)) => {
            Err(invalid("a market order cannot be good till a time".into()))
        }
        (OrderType::Limit, _) if wire.price_ticks == 0 => {
            Err(Refusal::new(Code::PriceOutOfBand, "price_ticks is 0, must be at least 1"))
        }
        (OrderType::Limit, PostOnly::Reject | PostOnly::Slide) if !rests => {
            Err(invalid("a post-only order cannot be immediate".into()))
        }
        _ => Ok(place),
    }
}
