//! Cancels on the book for reasons of the chain.

use tidemark_proto::units::{AccountId, MarketId, OrderId, Side};
use tidemark_proto::Code;

use crate::exec::ctx::Ctx;
use crate::exec::order::book_host::BookHost;

/// Cancels one order of an account for the chain's own reason; returns false if it is not on the
/// book.
pub(crate) fn cancel_for(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order_id: OrderId,
    reason: Code,
) -> bool {
    let (book, mut host) = BookHost::split(ctx, market);
    book.cancel(order_id, account, reason, &mut host).is_ok()
}

/// Cancels an order of a pair because of the other one.
pub(crate) fn cancel_partner(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order_id: OrderId,
    closed_by: OrderId,
) {
    let (book, mut host) = BookHost::split(ctx, market);
    host.closed_by = closed_by;
    // One that is not on the book is gone already.
    let _ = book.cancel(order_id, account, Code::OcoPartner, &mut host);
}

/// A position has changed outside the book: the account's reduce-only orders of a side shrink to
/// it, and those with nothing left to reduce go.
pub(crate) fn fit_reduce_only(ctx: &mut Ctx<'_>, account: AccountId, market: MarketId, side: Side) {
    let (book, mut host) = BookHost::split(ctx, market);
    book.fit_reduce_only(account, side, &mut host);
}
