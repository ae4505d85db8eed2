//! Phase 5: pegged orders move, triggers and slices that are due are placed.

use tidemark_oracle::mark::band_ticks;
use tidemark_proto::types::{OrderType, Place, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Ppm, Side, Ticks};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::{enter, links, peg};
use crate::exec::order::{cancel, place, request};
use crate::invariant::{invariant, report};
use crate::outcome::{OperationResult, TwapSlice};
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind, Retrying, Slicing, RETRIES};
use crate::state::State;

/// Gas of a trigger's or a slice's turn, makers aside.
const TURN_GAS: u64 = 2_000;

/// Gas of each order that rests, trades or goes in a turn.
const ORDER_GAS: u64 = 400;

/// Phase 5: in each market the pegged orders move, then reached triggers place their orders, then
/// slices that are due. A market that is not live, or whose index is stale, waits. A sixteenth of
/// the sweep's gas is for it, evenly for the markets that have conditional orders, and a quarter of
/// a market's part each for pegs, for what earlier triggers left, for triggers and for slices. What
/// begins with gas left is carried out whole, so a part is passed by one order's makers at most.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let state = &*ctx.exchange;
    let active: Vec<(MarketId, Ticks)> =
        state.markets.ids().filter_map(|market| Some((market, mark_of(state, market)?))).collect();
    let gas = (state.chain.params.sweep_gas / 16).checked_div(active.len() as u64).unwrap_or(0);
    for (market, mark_ticks) in active {
        let now_ms = ctx.exchange.chain.time_ms;
        let max = ctx.exchange.markets.slot(market).cell.market.params.max_triggers;
        peg::follow_all(ctx, market, max, gas / 4);
        let mut left = Gas(gas / 4);
        // Those that trigger in this block are tried again from the next on.
        for order_id in ctx.exchange.markets.slot(market).conditional.retries(max) {
            if !left.is_spent() {
                left.charge(ctx, |ctx| retry(ctx, market, order_id));
            }
        }
        left = Gas(gas / 4);
        for _ in 0..max {
            let orders = &mut ctx.exchange.markets.slot_mut(market).conditional;
            let reached =
                if left.is_spent() { None } else { orders.pop_reached(mark_ticks, 1).pop() };
            let Some(order_id) = reached else { break };
            left.charge(ctx, |ctx| trigger(ctx, market, order_id));
        }
        left = Gas(gas / 4);
        for _ in 0..max {
            let orders = &ctx.exchange.markets.slot(market).conditional;
            let due = if left.is_spent() { None } else { orders.slices_due(now_ms, 1).pop() };
            let Some(order_id) = due else { break };
            left.charge(ctx, |ctx| slice(ctx, market, order_id, mark_ticks));
        }
    }
}

/// The mark of a market whose conditional orders have their turn now.
fn mark_of(state: &State, market: MarketId) -> Option<Ticks> {
    let slot = state.markets.slot(market);
    let (cell, params) = (&slot.cell, &slot.cell.market.params);
    let is_stale = cell.index.is_stale(state.chain.time_ms, params.max_oracle_age_ms);
    let has_turn = !slot.conditional.is_empty() && !is_stale && cell.is_live();
    cell.market.mark_ticks.filter(|_| has_turn)
}

/// Gas that is left for one kind of turns in one market.
struct Gas(u64);

impl Gas {
    const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    /// Carries out a turn, and charges it with the orders that it touched.
    fn charge(&mut self, ctx: &mut Ctx<'_>, turn: impl FnOnce(&mut Ctx<'_>)) {
        let before = ctx.work.orders;
        turn(ctx);
        let orders = ctx.work.orders.saturating_sub(before);
        let gas = orders.saturating_mul(ORDER_GAS).saturating_add(TURN_GAS);
        self.0 = self.0.saturating_sub(gas);
    }
}

/// Places an order whose trigger the mark has reached.
fn trigger(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) {
    ctx.work.visit_order();
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    // An order placed before it in this phase may have taken it out: its partner, or a fill that
    // closed its position.
    let Some(order) = conditional.remove(order_id) else { return };
    // The trigger's own event comes first, so that a reader sees the reason before its effects.
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, &order, Code::Ok));
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    let resting = links::release_partner(conditional, market, &order, &mut ctx.events);
    if let Some(resting) = resting {
        cancel::cancel_partner(ctx, order.account, market, resting, order_id);
    }
    let Kind::Trigger(waited) = order.kind else {
        invariant!(ctx.exchange, market, Order, "order {} triggered without a trigger", order_id);
        return;
    };
    attempt(ctx, market, &order, waited, event_index, RETRIES);
}

