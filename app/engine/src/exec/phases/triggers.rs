//! Phase 5: pegged orders move, triggers and slices that are due are placed.

use tidemark_proto::defence::Defence;
use tidemark_proto::types::{OrderType, Place, TimeInForce};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OrderId, OwnerId, Ticks};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::{Ctx, TriggeredOrder};
use crate::exec::order::conditional::{bracket, enter, links, peg};
use crate::exec::order::{cancel, checks, request};
use crate::exec::phases::forfeits::{forfeit, lacks_collateral};
use crate::exec::phases::slices;
use crate::invariant::{invariant, report};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind, Reached, Retrying, RETRIES};
use crate::state::State;

/// Gas of a trigger's or a slice's turn, makers aside.
const TURN_GAS: u64 = 2_000;

/// Gas of each order that rests, trades or goes in a turn.
const ORDER_GAS: u64 = 400;

/// Gas of queueing an order that the mark has reached.
const REACHED_GAS: u64 = 300;

/// Phase 5: in each market the pegged orders move, then reached triggers place their orders, then
/// slices that are due. A market that is not live, or whose index is stale, waits. A sixteenth of
/// the sweep's gas is for it, evenly for the markets that have something to do, and what one leaves
/// is there for those after it.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let state = &*ctx.exchange;
    let active: Vec<(MarketId, Ticks)> =
        state.markets.ids().filter_map(|market| Some((market, mark_of(state, market)?))).collect();
    let mut left = Gas(state.chain.params.sweep_gas / 16);
    let mut markets = active.len() as u64;
    for (market, mark_ticks) in active {
        let gas = left.0.checked_div(markets).unwrap_or(0);
        markets = markets.saturating_sub(1);
        left.spend(run_market(ctx, market, mark_ticks, gas));
    }
}

/// The phase in one market, within its gas: a quarter at most for pegs, one for exits whose entry
/// has filled, one for what earlier triggers left, and one for queueing what the mark has reached;
/// a quarter of what is left for slices; all else for orders whose turn it is. What begins with gas
/// left is carried out whole, so that a part is passed by one order's makers at most. Returns the
/// gas that it took.
fn run_market(ctx: &mut Ctx<'_>, market: MarketId, mark_ticks: Ticks, gas: u64) -> u64 {
    let now_ms = ctx.exchange.chain.time_ms;
    let max = ctx.exchange.markets.slot(market).cell.market.params.max_triggers;
    let (quarter, mut left) = (gas / 4, Gas(gas));
    left.spend(peg::follow_all(ctx, market, max, quarter));
    left.spend(bracket::begin_exits(ctx, market, mark_ticks, max.min(reachable(quarter))));
    // Those that trigger in this block are tried again from the next on.
    let mut part = Gas(quarter);
    for order_id in ctx.exchange.markets.slot(market).conditional.retries(max) {
        if !part.is_spent() {
            left.spend(part.charge(ctx, |ctx| retry(ctx, market, order_id)).1);
        }
    }
    left.spend(queue_reached(ctx.exchange, market, mark_ticks, quarter));
    part = Gas(left.0.saturating_sub(quarter));
    // Only those that are placed count: who is refused is bounded by gas, and takes nobody's place.
    let mut placed = 0;
    while placed < max && !part.is_spent() {
        let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
        let Some(order) = conditional.next_turn() else { break };
        let (was_placed, gas) = part.charge(ctx, |ctx| trigger(ctx, market, &order));
        left.spend(gas);
        placed = placed.saturating_add(u32::from(was_placed));
    }
    for _ in 0..max {
        let orders = &ctx.exchange.markets.slot(market).conditional;
        let due = if left.is_spent() { None } else { orders.slices_due(now_ms, 1).pop() };
        let Some(order_id) = due else { break };
        left.charge(ctx, |ctx| slices::slice(ctx, market, order_id, mark_ticks));
    }
    gas.saturating_sub(left.0)
}

/// Orders that gas reaches over where each costs little; one at least.
fn reachable(gas: u64) -> u32 {
    u32::try_from(gas / REACHED_GAS).unwrap_or(u32::MAX).max(1)
}

