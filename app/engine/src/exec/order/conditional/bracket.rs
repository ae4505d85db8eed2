//! An order with exits that close what it fills (rules §2.24).

use tidemark_proto::types::{Bracket, Place, TimeInForce};
use tidemark_proto::units::{AccountId, ClientId, MarketId, OrderId, Ticks};
use tidemark_proto::Code;

use crate::exec::account::lookup;
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::{enter, links, pair};
use crate::exec::order::{checks, request};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, ConditionalOrders, Kind};
use crate::state::State;

/// Places an entry, and its exits beside it. All are taken, or none; an entry that neither trades
/// nor rests has none.
///
/// # Errors
/// The refusals of the entry, and of orders that wait.
pub(crate) fn place(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    bracket: &Bracket,
) -> Result<OperationResult, Refusal> {
    let (entry, market) = (&bracket.entry, bracket.entry.market);
    let mut exits = 0_u32;
    for exit in bracket.exits() {
        check(ctx.exchange, account, exit)?;
        exits = exits.saturating_add(1);
    }
    check_client_ids(bracket)?;
    checks::check_open_orders(ctx.exchange, account, market, exits.saturating_add(1))?;
    enter::check_exits_beside(ctx.exchange, account, market, exits, entry.lots)?;
    let result = request::place(ctx, account, entry)?;
    if result.filled_lots.is_zero() && result.resting_lots.is_zero() {
        return Ok(result);
    }
    let entry = if result.resting_lots.is_zero() { OrderId::NONE } else { result.order_id };
    let mut first = OrderId::NONE;
    for exit in bracket.exits() {
        let kind = Kind::Dormant(Place { lots: result.filled_lots, ..*exit });
        let order_id = enter::enter_exit(ctx, account, market, kind, (first, entry))?;
        if first == OrderId::NONE {
            first = order_id;
        } else {
            pair::pair(ctx, market, first, order_id);
        }
    }
    Ok(OperationResult { second_order_id: first, ..result })
}

/// Checks an exit before it waits: all that does not depend on a position or on the mark.
fn check(state: &State, account: AccountId, exit: &Place) -> Result<(), Refusal> {
    checks::check_status(&state.market(exit.market)?.cell, true)?;
    if let TimeInForce::Gtt { expires_ms } = exit.time_in_force {
        checks::check_expiry(expires_ms, state.chain.time_ms)?;
    }
    enter::check_room(state, account, exit.market, exit.client_id)
}

fn check_client_ids(bracket: &Bracket) -> Result<(), Refusal> {
    let [entry, exit] = [&bracket.entry, &bracket.exit].map(|order| order.client_id);
    let second = bracket.second.map_or(ClientId::NONE, |order| order.client_id);
    for (one, other) in [(entry, exit), (entry, second), (exit, second)] {
        if one != ClientId::NONE && one == other {
            return Err(Refusal::ClientIdOfBoth(one));
        }
    }
    Ok(())
}

/// Phase 5: exits whose entry has filled wait for their triggers, at most `max`, oldest first.
/// Those without a position to reduce sleep again while their entry is on the book, and go
/// otherwise. Returns the gas that the exits took.
pub(crate) fn begin_exits(ctx: &mut Ctx<'_>, market: MarketId, mark_ticks: Ticks, max: u32) -> u64 {
    let due = ctx.exchange.markets.slot(market).conditional.due_exits(max);
    let gas = (due.len() as u64).saturating_mul(BEGIN_GAS);
    for order_id in due {
        begin(ctx, (market, order_id), mark_ticks);
    }
    gas
}

/// Gas of an exit that begins to wait for its trigger.
const BEGIN_GAS: u64 = 300;

fn begin(ctx: &mut Ctx<'_>, (market, order_id): (MarketId, OrderId), mark_ticks: Ticks) {
    ctx.work.visit_order();
    let order = ctx.exchange.markets.slot(market).conditional.get(order_id).cloned();
    // Its pair may have gone before it, and it with that.
    let Some((place, order)) = order.and_then(|order| Some((*order.place()?, order))) else {
        return;
    };
    let held = lookup::held(ctx.exchange, order.account, market);
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    if checks::check_reduces(held, place.side).is_ok() {
        if !is_passed(conditional, &place, mark_ticks) {
            let order = Conditional { kind: Kind::Trigger(place), ..order };
            ctx.events.push(links::waiting_event(market, &order));
            conditional.update(order);
        }
    } else if order.entry == OrderId::NONE {
        let code = Code::NothingToReduce;
        links::release(conditional, market, order_id, code, &mut ctx.events);
    } else {
        // Its pair has as little to close, also where this block's budget does not reach it: what
        // the entry leaves behind is then both or none.
        let pair = conditional.get(order.partner).filter(|pair| pair.is_due()).cloned();
        for exit in [Some(order), pair].into_iter().flatten() {
            links::sleep(conditional, market, exit, &mut ctx.events);
        }
    }
}

/// Returns true if an earlier mark than this one has passed a trigger price, and orders which that
/// mark reached are not all told: an exit that came there now would be taken for one of them.
fn is_passed(conditional: &ConditionalOrders, place: &Place, mark_ticks: Ticks) -> bool {
    let Some(trigger) = place.trigger else { return false };
    let by_mark = enter::is_reached_by(place.side, trigger, mark_ticks);
    !by_mark && conditional.is_reached((place.side, true), trigger, mark_ticks)
}
