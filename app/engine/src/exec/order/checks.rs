//! Checks of an order that need no margin: its market, size, price, lifetime, client id and room
//! (rules §2.19).

use tidemark_oracle::mark::band_ticks;
use tidemark_proto::params::MarketStatus;
use tidemark_proto::types::{OrderType, Place, TimeInForce, MAX_REDUCE_ONLY_ORDERS};
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, Side, SignedLots, Ticks, TimeMs,
};
use tidemark_risk::Market;

use crate::exec::account::lookup;
use crate::refusal::Refusal;
use crate::state::{MarketCell, State};
use crate::symbol::Symbol;

/// The terms that market and block time add to an order.
#[derive(Clone, Copy)]
pub(crate) struct OrderTerms {
    /// Its limit, or protection price.
    pub price_ticks: Ticks,
    /// How long it lives; a market order is immediate.
    pub time_in_force: TimeInForce,
}

/// Checks an order by its market and the block time: neither account nor book is needed.
pub(crate) fn terms(state: &State, order: &Place) -> Result<OrderTerms, Refusal> {
    let cell = &state.market(order.market)?.cell;
    check_status(cell, order.reduce_only)?;
    check_lots(cell, order.lots)?;
    let price_ticks = match order.order_type {
        OrderType::Market => protection_price(cell, order.side, order.price_ticks)?,
        OrderType::Limit => order.price_ticks,
    };
    check_band(cell, price_ticks)?;
    Ok(OrderTerms { price_ticks, time_in_force: time_in_force(order, state.chain.time_ms)? })
}

/// Returns true if an order of this lifetime may come to rest.
pub(crate) const fn rests(time_in_force: TimeInForce) -> bool {
    matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Gtt { .. })
}

fn time_in_force(order: &Place, now_ms: TimeMs) -> Result<TimeInForce, Refusal> {
    Ok(match (order.time_in_force, order.order_type) {
        (TimeInForce::Fok, _) => TimeInForce::Fok,
        // A market order never rests, whatever else it says.
        (_, OrderType::Market) | (TimeInForce::Ioc, _) => TimeInForce::Ioc,
        (TimeInForce::Gtc, _) => TimeInForce::Gtc,
        (TimeInForce::Gtt { expires_ms }, _) => {
            check_expiry(expires_ms, now_ms)?;
            TimeInForce::Gtt { expires_ms }
        }
    })
}

pub(crate) fn check_expiry(expires_ms: TimeMs, now_ms: TimeMs) -> Result<(), Refusal> {
    if expires_ms > now_ms {
        return Ok(());
    }
    Err(Refusal::Expired { expires_ms, now_ms })
}

pub(crate) fn check_status(cell: &MarketCell, reduce_only: bool) -> Result<(), Refusal> {
    let symbol = Symbol::from(&cell.market.params.symbol);
    if let Some(why) = cell.quarantined {
        return Err(Refusal::Quarantined { symbol, why });
    }
    match cell.market.params.status {
        MarketStatus::Active => Ok(()),
        MarketStatus::ReduceOnly if reduce_only => Ok(()),
        MarketStatus::ReduceOnly => Err(Refusal::ReduceOnlyMarket { symbol }),
        MarketStatus::Paused => Err(Refusal::Paused { symbol }),
        MarketStatus::Closed => Err(Refusal::Closed { symbol }),
    }
}

pub(crate) fn check_lots(cell: &MarketCell, lots: Lots) -> Result<(), Refusal> {
    let most = cell.market.params.max_order_lots;
    if lots.is_zero() {
        return Err(Refusal::NoLots);
    }
    if lots > most {
        return Err(Refusal::TooManyLots { lots, most_lots: most });
    }
    Ok(())
}

