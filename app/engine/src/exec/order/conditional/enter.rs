//! Entering orders that wait for a mark or for a time (rules §§2.11 to 2.14).
//!
//! They reserve nothing while they wait, and pass the checks of any order when they are placed.
//! Their ids are of the book's sequence, and they count as open orders; each order that they place
//! has an id of its own and keeps the client id.

use tidemark_proto::types::{Place, TimeInForce, Twap};
use tidemark_proto::units::{AccountId, ClientId, Lots, MarketId, OrderId};

use crate::exec::account::lookup;
use crate::exec::ctx::Ctx;
use crate::exec::order::checks;
use crate::exec::order::conditional::links;
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, ConditionalOrders, Kind, Slicing, CATCH_UP};
use crate::state::{MarketCell, State};

/// Takes an order with a trigger.
///
/// # Errors
/// The refusals that do not depend on margin; `TRIGGER_REACHED`.
pub(crate) fn wait(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    check(ctx.exchange, account, order)?;
    check_room(ctx.exchange, account, order.market, order.client_id)?;
    let order_id = enter(ctx, account, order.market, Kind::Trigger(*order), OrderId::NONE)?;
    Ok(OperationResult { order_id, ..Default::default() })
}

/// Takes a TWAP; its first slice is due in the next block.
///
/// # Errors
/// As for [`wait`].
pub(crate) fn twap(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    twap: &Twap,
) -> Result<OperationResult, Refusal> {
    check_twap(ctx.exchange, account, twap)?;
    check_room(ctx.exchange, account, twap.market, twap.client_id)?;
    // Phase 5 of this block is over: the first slice is the next block's.
    let next_ms = ctx.exchange.chain.time_ms;
    let slicing = Slicing { twap: *twap, start_ms: None, next_ms, filled_lots: Lots::ZERO };
    let order_id = enter(ctx, account, twap.market, Kind::Slicing(slicing), OrderId::NONE)?;
    Ok(OperationResult { order_id, ..Default::default() })
}

/// Checks a TWAP before it starts.
pub(crate) fn check_twap(state: &State, account: AccountId, twap: &Twap) -> Result<(), Refusal> {
    let cell = &state.market(twap.market)?.cell;
    check_frozen(state, account, twap.reduce_only)?;
    checks::check_status(cell, twap.reduce_only)?;
    // A slice catches up with three times its part at most.
    let part = twap.lots.get().div_ceil(u64::from(twap.slices.max(1)));
    checks::check_lots(cell, Lots::new(part.saturating_mul(CATCH_UP)).min(twap.lots))
}

/// Checks an order before it waits.
pub(crate) fn check(state: &State, account: AccountId, order: &Place) -> Result<(), Refusal> {
    let cell = &state.market(order.market)?.cell;
    check_frozen(state, account, order.reduce_only)?;
    checks::check_status(cell, order.reduce_only)?;
    if order.whole_position {
        checks::check_reduces(lookup::held(state, account, order.market), order.side)?;
    } else {
        checks::check_lots(cell, order.lots)?;
    }
    if let TimeInForce::Gtt { expires_ms } = order.time_in_force {
        checks::check_expiry(expires_ms, state.chain.time_ms)?;
    }
    check_not_reached(cell, &state.markets.slot(order.market).conditional, order)
}

/// A frozen account's orders wait only to reduce (rules §7.13).
fn check_frozen(state: &State, account: AccountId, reduce_only: bool) -> Result<(), Refusal> {
    if reduce_only {
        return Ok(());
    }
    lookup::check_not_frozen(state, account)
}

/// Checks that the mark has not reached an order's trigger.
pub(crate) fn check_not_reached(
    cell: &MarketCell,
    conditional: &ConditionalOrders,
    order: &Place,
) -> Result<(), Refusal> {
    let mark_ticks = cell.market.mark_ticks.ok_or_else(|| checks::no_price(cell))?;
    let Some(trigger) = order.trigger else { return Ok(()) };
    if !conditional.is_reached(order.side, trigger, mark_ticks) {
        return Ok(());
    }
    Err(Refusal::TriggerReached { trigger_ticks: trigger.price_ticks, mark_ticks })
}

/// Checks that an account has room for one more open order, under a free client id.
pub(crate) fn check_room(
    state: &State,
    account: AccountId,
    market: MarketId,
    client_id: ClientId,
) -> Result<(), Refusal> {
    checks::check_open_orders(state, account, market, 1)?;
    checks::check_client_id(state, account, market, client_id)?;
    let resting = state.markets.slot(market).book.order_by_client_id(account, client_id);
    match resting {
        Some(order) => Err(checks::duplicate_client_id(client_id, order.order_id)),
        None => Ok(()),
    }
}

/// Gives an order its id and enters it; the account gets an entry in the market, as for any order.
pub(crate) fn enter(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    kind: Kind,
    partner: OrderId,
) -> Result<OrderId, Refusal> {
    lookup::position_mut(ctx.exchange, account, market)?;
    let assigned = ctx.exchange.markets.slot_mut(market).book.assign_id();
    let order_id = assigned.ok_or_else(|| Refusal::overflow("the number of orders"))?;
    let order = Conditional { order_id, account, partner, kind };
    ctx.events.push(links::waiting_event(market, &order));
    insert(ctx.exchange, market, order)?;
    Ok(order_id)
}

pub(crate) fn insert(
    state: &mut State,
    market: MarketId,
    order: Conditional,
) -> Result<(), Refusal> {
    if state.markets.slot_mut(market).conditional.insert(order) {
        return Ok(());
    }
    Err(Refusal::overflow("the number of waiting orders"))
}
