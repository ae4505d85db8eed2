//! Conditional orders that leave together: the two of an OCO pair, and those that wait to reduce a
//! position; and the events that report them.

use tidemark_proto::types::Place;
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::ctx::Ctx;
use crate::invariant::broken_account;
use crate::state::conditional::{shown, Conditional, ConditionalOrders, Kind};
use crate::state::Failure;

pub(crate) fn waiting_event(market: MarketId, order: &Conditional) -> Event {
    Event::Conditional { account: order.account, order: shown(market, order) }
}

pub(crate) fn removed_event(market: MarketId, order: &Conditional, code: Code) -> Event {
    closed_event(market, order, code, OrderId::NONE)
}

/// The removal of an order that another has closed.
fn closed_event(market: MarketId, order: &Conditional, code: Code, closed_by: OrderId) -> Event {
    Event::Removed {
        market,
        order_id: order.order_id,
        account: order.account,
        client_id: order.client_id(),
        lots: order.lots(),
        code,
        closed_by,
        // A TWAP has drawn for its slices, and an order that is tried again has triggered before.
        loses_draw: !matches!(order.kind, Kind::Slicing(_) | Kind::Retrying(_)),
    }
}

/// Takes an order out with its partner, and reports those that waited. Returns the partner that
/// rests on the book, which the caller cancels there.
pub(crate) fn release(
    orders: &mut ConditionalOrders,
    market: MarketId,
    order_id: OrderId,
    code: Code,
    events: &mut Vec<Event>,
) -> Option<OrderId> {
    let order = orders.remove(order_id)?;
    if order.waits() {
        events.push(removed_event(market, &order, code));
    }
    release_partner(orders, market, &order, events)
}

/// Takes out the partner of an order that is no more; returns it when it rests on the book.
pub(crate) fn release_partner(
    orders: &mut ConditionalOrders,
    market: MarketId,
    order: &Conditional,
    events: &mut Vec<Event>,
) -> Option<OrderId> {
    let partner = orders.remove(order.partner)?;
    if partner.waits() {
        events.push(closed_event(market, &partner, Code::OcoPartner, order.order_id));
        return None;
    }
    Some(partner.order_id)
}

/// A position has closed or turned: the account's orders that wait to reduce it go; those whose
/// entry is on the book wait for it to fill again. Whoever placed them has paid for their end, and
/// there are [`WAITING_EXITS`] at most. A partner of theirs that rests is reduce-only, and goes by
/// itself.
///
/// [`WAITING_EXITS`]: tidemark_proto::types::WAITING_EXITS
pub(crate) fn detach(
    orders: &mut ConditionalOrders,
    market: MarketId,
    account: AccountId,
    events: &mut Vec<Event>,
) {
    let exits: Vec<OrderId> = orders.exits(account).collect();
    for order_id in exits {
        match orders.get(order_id).filter(|order| order.entry != OrderId::NONE).cloned() {
            Some(order) => sleep(orders, market, order, events),
            None => {
                release(orders, market, order_id, Code::NothingToReduce, events);
            }
        }
    }
}

/// An exit has nothing to close, until its entry fills more.
pub(crate) fn sleep(
    orders: &mut ConditionalOrders,
    market: MarketId,
    order: Conditional,
    events: &mut Vec<Event>,
) {
    let Some(place) = order.place().copied() else { return };
    let kind = Kind::Dormant(Place { lots: Lots::ZERO, ..place });
    let order = Conditional { kind, ..order };
    events.push(waiting_event(market, &order));
    orders.update(order);
}

/// An entry has left the book: its exits stay for what it has filled, and go where that is nothing.
pub(crate) fn entry_left(
    orders: &mut ConditionalOrders,
    market: MarketId,
    entry: OrderId,
    events: &mut Vec<Event>,
) {
    for exit in orders.exits_of(entry) {
        let Some(order) = orders.get(exit).cloned() else { continue };
        if order.lots().is_zero() {
            orders.remove(exit);
            events.push(closed_event(market, &order, Code::OcoPartner, entry));
            continue;
        }
        let order = Conditional { entry: OrderId::NONE, ..order };
        events.push(waiting_event(market, &order));
        orders.update(order);
    }
}

/// Phase 4, at its end: positions that were closed other than on the book (settlement, keepers,
/// deleveraging): their orders go.
pub(crate) fn detach_closed(ctx: &mut Ctx<'_>) {
    if ctx.exchange.markets.iter().all(|slot| slot.conditional.is_empty()) {
        return;
    }
    for account in ctx.exchange.accounts.dirty().to_vec() {
        let Some(row) = ctx.exchange.accounts.get(account) else {
            let sentence = format!("account {account} was written and is not");
            broken_account(ctx.exchange, account, Failure::Order, sentence);
            continue;
        };
        for position in &row.positions {
            let conditional = &mut ctx.exchange.markets.slot_mut(position.market).conditional;
            let left = |order: &Conditional| {
                position.lots.is_zero() || Some(Side::reducing(position.lots)) != order.side()
            };
            let exit = conditional.exits(account).next();
            if exit.and_then(|id| conditional.get(id)).is_some_and(left) {
                detach(conditional, position.market, account, &mut ctx.events);
            }
        }
    }
}