/// Checks that an order is worth the market's least notional, and that an iceberg shows as much and
/// a twentieth of itself (rules §2.22). The order of a whole position may be smaller.
pub(crate) fn check_worth(state: &State, account: AccountId, order: &Place) -> Result<(), Refusal> {
    let cell = &state.market(order.market)?.cell;
    let shown = if order.display_lots.is_zero() { order.lots } else { order.display_lots };
    if shown.get().saturating_mul(MOST_DISPLAYS) < order.lots.get() {
        let least_lots = Lots::new(order.lots.get().div_ceil(MOST_DISPLAYS));
        return Err(Refusal::DisplayTooSmall { display_lots: shown, least_lots });
    }
    let held = lookup::held(state, account, order.market);
    let is_whole = order.whole_position || order.reduce_only && order.lots >= held.unsigned_abs();
    if is_whole {
        return Ok(());
    }
    let is_at_limit =
        order.order_type == OrderType::Limit && order.trigger.is_none() && order.peg.is_none();
    let price_ticks = is_at_limit.then_some(order.price_ticks);
    check_notional(cell, shown.min(order.lots), price_ticks)
}

/// Most times that an iceberg shows its display.
const MOST_DISPLAYS: u64 = 20;

/// Checks that lots are worth the market's least notional at a price, or at the mark. Less than a
/// lot is refused elsewhere.
pub(crate) fn check_notional(
    cell: &MarketCell,
    lots: Lots,
    price_ticks: Option<Ticks>,
) -> Result<(), Refusal> {
    let (market, least_atoms) = (&cell.market, cell.market.params.min_order_atoms);
    if least_atoms.is_zero() || lots.is_zero() {
        return Ok(());
    }
    let price_ticks = price_ticks.or(market.mark_ticks).ok_or_else(|| no_price(cell))?;
    let notional_atoms = price_ticks.notional_atoms(lots, market.k).unwrap_or(Atoms::MAX);
    if notional_atoms >= least_atoms {
        return Ok(());
    }
    Err(Refusal::WorthTooLittle { notional_atoms, price_ticks, least_atoms })
}

/// A market order's price: the given one, or `mark ± market_slippage`.
fn protection_price(cell: &MarketCell, side: Side, given_ticks: Ticks) -> Result<Ticks, Refusal> {
    if !given_ticks.is_zero() {
        return Ok(given_ticks);
    }
    let mark = cell.market.mark_ticks.ok_or_else(|| no_price(cell))?;
    let (low, high) = band_ticks(mark, cell.market.params.market_slippage_ppm);
    Ok(match side {
        Side::Buy => high,
        Side::Sell => low,
    })
}

pub(crate) fn no_price(cell: &MarketCell) -> Refusal {
    Refusal::NoIndex { symbol: Symbol::from(&cell.market.params.symbol) }
}

pub(crate) fn check_band(cell: &MarketCell, price_ticks: Ticks) -> Result<(), Refusal> {
    let index = cell.index.index_ticks().ok_or_else(|| no_price(cell))?;
    let (low, high) = band_ticks(index, cell.market.params.price_band_ppm);
    if (low..=high).contains(&price_ticks) {
        return Ok(());
    }
    Err(Refusal::PriceOutOfBand { price_ticks, low_ticks: low, high_ticks: high })
}

/// Checks that an account may have `more` open orders in a market; conditional ones count.
pub(crate) fn check_open_orders(
    state: &State,
    account: AccountId,
    market: MarketId,
    more: u32,
) -> Result<(), Refusal> {
    check_open_orders_without(state, account, market, more, 0)
}

/// As [`check_open_orders`], once `gone` of the account's orders have left.
pub(crate) fn check_open_orders_without(
    state: &State,
    account: AccountId,
    market: MarketId,
    more: u32,
    gone: u32,
) -> Result<(), Refusal> {
    let slot = state.market(market)?;
    let most = slot.cell.market.params.max_open_orders;
    let open = slot.book.open_orders(account).saturating_add(slot.conditional.waiting(account));
    // Each order that leaves is one of those that are open.
    let open = open.saturating_sub(gone);
    if open.saturating_add(more) > most {
        return Err(Refusal::TooManyOpenOrders { open, most });
    }
    Ok(())
}

/// Checks that an account may have `more` reduce-only orders on a side of a market's book, once
/// `gone` of them have left (rules §2.5).
pub(crate) fn check_reduce_only_room(
    state: &State,
    account: AccountId,
    (market, side): (MarketId, Side),
    more: u32,
    gone: u32,
) -> Result<(), Refusal> {
    let resting = state.markets.slot(market).book.reduce_only_orders(account, side);
    // Each order that leaves is one of those that rest.
    let resting = resting.saturating_sub(gone);
    if resting.saturating_add(more) > MAX_REDUCE_ONLY_ORDERS {
        return Err(Refusal::TooManyReduceOnly { resting, more, most: MAX_REDUCE_ONLY_ORDERS });
    }
    Ok(())
}

