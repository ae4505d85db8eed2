//! Changing an order that waits for its trigger.

use tidemark_proto::types::Trigger;
use tidemark_proto::units::{MarketId, OrderId};

use crate::exec::account::lookup;
use crate::exec::ctx::Ctx;
use crate::exec::order::checks;
use crate::exec::order::conditional::{enter, links};
use crate::exec::order::replace::Replacement;
use crate::outcome::OperationResult;
use crate::refusal::{NotReplaceable, Refusal};
use crate::state::conditional::{Conditional, Kind};

/// Changes an order that waits for its trigger; it keeps its id.
///
/// # Errors
/// `NOT_REPLACEABLE` for a TWAP, and for the lots of a whole position; the refusals of a placement.
pub(crate) fn replace(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    order_id: OrderId,
    changes: Replacement,
) -> Result<OperationResult, Refusal> {
    let cell = &ctx.exchange.market(market)?.cell;
    let conditional = &ctx.exchange.markets.slot(market).conditional;
    let found = conditional.get(order_id).cloned();
    let (order, before) = match found.map(|order| (order.clone(), order.kind)) {
        Some((order, Kind::Trigger(before))) => (order, before),
        Some((_, Kind::Retrying(_))) => {
            return Err(Refusal::NotReplaceable { order_id, why: NotReplaceable::Triggered });
        }
        Some((_, Kind::Reached(_))) => {
            return Err(Refusal::NotReplaceable { order_id, why: NotReplaceable::Reached });
        }
        Some((_, Kind::Dormant(_))) => {
            return Err(Refusal::NotReplaceable { order_id, why: NotReplaceable::Dormant });
        }
        _ => return Err(Refusal::TwapNotReplaceable(order_id)),
    };
    let trails = before.trigger.is_some_and(|trigger| trigger.trail.is_some());
    if trails && changes.trigger_price_ticks.is_some() {
        return Err(Refusal::NotReplaceable { order_id, why: NotReplaceable::Trails });
    }
    if before.whole_position && changes.lots.is_some() {
        return Err(Refusal::WholePositionHasNoLots(order_id));
    }
    let trigger = before.trigger.map(|trigger| Trigger {
        price_ticks: changes.trigger_price_ticks.unwrap_or(trigger.price_ticks),
        ..trigger
    });
    let place = tidemark_proto::types::Place {
        price_ticks: changes.price_ticks.unwrap_or(before.price_ticks),
        lots: changes.lots.unwrap_or(before.lots),
        trigger,
        ..before
    };
    checks::check_status(cell, place.reduce_only)?;
    if !place.whole_position {
        checks::check_lots(cell, place.lots)?;
    }
    if changes.lots.is_some() && place.reduce_only {
        let held = lookup::held(ctx.exchange, order.account, market);
        enter::check_reduces(held, place.side, place.lots)?;
    }
    if trigger != before.trigger {
        enter::check_not_reached(cell, conditional, &place)?;
    }
    if changes.lots.is_some() {
        checks::check_worth(ctx.exchange, order.account, &place)?;
    }
    let order = Conditional { kind: Kind::Trigger(place), ..order };
    ctx.events.push(links::waiting_event(market, &order));
    ctx.exchange.markets.slot_mut(market).conditional.update(order);
    Ok(OperationResult { order_id, ..Default::default() })
}
