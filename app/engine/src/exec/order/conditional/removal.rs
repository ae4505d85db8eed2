//! Cancels and expiries of conditional orders.

use tidemark_proto::types::gas::NAMED;
use tidemark_proto::units::{AccountId, MarketId, OrderId, Side};
use tidemark_proto::Code;

use crate::exec::ctx::Ctx;
use crate::exec::order::cancel;
use crate::exec::order::conditional::links;
use crate::outcome::OperationResult;

/// Takes a conditional order out for a reason, with its partner; does nothing if there is none.
fn drop_order(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId, code: Code) {
    let Some(order) = ctx.exchange.markets.slot(market).conditional.get(order_id) else { return };
    let account = order.account;
    let resting = links::release(
        &mut ctx.exchange.markets.slot_mut(market).conditional,
        market,
        order_id,
        code,
        &mut ctx.events,
    );
    if let Some(resting) = resting {
        cancel::cancel_partner(ctx, account, market, resting, order_id);
    }
}

/// Cancels an account's order that waits.
pub(crate) fn cancel(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) -> OperationResult {
    drop_order(ctx, market, order_id, Code::Cancelled);
    OperationResult { order_id, cancelled: 1, ..Default::default() }
}

/// Cancels an order that waits, because free collateral does not cover what it reserves.
pub(crate) fn prune(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) {
    drop_order(ctx, market, order_id, Code::Pruned);
}

/// Cancels an account's conditional orders in a market, or those of one side, newest first, as far
/// as the gas reaches. Returns their number, and true if some may be left.
pub(crate) fn cancel_all(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    side: Option<Side>,
    code: Code,
) -> (u32, bool) {
    let max = ctx.meter.affords(NAMED);
    let orders = &ctx.exchange.markets.slot(market).conditional;
    let is_meant = |id: &OrderId| {
        let order = orders.get(*id).filter(|order| order.waits());
        let order = order.filter(|_| !ctx.later.contains(market, *id));
        order.is_some_and(|order| side.is_none() || order.side() == side)
    };
    let looked_at: Vec<OrderId> = orders.of(account).rev().take(max as usize).collect();
    let rest = orders.of(account).nth(looked_at.len()).is_some();
    let meant: Vec<OrderId> = looked_at.iter().copied().filter(is_meant).collect();
    ctx.meter.pay(u32::try_from(looked_at.len()).unwrap_or(u32::MAX), NAMED);
    let mut cancelled = 0_u32;
    for order_id in meant {
        // A partner may have gone with another.
        if ctx.exchange.markets.slot(market).conditional.get(order_id).is_some() {
            drop_order(ctx, market, order_id, code);
            cancelled = cancelled.saturating_add(1);
        }
    }
    (cancelled, rest)
}

/// Cancels orders of a market that is closed for good, at most `max`, oldest first; says how many
/// it looked at.
pub(crate) fn close(ctx: &mut Ctx<'_>, market: MarketId, max: u32) -> u32 {
    let orders = &ctx.exchange.markets.slot(market).conditional;
    let some: Vec<OrderId> = orders.ids().take(max as usize).collect();
    let looked_at = u32::try_from(some.len()).unwrap_or(max);
    for order_id in some {
        drop_order(ctx, market, order_id, Code::MarketClosed);
    }
    looked_at
}

/// Phase 3: takes out the orders of a market whose time has passed while they waited, at most
/// `max`.
pub(crate) fn expire(ctx: &mut Ctx<'_>, market: MarketId, max: u32) {
    let now_ms = ctx.exchange.chain.time_ms;
    for order_id in ctx.exchange.markets.slot(market).conditional.expired(now_ms, max) {
        drop_order(ctx, market, order_id, Code::Expired);
    }
}