/// Checks that no conditional order of the account has this client id; the book checks its own.
pub(crate) fn check_client_id(
    state: &State,
    account: AccountId,
    market: MarketId,
    client_id: ClientId,
) -> Result<(), Refusal> {
    let waits = state.markets.slot(market).conditional.by_client_id(account, client_id);
    waits.map_or(Ok(()), |order| Err(duplicate_client_id(client_id, order.order_id)))
}

pub(crate) fn duplicate_client_id(client_id: ClientId, order_id: OrderId) -> Refusal {
    Refusal::ClientIdTaken { client_id, order_id }
}

/// Checks that the account has a position which an order of this side reduces (rules §2.5).
pub(crate) fn check_reduces(held: SignedLots, side: Side) -> Result<(), Refusal> {
    if !held.is_zero() && Side::reducing(held) == side {
        return Ok(());
    }
    Err(Refusal::NothingToReduce { held_lots: held })
}

/// Checks that no review of a market is still to come to the account: who enters a market under
/// review waits for it, as its holders do (rules §7.13).
pub(crate) fn check_reviewed(
    state: &State,
    account: AccountId,
    market: MarketId,
) -> Result<(), Refusal> {
    if state.danger.awaits(account, market) {
        return Err(Refusal::AccountFrozen(account));
    }
    Ok(())
}

/// Checks that a market takes orders which increase exposure: its index is not stale (rules §4.4).
pub(crate) fn check_fresh(state: &State, market: MarketId) -> Result<(), Refusal> {
    let cell = &state.markets.slot(market).cell;
    let params = &cell.market.params;
    if !cell.index.is_stale(state.chain.time_ms, params.max_oracle_age_ms) {
        return Ok(());
    }
    Err(Refusal::StaleIndex {
        symbol: Symbol::from(&params.symbol),
        max_age_ms: params.max_oracle_age_ms,
    })
}

/// Returns the most that orders of one side could add to open interest, which counts longs (as many
/// as shorts): a taker adds at most its lots on its own side, a position that turns all of its new
/// side.
#[expect(clippy::arithmetic_side_effects, reason = "64 bits have a negative in 128")]
pub(crate) fn added_interest(held: SignedLots, side: Side, lots: u128) -> u128 {
    let lots = i128::try_from(lots).unwrap_or(i128::MAX);
    let on_side = match side {
        Side::Buy => held.wide(),
        Side::Sell => -held.wide(),
    };
    on_side.saturating_add(lots).max(0).abs_diff(on_side.max(0))
}

/// Checks that a market's open interest may grow by `increase_lots` (rules §2.20).
pub(crate) fn check_open_interest(
    state: &State,
    market: MarketId,
    increase_lots: u128,
) -> Result<(), Refusal> {
    let market = &state.markets.slot(market).cell.market;
    let open_interest = u128::from(market.open_interest_lots.get()).saturating_add(increase_lots);
    let most_lots = most_open_interest(market);
    if open_interest <= u128::from(most_lots.get()) {
        return Ok(());
    }
    Err(Refusal::OpenInterestCap { open_interest_lots: open_interest, most_lots })
}

/// The cap of open interest: its lots, and what its notional is worth at the mark.
fn most_open_interest(market: &Market) -> Lots {
    let params = &market.params;
    let cap_atoms = params.max_open_interest_atoms;
    let lot_atoms = market.mark_ticks.and_then(|mark| mark.notional_atoms(Lots::ONE, market.k));
    let worth = lot_atoms.and_then(|atoms| cap_atoms.get().checked_div(atoms.get()));
    let worth = worth.filter(|_| !cap_atoms.is_zero()).and_then(|lots| u64::try_from(lots).ok());
    worth.map_or(params.max_open_interest_lots, |lots| {
        params.max_open_interest_lots.min(Lots::new(lots))
    })
}
