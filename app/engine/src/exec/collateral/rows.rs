//! Rows exist for what is held (rules §1.9): at a block's end, those of nothing go.

use std::collections::BTreeSet;

use tidemark_proto::units::{AccountId, MarketId};
use tidemark_risk::{day, Account, Position};

use crate::state::holdings::{idle, is_unused_entry, note_owing};
use crate::state::{Idle, State};

/// Most accounts of a block whose traded volume has aged away.
const MOST_AGED: usize = 64;

/// Most accounts of a block that are looked at again because a loss alone keeps an entry.
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
    let mut changed = touched.clone();
    changed.extend(touched.iter().filter_map(|account| parent(state, *account)));
    let today = day(state.chain.volume_ms());
    let due: Vec<AccountId> = state.derived.idle.due(today, MOST_AGED).collect();
    for account in due.into_iter().filter(|account| !touched.contains(account)) {
        changed.extend([Some(account), remove_if_empty(state, account)].into_iter().flatten());
    }
    for account in changed {
        let idle = idle(state, account);
        state.derived.idle.set(account, idle);
    }
}

/// Accounts with an entry of a loss alone, in turns.
fn owing(state: &mut State) -> Vec<AccountId> {
    let (owing, from) = (&state.derived.owing, &mut state.chain.owing_from);
    let turn: Vec<AccountId> = owing.range(*from..).take(MOST_OWING).copied().collect();
    let next = turn.last().filter(|_| turn.len() == MOST_OWING);
    *from = next.map_or(AccountId::ZERO, |last| AccountId::new(last.get().saturating_add(1)));
    turn
}

/// The account whose isolated collateral another one is.
fn parent(state: &State, account: AccountId) -> Option<AccountId> {
    Some(state.accounts.get(account)?.isolated?.parent)
}

/// Removes an account that holds nothing. Returns the one whose isolated collateral it was: nothing
/// may keep that one any more.
fn remove_if_empty(state: &mut State, account: AccountId) -> Option<AccountId> {
    let today = day(state.chain.volume_ms());
    match idle(state, account)? {
        Idle::Aging { until_day } if until_day > today => return None,
        Idle::Empty | Idle::Aging { .. } => {}
    }
    let row = state.accounts.remove(account)?;
    row.isolated.map(|isolated| isolated.parent)
}

/// Takes entries of nothing out of an account.
fn drop_entries(state: &mut State, account: AccountId) {
    drop_empty_entries(state, account);
    note_owing(state, account);
}

fn drop_empty_entries(state: &mut State, account: AccountId) {
    let Some(row) = state.accounts.get(account) else { return };
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

/// Returns true if an entry is of nothing. An account below 0 keeps its entries: the sweep finds it
/// by them, and books its debt in the market of one.
fn is_empty_entry(state: &State, (id, row): (AccountId, &Account), entry: &Position) -> bool {
    !row.collateral_atoms.is_negative()
        && is_unused_entry(state, id, entry)
        && !owes(state, id, entry)
}