/// Tries again to close what a triggered order has left.
fn retry(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) {
    ctx.work.visit_order();
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    // A fill before it in this phase may have closed its position.
    let Some(order) = conditional.remove(order_id) else { return };
    let Kind::Retrying(Retrying { place, tries_left }) = order.kind else {
        invariant!(
            ctx.exchange,
            market,
            Order,
            "order {} is tried again and was not before",
            order_id
        );
        return;
    };
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, &order, Code::Ok));
    attempt(ctx, market, &order, place, event_index, tries_left.saturating_sub(1));
}

/// Places a triggered order, whose own event is at `event_index`. What an immediate order that only
/// reduces leaves for want of a price waits for the next block, while there are tries left.
#[expect(clippy::indexing_slicing, reason = "the event was pushed before, and events only grow")]
fn attempt(
    ctx: &mut Ctx<'_>,
    market: MarketId,
    order: &Conditional,
    waited: Place,
    event_index: usize,
    tries_left: u32,
) {
    let (order_id, account) = (order.order_id, order.account);
    let lots = lots_now(ctx.exchange, account, &waited);
    let place = Place { trigger: None, lots, ..waited };
    let placed_order_id = ctx.exchange.markets.slot(market).book.next_order_id();
    let placed = isolated::refunding(ctx, account, |ctx| request::place(ctx, account, &place));
    let left_lots = left_to_close(&place, &placed);
    let refusal = placed.err();
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
    };
    if left_lots.is_zero() {
        return;
    }
    let lots = if waited.whole_position { Lots::ZERO } else { left_lots };
    let kind = Kind::Retrying(Retrying { place: Place { lots, ..waited }, tries_left });
    let order = Conditional { order_id, account, partner: OrderId::NONE, kind };
    if tries_left == 0 {
        ctx.events.push(links::removed_event(market, &order, Code::Unfilled));
        return;
    }
    ctx.events.push(links::waiting_event(market, &order));
    // The row that it left a moment ago is free.
    if let Err(refusal) = enter::insert(ctx.exchange, market, order) {
        report(ctx.exchange, account, Some(market), &refusal);
    }
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
    let cell = &ctx.exchange.markets.slot(market).cell;
    let slippage_ppm = cell.market.params.market_slippage_ppm;
    let found = ctx.exchange.markets.slot(market).conditional.get(order_id).cloned();
    // A slice or a trigger before it in this phase may have taken it out.
    let Some(order) = found else { return };
    let Kind::Slicing(slicing) = order.kind else {
        invariant!(ctx.exchange, market, Order, "order {} is due and has no slice", order_id);
        return;
    };
    let (lots, next) = slicing.due(ctx.exchange.chain.time_ms);
    let price_ticks = worst_ticks(&slicing, mark_ticks, slippage_ppm);
    let place = slice_order(market, &slicing, price_ticks, lots);
    // The slice's own event comes before those of its order.
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, &order, Code::Ok));
    let placed = isolated::refunding(ctx, order.account, |ctx| {
        place::place_on_book(ctx, order.account, &place)
    });
    if let Err(refusal) = &placed {
        report(ctx.exchange, order.account, Some(market), refusal);
    }
    let (filled_lots, placed_order_id) = placed
        .as_ref()
        .map_or((Lots::ZERO, OrderId::NONE), |result| (result.filled_lots, result.order_id));
    let slicing = Slicing { filled_lots: slicing.filled_lots.saturating_add(filled_lots), ..next };
    let code = placed.as_ref().err().map_or(Code::Ok, Refusal::code);
    let slices_left = if code == Code::WouldIncrease { 0 } else { slicing.slices_left() };
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
        },
        left: (slices_left > 0).then(|| links::display(market, &order)),
    };
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    if slices_left > 0 {
        conditional.update(order);
        return;
    }
    conditional.remove(order_id);
    if !order.lots().is_zero() {
        let code = if code == Code::WouldIncrease { Code::NothingToReduce } else { Code::Unfilled };
        ctx.events.push(links::removed_event(market, &order, code));
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
