//! Reads order operations from the wire and checks every field.

use super::bracket::bracket;
use super::message::{invalid, market_id};
use super::place::place_order;
use super::scale::scale;
use crate::codes::Refusal;
use crate::convert;
use crate::types::{
    CancelBy, NewLots, Operation, OrderType, Place, Twap, MAX_SLICES, MAX_SLICE_MS, MIN_SLICE_MS,
};
use crate::units::{ClientId, Lots, OrderId, Ticks, TimeMs};
use crate::v1;

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
            let price_ticks = given(replace.price_ticks).map(Ticks::new);
            let lots = match (replace.lots, replace.total_lots) {
                (Some(_), Some(_)) => {
                    return Err(invalid("lots and total_lots are both given: one is enough".into()))
                }
                (Some(lots), None) => Some(NewLots::Open(Lots::new(lots))),
                (None, total) => total.map(|lots| NewLots::Total(Lots::new(lots))),
            };
            let trigger_price_ticks = given(replace.trigger_price_ticks).map(Ticks::new);
            if price_ticks.is_none() && lots.is_none() && trigger_price_ticks.is_none() {
                return Err(invalid(
                    "price_ticks, lots, total_lots and trigger_price_ticks are all absent: nothing \
                     to replace"
                        .into(),
                ));
            }
            Ok(Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks })
        }
        Some(Wire::CancelAll(all)) => {
            let market = all.market.map(market_id).transpose()?;
            Ok(Operation::CancelAll { market, side: convert::side(all.side)? })
        }
        Some(Wire::ScheduleCancelAll(schedule)) => {
            Ok(Operation::ScheduleCancelAll { at_ms: given(schedule.at_ms).map(TimeMs::new) })
        }
        Some(Wire::Twap(wire)) => twap(&wire).map(Operation::Twap),
        Some(Wire::Scale(wire)) => scale(&wire).map(Operation::Scale),
        Some(Wire::Oco(wire)) => oco(&wire).map(|pair| Operation::Oco(Box::new(pair))),
        Some(Wire::Bracket(wire)) => bracket(&wire).map(|of| Operation::Bracket(Box::new(of))),
    }
}

/// A field of the wire in which 0 is none.
fn given(value: u64) -> Option<u64> {
    (value != 0).then_some(value)
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
    let rests = first.order_type == OrderType::Limit && first.time_in_force.rests();
    if second.reduce_only && first.trigger.is_none() && !first.reduce_only {
        return Err(invalid(
            "beside an order that waits and only reduces, a resting one is reduce-only".into(),
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
    let interval_ms = TimeMs::new(wire.interval_ms);
    if !(MIN_SLICE_MS..=MAX_SLICE_MS).contains(&interval_ms) {
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
        lots: Lots::new(wire.lots),
        slices: wire.slices,
        interval_ms,
        slippage_ppm: (wire.slippage_ppm != 0).then_some(wire.slippage_ppm),
        limit_ticks: given(wire.limit_ticks).map(Ticks::new),
        reduce_only: wire.reduce_only,
        client_id: ClientId::new(wire.client_id),
    })
}

fn named(order_id: u64, client_id: u64) -> Result<CancelBy, Refusal> {
    match (order_id, client_id) {
        (0, 0) => Err(invalid("order_id and client_id are both 0".into())),
        (0, client) => Ok(CancelBy::Client(ClientId::new(client))),
        (order, _) => Ok(CancelBy::Order(OrderId::new(order))),
    }
}
