//! Charges a look at an account before the account is looked at (rules §10.4).

use tidemark_proto::types::gas::{ACCOUNT, LOOK, ORDERS_INCLUDED, ROW, ROWS_INCLUDED};
use tidemark_proto::units::AccountId;
use tidemark_risk::fees::max_fee_ppm;

use crate::exec::meter::Meter;
use crate::refusal::Refusal;
use crate::state::totals_cache::TotalsKey;
use crate::state::State;

/// Charges one check of an account's margin; for isolated collateral, of its parent's too. Returns
/// the orders that margin still has to add up.
///
/// # Errors
/// `OUT_OF_GAS`.
pub(crate) fn margin(meter: &mut Meter, state: &State, account: AccountId) -> Result<u64, Refusal> {
    let isolated = state.accounts.get(account).and_then(|row| row.isolated);
    let parent = isolated.map(|isolated| isolated.parent);
    if parent.is_some() {
        meter.charge(ACCOUNT)?;
    }
    let mut all = 0_u64;
    for account in [Some(account), parent].into_iter().flatten() {
        positions(meter, state, account)?;
        let orders = orders_to_add_up(state, account);
        charge_beyond(meter, orders, ORDERS_INCLUDED, LOOK)?;
        all = all.saturating_add(orders);
    }
    Ok(all)
}

/// Charges a look at each of an account's orders, whether or not margin knows their sum.
///
/// # Errors
/// `OUT_OF_GAS`.
pub(crate) fn all_orders(
    meter: &mut Meter,
    state: &State,
    account: AccountId,
) -> Result<(), Refusal> {
    positions(meter, state, account)?;
    charge_beyond(meter, open_orders(state, account), ORDERS_INCLUDED, LOOK)
}

/// Charges a look at each of an account's positions.
///
/// # Errors
/// `OUT_OF_GAS`.
pub(crate) fn positions(
    meter: &mut Meter,
    state: &State,
    account: AccountId,
) -> Result<(), Refusal> {
    let rows = state.accounts.get(account).map_or(0, |row| row.positions.len());
    charge_beyond(meter, rows as u64, ROWS_INCLUDED, ROW)
}

fn charge_beyond(meter: &mut Meter, count: u64, included: u64, gas: u64) -> Result<(), Refusal> {
    match count.saturating_sub(included) {
        0 => Ok(()),
        beyond => meter.charge(beyond.saturating_mul(gas)),
    }
}

fn open_orders(state: &State, account: AccountId) -> u64 {
    let Some(row) = state.accounts.get(account) else { return 0 };
    let open = |market| u64::from(state.markets.slot(market).book.open_orders(account));
    row.positions.iter().map(|position| open(position.market)).sum()
}

/// Open orders of an account that its margin still has to add up in this block, where a market has
/// more of them than are added up at each look.
pub(crate) fn orders_to_add_up(state: &State, account: AccountId) -> u64 {
    let Some(row) = state.accounts.get(account) else { return 0 };
    let fee_ppm = max_fee_ppm(&state.chain.params.fee_tiers);
    let mut orders = 0_u64;
    for position in &row.positions {
        let slot = state.markets.slot(position.market);
        let (market, open) = (&slot.cell.market, slot.book.open_orders(account));
        let Some(mark_ticks) = market.mark_ticks else { continue };
        let key = TotalsKey { mark_ticks, k: market.k, fee_ppm };
        if slot.order_totals.wants(account, open as usize, key) {
            orders = orders.saturating_add(open.into());
        }
    }
    orders
}
