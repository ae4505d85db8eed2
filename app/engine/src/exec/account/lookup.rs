//! Accounts and positions by id.

use tidemark_proto::units::{AccountId, MarketId, SignedLots};
use tidemark_risk::{Account, Position};

use crate::refusal::Refusal;
use crate::state::State;

/// Returns an account that must exist.
pub(crate) fn account(state: &State, account: AccountId) -> Result<&Account, Refusal> {
    state.accounts.get(account).ok_or(Refusal::UnknownAccount(account))
}

/// Returns the lots of an account's position in a market; 0 without one.
pub(crate) fn held(state: &State, account: AccountId, market: MarketId) -> SignedLots {
    state.accounts.get(account).map_or(SignedLots::ZERO, |account| account.lots(market))
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
