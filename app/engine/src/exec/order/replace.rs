//! Replacing an order on the book (rules §2.9).

use tidemark_matching::{NewOrder, OrderView, Replace, TimeInForce};
use tidemark_proto::types::gas::VISIT;
use tidemark_proto::types::{NewLots, PostOnly};
use tidemark_proto::units::{AccountId, Lots, MarketId, Ticks};
use tidemark_risk::orders::OpenOrder;

use crate::exec::account::{health, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::find::LiveOrder;
use crate::exec::order::incoming::Incoming;
use crate::exec::order::taking::ByFill;
use crate::exec::order::{admission, checks, live_orders, place, taking};
use crate::outcome::OperationResult;
use crate::refusal::{NotReplaceable, Refusal};
use crate::state::State;

/// The fields of an order that a replacement changes; its quantity is the open one.
#[derive(Clone, Copy)]
pub(crate) struct Replacement<L = Lots> {
    pub price_ticks: Option<Ticks>,
    pub lots: Option<L>,
    pub trigger_price_ticks: Option<Ticks>,
}

impl Replacement<NewLots> {
    /// As of a live order: what is open of a total quantity is what the order has not traded.
    pub(crate) fn of(self, state: &State, market: MarketId, order: &LiveOrder) -> Replacement {
        let filled_lots = state.markets.slot(market).filled.get(order.id());
        let Self { price_ticks, lots, trigger_price_ticks } = self;
        Replacement {
            price_ticks,
            lots: lots.map(|lots| lots.open(filled_lots)),
            trigger_price_ticks,
        }
    }
}

/// Changes an order. Less of it at the same price needs no check and keeps its place; anything else
/// is admitted as a new order in place of the old.
pub(crate) fn replace(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: &OrderView,
    changes: Replacement,
) -> Result<OperationResult, Refusal> {
    let Replacement { price_ticks, lots, trigger_price_ticks } = changes;
    if trigger_price_ticks.is_some() {
        let (order_id, why) = (order.order_id, NotReplaceable::NoTrigger);
        return Err(Refusal::NotReplaceable { order_id, why });
    }
    let old = health::open_order(order);
    let new = OpenOrder {
        price_ticks: price_ticks.unwrap_or(old.price_ticks),
        lots: lots.unwrap_or(old.lots),
        ..old
    };
    if lots.is_some_and(|lots| lots != old.lots) {
        check_worth(ctx, account, market, order, &new)?;
    }
    let only_less = new.price_ticks == old.price_ticks && new.lots <= old.lots;
    let mut request = taker(ctx, account, market, order, &new)?;
    let mut by_fill = match only_less {
        true => None,
        false => admit(ctx, account, market, order, &new, &mut request)?,
    };
    if !request.time_in_force.rests() {
        // An order that stays in the book by its id has to rest.
        return Err(Refusal::OutOfGas { needed: VISIT, left: ctx.meter.left() });
    }
    let request = Replace {
        order_id: order.order_id,
        owner: account,
        price_ticks,
        lots,
        stp: request.stp,
        max_fills: request.max_fills,
        max_visits: request.max_visits.min(admission::max_visits(&ctx.meter, request.max_fills)),
    };
    let before_lots = ctx.exchange.markets.slot(market).filled.get(order.order_id);
    let (book, mut host) = BookHost::split(ctx, market);
    host.taker_lots = new.lots;
    host.walk = by_fill.as_mut().map(|by_fill| &mut by_fill.walk);
    let before = host.events.len();
    let placed = book.replace(&request, &mut host);
    if placed.is_ok_and(|placed| placed.resting_lots.is_zero()) {
        host.left(order.order_id);
    }
    let taken = host.taken();
    ctx.meter.pay_for_makers(place::visits(&placed));
    let placed = placed.map_err(|reject| taking::explained(reject, new.lots, by_fill))?;
    place::closed_by_taker(&mut ctx.events, before, placed.order_id);
    let named = (market, account, order.client_id);
    Ok(place::result(named, (new.lots, before_lots), &placed, taken, &mut ctx.events))
}

/// Checks that what a replacement leaves is worth enough, as of a new order; one that changes the
/// price alone may be of what a fill has left.
fn check_worth(
    ctx: &Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: &OrderView,
    new: &OpenOrder,
) -> Result<(), Refusal> {
    let held = lookup::held(ctx.exchange, account, market).unsigned_abs();
    if order.reduce_only && new.lots >= held {
        return Ok(());
    }
    let cell = &ctx.exchange.market(market)?.cell;
    checks::check_notional(cell, new.lots, Some(new.price_ticks))
}

/// Admits a replacement as a new order in place of the old.
fn admit(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: &OrderView,
    new: &OpenOrder,
    request: &mut NewOrder,
) -> Result<Option<Box<ByFill>>, Refusal> {
    let cell = &ctx.exchange.market(market)?.cell;
    checks::check_status(cell, order.reduce_only)?;
    checks::check_lots(cell, new.lots)?;
    checks::check_band(cell, new.price_ticks)?;
    let price_ticks = match order.post_only {
        PostOnly::Slide => {
            let opposite = new.side.opposite();
            let best =
                live_orders::best_live(&mut ctx.meter, ctx.exchange, (market, opposite), |_| {
                    false
                })?;
            admission::slid(best, new.side, new.price_ticks)
        }
        PostOnly::Off | PostOnly::Reject => new.price_ticks,
    };
    let resting = OpenOrder { price_ticks, ..*new };
    let incoming = Incoming {
        market,
        order: resting,
        replaced: Some(order),
        may_take: order.post_only == PostOnly::Off,
        rests: true,
    };
    let admission = admission::admit(ctx, account, &incoming)?;
    taking::begin(ctx, account, &incoming, request, admission)
}

/// The changed order as a new one that takes.
fn taker(
    ctx: &Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: &OrderView,
    new: &OpenOrder,
) -> Result<NewOrder, Refusal> {
    let max_fills = ctx.exchange.market(market)?.cell.market.params.max_fills;
    Ok(NewOrder {
        owner: account,
        client_id: order.client_id,
        side: new.side,
        price_ticks: new.price_ticks,
        lots: new.lots,
        display_lots: order.display_lots,
        time_in_force: TimeInForce::Gtc,
        post_only: order.post_only,
        reduce_only: order.reduce_only,
        stp: lookup::account(ctx.exchange, account)?.stp,
        max_fills,
        max_visits: admission::max_visits(&ctx.meter, max_fills),
    })
}
