//! Rows exist for what is held (rules §1.9): at a block's end, those of nothing go.

use std::collections::BTreeSet;

use tidemark_proto::units::{AccountId, MarketId, SelfTradePrevention};
use tidemark_risk::{day, Account, Keeper, Position};

use crate::exec::account::lookup;
use crate::state::State;

/// Most accounts of a block whose traded volume has aged away.
const MOST_AGED: usize = 64;

/// Most accounts of a block that are looked at again because a loss kept an entry.
const MOST_OWING: usize = 256;

/// At a block's end: of the accounts that it touched, entries of markets without a position, an
/// order or a leverage go. Accounts that hold nothing go at the end of the next block that does
/// not touch them, so that a watcher of this block still knows whose they are. The work is bounded
/// by what the block and the one before touched, and [`MOST_AGED`].
pub(crate) fn drop_empty(state: &mut State, mut touched: BTreeSet<AccountId>) {
    touched.extend(state.accounts.dirty());
    for account in touched.iter().copied().chain(owing(state)) {
        drop_entries(state, account);
    }
    // Those that lost an entry just now.
    touched.extend(state.accounts.dirty());
    let before = std::mem::take(&mut state.derived.empty);
    let mut candidates = touched.clone();
    candidates.extend(aged(state));
    for account in before.difference(&touched) {
        candidates.extend(remove_if_empty(state, *account));
    }
    for account in candidates {
        match kept_by(state, account) {
            Some(Holds::Nothing) => {
                state.derived.empty.insert(account);
            }
            Some(Holds::Volume { until_day }) => {
                state.derived.aging.insert((until_day, account));
            }
            Some(Holds::Something) | None => {}
        }
    }
}

/// Accounts of which a loss kept an entry, in turns.
fn owing(state: &mut State) -> Vec<AccountId> {
    let derived = &mut state.derived;
    let turn: Vec<AccountId> =
        derived.owing.range(derived.owing_from..).take(MOST_OWING).copied().collect();
    let next = turn.last().filter(|_| turn.len() == MOST_OWING);
    derived.owing_from =
        next.map_or(AccountId::ZERO, |last| AccountId::new(last.get().saturating_add(1)));
    turn
}

/// Reason for which an account has its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    /// Traded volume alone, which counts up to a day.
    Volume {
        until_day: u32,
    },
    Something,
}

/// Removes an account that holds nothing. Returns the one whose isolated collateral it was: nothing
/// may keep that one any more.
fn remove_if_empty(state: &mut State, account: AccountId) -> Option<AccountId> {
    if kept_by(state, account) != Some(Holds::Nothing) {
        return None;
    }
    let row = state.accounts.remove(account)?;
    row.isolated.map(|isolated| isolated.parent)
}

/// Accounts whose traded volume counts no more.
fn aged(state: &mut State) -> Vec<AccountId> {
    let today = day(state.chain.volume_ms());
    let mut aged = Vec::new();
    while aged.len() < MOST_AGED {
        let Some((day, account)) = state.derived.aging.first().copied() else { break };
        if day > today {
            break;
        }
        state.derived.aging.remove(&(day, account));
        aged.push(account);
    }
    aged
}

/// Returns what an account's row is there for, if it has one: collateral, an entry of a market, a
/// switch, a setting, isolated collateral, a keeper's place, or traded volume.
fn kept_by(state: &State, account: AccountId) -> Option<Holds> {
    let row = state.accounts.get(account)?;
    // Isolated collateral has the setting of its parent.
    let has_setting = row.isolated.is_none() && row.stp != SelfTradePrevention::default();
    let holds = !row.collateral_atoms.is_zero()
        || !row.positions.is_empty()
        || !row.cancel_all_at_ms.is_zero()
        || has_setting;
    if holds || has_isolated(state, row) || is_keeper(state, account) {
        return Some(Holds::Something);
    }
    let until_day = row.volume.until_day();
    let counts = |until_day: &u32| *until_day > day(state.chain.volume_ms());
    let volume = until_day.filter(counts).map(|until_day| Holds::Volume { until_day });
    Some(volume.unwrap_or(Holds::Nothing))
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

/// Takes entries of nothing out of an account.
fn drop_entries(state: &mut State, account: AccountId) {
    state.derived.owing.remove(&account);
    let Some(row) = state.accounts.get(account) else { return };
    if row.positions.iter().any(|entry| owes(state, account, entry)) {
        state.derived.owing.insert(account);
    }
    let empty = |position: &&Position| is_empty_entry(state, (account, row), position);
    let empty: Vec<MarketId> = row.positions.iter().filter(empty).map(|of| of.market).collect();
    if empty.is_empty() {
        return;
    }
    if let Some(row) = state.accounts.get_mut(account) {
        row.positions.retain(|position| empty.binary_search(&position.market).is_err());
    }
}

/// Takes the entry of a market out of an account, if it is of nothing: an order that was refused
/// leaves none.
pub(crate) fn drop_entry(state: &mut State, account: AccountId, market: MarketId) {
    let Some(row) = state.accounts.get(account) else { return };
    let is_empty = |entry| is_empty_entry(state, (account, row), entry);
    if !row.position(market).is_some_and(is_empty) {
        return;
    }
    if let Some(row) = state.accounts.get_mut(account) {
        row.positions.retain(|position| position.market != market);
    }
}

/// Returns true if an entry says what its lots have lost to an account that may come to owe it
/// (rules §7.6): one below maintenance, or in a market that is being settled.
fn owes(state: &State, id: AccountId, entry: &Position) -> bool {
    let danger = &state.danger;
    let is_listed = || danger.listed.binary_search_by_key(&id, |row| row.account).is_ok();
    !entry.realised_atoms.is_zero()
        && (is_listed()
            || danger.frozen.contains(&id)
            || state.markets.slot(entry.market).cell.is_settling())
}

/// Returns true if an entry has no lots, no leverage, and no order. An account below 0 keeps its
/// entries: the sweep finds it by them, and books its debt in the market of one.
fn is_empty_entry(state: &State, (id, row): (AccountId, &Account), entry: &Position) -> bool {
    let has_lots = !entry.lots.is_zero() || row.collateral_atoms.is_negative();
    !has_lots
        && entry.leverage == 0
        && !owes(state, id, entry)
        && !lookup::has_orders(state, id, entry.market)
}
