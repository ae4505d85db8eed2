//! Placing orders that wait.

use crate::exec::ctx::Ctx;
use tidemark_proto::types::{OperationResult, Place, TimeInForce, Twap};
use tidemark_proto::units::{AccountId, MarketId, OrderId};
use tidemark_proto::{Code, Refusal};

use super::{insert, waiting};
use crate::exec::{margin, orders};
use crate::state::conditional::{Conditional, ConditionalOrders, Kind, Slicing, CATCH_UP};
use crate::state::{MarketCell, State};

/// Takes an order with a trigger.
///
/// # Errors
/// The refusals that do not depend on margin; `TRIGGER_REACHED`.
pub(in crate::exec) fn wait(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    check(ctx.exchange, account, order)?;
    check_room(ctx.exchange, account, order.market, order.client_id)?;
    let order_id = enter(ctx, account, order.market, Kind::Waiting(*order), 0)?;
    Ok(OperationResult { order_id, ..Default::default() })
}

/// Takes a TWAP; its first slice is due in the next block.
///
/// # Errors
/// As for [`wait`].
pub(in crate::exec) fn twap(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    twap: &Twap,
) -> Result<OperationResult, Refusal> {
    check_twap(ctx.exchange, twap)?;
    check_room(ctx.exchange, account, twap.market, twap.client_id)?;
    // Phase 5 of this block is over: the first slice is the next block's.
    let next_ms = ctx.exchange.chain.time_ms;
    let slicing = Slicing { twap: *twap, start_ms: None, next_ms, filled_lots: 0 };
    let order_id = enter(ctx, account, twap.market, Kind::Slicing(slicing), 0)?;
    Ok(OperationResult { order_id, ..Default::default() })
}

/// Takes two orders of which one cancels the other. Both are taken, or neither.
///
/// # Errors
/// The refusals of each of the two.
pub(in crate::exec) fn oco(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    (first, second): &(Place, Place),
) -> Result<OperationResult, Refusal> {
    let market = first.market;
    check(ctx.exchange, account, second)?;
    check_room(ctx.exchange, account, market, second.client_id)?;
    if second.client_id != 0 && second.client_id == first.client_id {
        return Err(Refusal::new(
            Code::DuplicateClientId,
            format!("client id {} is that of both orders", second.client_id),
        ));
    }
    // The second needs room beside the first.
    orders::check_open_orders(ctx.exchange, account, market, 2)?;
    if first.trigger.is_some() {
        check(ctx.exchange, account, first)?;
        check_room(ctx.exchange, account, market, first.client_id)?;
        let order_id = enter(ctx, account, market, Kind::Waiting(*first), 0)?;
        let second_order_id = enter(ctx, account, market, Kind::Waiting(*second), order_id)?;
        pair(ctx, market, order_id, second_order_id);
        return Ok(OperationResult { order_id, second_order_id, ..Default::default() });
    }
    let result = orders::place(ctx, account, first)?;
    // It traded already: that is what the second waited for.
    if result.filled_lots > 0 || result.resting_lots == 0 {
        return Ok(result);
    }
    let order_id = result.order_id;
    let second_order_id = enter(ctx, account, market, Kind::Waiting(*second), order_id)?;
    let resting = Conditional { order_id, account, partner: second_order_id, kind: Kind::Resting };
    insert(ctx.exchange, market, resting)?;
    Ok(OperationResult { second_order_id, ..result })
}

/// What is checked of a TWAP before it starts.
pub(in crate::exec) fn check_twap(state: &State, twap: &Twap) -> Result<(), Refusal> {
    let cell = &state.market(twap.market)?.cell;
    orders::check_status(cell, twap.reduce_only)?;
    // A slice catches up with three times its part at most.
    let part = twap.lots.div_ceil(u64::from(twap.slices.max(1)));
    orders::check_lots(cell, part.saturating_mul(CATCH_UP).min(twap.lots))
}

/// What is checked of an order before it waits.
pub(in crate::exec) fn check(
    state: &State,
    account: AccountId,
    order: &Place,
) -> Result<(), Refusal> {
    let cell = &state.market(order.market)?.cell;
    orders::check_status(cell, order.reduce_only)?;
    if order.whole_position {
        orders::check_reduces(margin::held(state, account, order.market), order.side)?;
    } else {
        orders::check_lots(cell, order.lots)?;
    }
    if let TimeInForce::Gtt { expires_ms } = order.time_in_force {
        orders::check_expiry(expires_ms, state.chain.time_ms)?;
    }
    check_not_reached(cell, &state.markets.slot(order.market).conditional, order)
}

/// That the mark has not reached an order's trigger.
pub(super) fn check_not_reached(
    cell: &MarketCell,
    conditional: &ConditionalOrders,
    order: &Place,
) -> Result<(), Refusal> {
    let mark_ticks = cell.market.mark_ticks.ok_or_else(|| orders::no_price(cell))?;
    let Some(trigger) = order.trigger else { return Ok(()) };
    if !conditional.is_reached(order.side, trigger, mark_ticks) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::TriggerReached,
        format!(
            "the trigger price is {} ticks, the mark is {mark_ticks}: it is reached",
            trigger.price_ticks
        ),
    ))
}

/// That an account may have one more open order of this client id in a market.
fn check_room(
    state: &State,
    account: AccountId,
    market: MarketId,
    client_id: u64,
) -> Result<(), Refusal> {
    orders::check_open_orders(state, account, market, 1)?;
    orders::check_client_id(state, account, market, client_id)?;
    let resting = state.markets.slot(market).book.order_by_client_id(account, client_id);
    match resting {
        Some(order) => Err(orders::duplicate_client_id(client_id, order.order_id)),
        None => Ok(()),
    }
}

/// Gives an order its id and enters it; the account gets an entry in the market, as for any order.
fn enter(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    kind: Kind,
    partner: OrderId,
) -> Result<OrderId, Refusal> {
    margin::position_mut(ctx.exchange, account, market)?;
    let assigned = ctx.exchange.markets.slot_mut(market).book.assign_id();
    let order_id = assigned.ok_or_else(|| Refusal::overflow("the number of orders"))?;
    let order = Conditional { order_id, account, partner, kind };
    ctx.events.push(waiting(market, &order));
    insert(ctx.exchange, market, order)?;
    Ok(order_id)
}

/// Makes the first of two orders that wait know the second.
fn pair(ctx: &mut Ctx<'_>, market: MarketId, first: OrderId, second: OrderId) {
    let orders = &mut ctx.exchange.markets.slot_mut(market).conditional;
    if let Some(order) = orders.get(first).cloned() {
        let order = Conditional { partner: second, ..order };
        ctx.events.push(waiting(market, &order));
        orders.update(order);
    }
}
