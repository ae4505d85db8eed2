//! Entering orders that wait for a mark or for a time (rules §§2.11 to 2.14).
//!
//! Those that only reduce need a position, and are few. Those that could increase reserve
//! the trigger reserve. All pass the checks of any order when they are placed. Their ids are of
//! the book's sequence, and they count as open orders; each order that they place has an id of its
//! own and keeps the client id.

use std::collections::BTreeSet;

use tidemark_matching::{trail_price, TriggerDirection};
use tidemark_proto::types::{Place, TimeInForce, Trigger, Twap, NOTIONAL_PER_EXIT, WAITING_EXITS};
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, Side, SignedLots, Ticks,
};

use crate::exec::account::health::OrderChange;
use crate::exec::account::{cost, health, lookup};
use crate::exec::collateral::{cash, isolated};
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::links;
use crate::exec::order::{checks, ended};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{reach, Conditional, ConditionalOrders, Kind, Slicing, CATCH_UP};
use crate::state::{MarketCell, MarketSlot, State};

/// Takes an order with a trigger.
///
/// # Errors
/// The refusals that do not depend on margin; `TRIGGER_REACHED`.
pub(crate) fn wait(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    let market = order.market;
    check(ctx.exchange, account, order)?;
    check_room(ctx.exchange, account, market, order.client_id)?;
    admit(ctx, account, market, order.reduce_only)?;
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
    admit(ctx, account, twap.market, twap.reduce_only)?;
    // Phase 5 of this block is over: the first slice is the next block's.
    let next_ms = ctx.exchange.chain.time_ms;
    let slicing = Slicing { twap: *twap, start_ms: None, next_ms, filled_lots: Lots::ZERO };
    let order_id = enter(ctx, account, twap.market, Kind::Slicing(slicing), OrderId::NONE)?;
    Ok(OperationResult { order_id, ..Default::default() })
}

/// Checks a TWAP before it starts.
pub(crate) fn check_twap(state: &State, account: AccountId, twap: &Twap) -> Result<(), Refusal> {
    let cell = &state.market(twap.market)?.cell;
    check_frozen(state, (account, twap.market), twap.reduce_only)?;
    checks::check_status(cell, twap.reduce_only)?;
    if twap.reduce_only {
        check_reduces(lookup::held(state, account, twap.market), twap.side, twap.lots)?;
    }
    // A slice catches up with three times its part at most.
    let part = twap.lots.get().div_ceil(u64::from(twap.slices.max(1)));
    checks::check_lots(cell, Lots::new(part.saturating_mul(CATCH_UP)).min(twap.lots))?;
    // What rounding leaves of a part may be smaller, and so may a slice after a fall of the mark.
    checks::check_notional(cell, Lots::new(part), twap.limit_ticks)
}

/// Checks an order before it waits.
pub(crate) fn check(state: &State, account: AccountId, order: &Place) -> Result<(), Refusal> {
    let cell = &state.market(order.market)?.cell;
    check_frozen(state, (account, order.market), order.reduce_only)?;
    checks::check_status(cell, order.reduce_only)?;
    if !order.whole_position {
        checks::check_lots(cell, order.lots)?;
    }
    if order.reduce_only {
        check_reduces(lookup::held(state, account, order.market), order.side, order.lots)?;
    }
    if let TimeInForce::Gtt { expires_ms } = order.time_in_force {
        checks::check_expiry(expires_ms, state.chain.time_ms)?;
    }
    check_not_reached(cell, &state.markets.slot(order.market).conditional, order)?;
    checks::check_worth(state, account, order)
}

/// Checks that an order which waits to reduce has a position, and no more lots than it (rules
/// §2.11).
pub(crate) fn check_reduces(held: SignedLots, side: Side, lots: Lots) -> Result<(), Refusal> {
    checks::check_reduces(held, side)?;
    if lots > held.unsigned_abs() {
        return Err(Refusal::MoreThanPosition { lots, held_lots: held });
    }
    Ok(())
}

/// Admits one order that waits: there is room for one more exit, or free collateral for the trigger
/// reserve.
fn admit(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    reduce_only: bool,
) -> Result<(), Refusal> {
    if reduce_only {
        check_exits(ctx.exchange, account, market, 1, 0)
    } else {
        cover_reserve(ctx, account, market, 1)
    }
}

