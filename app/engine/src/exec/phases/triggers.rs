//! Phase 5: pegged orders move, triggers and slices that are due are placed.

use tidemark_oracle::mark::band_ticks;
use tidemark_proto::defence::Defence;
use tidemark_proto::types::{OrderType, Place, PostOnly, TimeInForce, TRIGGER_FORFEIT};
use tidemark_proto::units::{
    AccountId, Atoms, Lots, MarketId, OrderId, OwnerId, Ppm, Side, SignedLots, Ticks,
};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::account::health::{self, OrderChange};
use crate::exec::account::lookup;
use crate::exec::collateral::{cash, isolated};
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::{enter, links, peg};
use crate::exec::order::{cancel, checks, place, request};
use crate::invariant::{invariant, report};
use crate::outcome::{OperationResult, TwapSlice};
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind, Reached, Retrying, Slicing, RETRIES};
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

/// The phase in one market, within its gas: a quarter at most for pegs, one for what earlier
/// triggers left, and one for queueing what the mark has reached; a quarter at least for slices;
/// all else for orders whose turn it is. What begins with gas left is carried out whole, so that a
/// part is passed by one order's makers at most. Returns the gas that it took.
fn run_market(ctx: &mut Ctx<'_>, market: MarketId, mark_ticks: Ticks, gas: u64) -> u64 {
    let now_ms = ctx.exchange.chain.time_ms;
    let max = ctx.exchange.markets.slot(market).cell.market.params.max_triggers;
    let (quarter, mut left) = (gas / 4, Gas(gas));
    left.spend(peg::follow_all(ctx, market, max, quarter));
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
        left.charge(ctx, |ctx| slice(ctx, market, order_id, mark_ticks));
    }
    gas.saturating_sub(left.0)
}

