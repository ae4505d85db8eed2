//! Phase 3: orders whose time has come, dead man's switches, and collateral that keepers get back.

use crate::exec::ctx::Ctx;
use crate::exec::operation::{cancel_schedule, keepers};
use crate::exec::order::book_host::BookHost;
use crate::exec::order::conditional::removal;

/// Most orders of one market that expire in one block, on the book and off it each; the rest expire
/// in the next.
const MAX_PER_MARKET: u64 = 10_000;

/// Gas of an order that expires.
const ORDER_GAS: u64 = 300;

/// Removes expired orders of every market, earliest first. A sixteenth of the sweep's gas is for
/// expiries, divided evenly among all markets.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    let orders = ctx.exchange.chain.params.sweep_gas / 16 / ORDER_GAS;
    let most = orders.checked_div(ctx.exchange.markets.len() as u64).unwrap_or(0);
    let most = u32::try_from(most.clamp(1, MAX_PER_MARKET)).unwrap_or(u32::MAX);
    for market in ctx.exchange.markets.ids() {
        let (book, mut host) = BookHost::split(ctx, market);
        book.expire(now_ms, most, &mut host);
        removal::expire(ctx, market, most);
    }
    cancel_schedule::run_due(ctx);
    keepers::give_back_due(ctx.exchange);
}
