//! Orders that wait: for a mark (stop, take-profit), for a time (TWAP), or beside another order
//! (OCO) (rules §2).
//!
//! They reserve nothing while they wait, and are checked as any order when they are placed. Their
//! ids are of the book's sequence, and they count as open orders; what they place gets an id of its
//! own and keeps the client id.

mod peg;
mod place;
mod run;
mod switch;

use crate::exec::ctx::Ctx;
use tidemark_proto::types::{ConditionalOrder, OperationResult, OrderType, Trigger};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side, Ticks};
use tidemark_proto::{Code, Refusal};

use super::orders;
use crate::events::Event;
use crate::state::conditional::{Conditional, ConditionalOrders, Kind};
use crate::state::State;

pub(super) use peg::place as place_pegged;
pub(super) use place::{check, check_twap, oco, twap, wait};
pub(super) use run::{detach_closed, expire, run};
pub(super) use switch::{check as check_schedule, run as run_switches, schedule};

/// An order as streams and queries show it.
fn shown(market: MarketId, order: &Conditional) -> Box<ConditionalOrder> {
    let common = ConditionalOrder {
        market,
        order_id: order.order_id,
        client_id: order.client_id(),
        side: order.side(),
        lots: order.lots(),
        oco_order_id: order.partner,
        ..Default::default()
    };
    Box::new(match &order.kind {
        Kind::Waiting(place) => ConditionalOrder {
            price_ticks: place.price_ticks,
            reduce_only: place.reduce_only,
            expires_ms: place.expires_ms().unwrap_or(0),
            trigger: place.trigger,
            order_type: place.order_type,
            whole_position: place.whole_position,
            ..common
        },
        Kind::Slicing(slicing) => ConditionalOrder {
            price_ticks: slicing.twap.limit_ticks.unwrap_or(0),
            reduce_only: slicing.twap.reduce_only,
            order_type: OrderType::Market,
            slices: slicing.twap.slices,
            slices_left: slicing.slices_left(),
            next_ms: slicing.next_ms,
            filled_lots: slicing.filled_lots,
            ..common
        },
        Kind::Resting | Kind::Pegged(_) => common,
    })
}

fn waiting(market: MarketId, order: &Conditional) -> Event {
    Event::Waiting { account: order.account, order: shown(market, order) }
}

fn removed(market: MarketId, order: &Conditional, code: Code) -> Event {
    Event::Removed {
        market,
        order_id: order.order_id,
        account: order.account,
        client_id: order.client_id(),
        lots: order.lots(),
        code,
    }
}

/// Takes an order out, tells why if it waited, and takes out its partner. Returns the partner that
/// rests on the book, which the caller cancels there.
pub(super) fn release(
    orders: &mut ConditionalOrders,
    market: MarketId,
    order_id: OrderId,
    code: Code,
    events: &mut Vec<Event>,
) -> Option<OrderId> {
    let order = orders.remove(order_id)?;
    if order.waits() {
        events.push(removed(market, &order, code));
    }
    release_partner(orders, market, &order, events)
}

/// Takes out the partner of an order that is no more; returns it when it rests on the book.
fn release_partner(
    orders: &mut ConditionalOrders,
    market: MarketId,
    order: &Conditional,
    events: &mut Vec<Event>,
) -> Option<OrderId> {
    let partner = orders.remove(order.partner)?;
    if partner.waits() {
        events.push(removed(market, &partner, Code::OcoPartner));
        return None;
    }
    Some(partner.order_id)
}

/// A position has closed or turned: the account's orders that close it whole go. A partner of
/// theirs that rests is reduce-only, and goes by itself.
pub(super) fn detach(
    orders: &mut ConditionalOrders,
    market: MarketId,
    account: AccountId,
    events: &mut Vec<Event>,
) {
    let attached: Vec<OrderId> = orders.attached(account).collect();
    for order_id in attached {
        release(orders, market, order_id, Code::NothingToReduce, events);
    }
}

/// Takes an order that waits out for a reason, with its partner. What is not there needs no
/// removal.
fn drop_order(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId, code: Code) {
    let Some(order) = ctx.exchange.markets.slot(market).conditional.get(order_id) else { return };
    let account = order.account;
    let resting = release(
        &mut ctx.exchange.markets.slot_mut(market).conditional,
        market,
        order_id,
        code,
        &mut ctx.events,
    );
    if let Some(resting) = resting {
        orders::cancel_for(ctx, account, market, resting, Code::OcoPartner);
    }
}

