//! Phase 5: pegged orders move, triggers and slices that are due are placed.

use tidemark_oracle::mark::band_ticks;
use tidemark_proto::types::{OrderType, Place, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Ppm, Side, Ticks};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::{links, peg};
use crate::exec::order::{cancel, place, request};
use crate::invariant::{invariant, report};
use crate::outcome::TwapSlice;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind, Slicing};
use crate::state::State;

/// Gas of a trigger's or a slice's turn, makers aside.
const TURN_GAS: u64 = 2_000;

/// Gas of each order that rests, trades or goes in a turn.
const ORDER_GAS: u64 = 400;

/// Phase 5: in each market the pegged orders move, then reached triggers place their orders, then
/// slices that are due. A market that is not live, or whose index is stale, waits. A sixteenth of
/// the sweep's gas is for it, evenly for the markets that have conditional orders, and a third of a
/// market's part each for pegs, triggers and slices. What begins with gas left is carried out
/// whole, so a part is passed by one order's makers at most.
pub(crate) fn run(ctx: &mut Ctx<'_>) {
    let state = &*ctx.exchange;
    let active: Vec<(MarketId, Ticks)> =
        state.markets.ids().filter_map(|market| Some((market, mark_of(state, market)?))).collect();
    let gas = (state.chain.params.sweep_gas / 16).checked_div(active.len() as u64).unwrap_or(0);
    for (market, mark_ticks) in active {
        let now_ms = ctx.exchange.chain.time_ms;
        let max = ctx.exchange.markets.slot(market).cell.market.params.max_triggers;
        peg::follow_all(ctx, market, max, gas / 3);
        let mut left = Gas(gas / 3);
        for _ in 0..max {
            let orders = &mut ctx.exchange.markets.slot_mut(market).conditional;
            let reached =
                if left.is_spent() { None } else { orders.pop_reached(mark_ticks, 1).pop() };
            let Some(order_id) = reached else { break };
            left.charge(ctx, |ctx| trigger(ctx, market, order_id));
        }
        left = Gas(gas / 3);
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
#[expect(clippy::indexing_slicing, reason = "the event was pushed above, and events only grow")]
fn trigger(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId) {
    ctx.work.visit_order();
    let conditional = &mut ctx.exchange.markets.slot_mut(market).conditional;
    // An order placed before it in this phase may have taken it out: its partner, or a fill that
    // closed its position.
    let Some(order) = conditional.remove(order_id) else { return };
    // The trigger's own event comes first, so that a reader sees the reason before its effects.
    let event_index = ctx.events.len();
    ctx.events.push(links::removed_event(market, &order, Code::Ok));
    let resting = links::release_partner(conditional, market, &order, &mut ctx.events);
    if let Some(resting) = resting {
        cancel::cancel_partner(ctx, order.account, market, resting, order_id);
    }
    let Kind::Trigger(waited) = order.kind else {
        invariant!(ctx.exchange, market, Order, "order {} triggered without a trigger", order_id);
        return;
    };
    let place =
        Place { trigger: None, lots: lots_now(ctx.exchange, order.account, &waited), ..waited };
    let placed_order_id = ctx.exchange.markets.slot(market).book.next_order_id();
    let refusal =
        isolated::refunding(ctx, order.account, |ctx| request::place(ctx, order.account, &place))
            .err();
    if let Some(refusal) = &refusal {
        report(ctx.exchange, order.account, Some(market), refusal);
    }
    ctx.events[event_index] = Event::Triggered {
        market,
        order_id,
        account: order.account,
        client_id: waited.client_id,
        placed_order_id: if refusal.is_none() { placed_order_id } else { OrderId::NONE },
        refusal: refusal.map(Box::new),
    };
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
