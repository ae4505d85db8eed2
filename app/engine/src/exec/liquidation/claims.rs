//! Lots of a position for which the insurance fund may pay: those that are not fresh (rules §7.14).

use tidemark_proto::units::{AccountId, Lots, MarketId};
use tidemark_risk::Fresh;

use crate::exec::account::lookup;
use crate::refusal::Refusal;
use crate::state::State;

/// The fresh lots of a position.
pub(crate) fn fresh(state: &State, account: AccountId, market: MarketId) -> Fresh {
    let row = state.accounts.get(account).and_then(|row| row.position(market));
    row.map_or(Fresh::NONE, |position| position.fresh)
}

/// Lots of a position that are not fresh.
pub(crate) fn old_lots(state: &State, account: AccountId, market: MarketId) -> Lots {
    let window = state.markets.slot(market).cell.market.window();
    let held = lookup::held(state, account, market).unsigned_abs();
    held.saturating_sub(fresh(state, account, market).lots(window))
}

/// After old lots alone have closed: the fresh ones are those of before.
pub(crate) fn keep_fresh(
    state: &mut State,
    (account, market): (AccountId, MarketId),
    fresh: Fresh,
) -> Result<(), Refusal> {
    let row = state.accounts.get_mut(account).ok_or(Refusal::UnknownAccount(account))?;
    let position = row.position_mut(market);
    position.fresh = fresh.within(position.lots.unsigned_abs());
    Ok(())
}
