//! Pegged orders: they rest on the book, and their price follows the mark or the best price of
//! their side.

use tidemark_proto::types::gas::{LOOK, PEG_LOOKS};
use tidemark_proto::types::{PegTo, Place};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side, Ticks};

use crate::exec::account::lookup;
use crate::exec::collateral::isolated;
use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::order::conditional::enter;
use crate::exec::order::live_orders::LiveOrders;
use crate::exec::order::replace::Replacement;
use crate::exec::order::{admission, cancel, live_orders, place, replace};
use crate::invariant::{invariant, report};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;
use crate::state::conditional::{Conditional, Kind, Pegged};
use crate::state::{MarketSlot, State};

/// Gas of a pegged order's turn in phase 5, looks aside.
const TURN_GAS: u64 = 2_000;

/// Reference prices that pegged orders of a market follow.
#[derive(Default)]
struct References {
    mark_ticks: Option<Ticks>,
    best_ticks: [Option<Ticks>; 2],
}

impl References {
    /// The mark, and the best price of a side if an order follows it.
    #[expect(clippy::indexing_slicing, reason = "a side indexes both sides")]
    fn of(
        meter: &mut Meter,
        state: &State,
        market: MarketId,
        side: Option<Side>,
    ) -> Result<Self, Refusal> {
        let slot = state.markets.slot(market);
        let mut references = Self { mark_ticks: slot.cell.market.mark_ticks, ..Self::default() };
        if let Some(side) = side {
            references.best_ticks[side as usize] = best_unpegged(meter, (state, slot), side)?;
        }
        Ok(references)
    }

    /// The mark, and the best prices of both sides, each as far as a quarter of the gas reaches:
    /// orders do not follow one that it does not reach.
    fn for_all(meter: &mut Meter, state: &State, market: MarketId) -> Self {
        let slot = state.markets.slot(market);
        let quarter = meter.left() / 4;
        let best_ticks = [Side::Buy, Side::Sell].map(|side| {
            let mut part = Meter::of(quarter);
            let best = best_unpegged(&mut part, (state, slot), side);
            meter.spend(part.spent());
            best.unwrap_or_default()
        });
        Self { mark_ticks: slot.cell.market.mark_ticks, best_ticks }
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

/// Returns the best price of an order that is not pegged, which the book knows however many pegged
/// ones are before it. Where some orders may be dead, it is that of the first which is neither,
/// among the best [`PEG_LOOKS`] at such prices; each look is paid for.
fn best_unpegged(
    meter: &mut Meter,
    (state, slot): (&State, &MarketSlot),
    side: Side,
) -> Result<Option<Ticks>, Refusal> {
    meter.charge(LOOK)?;
    let mut prices = slot.book.plain_prices(side);
    if !slot.book.any_dead(&LiveOrders::of(state)) {
        return Ok(prices.next());
    }
    let now_ms = state.chain.time_ms;
    for order in prices.flat_map(|price| slot.book.queue(side, price)).take(PEG_LOOKS) {
        meter.charge(LOOK)?;
        let is_dead = order.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms)
            || !order.reduce_only && state.danger.is_frozen(order.owner, &state.accounts);
        if !is_dead && !slot.book.is_pegged(order.order_id) {
            return Ok(Some(order.price_ticks));
        }
    }
    Ok(None)
}

/// Places a pegged order where it wants to rest now.
///
/// # Errors
/// `NO_REFERENCE_PRICE`, `OUT_OF_GAS`, and the refusals of any order at that price.
pub(crate) fn place(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
    pegged: Pegged,
) -> Result<OperationResult, Refusal> {
    let market = order.market;
    let side = match pegged.peg.to {
        PegTo::Mark => None,
        PegTo::Best => Some(order.side),
    };
    let references = References::of(&mut ctx.meter, ctx.exchange, market, side)?;
    let wanted = references.price(order.side, &pegged);
    let price_ticks = wanted.ok_or(Refusal::NoReferencePrice)?;
    lookup::position_mut(ctx.exchange, account, market)?;
    // Known as pegged before it rests, so that whoever is told of it learns what it follows.
    let order_id = ctx.exchange.markets.slot(market).book.next_order_id();
    enter::insert(
        ctx.exchange,
        market,
        Conditional {
            order_id,
            account,
            partner: OrderId::NONE,
            entry: OrderId::NONE,
            kind: Kind::Pegged(pegged),
        },
    )?;
    ctx.exchange.markets.slot_mut(market).book.peg(order_id);
    let result = place::place_on_book(ctx, account, &Place { price_ticks, ..*order });
    if !matches!(&result, Ok(placed) if placed.resting_lots > Lots::ZERO) {
        let slot = ctx.exchange.markets.slot_mut(market);
        slot.conditional.remove(order_id);
        slot.book.unpeg(order_id);
    }
    result
}

/// Phase 5: moves the pegged orders of a market whose turn it is, at most `max`, oldest first, as
/// far as the market's gas for it reaches, which pays for every look. All orders follow the prices
/// before the first move. An order whose new price is refused is cancelled with the refusal's code.
/// Returns the gas that it took.
pub(crate) fn follow_all(ctx: &mut Ctx<'_>, market: MarketId, max: u32, gas: u64) -> u64 {
    if gas == 0 || !ctx.exchange.markets.slot(market).conditional.has_pegs() {
        return 0;
    }
    let mut meter = Meter::of(gas);
    let references = References::for_all(&mut meter, ctx.exchange, market);
    // What begins with gas left is carried out, so that one order moves however little there is.
    let turns = u32::try_from(meter.left() / TURN_GAS).unwrap_or(u32::MAX).max(1);
    for order_id in ctx.exchange.markets.slot_mut(market).conditional.next_pegs(max.min(turns)) {
        follow(ctx, &mut meter, (market, order_id), &references);
        meter.spend(TURN_GAS);
    }
    meter.spent()
}

fn follow(
    ctx: &mut Ctx<'_>,
    meter: &mut Meter,
    (market, order_id): (MarketId, OrderId),
    references: &References,
) {
    ctx.work.visit_order();
    let (book, conditional) =
        (&ctx.exchange.markets.slot(market).book, &ctx.exchange.markets.slot(market).conditional);
    // A move before it in this turn may have taken it out.
    let Some(pegged) = conditional.pegged(order_id) else { return };
    let Some(order) = book.order(order_id) else {
        invariant!(ctx.exchange, market, Order, "order {} is pegged and not on the book", order_id);
        return;
    };
    // Without a reference it stays where it is.
    let Some(wanted) = references.price(order.side, &pegged) else { return };
    // Behind more dead orders than the gas reaches past, it stays where it is.
    let opposite = order.side.opposite();
    let Ok(opposite) = live_orders::best_live(meter, ctx.exchange, (market, opposite), |_| false)
    else {
        return;
    };
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
