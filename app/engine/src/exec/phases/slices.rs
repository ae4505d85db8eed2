//! Phase 5: slices of TWAPs (rules §2.14).

use tidemark_oracle::mark::band_ticks;
use tidemark_proto::types::{OrderType, Place, PostOnly, TimeInForce};
use tidemark_proto::units::{Atoms, Lots, MarketId, OrderId, Ppm, Side, Ticks};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::{enter, links};
use crate::exec::order::{checks, place};
use crate::exec::phases::forfeits::{forfeit, lacks_collateral};
use crate::invariant::{invariant, report};
use crate::outcome::TwapSlice;
use crate::state::conditional::{shown, Conditional, Kind, Slicing};
use crate::state::State;

/// Places a TWAP's slice, and sets the time of the next.
#[expect(clippy::indexing_slicing, reason = "the event was pushed above, and events only grow")]
pub(super) fn slice(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId, mark_ticks: Ticks) {
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
    let held = lookup::held(ctx.exchange, order.account, market);
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
        left: (slices_left > 0).then(|| shown(market, &order)),
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
