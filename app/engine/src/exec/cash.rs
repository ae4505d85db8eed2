//! Class 0: deposits, withdrawals, transfers, settings, and administration (rules §8).

use crate::exec::ctx::Ctx;
use tidemark_proto::params::{MarketParams, MarketStatus};
use tidemark_proto::types::Address;
use tidemark_proto::units::{AccountId, Atoms, MarketId, OwnerId, SelfTradePrevention};
use tidemark_proto::{Code, Refusal};

use super::at_risk::holders;
use super::liquidation::restore_reserve;
use super::{isolated, margin, settlement};
use crate::state::State;

/// Most that may ever be deposited less withdrawn: all amounts of one account then fit 64 bits on
/// the wire.
const MAX_SUPPLY_ATOMS: Atoms = 4_000_000_000_000_000_000;

/// The account of a subaccount that must exist.
pub(super) fn existing(
    state: &State,
    owner: OwnerId,
    subaccount: u32,
) -> Result<AccountId, Refusal> {
    state.account_id(owner, subaccount).ok_or_else(|| {
        Refusal::new(
            Code::UnknownAccount,
            format!("subaccount {subaccount} does not exist: it never got a deposit"),
        )
    })
}

/// Moves an account's collateral by `change_atoms`.
pub(super) fn credit(
    state: &mut State,
    account: AccountId,
    change_atoms: Atoms,
) -> Result<(), Refusal> {
    let overflow = || Refusal::overflow("the collateral");
    let collateral = state.accounts.get(account).map_or(0, |account| account.collateral_atoms);
    let after = collateral.checked_add(change_atoms).ok_or_else(overflow)?;
    let row = state.accounts.get_mut(account).ok_or_else(overflow)?;
    row.collateral_atoms = after;
    Ok(())
}

/// Moves collateral from one account to another.
pub(super) fn shift(
    state: &mut State,
    from: AccountId,
    to: AccountId,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    credit(state, from, -amount_atoms)?;
    credit(state, to, amount_atoms)
}

/// Credits collateral on a minter's word.
pub(super) fn deposit(
    state: &mut State,
    signer: &Address,
    recipient: Address,
    subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    if !state.chain.minters.contains(signer) {
        return Err(Refusal::new(Code::NotAuthorised, format!("{signer} is not a minter")));
    }
    let supply = state.chain.deposits_atoms.saturating_sub(state.chain.withdrawals_atoms);
    if supply.saturating_add(amount_atoms) > MAX_SUPPLY_ATOMS {
        let message = format!(
            "amount_atoms is {amount_atoms}, {supply} are on the chain, at most {MAX_SUPPLY_ATOMS}"
        );
        return Err(Refusal::new(Code::InvalidArgument, message));
    }
    let owner = state.ensure_owner(recipient)?;
    let account = state.ensure_account(owner, subaccount)?;
    credit(state, account, amount_atoms)?;
    state.chain.deposits_atoms = state.chain.deposits_atoms.saturating_add(amount_atoms);
    Ok(())
}

/// What an account may take out now (rules §3): gated after a halt or negative equity, and as
/// [`check_removable`].
fn check_withdrawable(
    state: &mut State,
    account: AccountId,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    let (height, gated_until) = (state.chain.height, state.chain.withdrawals_gated_until);
    if height <= gated_until {
        return Err(Refusal::new(
            Code::WithdrawalsGated,
            format!("withdrawals are gated up to block {gated_until}, this is {height}"),
        ));
    }
    check_removable(state, account, amount_atoms)
}

/// What an account may do without now: not while a market that it has a position or an order in has
/// a stale index, and no more than is withdrawable.
pub(super) fn check_removable(
    state: &mut State,
    account: AccountId,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    margin::settle(state, account)?;
    if let Some(market) = margin::stale_market(state, account, state.chain.time_ms) {
        let symbol = &state.markets.slot(market).cell.market.params.symbol;
        return Err(Refusal::new(
            Code::StaleIndex,
            format!(
                "the index of {symbol} is stale and the account has a position or orders there"
            ),
        ));
    }
    let withdrawable = margin::health(state, account)?.withdrawable_atoms();
    if amount_atoms > withdrawable {
        return Err(Refusal::new(
            Code::InsufficientWithdrawable,
            format!("amount_atoms is {amount_atoms}, withdrawable are {withdrawable}"),
        ));
    }
    Ok(())
}

/// Takes collateral off the exchange.
pub(super) fn withdraw(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    let account = existing(state, owner, subaccount)?;
    check_withdrawable(state, account, amount_atoms)?;
    credit(state, account, -amount_atoms)?;
    state.chain.withdrawals_atoms = state.chain.withdrawals_atoms.saturating_add(amount_atoms);
    Ok(())
}

/// Moves collateral between two subaccounts of one owner, under the rules of a withdrawal.
pub(super) fn transfer(
    state: &mut State,
    owner: OwnerId,
    from_subaccount: u32,
    to_subaccount: u32,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    let from = existing(state, owner, from_subaccount)?;
    check_withdrawable(state, from, amount_atoms)?;
    let to = state.ensure_account(owner, to_subaccount)?;
    shift(state, from, to, amount_atoms)
}

