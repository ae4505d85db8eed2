//! Pegged orders: they rest on the book, and their price follows the mark or the best price of
//! their side.

use tidemark_matching::OrderView;
use tidemark_proto::types::{PegTo, Place};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side, Ticks};

use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::order::conditional::enter;
use crate::exec::order::replace::Replacement;
use crate::exec::order::{admission, cancel, place, replace};
use crate::invariant::{invariant, report};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind, Pegged};
use crate::state::State;

/// Most orders looked at from the best price on, to find one that is not pegged.
const MAX_LOOKED_AT: usize = 1_000;

/// Reference prices that pegged orders of a market follow.
struct References {
    mark_ticks: Option<Ticks>,
    best_ticks: [Option<Ticks>; 2],
}

impl References {
    fn of(state: &State, market: MarketId) -> Self {
        let slot = state.markets.slot(market);
        let (book, conditional) = (&slot.book, &slot.conditional);
        let best = |side: Side| {
            let orders = book.levels(side).flat_map(|level| book.queue(side, level.price_ticks));
            let mut looked_at = orders.take(MAX_LOOKED_AT);
            let found =
                looked_at.find(|order: &OrderView| conditional.pegged(order.order_id).is_none());
            found.map(|order| order.price_ticks)
        };
        Self {
            mark_ticks: slot.cell.market.mark_ticks,
            best_ticks: [best(Side::Buy), best(Side::Sell)],
        }
    }

    /// Where an order wants to rest: at its distance from the reference, at 1 tick or more, and
    /// within its limit.
    #[expect(clippy::indexing_slicing, reason = "a side indexes both sides")]
    fn price(&self, side: Side, pegged: &Pegged) -> Option<Ticks> {
        let reference = match pegged.peg.to {
            PegTo::Mark => self.mark_ticks,
            PegTo::Best => self.best_ticks[side as usize],
        }?;
        let price_ticks =
            Ticks::new(reference.get().saturating_add_signed(pegged.peg.offset_ticks));
        let price_ticks = price_ticks.max(Ticks::ONE);
        Some(match side {
            Side::Buy => pegged.limit_ticks.map_or(price_ticks, |limit| limit.min(price_ticks)),
            Side::Sell => pegged.limit_ticks.map_or(price_ticks, |limit| limit.max(price_ticks)),
        })
    }
}

/// Places a pegged order where it wants to rest now.
///
/// # Errors
/// `NO_REFERENCE_PRICE`, and the refusals of any order at that price.
pub(crate) fn place(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
    pegged: Pegged,
) -> Result<OperationResult, Refusal> {
    let market = order.market;
    let wanted = References::of(ctx.exchange, market).price(order.side, &pegged);
    let price_ticks = wanted.ok_or(Refusal::NoReferencePrice)?;
    lookup::position_mut(ctx.exchange, account, market)?;
    // Known as pegged before it rests, so that whoever is told of it learns what it follows.
    let order_id = ctx.exchange.markets.slot(market).book.next_order_id();
    enter::insert(
        ctx.exchange,
        market,
        Conditional { order_id, account, partner: OrderId::NONE, kind: Kind::Pegged(pegged) },
    )?;
    let result = place::place_on_book(ctx, account, &Place { price_ticks, ..*order });
    if !matches!(&result, Ok(placed) if placed.resting_lots > Lots::ZERO) {
        ctx.exchange.markets.slot_mut(market).conditional.remove(order_id);
    }
    result
}

/// Phase 5: moves the pegged orders of a market whose turn it is, at most `max`, oldest first. All
/// orders follow the prices before the first move. An order whose new price is refused is cancelled
/// with the refusal's code.
pub(crate) fn follow_all(ctx: &mut Ctx<'_>, market: MarketId, max: u32) {
    let turn = ctx.exchange.markets.slot_mut(market).conditional.next_pegs(max);
    if turn.is_empty() {
        return;
    }
    let references = References::of(ctx.exchange, market);
    for order_id in turn {
        follow(ctx, market, order_id, &references);
    }
}

fn follow(ctx: &mut Ctx<'_>, market: MarketId, order_id: OrderId, references: &References) {
    ctx.work.visit_order();
    let (book, conditional) =
        (&ctx.exchange.markets.slot(market).book, &ctx.exchange.markets.slot(market).conditional);
    // A move before it in this turn may have taken it out.
    let Some(pegged) = conditional.pegged(order_id) else { return };
    let Some(order) = book.order(order_id) else {
        invariant!(ctx.exchange, market, "order {} is pegged and not on the book", order_id);
        return;
    };
    // Without a reference it stays where it is.
    let Some(wanted) = references.price(order.side, &pegged) else { return };
    let opposite = book.best(order.side.opposite()).map(|level| level.price_ticks);
    if admission::slid(opposite, order.side, wanted) == order.price_ticks {
        return;
    }
    let account = order.owner;
    let changes = Replacement { price_ticks: Some(wanted), lots: None, trigger_price_ticks: None };
    let moved = isolated::refunding(ctx, account, |ctx| {
        replace::replace(ctx, account, market, &order, changes)
    });
    if let Err(refusal) = moved {
        report(ctx.exchange, account, Some(market), &refusal);
        cancel::cancel_for(ctx, account, market, order_id, refusal.code());
    }
}
