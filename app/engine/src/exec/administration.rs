//! Administration of markets: listing them and changing their parameters (rules §10.5).

use tidemark_proto::params::{MarketParams, MarketStatus};
use tidemark_proto::types::Address;
use tidemark_proto::units::Atoms;
use tidemark_risk::at_risk::have_same_margin;

use crate::exec::ctx::Ctx;
use crate::exec::liquidation::review;
use crate::exec::settlement;
use crate::refusal::Refusal;
use crate::state::State;
use crate::symbol::Symbol;

fn check_admin(state: &State, signer: &Address) -> Result<(), Refusal> {
    if state.chain.admin == *signer {
        return Ok(());
    }
    Err(Refusal::NotTheAdmin(*signer))
}

/// Lists a market.
pub(crate) fn list_market(
    state: &mut State,
    signer: &Address,
    params: &MarketParams,
) -> Result<(), Refusal> {
    check_admin(state, signer)?;
    state.list(params.clone()).map(|_| ())
}

/// Checks that `isolated_only` changes only while nobody has a position or an order: it decides in
/// which account each position is.
fn check_isolated_only(state: &State, params: &MarketParams) -> Result<(), Refusal> {
    let market_row = &state.market(params.id)?.cell.market;
    let orders = state.markets.slot(params.id).book.live_orders();
    if market_row.params.isolated_only == params.isolated_only
        || (market_row.open_interest_lots.is_zero() && orders == 0)
    {
        return Ok(());
    }
    Err(Refusal::IsolatedOnlyStays {
        isolated_only: market_row.params.isolated_only,
        open_interest_lots: market_row.open_interest_lots,
        orders,
    })
}

/// Replaces a market's parameters; symbol, tick size and lot size stay. Also requests the end of a
/// quarantine; the status `Closed` begins the final settlement, and stays.
pub(crate) fn update_market(
    ctx: &mut Ctx<'_>,
    signer: &Address,
    params: &MarketParams,
) -> Result<(), Refusal> {
    check_admin(ctx.exchange, signer)?;
    let old = &ctx.exchange.market(params.id)?.cell.market.params;
    let units = |params: &MarketParams| {
        (Symbol::from(&params.symbol), params.tick_size_e9, params.lot_size_e9)
    };
    if units(old) != units(params) {
        return Err(Refusal::UnitsStay(Box::new((units(old), units(params)))));
    }
    let settles = ctx.exchange.market(params.id)?.cell.settlement.is_some();
    if settles && params.status != MarketStatus::Closed {
        return Err(Refusal::BeingSettled { symbol: Symbol::from(&params.symbol) });
    }
    check_isolated_only(ctx.exchange, params)?;
    let cell = &mut ctx.exchange.markets.slot_mut(params.id).cell;
    if !params.isolated_only {
        let shared_atoms = &mut ctx.exchange.chain.treasury.insurance_atoms;
        let after_atoms = shared_atoms.checked_add(cell.market.insurance_atoms);
        *shared_atoms = after_atoms.ok_or_else(|| Refusal::overflow("the insurance fund"))?;
        cell.market.insurance_atoms = Atoms::ZERO;
    }
    let same_margin = have_same_margin(&cell.market.params, params);
    cell.market.params = params.clone();
    // It ends with the audit at the end of this block, if its cause is gone: nothing trades before
    // that.
    cell.quarantine_lift_requested = cell.quarantined.is_some();
    if params.status == MarketStatus::Closed && !settles {
        settlement::begin(ctx.exchange, params.id);
    }
    if !same_margin {
        review::begin(ctx, params.id);
    }
    Ok(())
}
