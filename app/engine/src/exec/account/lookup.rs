//! Accounts and positions by id.

use tidemark_proto::units::{AccountId, MarketId, OwnerId, SignedLots};
use tidemark_risk::{Account, Position, RiskError};

use crate::refusal::Refusal;
use crate::state::{Owner, State};

/// Returns an account that must exist.
pub(crate) fn account(state: &State, account: AccountId) -> Result<&Account, Refusal> {
    state.accounts.get(account).ok_or(Refusal::UnknownAccount(account))
}

const OWNER_EXISTS: RiskError = RiskError::Invariant("an account's owner exists");

/// Returns an owner that must exist.
pub(crate) fn owner(state: &State, owner: OwnerId) -> Result<&Owner, Refusal> {
    state.owners.get(owner).ok_or_else(|| OWNER_EXISTS.into())
}

/// Returns an owner that must exist, to be changed.
pub(crate) fn owner_mut(state: &mut State, owner: OwnerId) -> Result<&mut Owner, Refusal> {
    state.owners.get_mut(owner).ok_or_else(|| OWNER_EXISTS.into())
}

/// Refuses what a frozen account may not do (rules §7.13).
///
/// # Errors
/// `ACCOUNT_FROZEN`.
pub(crate) fn check_not_frozen(state: &State, account: AccountId) -> Result<(), Refusal> {
    if state.danger.is_frozen(account, &state.accounts) {
        return Err(Refusal::AccountFrozen(account));
    }
    Ok(())
}

/// Returns the lots of an account's position in a market; 0 without one. An account without a
/// row holds none.
pub(crate) fn held(state: &State, account: AccountId, market: MarketId) -> SignedLots {
    state.accounts.get(account).map_or(SignedLots::ZERO, |account| account.lots(market))
}

/// Most markets in which an account chooses a leverage: an entry of a leverage alone stays.
const MAX_LEVERAGES: usize = 256;

/// Refuses one leverage too many.
///
/// # Errors
/// `TOO_MANY_LEVERAGES`.
pub(crate) fn check_room_for_leverage(
    state: &State,
    id: AccountId,
    market: MarketId,
) -> Result<(), Refusal> {
    let others = |position: &&Position| position.leverage != 0 && position.market != market;
    let chosen = account(state, id)?.positions.iter().filter(others).count();
    if chosen >= MAX_LEVERAGES {
        return Err(Refusal::TooManyLeverages { chosen, most: MAX_LEVERAGES });
    }
    Ok(())
}

/// The entry of a market in an account, made when there is none: every market with an order of the
/// account has one.
pub(crate) fn position_mut(
    state: &mut State,
    id: AccountId,
    market: MarketId,
) -> Result<&mut Position, Refusal> {
    let row = state.accounts.get_mut(id).ok_or(Refusal::UnknownAccount(id))?;
    Ok(row.position_mut(market))
}