/// Cancels an account's order that waits.
pub(super) fn cancel(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) -> OperationResult {
    drop_order(ctx, market, order_id, Code::Cancelled);
    OperationResult { order_id, cancelled: 1, ..Default::default() }
}

/// Cancels all orders of an account in a market that wait, or those of one side, newest first; says
/// how many.
pub(super) fn cancel_all(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    side: Option<Side>,
    code: Code,
) -> u32 {
    let orders = &ctx.exchange.markets.slot(market).conditional;
    let is_meant = |id: &OrderId| {
        let order = orders.get(*id).filter(|order| order.waits());
        order.is_some_and(|order| side.is_none() || order.side() == side)
    };
    let meant: Vec<OrderId> = orders.of(account).rev().filter(is_meant).collect();
    let mut cancelled = 0_u32;
    for order_id in meant {
        // A partner may have gone with another.
        if ctx.exchange.markets.slot(market).conditional.get(order_id).is_some() {
            drop_order(ctx, market, order_id, code);
            cancelled = cancelled.saturating_add(1);
        }
    }
    cancelled
}

/// Cancels orders of a market that is closed for good, at most `max`; says whether more wait.
pub(super) fn close(ctx: &mut Ctx<'_>, market: MarketId, max: u32) -> bool {
    let orders = &ctx.exchange.markets.slot(market).conditional;
    let some: Vec<OrderId> = orders.iter().map(|order| order.order_id).take(max as usize).collect();
    for order_id in some {
        drop_order(ctx, market, order_id, Code::MarketClosed);
    }
    !ctx.exchange.markets.slot(market).conditional.is_empty()
}

fn insert(state: &mut State, market: MarketId, order: Conditional) -> Result<(), Refusal> {
    if state.markets.slot_mut(market).conditional.insert(order) {
        return Ok(());
    }
    Err(Refusal::overflow("the number of waiting orders"))
}

/// What a replacement changes of an order.
#[derive(Clone, Copy)]
pub(super) struct Changes {
    pub price_ticks: Option<Ticks>,
    pub lots: Option<Lots>,
    pub trigger_price_ticks: Option<Ticks>,
}

/// Changes an order that waits for its trigger; it keeps its id.
///
/// # Errors
/// `NOT_REPLACEABLE` for a TWAP, and for the lots of a whole position; the refusals of a placement.
pub(super) fn replace(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    order_id: OrderId,
    changes: Changes,
) -> Result<OperationResult, Refusal> {
    let cell = &ctx.exchange.market(market)?.cell;
    let conditional = &ctx.exchange.markets.slot(market).conditional;
    let found = conditional.get(order_id).cloned();
    let Some((order, Kind::Waiting(before))) = found.map(|order| (order.clone(), order.kind))
    else {
        return Err(Refusal::new(
            Code::NotReplaceable,
            format!("order {order_id} is a TWAP: cancel it and place another"),
        ));
    };
    if before.whole_position && changes.lots.is_some() {
        return Err(Refusal::new(
            Code::NotReplaceable,
            format!("order {order_id} closes the whole position: it has no lots to change"),
        ));
    }
    let trigger = before.trigger.map(|trigger| Trigger {
        price_ticks: changes.trigger_price_ticks.unwrap_or(trigger.price_ticks),
        ..trigger
    });
    let place = tidemark_proto::types::Place {
        price_ticks: changes.price_ticks.unwrap_or(before.price_ticks),
        lots: changes.lots.unwrap_or(before.lots),
        trigger,
        ..before
    };
    orders::check_status(cell, place.reduce_only)?;
    if !place.whole_position {
        orders::check_lots(cell, place.lots)?;
    }
    if trigger != before.trigger {
        place::check_not_reached(cell, conditional, &place)?;
    }
    let order = Conditional { kind: Kind::Waiting(place), ..order };
    ctx.events.push(waiting(market, &order));
    ctx.exchange.markets.slot_mut(market).conditional.update(order);
    Ok(OperationResult { order_id, ..Default::default() })
}
