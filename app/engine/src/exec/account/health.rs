//! Margin of an account in the running state: the formulas of `risk` over its positions and its
//! orders in the books.

use tidemark_matching::{Book, OrderView};
use tidemark_proto::types::trigger_reserve;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OrderId, Ppm, Side, Ticks, TimeMs};
use tidemark_risk::fees::max_fee_ppm;
use tidemark_risk::health::{self as risk_health, Health};
use tidemark_risk::interest::raise_atoms;
use tidemark_risk::orders::{OpenOrder, OrderTotals};
use tidemark_risk::{zero_price, Account, Market, Position, RiskError};

use crate::exec::account::lookup;
use crate::refusal::Refusal;
use crate::state::totals_cache::TotalsKey;
use crate::state::{MarketSlot, State};

/// A change to an account's orders in one market, to be judged before it is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderChange {
    pub market: MarketId,
    pub add: Option<OpenOrder>,
    pub remove: Option<OpenOrder>,
    /// Orders more, or fewer, that wait and could increase.
    pub waits: i64,
}

impl OrderChange {
    /// No change in a market.
    pub(crate) const fn none(market: MarketId) -> Self {
        Self { market, add: None, remove: None, waits: 0 }
    }
}

/// An order of a book, as margin sees it.
#[must_use]
pub fn open_order(order: &OrderView) -> OpenOrder {
    OpenOrder {
        side: order.side,
        price_ticks: order.price_ticks,
        lots: order.lots,
        reduce_only: order.reduce_only,
    }
}

/// Totals of an account's open orders in a market, as they would be after changes, which are in
/// order of market.
///
/// # Errors
/// `OVERFLOW`, or a market without a mark.
pub(crate) fn totals(
    slot: &MarketSlot,
    id: AccountId,
    changes: &[OrderChange],
    fee_ppm: Ppm,
) -> Result<OrderTotals, RiskError> {
    let (market, book) = (&slot.cell.market, &slot.book);
    let id_of_market = market.params.id;
    let changes = changes
        .get(changes.partition_point(|change| change.market < id_of_market)..)
        .and_then(|from| from.get(..from.partition_point(|change| change.market == id_of_market)))
        .unwrap_or_default();
    let waiting = i64::from(slot.conditional.increasing(id));
    if book.open_orders(id) == 0 && changes.is_empty() && waiting == 0 {
        return Ok(OrderTotals::default());
    }
    let (mark, k) = (market.mark()?, market.k);
    let known = slot.order_totals.get(id, TotalsKey { mark_ticks: mark, k, fee_ppm }).copied();
    let mut totals = known.map_or_else(|| resting_totals(market, book, id, fee_ppm), Ok)?;
    for added in changes.iter().filter_map(|change| change.add) {
        totals.add(&added, mark, k, fee_ppm)?;
    }
    for removed in changes.iter().filter_map(|change| change.remove) {
        totals.remove(&removed, mark, k, fee_ppm)?;
    }
    let waiting = changes.iter().fold(waiting, |sum, change| sum.saturating_add(change.waits));
    let reserved = trigger_reserve().checked_mul(i128::from(waiting.max(0)));
    totals.waiting_atoms = reserved.ok_or(RiskError::Overflow("a sum of trigger reserves"))?;
    Ok(totals)
}

/// Totals of an account's orders in the book.
fn resting_totals(
    market: &Market,
    book: &Book,
    id: AccountId,
    fee_ppm: Ppm,
) -> Result<OrderTotals, RiskError> {
    let (mark, k) = (market.mark()?, market.k);
    let mut totals = OrderTotals::default();
    for order in book.orders_of(id) {
        totals.add(&open_order(&order), mark, k, fee_ppm)?;
    }
    Ok(totals)
}