/// Queues orders that the mark has reached, as far as the gas reaches, those that only reduce
/// first; what was reached stays so, whatever the mark does. Returns the gas that it took.
fn queue_reached(state: &mut State, market: MarketId, mark_ticks: Ticks, gas: u64) -> u64 {
    let mut left = u32::try_from(gas / REACHED_GAS).unwrap_or(u32::MAX).max(1);
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
    if let Some(resting) = resting {
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
    attempt(ctx, market, order, place, event_index, RETRIES)
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
    let left_lots = match checks::check_reduces(held(ctx, account, market), place.side) {
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
    let order = Conditional { order_id, account, partner: OrderId::NONE, kind };
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

/// Returns true if an order found no collateral for a single lot.
fn lacks_collateral(placed: &Result<OperationResult, Refusal>) -> bool {
    let code = match placed {
        Ok(result) if result.filled_lots.is_zero() => result.rest_code,
        Ok(_) => None,
        Err(refusal) => Some(refusal.code()),
    };
    code == Some(Code::InsufficientCollateral)
}

/// An order that could increase has triggered and lacks collateral: part of its trigger reserve
/// goes to the insurance fund, as far as the account's free collateral has it. Returns how much.
fn forfeit(ctx: &mut Ctx<'_>, account: AccountId, market: MarketId) -> Atoms {
    let state = &mut *ctx.exchange;
    let moved = health::free_with(state, account, OrderChange::none(market)).and_then(|free| {
        let atoms = TRIGGER_FORFEIT.min(free.max(Atoms::ZERO));
        cash::credit(state, account, Atoms::ZERO.saturating_sub(atoms))?;
        let treasury = &mut state.chain.treasury;
        state.markets.slot_mut(market).cell.market.change_fund(treasury, atoms)?;
        Ok(atoms)
    });
    moved.unwrap_or_else(|refusal| {
        report(ctx.exchange, account, Some(market), &refusal);
        Atoms::ZERO
    })
}

fn held(ctx: &Ctx<'_>, account: AccountId, market: MarketId) -> SignedLots {
    lookup::held(ctx.exchange, account, market)
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
    if !order.whole_position {
        return order.lots;
    }
    let most = state.markets.slot(order.market).cell.market.params.max_order_lots;
    lookup::held(state, account, order.market).unsigned_abs().min(most)
}

/// Places a TWAP's slice, and sets the time of the next.
#[expect(clippy::indexing_slicing, reason = "the event was pushed above, and events only grow")]
fn slice(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId, mark_ticks: Ticks) {
    ctx.work.visit_order();
    let slippage_ppm = ctx.exchange.markets.slot(market).cell.market.params.market_slippage_ppm;
    // A slice or a trigger before it in this phase may have taken it out.
    let Some((order, slicing)) = slicing(ctx.exchange, market, order_id) else { return };
    // One that only reduces would go with the position that it closes itself.
    let is_exit = order.is_exit();
    if is_exit {
        ctx.exchange.markets.slot_mut(market).conditional.remove(order_id);
    }
    let (lots, next) = slicing.due(ctx.exchange.chain.time_ms);
    let price_ticks = worst_ticks(&slicing, mark_ticks, slippage_ppm);
    let place = slice_order(market, &slicing, price_ticks, lots);
    // The slice's own event comes before those of its order.
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, &order, Code::Ok));
    let placed = isolated::refunding(ctx, order.account, |ctx| {
        place::place_on_book(ctx, order.account, &place)
    });
    let forfeited_atoms = match !slicing.twap.reduce_only && lacks_collateral(&placed) {
        true => forfeit(ctx, order.account, market),
        false => Atoms::ZERO,
    };
    let (filled_lots, placed_order_id) = placed
        .as_ref()
        .map_or((Lots::ZERO, OrderId::NONE), |result| (result.filled_lots, result.order_id));
    let slicing = Slicing { filled_lots: slicing.filled_lots.saturating_add(filled_lots), ..next };
    let code = placed.as_ref().err().map_or(Code::Ok, |refusal| {
        report(ctx.exchange, order.account, Some(market), refusal);
        refusal.code()
    });
    let held = held(ctx, order.account, market);
    let is_closed = is_exit && checks::check_reduces(held, slicing.twap.side).is_err();
    let is_over = code == Code::WouldIncrease || is_closed;
    let slices_left = if is_over { 0 } else { slicing.slices_left() };
    let order = Conditional { kind: Kind::Slicing(slicing), ..order };
    ctx.events[event_index] = Event::Slice {
        market,
        order_id,
        account: order.account,
        client_id: slicing.twap.client_id,
        slice: TwapSlice {
            refusal: placed.err().map(Box::new),
            placed_order_id,
            lots,
            filled_lots,
            slices_left,
            forfeited_atoms,
        },
        left: (slices_left > 0).then(|| links::display(market, &order)),
    };
    match (slices_left, is_over) {
        (0, true) => end_slicing(ctx, market, &order, Code::NothingToReduce),
        (0, false) => end_slicing(ctx, market, &order, Code::Unfilled),
        _ => keep_slicing(ctx, market, order),
    }
}

/// A TWAP has had its last slice.
fn end_slicing(ctx: &mut Ctx<'_>, market: MarketId, order: &Conditional, code: Code) {
    ctx.exchange.markets.slot_mut(market).conditional.remove(order.order_id);
    if !order.lots().is_zero() {
        ctx.events.push(links::removed_event(market, order, code));
    }
}

/// A TWAP that is due.
fn slicing(
    state: &mut State,
    market: MarketId,
    order_id: OrderId,
) -> Option<(Conditional, Slicing)> {
    let order = state.markets.slot(market).conditional.get(order_id).cloned()?;
    if let Kind::Slicing(slicing) = order.kind {
        return Some((order, slicing));
    }
    invariant!(state, market, Order, "order {} is due and has no slice", order_id);
    None
}

/// Has a TWAP wait for its next slice, whether or not it was taken out for the last.
fn keep_slicing(ctx: &mut Ctx<'_>, market: MarketId, order: Conditional) {
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    if conditional.get(order.order_id).is_some() {
        conditional.update(order);
        return;
    }
    let account = order.account;
    if let Err(refusal) = enter::insert(ctx.exchange, market, order) {
        report(ctx.exchange, account, Some(market), &refusal);
    }
}

/// A slice as an order: it takes what it can at once, at its worst price or better.
fn slice_order(market: MarketId, slicing: &Slicing, price_ticks: Ticks, lots: Lots) -> Place {
    Place {
        market,
        side: slicing.twap.side,
        price_ticks,
        lots,
        order_type: OrderType::Limit,
        time_in_force: TimeInForce::Ioc,
        post_only: PostOnly::Off,
        reduce_only: slicing.twap.reduce_only,
        client_id: slicing.twap.client_id,
        trigger: None,
        whole_position: false,
        display_lots: Lots::ZERO,
        peg: None,
    }
}

/// The worst price of a slice: the slippage beyond the mark, and no worse than the order's own
/// limit.
fn worst_ticks(slicing: &Slicing, mark_ticks: Ticks, market_slippage_ppm: Ppm) -> Ticks {
    let slippage_ppm =
        slicing.twap.slippage_ppm.map_or(market_slippage_ppm, |ppm| Ppm::new(i64::from(ppm)));
    let (low, high) = band_ticks(mark_ticks, slippage_ppm);
    match slicing.twap.side {
        Side::Buy => slicing.twap.limit_ticks.map_or(high, |limit| limit.min(high)),
        Side::Sell => slicing.twap.limit_ticks.map_or(low, |limit| limit.max(low)),
    }
}