/// Queues orders that the mark has reached, as far as the gas reaches, those that only reduce
/// first; what was reached stays so, whatever the mark does. Returns the gas that it took.
fn queue_reached(state: &mut State, market: MarketId, mark_ticks: Ticks, gas: u64) -> u64 {
    let mut left = reachable(gas);
    let mut queued = 0_u64;
    for exits in [true, false] {
        let conditional = &mut state.markets.slot_mut(market).conditional;
        let reached = conditional.take_reached(exits, mark_ticks, left);
        left = left.saturating_sub(u32::try_from(reached.len()).unwrap_or(left));
        queued = queued.saturating_add(reached.len() as u64);
        for order_id in reached {
            let Some(order) = state.markets.slot(market).conditional.get(order_id) else {
                continue;
            };
            let (mut class, mut owner) = (0, OwnerId::new(0));
            if Defence::WaitingTurns.stands() {
                class = class_of(state, market, mark_ticks, order);
                // An order's account exists as long as the order.
                owner = state.accounts.get(order.account).map_or(owner, |row| row.owner);
            }
            state.markets.slot_mut(market).conditional.queue(order_id, owner, class);
        }
    }
    queued.saturating_mul(REACHED_GAS)
}

/// The class of a reached order, of which the highest comes first (rules §2.11): 0 for one that
/// could increase; of one that reduces, the power of four below its notional in atoms, and one.
fn class_of(state: &State, market: MarketId, mark_ticks: Ticks, order: &Conditional) -> u8 {
    let Some(place) = order.place().filter(|place| place.reduce_only) else { return 0 };
    let lots = lots_now(state, order.account, place);
    let k = state.markets.slot(market).cell.market.k;
    let notional = mark_ticks.notional_atoms(lots, k).unwrap_or(Atoms::MAX);
    let power = notional.get().checked_ilog2().unwrap_or(0) / 2;
    u8::try_from(power).unwrap_or(u8::MAX).saturating_add(1)
}

/// The mark of a market whose conditional orders have their turn now.
fn mark_of(state: &State, market: MarketId) -> Option<Ticks> {
    let slot = state.markets.slot(market);
    let (cell, params) = (&slot.cell, &slot.cell.market.params);
    let is_stale = cell.index.is_stale(state.chain.time_ms, params.max_oracle_age_ms);
    let has_turn = |mark: &Ticks| slot.conditional.has_turns(*mark, state.chain.time_ms);
    cell.market.mark_ticks.filter(|_| !is_stale && cell.is_live()).filter(has_turn)
}

/// Gas that is left.
struct Gas(u64);

impl Gas {
    const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    const fn spend(&mut self, gas: u64) {
        self.0 = self.0.saturating_sub(gas);
    }

    /// Carries out a turn, and charges it with the orders that it touched and what it looked at.
    /// Returns what the turn does, and its gas.
    fn charge<T>(&mut self, ctx: &mut Ctx<'_>, turn: impl FnOnce(&mut Ctx<'_>) -> T) -> (T, u64) {
        let (orders, spent) = (ctx.work.orders, ctx.meter.spent());
        let result = turn(ctx);
        let orders = ctx.work.orders.saturating_sub(orders).saturating_mul(ORDER_GAS);
        let looks = ctx.meter.spent().saturating_sub(spent);
        let gas = TURN_GAS.saturating_add(orders).saturating_add(looks);
        self.spend(gas);
        (result, gas)
    }
}

/// Places an order whose turn has come, and which is taken out already; says whether it was not
/// refused.
fn trigger(ctx: &mut Ctx<'_>, market: MarketId, order: &Conditional) -> bool {
    ctx.work.visit_order();
    let order_id = order.order_id;
    // The trigger's own event comes first, so that a reader sees the reason before its effects.
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, order, Code::Ok));
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    let resting = links::release_partner(conditional, market, order, &mut ctx.events);
    // What is open of a bracket's entry goes, before its exit could meet it.
    let entry = Some(order.entry).filter(|entry| *entry != OrderId::NONE);
    for resting in resting.into_iter().chain(entry) {
        cancel::cancel_partner(ctx, order.account, market, resting, order_id);
    }
    let Kind::Reached(Reached { place, .. }) = order.kind else {
        invariant!(
            ctx.exchange,
            market,
            Order,
            "order {} has its turn and was not reached",
            order_id
        );
        return false;
    };
    let next = ctx.exchange.markets.slot(market).book.next_order_id();
    let was_placed = attempt(ctx, market, order, place, event_index, RETRIES);
    ctx.triggered.push(TriggeredOrder {
        market,
        account: order.account,
        order_id,
        placed_order_id: was_placed.then_some(next),
    });
    was_placed
}