/// Works out the totals of an account that has many orders, to have them at hand for the rest of
/// the block.
pub(crate) fn remember_totals(state: &mut State, id: AccountId) {
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let Some(account) = state.accounts.get(id) else { return };
    for position in &account.positions {
        let slot = state.markets.slot_mut(position.market);
        let (market, book) = (&slot.cell.market, &slot.book);
        let Some(mark_ticks) = market.mark_ticks else { continue };
        let key = TotalsKey { mark_ticks, k: market.k, fee_ppm };
        if slot.order_totals.wants(id, book.open_orders(id) as usize, key) {
            if let Ok(totals) = resting_totals(market, book, id, fee_ppm) {
                slot.order_totals.insert(id, totals, key);
            }
        }
    }
}

/// The account's margin at the block's marks, with all its orders.
///
/// # Errors
/// `OVERFLOW`, or a market without a mark.
pub(crate) fn health(state: &State, id: AccountId) -> Result<Health, Refusal> {
    health_with(state, lookup::account(state, id)?, id, &[])
}

/// The account's margin if its collateral and positions were those of `row`, with its orders as
/// they are.
pub(crate) fn health_as(state: &State, id: AccountId, row: &Account) -> Result<Health, Refusal> {
    health_with(state, row, id, &[])
}

/// The account's margin as it would be after changes of its orders, which are in order of market.
/// `account` is its row, or one with entries for markets that it is yet to enter.
pub(crate) fn health_with(
    state: &State,
    account: &Account,
    id: AccountId,
    changes: &[OrderChange],
) -> Result<Health, Refusal> {
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let health = risk_health::health(account, &state.markets, |market| {
        let slot = state.markets.get(market.index()).ok_or(RiskError::UnknownMarket(market))?;
        totals(slot, id, changes, fee_ppm)
    })?;
    Ok(health)
}

/// The account's free collateral as it would be after one change of its orders.
pub(crate) fn free_with(
    state: &State,
    id: AccountId,
    change: OrderChange,
) -> Result<Atoms, Refusal> {
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let account = lookup::account(state, id)?;
    let free_atoms = risk_health::free_atoms(account, &state.markets, |market| {
        let slot = state.markets.get(market.index()).ok_or(RiskError::UnknownMarket(market))?;
        totals(slot, id, &[change], fee_ppm)
    })?;
    Ok(free_atoms)
}

/// The rise of a market's reserve by open interest at the admission of orders, as it would be after
/// changes, which are in order of market (rules §3.4).
///
/// # Errors
/// `OVERFLOW`, or a market without a mark.
pub(crate) fn raise(
    state: &State,
    account: &Account,
    id: AccountId,
    (market, changes): (MarketId, &[OrderChange]),
    interest_lots: impl FnOnce(&Market) -> Lots,
) -> Result<Atoms, Refusal> {
    let slot = state.market(market)?;
    let cell = &slot.cell.market;
    if cell.params.oi_upper_atoms.is_zero() {
        return Ok(Atoms::ZERO);
    }
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let totals = totals(slot, id, changes, fee_ppm)?;
    let position = account.position(market).copied().unwrap_or(Position::empty(market));
    Ok(raise_atoms(cell, &position, &totals, interest_lots(cell))?)
}

/// A market, and the totals of the account's open orders there.
///
/// # Errors
/// `OVERFLOW`, or a market without a mark.
pub(crate) fn market_totals(
    state: &State,
    id: AccountId,
    market: MarketId,
) -> Result<(&Market, OrderTotals), Refusal> {
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let slot = state.market(market)?;
    Ok((&slot.cell.market, totals(slot, id, &[], fee_ppm)?))
}

/// A market with a stale index in which the account has a position or an order.
pub(crate) fn stale_market(state: &State, id: AccountId, now_ms: TimeMs) -> Option<MarketId> {
    let account = state.accounts.get(id)?;
    let stale = |position: &&Position| {
        let slot = state.markets.slot(position.market);
        let concerns = !position.lots.is_zero() || slot.book.open_orders(id) > 0;
        let cell = &slot.cell;
        concerns && cell.index.is_stale(now_ms, cell.market.params.max_oracle_age_ms)
    };
    account.positions.iter().find(stale).map(|position| position.market)
}

