//! Admission of an order by margin (rules §3.8).

use tidemark_matching::NewOrder;
use tidemark_proto::types::{Place, PostOnly};
use tidemark_proto::units::{AccountId, Atoms, MarketId, Side, SignedLots, Ticks};
use tidemark_risk::health::Health;
use tidemark_risk::interest::open_interest_with;
use tidemark_risk::orders::OpenOrder;
use tidemark_risk::Market;

use crate::exec::account::health::{Hindrance, OrderChange};
use crate::exec::account::{cost, health, lookup};
use crate::exec::collateral::{cash, isolated};
use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::order::checks::OrderTerms;
use crate::exec::order::incoming::{Admission, Incoming};
use crate::exec::order::{checks, walk};
use crate::refusal::Refusal;
use crate::state::State;

/// An order as margin sees it: a sliding one where it would come to rest.
pub(crate) fn open_order(
    order: &Place,
    price_ticks: Ticks,
    best_ticks: impl FnOnce() -> Result<Option<Ticks>, Refusal>,
) -> Result<OpenOrder, Refusal> {
    let price_ticks = match order.post_only {
        PostOnly::Slide => slid(best_ticks()?, order.side, price_ticks),
        PostOnly::Off | PostOnly::Reject => price_ticks,
    };
    let (side, lots, reduce_only) = (order.side, order.lots, order.reduce_only);
    Ok(OpenOrder { side, price_ticks, lots, reduce_only })
}

/// The part of an order that margin counts: a reduce-only order never rests or trades with more
/// lots than the position that it reduces.
pub(crate) fn part(order: OpenOrder, held: SignedLots) -> OpenOrder {
    match order.reduce_only {
        true => OpenOrder { lots: order.lots.min(held.unsigned_abs()), ..order },
        false => order,
    }
}

/// An order as the book takes it.
pub(crate) fn new_order(
    state: &State,
    meter: &Meter,
    account: AccountId,
    order: &Place,
    ready: OrderTerms,
) -> Result<NewOrder, Refusal> {
    let max_fills = state.markets.slot(order.market).cell.market.params.max_fills;
    Ok(NewOrder {
        owner: account,
        client_id: order.client_id,
        side: order.side,
        price_ticks: ready.price_ticks,
        lots: order.lots,
        display_lots: order.display_lots,
        time_in_force: ready.time_in_force,
        post_only: order.post_only,
        reduce_only: order.reduce_only,
        stp: lookup::account(state, account)?.stp,
        max_fills,
        max_visits: max_visits(meter, max_fills),
    })
}

/// Most makers that may be looked at for an order: as far as its gas reaches. In a phase without a
/// sender, as far as `max_fills` needs: some of the makers that are looked at do not trade.
pub(crate) fn max_visits(meter: &Meter, max_fills: u32) -> u32 {
    meter.makers().unwrap_or(max_fills.saturating_mul(4))
}

/// Where a sliding order comes to rest beside the best opposite price: margin is reserved for that
/// price, whose fee may be higher.
pub(crate) fn slid(best_ticks: Option<Ticks>, side: Side, price_ticks: Ticks) -> Ticks {
    let Some(best_ticks) = best_ticks else { return price_ticks };
    match side {
        Side::Buy => price_ticks.min(best_ticks.saturating_sub(Ticks::ONE)),
        Side::Sell => price_ticks.max(best_ticks.saturating_add(Ticks::ONE)),
    }
}

/// Checks that the account may have this order: the placement check of rules §3.8. Isolated
/// collateral draws a shortfall from its parent.
pub(crate) fn admit(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    incoming: &Incoming<'_>,
) -> Result<Admission, Refusal> {
    let Incoming { market, order, .. } = *incoming;
    let state = &mut *ctx.exchange;
    let to_add_up = cost::margin(&mut ctx.meter, state, account)?;
    cash::settle_funding(state, account)?;
    let held = lookup::held(state, account, market);
    if order.reduce_only {
        checks::check_reduces(held, order.side)?;
    } else if !incoming.only_reduces(held) {
        lookup::check_not_frozen(state, account)?;
        checks::check_reviewed(state, account, market)?;
        check_exposure(state, market, held, &order)?;
    }
    lookup::position_mut(state, account, market)?;
    if to_add_up > 0 {
        health::remember_totals(state, account);
    }
    let change = incoming.change(Some(part(order, held)));
    let free = health::free_with(state, account, change)?;
    let free = free.saturating_sub(raise(state, account, incoming, held, &[change])?);
    let is_frozen = state.danger.is_frozen(account, &state.accounts);
    if !free.is_negative() && !is_frozen {
        return Ok(Admission::Whole);
    }
    let admitted = if order.reduce_only {
        cost::all_orders(&mut ctx.meter, state, account)?;
        let health = health::health(state, account)?;
        admit_without_free(state, account, incoming, &order, &health)
    } else if is_frozen {
        Err(Refusal::AccountFrozen(account))
    } else {
        isolated::cover(state, account, free.saturating_neg())
    };
    match admitted {
        Ok(()) => Ok(Admission::Whole),
        Err(refusal) if incoming.takes(ctx.exchange) => Ok(Admission::ByFill(refusal)),
        Err(refusal) => Err(walk::with_what_fits(ctx, account, incoming, refusal)),
    }
}

/// The rise of the reserve of an order's market by open interest, if the order may increase it.
fn raise(
    state: &State,
    account: AccountId,
    incoming: &Incoming<'_>,
    held: SignedLots,
    changes: &[OrderChange],
) -> Result<Atoms, Refusal> {
    if incoming.only_reduces(held) {
        return Ok(Atoms::ZERO);
    }
    let OpenOrder { side, lots, .. } = incoming.order;
    let interest =
        |market: &Market| open_interest_with(market.open_interest_lots, held, side, lots);
    let row = lookup::account(state, account)?;
    health::raise(state, row, account, (incoming.market, changes), interest)
}

/// Anyone can get out: with free collateral below 0, or frozen, an exit may rest at the zero price
/// or better (rules §§3.10, 7.13), once nothing of the account's could increase.
pub(crate) fn admit_without_free(
    state: &State,
    account: AccountId,
    incoming: &Incoming<'_>,
    exit: &OpenOrder,
    health: &Health,
) -> Result<(), Refusal> {
    match health::hindrances(state, account, incoming.replaced_id(), health)?.first {
        Some(Hindrance::Increases(order)) => return Err(Refusal::IncreasingOrdersOpen(order)),
        Some(Hindrance::WorseExit { order_id, price_ticks, zero_ticks }) => {
            return Err(Refusal::WorseExitOpen { order_id, price_ticks, zero_ticks });
        }
        None => {}
    }
    let zero_ticks = health::resting_zero_price(state, account, incoming.market, health)?;
    if health::is_worse_than(state, incoming.market, exit, zero_ticks)? {
        return Err(Refusal::WorseThanZeroPrice { price_ticks: exit.price_ticks, zero_ticks });
    }
    Ok(())
}

fn check_exposure(
    state: &State,
    market: MarketId,
    held: SignedLots,
    new: &OpenOrder,
) -> Result<(), Refusal> {
    checks::check_fresh(state, market)?;
    checks::check_open_interest(
        state,
        market,
        checks::added_interest(held, new.side, u128::from(new.lots.get())),
    )
}
