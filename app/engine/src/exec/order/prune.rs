//! Cancels that restore the reserve lemma when free collateral falls below 0 (rules §§3.9, 7.1).

use tidemark_proto::types::trigger_reserve;
use tidemark_proto::units::{AccountId, Atoms, MarketId, OrderId};
use tidemark_proto::Code;
use tidemark_risk::fees::max_fee_ppm;
use tidemark_risk::health::Health;
use tidemark_risk::orders::{prune, reserve, Prunable, PrunedMarket, Reserves};

use crate::exec::account::{health, lookup};
use crate::exec::collateral::cash;
use crate::exec::ctx::Ctx;
use crate::exec::order::cancel;
use crate::exec::order::conditional::removal;
use crate::refusal::Refusal;
use crate::state::conditional::Conditional;
use crate::state::State;

/// Gas of a look at an account that may have to be pruned.
const ACCOUNT_GAS: u64 = 200;

/// Gas of each of its open orders, on the book or waiting: it is read, and may be cancelled.
const ORDER_GAS: u64 = 300;

/// As [`restore_reserve`], as long as the block's budget of pruning lasts; then the account is
/// frozen. The account with which the budget ends is pruned whole, so that it is passed by the
/// orders of one account at most. An account without open orders needs neither, and costs nothing.
pub(crate) fn within(ctx: &mut Ctx<'_>, account: AccountId) -> Result<u32, Refusal> {
    let row = lookup::account(ctx.exchange, account)?;
    let of = |market: MarketId| {
        let slot = ctx.exchange.markets.slot(market);
        u64::from(slot.book.open_orders(account))
            .saturating_add(slot.conditional.increasing(account).into())
    };
    let orders: u64 = row.positions.iter().map(|position| of(position.market)).sum();
    if orders == 0 {
        return Ok(0);
    }
    if ctx.pruning.is_spent() {
        ctx.exchange.danger.frozen.insert(account);
        return Ok(0);
    }
    ctx.pruning.spend(ACCOUNT_GAS.saturating_add(orders.saturating_mul(ORDER_GAS)));
    restore_reserve(ctx, account)
}

/// Leaves an account as the reserve lemma has it (rules §3.7): free collateral of at least 0, or no
/// order that increases exposure and no reduce-only order worse than the zero price. Below
/// maintenance, no order that increases exposure at all. Returns how many orders that increase
/// went.
fn restore_reserve(ctx: &mut Ctx<'_>, account: AccountId) -> Result<u32, Refusal> {
    let health = health::health(ctx.exchange, account)?;
    if !health.free_atoms().is_negative() {
        return Ok(0);
    }
    cash::settle_funding(ctx.exchange, account)?;
    let cancelled = if health.is_liquidatable() {
        increasing(ctx, account)?
    } else {
        until_free(ctx, account)?
    };
    let health = health::health(ctx.exchange, account)?;
    if health.free_atoms().is_negative() {
        worse_than_zero(ctx, account, &health)?;
    }
    Ok(cancelled)
}

/// The account's exits on the books, by market, newest first within each.
fn resting_exits(state: &State, account: AccountId) -> Result<Vec<(MarketId, OrderId)>, Refusal> {
    let row = lookup::account(state, account)?;
    let of_market = |market: MarketId| {
        let orders = state.markets.slot(market).book.orders_of(account);
        orders.filter(|order| order.reduce_only).map(move |order| (market, order.order_id))
    };
    Ok(row.positions.iter().flat_map(|position| of_market(position.market)).collect())
}

/// The account's orders of a market that reserve, on the book and waiting, newest first.
fn reserving(state: &State, account: AccountId, market: MarketId) -> Vec<Prunable> {
    let slot = state.markets.slot(market);
    let resting = slot.book.orders_of(account).map(|order| Prunable {
        market,
        order_id: order.order_id,
        reserves: Reserves::Resting(health::open_order(&order)),
    });
    let mut all: Vec<Prunable> = resting.collect();
    if slot.conditional.increasing(account) > 0 {
        let waits = |id: &OrderId| slot.conditional.get(*id).is_some_and(Conditional::increases);
        let waiting = slot.conditional.of(account).filter(waits);
        let reserves = Reserves::Waiting(trigger_reserve());
        all.extend(waiting.map(|order_id| Prunable { market, order_id, reserves }));
        all.sort_by_key(|open| std::cmp::Reverse(open.order_id));
    }
    all
}