/// Checks that `more` orders of an account may wait to reduce its position, once `gone` of them
/// have left (rules §2.11): one for each [`NOTIONAL_PER_EXIT`] of it, and [`WAITING_EXITS`] at
/// least and at most. Exits with an entry on the book are beside these, but for the most.
pub(crate) fn check_exits(
    state: &State,
    account: AccountId,
    market: MarketId,
    more: u32,
    gone: u32,
) -> Result<(), Refusal> {
    if more == 0 {
        return Ok(());
    }
    let slot = state.market(market)?;
    let waiting = WaitingExits::of(slot, account);
    // Each order that leaves is one of those that wait.
    let all = waiting.all.saturating_sub(gone);
    let alone = waiting.alone.saturating_sub(gone);
    let held = lookup::held(state, account, market).unsigned_abs();
    check_number(alone, more, most_exits(slot, held)?)?;
    check_number(all, more, WAITING_EXITS.1)
}

/// As [`check_exits`], where an order of these lots is about to come with exits: it and all others
/// on the book that have exits count as position.
pub(crate) fn check_exits_beside(
    state: &State,
    account: AccountId,
    market: MarketId,
    more: u32,
    entry_lots: Lots,
) -> Result<(), Refusal> {
    let slot = state.market(market)?;
    let waiting = WaitingExits::of(slot, account);
    let held = lookup::held(state, account, market).unsigned_abs();
    let lots = held.saturating_add(entry_lots).saturating_add(waiting.entry_lots);
    check_number(waiting.all, more, most_exits(slot, lots)?)
}

/// Most exits for a position of these lots.
fn most_exits(slot: &MarketSlot, lots: Lots) -> Result<u32, Refusal> {
    let mark = slot.cell.market.mark_ticks.ok_or_else(|| checks::no_price(&slot.cell))?;
    let notional = mark.notional_atoms(lots, slot.cell.market.k).unwrap_or(Atoms::MAX);
    let (least, most) = WAITING_EXITS;
    let hundreds = notional.get().checked_div(NOTIONAL_PER_EXIT.get()).unwrap_or(0);
    Ok(u32::try_from(hundreds).unwrap_or(most).clamp(least, most))
}

fn check_number(waiting: u32, more: u32, most: u32) -> Result<(), Refusal> {
    if waiting.saturating_add(more) > most {
        return Err(Refusal::TooManyExits { waiting, more, most });
    }
    Ok(())
}

/// An account's exits that wait in a market.
#[derive(Default)]
struct WaitingExits {
    /// At most as [`WAITING_EXITS`] says.
    all: u32,
    /// Those without an entry on the book.
    alone: u32,
    /// Open lots of the entries of the others.
    entry_lots: Lots,
}

impl WaitingExits {
    fn of(slot: &MarketSlot, account: AccountId) -> Self {
        let orders = &slot.conditional;
        let (mut found, mut entries) = (Self::default(), BTreeSet::new());
        for order_id in orders.exits(account).chain(orders.dormant(account)) {
            let entry = orders.get(order_id).map_or(OrderId::NONE, |order| order.entry);
            found.all = found.all.saturating_add(1);
            found.alone = found.alone.saturating_add(u32::from(entry == OrderId::NONE));
            entries.insert(entry);
        }
        let open = entries.into_iter().filter_map(|entry| slot.book.order(entry));
        found.entry_lots = open.fold(Lots::ZERO, |sum, order| sum.saturating_add(order.lots));
        found
    }
}

/// Checks that free collateral covers the trigger reserve of `more` orders (rules §2.11). Isolated
/// collateral draws what it lacks from its parent.
pub(crate) fn cover_reserve(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    more: u32,
) -> Result<(), Refusal> {
    if more == 0 {
        return Ok(());
    }
    cost::margin(&mut ctx.meter, ctx.exchange, account)?;
    cash::settle_funding(ctx.exchange, account)?;
    lookup::position_mut(ctx.exchange, account, market)?;
    let change = OrderChange { waits: i64::from(more), ..OrderChange::none(market) };
    let free = health::free_with(ctx.exchange, account, change)?;
    if free.is_negative() {
        return isolated::cover(ctx.exchange, account, free.saturating_neg());
    }
    Ok(())
}