/// Tries again to close what a triggered order has left.
fn retry(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) -> bool {
    ctx.work.visit_order();
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    // A fill before it in this phase may have closed its position.
    let Some(order) = conditional.remove(order_id) else { return false };
    let Kind::Retrying(Retrying { place, tries_left }) = order.kind else {
        invariant!(
            ctx.exchange,
            market,
            Order,
            "order {} is tried again and was not before",
            order_id
        );
        return false;
    };
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, &order, Code::Ok));
    attempt(ctx, market, &order, place, event_index, tries_left.saturating_sub(1))
}

/// Places a triggered order, whose own event is at `event_index`. What an immediate order that only
/// reduces leaves for want of a price waits for the next block, while there are tries left. Says
/// whether it was placed.
#[expect(clippy::indexing_slicing, reason = "the event was pushed before, and events only grow")]
fn attempt(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    order: &Conditional,
    waited: Place,
    event_index: usize,
    tries_left: u32,
) -> bool {
    let (order_id, account) = (order.order_id, order.account);
    let lots = lots_now(ctx.exchange, account, &waited);
    let place = Place { trigger: None, lots, ..waited };
    let placed_order_id = ctx.exchange.markets.slot(market).book.next_order_id();
    let placed = isolated::refunding(ctx, account, |ctx| request::place_anew(ctx, account, &place));
    let left_lots =
        match checks::check_reduces(lookup::held(ctx.exchange, account, market), place.side) {
            Ok(()) => left_to_close(&place, &placed),
            Err(_) => Lots::ZERO,
        };
    let forfeited_atoms = match !waited.reduce_only && lacks_collateral(&placed) {
        true => forfeit(ctx, account, market),
        false => Atoms::ZERO,
    };
    let refusal = placed.err();
    let was_placed = refusal.is_none();
    if let Some(refusal) = &refusal {
        report(ctx.exchange, account, Some(market), refusal);
    }
    ctx.events[event_index] = Event::Triggered {
        market,
        order_id,
        account,
        client_id: waited.client_id,
        placed_order_id: if refusal.is_none() { placed_order_id } else { OrderId::NONE },
        refusal: refusal.map(Box::new),
        forfeited_atoms,
    };
    if left_lots.is_zero() {
        return was_placed;
    }
    let lots = if waited.whole_position { Lots::ZERO } else { left_lots };
    let kind = Kind::Retrying(Retrying { place: Place { lots, ..waited }, tries_left });
    let order =
        Conditional { order_id, account, partner: OrderId::NONE, entry: OrderId::NONE, kind };
    if tries_left == 0 {
        ctx.events.push(links::removed_event(market, &order, Code::Unfilled));
        return was_placed;
    }
    ctx.events.push(links::waiting_event(market, &order));
    // The row that it left a moment ago is free.
    if let Err(refusal) = enter::insert(ctx.exchange, market, order) {
        report(ctx.exchange, account, Some(market), &refusal);
    }
    was_placed
}

/// Returns the lots that are to be tried again.
fn left_to_close(place: &Place, placed: &Result<OperationResult, Refusal>) -> Lots {
    let is_immediate =
        place.order_type == OrderType::Market || place.time_in_force == TimeInForce::Ioc;
    if !place.reduce_only || !is_immediate || place.time_in_force == TimeInForce::Fok {
        return Lots::ZERO;
    }
    let (code, filled_lots) = match placed {
        Ok(result) => (result.rest_code.unwrap_or(Code::Ok), result.filled_lots),
        Err(refusal) => (refusal.code(), Lots::ZERO),
    };
    let for_want_of_a_price = matches!(
        code,
        Code::Unfilled
            | Code::InsufficientCollateral
            | Code::WorseThanZeroPrice
            | Code::MaxFills
            | Code::OutOfGas
    );
    if for_want_of_a_price {
        place.lots.saturating_sub(filled_lots)
    } else {
        Lots::ZERO
    }
}

/// Returns an order's lots when it triggers: for a whole position the held lots, up to the most of
/// one order.
fn lots_now(state: &State, account: AccountId, order: &Place) -> Lots {
    let most = state.markets.slot(order.market).cell.market.params.max_order_lots;
    match order.whole_position {
        true => lookup::held(state, account, order.market).unsigned_abs().min(most),
        // What an entry has filled, under whatever replacements, may be more.
        false if order.reduce_only => order.lots.min(most),
        false => order.lots,
    }
}