/// Cancels an order for the chain's own reason; says whether it was there.
fn cancel_pruned(ctx: &mut Ctx<'_>, account: AccountId, open: &Prunable) -> bool {
    match open.reserves {
        Reserves::Resting(_) => {
            cancel::cancel_for(ctx, account, open.market, open.order_id, Code::Pruned)
        }
        Reserves::Waiting(_) => {
            removal::prune(ctx, open.market, open.order_id);
            true
        }
    }
}

/// Cancels every order that may increase exposure, on the book and waiting; says how many.
#[expect(clippy::arithmetic_side_effects, reason = "an account has far fewer orders than 2³²")]
fn increasing(ctx: &mut Ctx<'_>, account: AccountId) -> Result<u32, Refusal> {
    let row = lookup::account(ctx.exchange, account)?;
    let markets = row.positions.iter().map(|position| position.market);
    let all: Vec<Prunable> =
        markets.flat_map(|market| reserving(ctx.exchange, account, market)).collect();
    let mut cancelled = 0;
    for open in all.iter().filter(|open| open.reserves.increases()) {
        cancelled += u32::from(cancel_pruned(ctx, account, open));
    }
    Ok(cancelled)
}

/// Cancels orders that may increase exposure until free collateral is at least 0 or none is left;
/// says how many.
#[expect(clippy::arithmetic_side_effects, reason = "an account has far fewer orders than 2³²")]
fn until_free(ctx: &mut Ctx<'_>, account: AccountId) -> Result<u32, Refusal> {
    let mut cancelled = 0;
    let free_atoms = health::health(ctx.exchange, account)?.free_atoms();
    for open in chosen(ctx.exchange, account, free_atoms)?.0 {
        cancelled += u32::from(cancel_pruned(ctx, account, &open));
    }
    Ok(cancelled)
}

/// Makes way for an order that closes (rules §3.10): cancels orders of the account that may
/// increase exposure, newest first, until `free_atoms`, which counts the closing order at its
/// limit, is at least 0. Where they are not enough, resting exits worse than the zero price go too.
/// Says how many orders were looked at.
pub(crate) fn make_way(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    free_atoms: Atoms,
) -> Result<u32, Refusal> {
    let (gone, free_atoms) = chosen(ctx.exchange, account, free_atoms)?;
    let looked_at = u32::try_from(gone.len()).unwrap_or(u32::MAX);
    for open in gone {
        cancel_pruned(ctx, account, &open);
    }
    if free_atoms.is_negative() {
        let health = health::health(ctx.exchange, account)?;
        worse_than_zero(ctx, account, &health)?;
    }
    Ok(looked_at)
}

/// The orders to cancel until free collateral, which is `free_atoms` now, is at least 0, and what
/// it is then. Ids count within a market, so across markets there is no newest: the market that
/// reserves most comes first.
fn chosen(
    state: &State,
    account: AccountId,
    free_atoms: Atoms,
) -> Result<(Vec<Prunable>, Atoms), Refusal> {
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let mut markets = Vec::new();
    for position in &lookup::account(state, account)?.positions {
        let (market, totals) = health::market_totals(state, account, position.market)?;
        if !totals.is_empty() {
            let reserved = reserve(market, position, &totals)?;
            markets.push((std::cmp::Reverse(reserved), PrunedMarket { market, position, totals }));
        }
    }
    // Stable: equal reserves stay in order of market.
    markets.sort_by_key(|(reserved, _)| *reserved);
    let mut markets: Vec<PrunedMarket<'_>> =
        markets.into_iter().map(|(_, market)| market).collect();
    let newest_first: Vec<Prunable> = markets
        .iter()
        .flat_map(|pruned| reserving(state, account, pruned.position.market))
        .collect();
    Ok(prune(free_atoms, &mut markets, &newest_first, fee_ppm)?)
}

/// With free collateral below 0, cancels reduce-only orders that the new mark has left worse than
/// the zero price: nobody sells to a friend at the insurance fund's expense.
fn worse_than_zero(ctx: &mut Ctx<'_>, account: AccountId, health: &Health) -> Result<(), Refusal> {
    for (market, order_id) in resting_exits(ctx.exchange, account)? {
        // One that went before it may have taken its pair along.
        let Some(order) = ctx.exchange.markets.slot(market).book.order(order_id) else { continue };
        let zero_ticks = health::resting_zero_price(ctx.exchange, account, market, health)?;
        let worse =
            health::is_worse_than(ctx.exchange, market, &health::open_order(&order), zero_ticks)?;
        if worse {
            cancel::cancel_for(ctx, account, market, order_id, Code::WorseThanZeroPrice);
        }
    }
    Ok(())
}
