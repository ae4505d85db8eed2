//! Which orders go when free collateral falls below 0 (rules §§3, 7.1).

use crate::exec::ctx::Ctx;
use tidemark_proto::units::{AccountId, MarketId, OrderId};
use tidemark_proto::{Code, Refusal};
use tidemark_risk::fees::max_fee_ppm;
use tidemark_risk::margin::Health;
use tidemark_risk::orders::{prune, reserve, Prunable, PrunedMarket};

use crate::exec::{margin, orders};
use crate::state::State;

/// The account's orders of one kind, by market, newest first within each.
fn open(state: &State, account: AccountId, reduce_only: bool) -> Vec<(MarketId, OrderId)> {
    let Some(row) = state.accounts.get(account) else { return Vec::new() };
    let of_market = |market: MarketId| {
        let orders = state.markets.slot(market).book.orders_of(account);
        orders
            .filter(move |order| order.reduce_only == reduce_only)
            .map(move |order| (market, order.order_id))
    };
    row.positions.iter().flat_map(|position| of_market(position.market)).collect()
}

/// Cancels every order that may increase exposure; says how many.
pub(super) fn increasing(ctx: &mut Ctx<'_>, account: AccountId) -> u32 {
    let mut cancelled = 0;
    for (market, order) in open(ctx.exchange, account, false) {
        cancelled += u32::from(orders::cancel_for(ctx, account, market, order, Code::Pruned));
    }
    cancelled
}

/// Cancels orders that may increase exposure until free collateral is at least 0 or none is left;
/// says how many.
pub(super) fn until_free(ctx: &mut Ctx<'_>, account: AccountId) -> Result<u32, Refusal> {
    let mut cancelled = 0;
    for Prunable { market, order_id, .. } in chosen(ctx.exchange, account)? {
        cancelled += u32::from(orders::cancel_for(ctx, account, market, order_id, Code::Pruned));
    }
    Ok(cancelled)
}

/// The orders to cancel. Ids count within a market, so across markets there is no newest: the
/// market that reserves most comes first.
fn chosen(state: &State, account: AccountId) -> Result<Vec<Prunable>, Refusal> {
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let mut markets = Vec::new();
    for position in &margin::account(state, account)?.positions {
        let (market, totals) = margin::market_totals(state, account, position.market)?;
        if !totals.is_empty() {
            let reserved = reserve(market, position, &totals)?;
            markets.push((std::cmp::Reverse(reserved), PrunedMarket { market, position, totals }));
        }
    }
    // Stable: equal reserves stay in order of market.
    markets.sort_by_key(|(reserved, _)| *reserved);
    let mut markets: Vec<PrunedMarket<'_>> =
        markets.into_iter().map(|(_, market)| market).collect();
    let of_market = |market: MarketId| {
        let orders = state.markets.slot(market).book.orders_of(account);
        orders.map(move |order| Prunable {
            market,
            order_id: order.order_id,
            order: margin::open_order(&order),
        })
    };
    let newest_first: Vec<Prunable> =
        markets.iter().flat_map(|of| of_market(of.position.market)).collect();
    let free_atoms = margin::health(state, account)?.free_atoms();
    Ok(prune(free_atoms, &mut markets, &newest_first, fee_ppm)?.0)
}

/// With free collateral below 0, cancels reduce-only orders that the new mark has left worse than
/// the zero price: nobody sells to a friend at the insurance fund's expense.
pub(super) fn worse_than_zero(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    health: &Health,
) -> Result<(), Refusal> {
    for (market, order_id) in open(ctx.exchange, account, true) {
        let Some(order) = ctx.exchange.markets.slot(market).book.order(order_id) else { continue };
        let zero_ticks = margin::zero_price_at(ctx.exchange, account, market, health)?;
        let worse =
            margin::is_worse_than(ctx.exchange, market, &margin::open_order(&order), zero_ticks)?;
        if worse {
            orders::cancel_for(ctx, account, market, order_id, Code::WorseThanZeroPrice);
        }
    }
    Ok(())
}
