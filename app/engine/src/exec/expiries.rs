//! Phase 3: orders whose time has come, and dead man's switches.

use super::conditional;
use super::venue::BookHost;
use crate::exec::ctx::Ctx;

/// Most orders of one market that expire in one block; the rest expire in the next.
const MAX_PER_BLOCK: u32 = 10_000;

/// Removes expired orders of every market, earliest first.
pub(super) fn run(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    for market in ctx.exchange.markets.ids() {
        let (book, mut host) = BookHost::split(ctx, market);
        book.expire(now_ms, MAX_PER_BLOCK, &mut host);
        conditional::expire(ctx, market, MAX_PER_BLOCK);
    }
    conditional::run_switches(ctx);
}
