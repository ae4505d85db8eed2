//! Settings of a subaccount: leverage and self-trade policy.

use tidemark_proto::units::{Atoms, MarketId, OwnerId, Ppm, SelfTradePrevention};

use crate::exec::account::{cost, health, lookup};
use crate::exec::collateral::{cash, isolated, rows};
use crate::exec::ctx::Ctx;
use crate::refusal::Refusal;
use crate::state::State;

/// Sets a subaccount's leverage in a market; its orders and position must still be covered by it.
#[expect(clippy::arithmetic_side_effects, reason = "the divisor is at least 1")]
pub(crate) fn set_leverage(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    leverage: u32,
) -> Result<(), Refusal> {
    let parent = cash::existing(state, owner, subaccount)?;
    let cell = &state.market(market)?.cell;
    let lowest = cell.market.params.tiers.first();
    let lowest_ppm =
        lowest.ok_or(Refusal::broken("a market has a margin tier"))?.initial_margin_ppm;
    let most = u32::try_from(Ppm::ONE.get() / lowest_ppm.get().max(1)).unwrap_or(u32::MAX);
    if leverage > most {
        return Err(Refusal::LeverageOutOfRange { leverage, most });
    }
    let account = isolated::account_for(state, parent, market)?;
    lookup::check_not_frozen(state, account)?;
    if leverage != 0 {
        lookup::check_room_for_leverage(state, account, market)?;
    }
    let free_before = health::health(state, account)?.free_atoms();
    let position = lookup::position_mut(state, account, market)?;
    let before = std::mem::replace(&mut position.leverage, leverage);
    let refusal = match health::health(state, account) {
        // What frees margin is never refused.
        Ok(health) if health.free_atoms() >= free_before.min(Atoms::ZERO) => return Ok(()),
        Ok(health) => Refusal::LeverageNotCovered { leverage, free_atoms: health.free_atoms() },
        Err(refusal) => refusal,
    };
    lookup::position_mut(state, account, market)?.leverage = before;
    rows::drop_entry(state, account, market);
    Err(refusal)
}

/// Pays for two checks of a subaccount's margin, before and after a change.
///
/// # Errors
/// `OUT_OF_GAS`, `UNKNOWN_SUBACCOUNT`.
pub(crate) fn pay_for_margin(
    ctx: &mut Ctx<'_>,
    owner: OwnerId,
    subaccount: u32,
) -> Result<(), Refusal> {
    let account = cash::existing(ctx.exchange, owner, subaccount)?;
    cost::margin(&mut ctx.meter, ctx.exchange, account)?;
    cost::margin(&mut ctx.meter, ctx.exchange, account)?;
    Ok(())
}

/// Sets a subaccount's self-trade policy.
pub(crate) fn set_self_trade_prevention(
    ctx: &mut Ctx<'_>,
    owner: OwnerId,
    subaccount: u32,
    policy: SelfTradePrevention,
) -> Result<(), Refusal> {
    let account = cash::existing(ctx.exchange, owner, subaccount)?;
    for account in isolated::all_of_paid(ctx, account)?.into_iter().chain([account]) {
        let row = ctx.exchange.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
        row.stp = policy;
    }
    Ok(())
}
