//! Reads one order from the wire and checks every field.

use super::message::{invalid, market_id};
use crate::codes::{Code, Refusal};
use crate::convert;
use crate::types::{
    OrderType, Peg, PegTo, Place, PostOnly, TimeInForce, Trail, Trigger, TriggerKind,
    MAX_PEG_OFFSET_TICKS, MAX_TRAIL_PPM, MAX_TRAIL_TICKS,
};
use crate::units::{ClientId, Lots, Ticks, TimeMs};
use crate::v1;

/// Reads a new order.
pub(super) fn place_order(wire: &v1::PlaceOrder) -> Result<Place, Refusal> {
    let market = market_id(wire.market)?;
    let side = convert::side(wire.side)?.ok_or_else(|| invalid("side is missing".into()))?;
    let order_type = match v1::OrderType::try_from(wire.r#type) {
        Ok(v1::OrderType::Limit) => OrderType::Limit,
        Ok(v1::OrderType::Market) => OrderType::Market,
        Err(_) => return Err(invalid(format!("type is {}, must be 0 or 1", wire.r#type))),
    };
    let time_in_force = match v1::TimeInForce::try_from(wire.time_in_force) {
        Ok(v1::TimeInForce::Gtc) => TimeInForce::Gtc,
        Ok(v1::TimeInForce::Gtt) => TimeInForce::Gtt { expires_ms: TimeMs::new(wire.expires_ms) },
        Ok(v1::TimeInForce::Ioc) => TimeInForce::Ioc,
        Ok(v1::TimeInForce::Fok) => TimeInForce::Fok,
        Err(_) => {
            return Err(invalid(format!("time_in_force is {}, must be 0 to 3", wire.time_in_force)))
        }
    };
    let post_only = convert::post_only(wire.post_only)?;
    let rests = time_in_force.rests();
    let place = Place {
        market,
        side,
        price_ticks: Ticks::new(wire.price_ticks),
        lots: Lots::new(wire.lots),
        order_type,
        time_in_force,
        post_only,
        reduce_only: wire.reduce_only || wire.whole_position,
        client_id: ClientId::new(wire.client_id),
        trigger: trigger(wire)?,
        whole_position: wire.whole_position,
        display_lots: Lots::new(wire.display_lots),
        peg: peg(wire)?,
    };
    if !place.display_lots.is_zero() {
        check_iceberg(&place)?;
    }
    if place.peg.is_some() {
        check_pegged(&place)?;
        return Ok(Place { post_only: PostOnly::Slide, ..place });
    }
    match (order_type, post_only) {
        (OrderType::Market, PostOnly::Reject | PostOnly::Slide) => {
            Err(invalid("a market order cannot be post-only".into()))
        }
        (OrderType::Market, PostOnly::Off) if time_in_force.expires_ms().is_some() => {
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

/// Checks that an order may show only a part of itself.
fn check_iceberg(order: &Place) -> Result<(), Refusal> {
    let rests = order.time_in_force.rests();
    if order.order_type == OrderType::Market || !rests || order.whole_position {
        return Err(invalid(
            "an iceberg order is a limit order that may rest, of a size of its own".into(),
        ));
    }
    if order.display_lots > order.lots {
        return Err(invalid(format!(
            "display_lots is {}, must be at most lots, {}",
            order.display_lots, order.lots
        )));
    }
    Ok(())
}

/// Reads the trigger of an order.
fn trigger(wire: &v1::PlaceOrder) -> Result<Option<Trigger>, Refusal> {
    let kind = match v1::Trigger::try_from(wire.trigger) {
        Ok(v1::Trigger::None) => None,
        Ok(v1::Trigger::Stop) => Some(TriggerKind::Stop),
        Ok(v1::Trigger::TakeProfit) => Some(TriggerKind::TakeProfit),
        Err(_) => return Err(invalid(format!("trigger is {}, must be 0 to 2", wire.trigger))),
    };
    let price_ticks = wire.trigger_price_ticks;
    let trail = trail(wire)?;
    match kind {
        Some(TriggerKind::TakeProfit) | None if trail.is_some() => {
            Err(invalid("trail_ticks and trail_ppm are of a stop".into()))
        }
        Some(_) if trail.is_some() && price_ticks != 0 => Err(invalid(format!(
            "trigger_price_ticks is {price_ticks}, must be 0 for a trailing stop"
        ))),
        Some(_) if trail.is_some() && !wire.reduce_only && !wire.whole_position => {
            Err(invalid("a trailing stop only reduces: reduce_only must be set".into()))
        }
        None if price_ticks != 0 => Err(invalid("trigger_price_ticks without a trigger".into())),
        None if wire.whole_position => Err(invalid("whole_position needs a trigger".into())),
        Some(_) if price_ticks == 0 && trail.is_none() => {
            Err(Refusal::new(Code::PriceOutOfBand, "trigger_price_ticks is 0, must be at least 1"))
        }
        Some(_) if wire.whole_position && wire.lots != 0 => {
            Err(invalid(format!("lots is {}, must be 0 for the whole position", wire.lots)))
        }
        None => Ok(None),
        Some(kind) => Ok(Some(Trigger { kind, price_ticks: Ticks::new(price_ticks), trail })),
    }
}

/// Reads the distance of a trailing stop.
fn trail(wire: &v1::PlaceOrder) -> Result<Option<Trail>, Refusal> {
    let (ticks, ppm) = (wire.trail_ticks, wire.trail_ppm);
    match (ticks, ppm) {
        (0, 0) => Ok(None),
        (1..=MAX_TRAIL_TICKS, 0) => Ok(Some(Trail::Ticks(ticks))),
        (_, 0) => Err(invalid(format!("trail_ticks is {ticks}, must be 1 to {MAX_TRAIL_TICKS}"))),
        (0, 1..=MAX_TRAIL_PPM) => Ok(Some(Trail::Ppm(ppm))),
        (0, _) => Err(invalid(format!("trail_ppm is {ppm}, must be 1 to {MAX_TRAIL_PPM}"))),
        _ => Err(invalid("trail_ticks and trail_ppm are both given: one is enough".into())),
    }
}

/// Reads the reference of a pegged order.
fn peg(wire: &v1::PlaceOrder) -> Result<Option<Peg>, Refusal> {
    let offset_ticks = wire.peg_offset_ticks;
    let to = match v1::Peg::try_from(wire.peg) {
        Ok(v1::Peg::None) if offset_ticks != 0 => {
            return Err(invalid("peg_offset_ticks without a peg".into()))
        }
        Ok(v1::Peg::None) => return Ok(None),
        Ok(v1::Peg::Mark) => PegTo::Mark,
        Ok(v1::Peg::Best) => PegTo::Best,
        Err(_) => return Err(invalid(format!("peg is {}, must be 0 to 2", wire.peg))),
    };
    if offset_ticks.unsigned_abs() > MAX_PEG_OFFSET_TICKS {
        return Err(invalid(format!(
            "peg_offset_ticks is {offset_ticks}, must be -{MAX_PEG_OFFSET_TICKS} to \
             {MAX_PEG_OFFSET_TICKS}"
        )));
    }
    Ok(Some(Peg { to, offset_ticks }))
}

/// Checks that an order may follow a price.
fn check_pegged(order: &Place) -> Result<(), Refusal> {
    let rests = order.time_in_force.rests();
    if order.order_type == OrderType::Market || !rests || order.trigger.is_some() {
        return Err(invalid(
            "a pegged order is a limit order that may rest, without a trigger".into(),
        ));
    }
    if order.post_only == PostOnly::Reject {
        return Err(invalid("a pegged order slides: post_only must be 0 or 2".into()));
    }
    Ok(())
}