/// A frozen account's orders wait only to reduce, and so do those of whoever enters a market under
/// review (rules §7.13): an entry in it would freeze the account.
fn check_frozen(
    state: &State,
    (account, market): (AccountId, MarketId),
    reduce_only: bool,
) -> Result<(), Refusal> {
    if reduce_only {
        return Ok(());
    }
    lookup::check_not_frozen(state, account)?;
    checks::check_reviewed(state, account, market)
}

/// Checks that no mark has reached an order's trigger: not this one, nor an earlier one whose
/// orders are so many that they have not all been told.
pub(crate) fn check_not_reached(
    cell: &MarketCell,
    conditional: &ConditionalOrders,
    order: &Place,
) -> Result<(), Refusal> {
    let mark_ticks = cell.market.mark_ticks.ok_or_else(|| checks::no_price(cell))?;
    let Some(trigger) = order.trigger else { return Ok(()) };
    if trigger.trail.is_some() {
        return check_trail(conditional, order.side, trigger, mark_ticks);
    }
    let kind = (order.side, order.reduce_only);
    if !conditional.is_reached(kind, trigger, mark_ticks) {
        return Ok(());
    }
    let trigger_ticks = trigger.price_ticks;
    Err(match is_reached_by(order.side, trigger, mark_ticks) {
        true => Refusal::TriggerReached { trigger_ticks, mark_ticks },
        false => Refusal::TriggerInBacklog { trigger_ticks, mark_ticks },
    })
}

/// Returns true if this mark reaches a trigger price.
pub(crate) fn is_reached_by(side: Side, trigger: Trigger, mark_ticks: Ticks) -> bool {
    match reach(side, trigger) {
        TriggerDirection::Falling => trigger.price_ticks >= mark_ticks,
        TriggerDirection::Rising => trigger.price_ticks <= mark_ticks,
    }
}

/// Checks that a trailing stop can begin: there is a trigger price at its distance from the mark,
/// and no mark has reached others that have not all been told.
fn check_trail(
    conditional: &ConditionalOrders,
    side: Side,
    trigger: Trigger,
    mark_ticks: Ticks,
) -> Result<(), Refusal> {
    let trigger_ticks = begun(side, trigger, mark_ticks).price_ticks;
    if trigger_ticks.is_zero() || trigger_ticks == Ticks::MAX {
        return Err(Refusal::TrailTooFar { mark_ticks });
    }
    if conditional.trails_behind(reach(side, trigger)) {
        return Err(Refusal::TriggerInBacklog { trigger_ticks, mark_ticks });
    }
    Ok(())
}

/// The trigger of a trailing stop with the price at which it begins; any other as it is.
fn begun(side: Side, trigger: Trigger, mark_ticks: Ticks) -> Trigger {
    let Some(trail) = trigger.trail else { return trigger };
    let price_ticks = trail_price(reach(side, trigger), mark_ticks, trail);
    Trigger { price_ticks, ..trigger }
}

/// Begins a trailing stop, which is entered next under this id.
fn begin_trail(
    ctx: &mut Ctx<'_>,
    (market, order_id): (MarketId, OrderId),
    place: Place,
) -> Result<Place, Refusal> {
    let Some(trigger) = place.trigger.filter(|trigger| trigger.trail.is_some()) else {
        return Ok(place);
    };
    let slot = ctx.exchange.markets.slot_mut(market);
    let mark_ticks = slot.cell.market.mark_ticks.ok_or_else(|| checks::no_price(&slot.cell))?;
    slot.conditional.begin_trail(order_id, reach(place.side, trigger), mark_ticks);
    Ok(Place { trigger: Some(begun(place.side, trigger, mark_ticks)), ..place })
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
    ended::check(state, account, market, client_id)?;
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
    enter_exit(ctx, account, market, kind, (partner, OrderId::NONE))
}

/// As [`enter`], of an exit that may have an entry on the book.
pub(crate) fn enter_exit(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    kind: Kind,
    (partner, entry): (OrderId, OrderId),
) -> Result<OrderId, Refusal> {
    lookup::position_mut(ctx.exchange, account, market)?;
    let assigned = ctx.exchange.markets.slot_mut(market).book.assign_id();
    let order_id = assigned.ok_or_else(|| Refusal::overflow("the number of orders"))?;
    let kind = match kind {
        Kind::Trigger(place) => Kind::Trigger(begin_trail(ctx, (market, order_id), place)?),
        kind => kind,
    };
    let order = Conditional { order_id, account, partner, entry, kind };
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
