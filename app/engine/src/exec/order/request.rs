//! A trader's requests about one order, on the book or conditional: place, replace, cancel.

use tidemark_matching::{CancelledAll, OrderView};
use tidemark_proto::types::gas::NAMED;
use tidemark_proto::types::{CancelBy, NewLots, Place};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side};
use tidemark_proto::Code;

use crate::exec::account::{cost, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::conditional::{amend, enter, peg, removal};
use crate::exec::order::find::LiveOrder;
use crate::exec::order::replace::Replacement;
use crate::exec::order::{checks, ended, find, place, replace};
use crate::outcome::OperationResult;
use crate::refusal::{NotReplaceable, Refusal};
use crate::state::conditional::Pegged;

/// Places an order, on the book or waiting, under a client id that none of the account's orders has
/// or has lately had.
pub(crate) fn place(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    ended::note_all(ctx);
    ended::check(ctx.exchange, account, order.market, order.client_id)?;
    if order.trigger.is_none() {
        checks::check_worth(ctx.exchange, account, order)?;
    }
    let placed = place_anew(ctx, account, order)?;
    if order.trigger.is_none() && placed.resting_lots.is_zero() {
        let ended = (order.client_id, placed.order_id);
        ended::note(ctx.exchange, order.market, account, ended);
    }
    Ok(placed)
}

/// Places an order, on the book or waiting, also under the client id of an order that has ended.
pub(crate) fn place_anew(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    if order.trigger.is_some() {
        return enter::wait(ctx, account, order);
    }
    ctx.exchange.market(order.market)?;
    checks::check_client_id(ctx.exchange, account, order.market, order.client_id)?;
    if let Some(peg) = order.peg {
        let limit_ticks = (!order.price_ticks.is_zero()).then_some(order.price_ticks);
        return peg::place(ctx, account, order, Pegged { peg, limit_ticks });
    }
    place::place_on_book(ctx, account, order)
}

/// Changes a live order, on the book or waiting; to no open lots, it is cancelled.
pub(crate) fn replace(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: CancelBy,
    changes: Replacement<NewLots>,
) -> Result<OperationResult, Refusal> {
    let found = find::find(ctx.exchange, &ctx.later, account, market, order)?;
    let changes = changes.of(ctx.exchange, market, &found);
    if changes.lots == Some(Lots::ZERO) {
        return cancel(ctx, account, market, order);
    }
    match found {
        LiveOrder::Resting(order)
            if changes.price_ticks.is_some() && find::is_pegged(ctx.exchange, market, &order) =>
        {
            Err(Refusal::NotReplaceable { order_id: order.order_id, why: NotReplaceable::Pegged })
        }
        LiveOrder::Resting(order) => replace::replace(ctx, account, market, &order, changes),
        LiveOrder::Waiting(order_id) => amend::replace(ctx, market, order_id, changes),
    }
}

pub(crate) fn cancel(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: CancelBy,
) -> Result<OperationResult, Refusal> {
    let order_id = match find::find(ctx.exchange, &ctx.later, account, market, order)? {
        LiveOrder::Resting(order) => order.order_id,
        LiveOrder::Waiting(order_id) => return Ok(removal::cancel(ctx, market, order_id)),
    };
    let (book, mut host) = BookHost::split(ctx, market);
    book.cancel(order_id, account, Code::Cancelled, &mut host)?;
    Ok(OperationResult { order_id, cancelled: 1, ..Default::default() })
}

/// Cancels an account's orders, on the book and waiting, of one market or all, as far as the gas
/// reaches (rules §2.8). Returns their number, and `OUT_OF_GAS` if some may be left.
pub(crate) fn cancel_all(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: Option<MarketId>,
    side: Option<Side>,
    code: Code,
) -> Result<(u32, Option<Code>), Refusal> {
    let markets = match market {
        Some(market) => {
            ctx.exchange.market(market)?;
            vec![market]
        }
        None => {
            cost::positions(&mut ctx.meter, ctx.exchange, account)?;
            let positions = &lookup::account(ctx.exchange, account)?.positions;
            positions.iter().map(|position| position.market).collect()
        }
    };
    let mut cancelled = 0_u32;
    for market in markets {
        let max = ctx.meter.affords(NAMED);
        let CancelledAll { gone, looked_at, more } = if ctx.later.any_in(market) {
            cancel_earlier(ctx, account, (market, side), code, max)
        } else {
            let (book, mut host) = BookHost::split(ctx, market);
            book.cancel_all(account, side, code, max, &mut host)
        };
        cancelled = cancelled.saturating_add(gone);
        ctx.meter.pay(looked_at, NAMED);
        let (waited, rest) = removal::cancel_all(ctx, account, market, side, code);
        cancelled = cancelled.saturating_add(waited);
        if more || rest {
            return Ok((cancelled, Some(Code::OutOfGas)));
        }
    }
    Ok((cancelled, None))
}

/// As the book's cancel-all, but for the orders that the account has placed later.
fn cancel_earlier(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    (market, side): (MarketId, Option<Side>),
    code: Code,
    max: u32,
) -> CancelledAll {
    let mut all = CancelledAll::default();
    let slot = ctx.exchange.markets.slot(market);
    let orders: Vec<OrderView> = slot.book.orders_of(account).take(max as usize).collect();
    all.looked_at = u32::try_from(orders.len()).unwrap_or(max);
    all.more = all.looked_at < slot.book.open_orders(account);
    let is_meant = |order: &&OrderView| {
        side.is_none_or(|side| side == order.side) && !ctx.later.contains(market, order.order_id)
    };
    let meant: Vec<OrderId> = orders.iter().filter(is_meant).map(|order| order.order_id).collect();
    let (book, mut host) = BookHost::split(ctx, market);
    for order_id in meant {
        // A partner may have gone with another.
        let gone = book.cancel(order_id, account, code, &mut host).is_ok();
        all.gone = all.gone.saturating_add(gone.into());
    }
    all
}
