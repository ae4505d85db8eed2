//! Placing two orders of which one cancels the other (OCO).

use tidemark_proto::types::Place;
use tidemark_proto::units::{AccountId, ClientId, MarketId, OrderId};

use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::{enter, links};
use crate::exec::order::{checks, request};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind};

/// Takes two orders of which one cancels the other. Both are taken, or neither.
///
/// # Errors
/// The refusals of each of the two.
pub(crate) fn oco(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    (first, second): &(Place, Place),
) -> Result<OperationResult, Refusal> {
    let market = first.market;
    enter::check(ctx.exchange, account, second)?;
    enter::check_room(ctx.exchange, account, market, second.client_id)?;
    if second.client_id != ClientId::NONE && second.client_id == first.client_id {
        return Err(Refusal::ClientIdOfBoth(second.client_id));
    }
    // The second needs room beside the first.
    checks::check_open_orders(ctx.exchange, account, market, 2)?;
    let waiting = [(first.trigger.is_some(), first), (true, second)];
    let of = |exits: bool| {
        let waits = |(waits, order): &&(bool, &Place)| *waits && order.reduce_only == exits;
        u32::try_from(waiting.iter().filter(waits).count()).unwrap_or(u32::MAX)
    };
    enter::check_exits(ctx.exchange, account, market, of(true), 0)?;
    if first.trigger.is_some() {
        enter::check(ctx.exchange, account, first)?;
        enter::check_room(ctx.exchange, account, market, first.client_id)?;
        enter::cover_reserve(ctx, account, market, of(false))?;
        let order_id = enter::enter(ctx, account, market, Kind::Trigger(*first), OrderId::NONE)?;
        let second_order_id = enter::enter(ctx, account, market, Kind::Trigger(*second), order_id)?;
        pair(ctx, market, order_id, second_order_id);
        return Ok(OperationResult { order_id, second_order_id, ..Default::default() });
    }
    enter::cover_reserve(ctx, account, market, of(false))?;
    let result = place_beside(ctx, account, first, !second.reduce_only)?;
    // It traded already: that is what the second waited for.
    if !result.filled_lots.is_zero() || result.resting_lots.is_zero() {
        return Ok(result);
    }
    let order_id = result.order_id;
    let second_order_id = enter::enter(ctx, account, market, Kind::Trigger(*second), order_id)?;
    let (partner, entry, kind) = (second_order_id, OrderId::NONE, Kind::Resting);
    let resting = Conditional { order_id, account, partner, entry, kind };
    enter::insert(ctx.exchange, market, resting)?;
    Ok(OperationResult { second_order_id, ..result })
}

/// Places the first of a pair, and leaves the trigger reserve of the second alone.
fn place_beside(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    first: &Place,
    second_reserves: bool,
) -> Result<OperationResult, Refusal> {
    if !second_reserves {
        return request::place(ctx, account, first);
    }
    ctx.exchange.markets.slot_mut(first.market).conditional.pledge(account);
    let placed = request::place(ctx, account, first);
    ctx.exchange.markets.slot_mut(first.market).conditional.unpledge(account);
    placed
}

/// Makes the first of two orders that wait know the second.
pub(crate) fn pair(ctx: &mut Ctx<'_>, market: MarketId, first: OrderId, second: OrderId) {
    let orders = &mut ctx.exchange.markets.slot_mut(market).conditional;
    if let Some(order) = orders.get(first).cloned() {
        let order = Conditional { partner: second, ..order };
        ctx.events.push(links::waiting_event(market, &order));
        orders.update(order);
    }
}
