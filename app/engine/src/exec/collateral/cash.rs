//! Collateral of an account: funding, and what may be taken away (rules §§3.11, 3.12).

use tidemark_proto::units::{AccountId, Atoms, MarketId, OwnerId};
use tidemark_risk::{position, Position};

use crate::exec::account::{health, lookup};
use crate::refusal::Refusal;
use crate::state::State;
use crate::symbol::Symbol;

/// Pays or takes the account's funding up to now in every market.
///
/// # Errors
/// `OVERFLOW`.
pub(crate) fn settle_funding(state: &mut State, id: AccountId) -> Result<(), Refusal> {
    let due = |position: &Position| {
        let cell = &state.markets.get(position.market.index())?.cell;
        (!position.lots.is_zero() && position.funding_index != cell.market.funding.cumulative_index)
            .then_some(position.market)
    };
    let markets: Vec<MarketId> =
        lookup::account(state, id)?.positions.iter().filter_map(due).collect();
    for market in markets {
        if let Some(row) = state.accounts.get_mut(id) {
            position::settle_funding(row, &mut state.markets.slot_mut(market).cell.market)?;
        }
    }
    Ok(())
}

/// Most that may ever be deposited less withdrawn: all amounts of one account then fit 64 bits on
/// the wire.
const MAX_SUPPLY_ATOMS: Atoms = Atoms::new(4_000_000_000_000_000_000);

/// The account of a subaccount that must exist.
pub(crate) fn existing(
    state: &State,
    owner: OwnerId,
    subaccount: u32,
) -> Result<AccountId, Refusal> {
    state.account_id(owner, subaccount).ok_or(Refusal::UnknownSubaccount(subaccount))
}

/// Moves an account's collateral by `change_atoms`.
pub(crate) fn credit(
    state: &mut State,
    account: AccountId,
    change_atoms: Atoms,
) -> Result<(), Refusal> {
    let overflow = || Refusal::overflow("the collateral");
    let before = lookup::account(state, account)?.collateral_atoms;
    let after = before.checked_add(change_atoms).ok_or_else(overflow)?;
    // Taken last: an account that was taken to be changed counts as changed.
    let row = state.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
    row.collateral_atoms = after;
    Ok(())
}

/// Moves collateral from one account to another.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "messages carry amounts of at most 64 bits, so that each has a negative"
)]
pub(crate) fn shift(
    state: &mut State,
    from: AccountId,
    to: AccountId,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    credit(state, from, -amount_atoms)?;
    credit(state, to, amount_atoms)
}

/// Checks that so much more may be on the chain.
pub(crate) fn check_supply(state: &State, amount_atoms: Atoms) -> Result<(), Refusal> {
    let overflow = || Refusal::overflow("the sum of deposits");
    let chain = &state.chain;
    let supply_atoms = chain.deposits_atoms.checked_sub(chain.withdrawals_atoms);
    let supply_atoms = supply_atoms.ok_or_else(overflow)?;
    if supply_atoms.checked_add(amount_atoms).ok_or_else(overflow)? <= MAX_SUPPLY_ATOMS {
        return Ok(());
    }
    Err(Refusal::SupplyCap { amount_atoms, supply_atoms, most_atoms: MAX_SUPPLY_ATOMS })
}

/// Checks that an account may take an amount off the exchange now (rules §3.12): withdrawals are
/// not gated after a halt or large losses, and as for [`check_removable`].
pub(crate) fn check_withdrawable(
    state: &mut State,
    account: AccountId,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    let (height, gated_until) = (state.chain.height, state.chain.withdrawals_gated_until);
    if height <= gated_until {
        return Err(Refusal::WithdrawalsGated { gated_until, height });
    }
    check_removable(state, account, amount_atoms)
}

/// Checks that an account may give up an amount now: it is not frozen, no market with its position
/// or order has a stale index, and the amount is withdrawable.
pub(crate) fn check_removable(
    state: &mut State,
    account: AccountId,
    amount_atoms: Atoms,
) -> Result<(), Refusal> {
    lookup::check_not_frozen(state, account)?;
    settle_funding(state, account)?;
    if let Some(market) = health::stale_market(state, account, state.chain.time_ms) {
        let symbol = Symbol::from(&state.markets.slot(market).cell.market.params.symbol);
        return Err(Refusal::StaleForRemoval { symbol });
    }
    let withdrawable_atoms = health::health(state, account)?.withdrawable_atoms();
    if amount_atoms > withdrawable_atoms {
        return Err(Refusal::AboveWithdrawable { amount_atoms, withdrawable_atoms });
    }
    Ok(())
}

/// Returns what [`check_removable`] would let an account give up.
pub(crate) fn removable(state: &State, account: AccountId) -> Atoms {
    let held_back = state.danger.is_frozen(account, &state.accounts)
        || health::stale_market(state, account, state.chain.time_ms).is_some();
    let health = health::health(state, account).ok().filter(|_| !held_back);
    health.map_or(Atoms::ZERO, |health| health.withdrawable_atoms())
}