/// The account's orders on the books, by market, newest first within each.
fn resting(state: &State, id: AccountId) -> impl Iterator<Item = (MarketId, OrderView)> + '_ {
    let account = state.accounts.get(id).into_iter();
    let positions = account.flat_map(|account| &account.positions);
    positions.map(|position| position.market).flat_map(move |market| {
        state.markets.slot(market).book.orders_of(id).map(move |order| (market, order))
    })
}

/// Orders of an account that keep its exits from trading down to the zero price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// It may increase exposure.
    Increases(OrderId),
    /// An exit that rests at a worse price.
    WorseExit { order_id: OrderId, price_ticks: Ticks, zero_ticks: Ticks },
}

/// The account's orders on the books, as its exits look at them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hindrances {
    pub first: Option<Hindrance>,
    /// True if any exit rests.
    pub exits_rest: bool,
}

/// Looks for orders of an account, but `replaced`, that could increase, or are exits worse than the
/// zero price at this health (rules §3.10). Increasing orders of a frozen account do not trade, and
/// hinder nothing.
///
/// # Errors
/// `OVERFLOW`.
pub(crate) fn hindrances(
    state: &State,
    id: AccountId,
    replaced: Option<(MarketId, OrderId)>,
    health: &Health,
) -> Result<Hindrances, Refusal> {
    let frozen = state.danger.is_frozen(id, &state.accounts);
    let mut found = Hindrances::default();
    for (market, order) in resting(state, id) {
        if replaced == Some((market, order.order_id)) {
            continue;
        }
        if !order.reduce_only {
            if !frozen {
                found.first = Some(Hindrance::Increases(order.order_id));
                return Ok(found);
            }
            continue;
        }
        found.exits_rest = true;
        let zero_ticks = resting_zero_price(state, id, market, health)?;
        if found.first.is_none() && is_worse_than(state, market, &open_order(&order), zero_ticks)? {
            let (order_id, price_ticks) = (order.order_id, order.price_ticks);
            found.first = Some(Hindrance::WorseExit { order_id, price_ticks, zero_ticks });
        }
    }
    Ok(found)
}

/// The worst price at which an exit of the account may rest without free collateral (rules §3.10).
///
/// # Errors
/// `OVERFLOW`.
pub(crate) fn resting_zero_price(
    state: &State,
    id: AccountId,
    market: MarketId,
    health: &Health,
) -> Result<Ticks, Refusal> {
    let held = lookup::held(state, id, market);
    Ok(zero_price::resting_zero_price(&state.market(market)?.cell.market, held, health)?)
}

/// The zero price of an account's position, whose margin is known.
pub(crate) fn zero_price_at(
    state: &State,
    id: AccountId,
    market: MarketId,
    health: &Health,
) -> Result<Ticks, Refusal> {
    Ok(zero_price::zero_price(
        &state.market(market)?.cell.market,
        lookup::held(state, id, market),
        health,
    )?)
}

/// Returns true if an order, less its fee, brings less than the zero price: its fill would lower
/// the account's ratio of equity to maintenance margin.
///
/// # Errors
/// `UNKNOWN_MARKET`, `OVERFLOW`.
pub(crate) fn is_worse_than(
    state: &State,
    market: MarketId,
    order: &OpenOrder,
    zero_ticks: Ticks,
) -> Result<bool, Refusal> {
    let k = state.market(market)?.cell.market.k;
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let overflow = || Refusal::overflow("an order's price");
    let at = |ticks: Ticks| ticks.notional_atoms(Lots::ONE, k).ok_or_else(overflow);
    let (price, zero) = (at(order.price_ticks)?, at(zero_ticks)?);
    let fee = price.mul_ppm_ceil(fee_ppm).ok_or_else(overflow)?;
    Ok(match order.side {
        Side::Sell => price.checked_sub(fee).ok_or_else(overflow)? < zero,
        Side::Buy => price.checked_add(fee).ok_or_else(overflow)? > zero,
    })
}
