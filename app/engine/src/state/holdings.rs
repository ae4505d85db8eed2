//! The purpose of an account's row (rules §1.9): what it holds, or that it is idle.

use tidemark_proto::units::{AccountId, MarketId, SelfTradePrevention};
use tidemark_risk::{Account, Keeper, Position};

use super::exchange::State;
use super::idle::Idle;

/// Finds idle accounts, and those with an entry of a loss alone, in a state that has the accounts
/// of a block's end and nothing that is derived from them.
pub(crate) fn derive(state: &mut State) {
    for account in state.accounts.ids() {
        let idle = idle(state, account);
        state.derived.idle.set(account, idle);
        note_owing(state, account);
    }
}

/// Returns why an account has its row for nothing, or for traded volume alone; `None` if it has
/// none, or holds something: collateral, an entry of a market, a switch, a setting, isolated
/// collateral, a keeper's place.
pub(crate) fn idle(state: &State, account: AccountId) -> Option<Idle> {
    let row = state.accounts.get(account)?;
    // Isolated collateral has the setting of its parent.
    let has_setting = row.isolated.is_none() && row.stp != SelfTradePrevention::default();
    let holds = !row.collateral_atoms.is_zero()
        || !row.positions.is_empty()
        || !row.cancel_all_at_ms.is_zero()
        || has_setting;
    if holds || has_isolated(state, row) || is_keeper(state, account) {
        return None;
    }
    let volume = row.volume.until_day();
    Some(volume.map_or(Idle::Empty, |until_day| Idle::Aging { until_day }))
}

/// Returns true if a subaccount has an isolated account, of which its owner has few.
fn has_isolated(state: &State, row: &Account) -> bool {
    let owner = state.owners.get(row.owner).filter(|_| row.isolated.is_none());
    let mut slots = owner.into_iter().flat_map(|owner| owner.isolated_of(row.number));
    slots.any(|slot| state.accounts.has(slot.account))
}

/// Returns true if an account has set something aside. A market has few keepers, by account.
fn is_keeper(state: &State, account: AccountId) -> bool {
    let in_market = |keepers: &[Keeper]| {
        keepers.binary_search_by_key(&account, |keeper| keeper.account).is_ok()
    };
    state.markets.cells().any(|cell| in_market(&cell.market.keepers))
}

/// Notes if a loss alone keeps an entry of an account.
pub(crate) fn note_owing(state: &mut State, account: AccountId) {
    let is_of_loss = |entry: &Position| {
        !entry.realised_atoms.is_zero() && is_unused_entry(state, account, entry)
    };
    let row = state.accounts.get(account);
    if row.is_some_and(|row| row.positions.iter().any(is_of_loss)) {
        state.derived.owing.insert(account);
    } else {
        state.derived.owing.remove(&account);
    }
}

/// Returns true if an entry has no lots, no leverage, and no order.
pub(crate) fn is_unused_entry(state: &State, id: AccountId, entry: &Position) -> bool {
    entry.lots.is_zero() && entry.leverage == 0 && !has_orders(state, id, entry.market)
}

/// Returns true if an account has an order in a market, on the book or off it.
pub(crate) fn has_orders(state: &State, account: AccountId, market: MarketId) -> bool {
    let slot = state.markets.slot(market);
    slot.book.open_orders(account) > 0 || slot.conditional.of(account).next().is_some()
}
