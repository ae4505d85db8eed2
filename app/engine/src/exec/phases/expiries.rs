//! Phase 3: orders whose time has come, and dead man's switches.

use crate::exec::ctx::Ctx;
use crate::exec::operation::cancel_schedule;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::conditional::removal;

/// Most orders of one market that expire in one block; the rest expire in the next.
const MAX_PER_BLOCK: u32 = 10_000;

/// Removes expired orders of every market, earliest first.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let now_ms = ctx.exchange.chain.time_ms;
    for market in ctx.exchange.markets.ids() {
        let (book, mut host) = BookHost::split(ctx, market);
        book.expire(now_ms, MAX_PER_BLOCK, &mut host);
        removal::expire(ctx, market, MAX_PER_BLOCK);
    }
    cancel_schedule::run_due(ctx);
}