/// Sets a subaccount's leverage in a market; its orders and position must still be covered by it.
pub(super) fn set_leverage(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    market: MarketId,
    leverage: u32,
) -> Result<(), Refusal> {
    let parent = existing(state, owner, subaccount)?;
    let cell = &state.market(market)?.cell;
    let lowest_ppm =
        cell.market.params.tiers.first().map_or(1_000_000, |tier| tier.initial_margin_ppm);
    let most = u32::try_from(1_000_000 / lowest_ppm.max(1)).unwrap_or(u32::MAX);
    if leverage > most {
        return Err(Refusal::new(
            Code::LeverageOutOfRange,
            format!("leverage is {leverage}, must be 1 to {most}, or 0 for the tier's most"),
        ));
    }
    let account = isolated::account_for(state, parent, market)?;
    let free_before = margin::health(state, account)?.free_atoms();
    let position = margin::position_mut(state, account, market)?;
    let before = std::mem::replace(&mut position.leverage, leverage);
    let refusal = match margin::health(state, account) {
        // What frees margin is never refused.
        Ok(health) if health.free_atoms() >= free_before.min(0) => return Ok(()),
        Ok(health) => Refusal::new(
            Code::InsufficientCollateral,
            format!(
                "at leverage {leverage} free collateral would be {} atoms",
                health.free_atoms()
            ),
        ),
        Err(refusal) => refusal,
    };
    margin::position_mut(state, account, market)?.leverage = before;
    Err(refusal)
}

/// Sets a subaccount's self-trade policy.
pub(super) fn set_self_trade_prevention(
    state: &mut State,
    owner: OwnerId,
    subaccount: u32,
    policy: SelfTradePrevention,
) -> Result<(), Refusal> {
    let account = existing(state, owner, subaccount)?;
    for account in isolated::all_of(state, account).into_iter().chain([account]) {
        if let Some(account) = state.accounts.get_mut(account) {
            account.stp = policy;
        }
    }
    Ok(())
}

fn check_admin(state: &State, signer: &Address) -> Result<(), Refusal> {
    if state.chain.admin == *signer {
        return Ok(());
    }
    Err(Refusal::new(Code::NotAuthorised, format!("{signer} is not the admin")))
}

/// Lists a market.
pub(super) fn list_market(
    state: &mut State,
    signer: &Address,
    params: &MarketParams,
) -> Result<(), Refusal> {
    check_admin(state, signer)?;
    state.list(params.clone()).map(|_| ())
}

/// Whether a market is isolated for all decides in which account each position is, so it changes
/// while there is none.
fn check_isolated_only(state: &State, params: &MarketParams) -> Result<(), Refusal> {
    let of = &state.market(params.id)?.cell.market;
    let orders = state.markets.slot(params.id).book.live_orders();
    if of.params.isolated_only == params.isolated_only
        || (of.open_interest_lots == 0 && orders == 0)
    {
        return Ok(());
    }
    Err(Refusal::new(
        Code::InvalidParams,
        format!(
            "isolated_only must stay {} while there are positions ({} lots) or orders ({orders})",
            of.params.isolated_only, of.open_interest_lots
        ),
    ))
}

/// Replaces a market's parameters; what its units depend on stays. Also asks for the end of a
/// quarantine; the status `Closed` begins the final settlement, and stays.
pub(super) fn update_market(
    ctx: &mut Ctx<'_>,
    signer: &Address,
    params: &MarketParams,
) -> Result<(), Refusal> {
    check_admin(ctx.exchange, signer)?;
    let old = &ctx.exchange.market(params.id)?.cell.market.params;
    let units =
        |params: &MarketParams| (params.symbol.clone(), params.tick_size_e9, params.lot_size_e9);
    if units(old) != units(params) {
        return Err(Refusal::new(
            Code::InvalidParams,
            format!(
                "symbol, tick_size_e9 and lot_size_e9 must stay {:?}, got {:?}",
                units(old),
                units(params)
            ),
        ));
    }
    let settles = ctx.exchange.market(params.id)?.cell.settlement.is_some();
    if settles && params.status != MarketStatus::Closed {
        let message =
            format!("{} is being settled for good: its status must stay closed", params.symbol);
        return Err(Refusal::new(Code::MarketClosed, message));
    }
    check_isolated_only(ctx.exchange, params)?;
    let cell = &mut ctx.exchange.markets.slot_mut(params.id).cell;
    if !params.isolated_only {
        let own_atoms = std::mem::take(&mut cell.market.insurance_atoms);
        ctx.exchange.chain.treasury.insurance_atoms =
            ctx.exchange.chain.treasury.insurance_atoms.saturating_add(own_atoms);
    }
    cell.market.params = params.clone();
    // It ends with the audit at the end of this block, if its cause is gone: nothing trades before
    // that.
    cell.quarantine_lift_requested = cell.quarantined.is_some();
    if params.status == MarketStatus::Closed && !settles {
        settlement::begin(ctx.exchange, params.id);
    }
    // The block's orders come after this: the reserve lemma is to hold for them by the new
    // parameters.
    for account in holders(ctx.exchange, params.id) {
        restore_reserve(ctx, account)?;
    }
    Ok(())
}
