//! The accounts that the sweep examines and the holders of a market: by the index of
//! `risk::at_risk`, or by looking at every account.

use tidemark_proto::units::{AccountId, MarketId, Ppm};
use tidemark_risk::at_risk::{is_at_risk, Source};
use tidemark_risk::fees::max_fee_ppm;
use tidemark_risk::orders::OrderTotals;
use tidemark_risk::{Account, Market, Markets, RiskError};

use crate::exec::account::{health, lookup};
use crate::state::{Search, State};

/// The state as the index reads it.
struct Accounts<'a> {
    state: &'a State,
    fee_ppm: Ppm,
}

impl<'a> Accounts<'a> {
    fn of(state: &'a State) -> Self {
        Self { state, fee_ppm: max_fee_ppm(&state.chain.params.fee_tiers) }
    }
}

impl Markets for Accounts<'_> {
    fn market(&self, id: MarketId) -> Option<&Market> {
        self.state.markets.market(id)
    }
}

impl Source for Accounts<'_> {
    fn accounts(&self) -> u32 {
        self.state.accounts.len()
    }

    fn account(&self, id: AccountId) -> Option<&Account> {
        self.state.accounts.get(id)
    }

    fn order_totals(&self, id: AccountId, market: &Market) -> Result<OrderTotals, RiskError> {
        let market = market.params.id;
        let slot = self.state.markets.get(market.index());
        health::totals(slot.ok_or(RiskError::UnknownMarket(market))?, id, &[], self.fee_ppm)
    }

    fn max_fee_ppm(&self) -> Ppm {
        self.fee_ppm
    }
}

/// Returns the accounts for which the sweep has a step, ascending, and those whose margin cannot be
/// computed.
pub fn find(state: &mut State) -> Vec<AccountId> {
    match state.derived.search {
        Search::Index => {
            // What the block wrote before its sweep; what earlier blocks wrote is touched already.
            for id in state.accounts.dirty() {
                state.derived.at_risk.touch(*id);
            }
            let mut index = std::mem::take(&mut state.derived.at_risk);
            let found = index.find(&Accounts::of(state));
            state.derived.at_risk = index;
            found
        }
        Search::Scan => scan(state),
    }
}

/// Returns the same accounts as [`find`], by looking at every account.
#[must_use]
pub fn scan(state: &State) -> Vec<AccountId> {
    let accounts = Accounts::of(state);
    state.accounts.ids().filter(|id| is_at_risk(&accounts, *id)).collect()
}

/// The accounts with lots or open orders in a market, ascending.
pub(crate) fn holders(state: &mut State, market: MarketId) -> Vec<AccountId> {
    holders_from(state, market, AccountId::ZERO, usize::MAX)
}

/// The accounts with lots or open orders in a market: by id from `first` on, then from the lowest;
/// at most `most` of them.
pub(crate) fn holders_from(
    state: &mut State,
    market: MarketId,
    first: AccountId,
    most: usize,
) -> Vec<AccountId> {
    // What the index does not know yet: what this block has written, and what no search has
    // evaluated.
    let mut others: Vec<AccountId> = Vec::new();
    if state.derived.search == Search::Index {
        others.extend(state.accounts.dirty());
        others.extend(state.derived.at_risk.unevaluated(state.accounts.len()));
        others.sort_unstable();
        others.dedup();
    }
    let mut found = part(state, market, &others, first, most);
    let left = most.saturating_sub(found.len());
    if left > 0 && first != AccountId::ZERO {
        let lower = part(state, market, &others, AccountId::ZERO, left);
        found.extend(lower.into_iter().take_while(|id| *id < first));
    }
    found
}

/// Those of an id and above, ascending.
fn part(
    state: &State,
    market: MarketId,
    others: &[AccountId],
    from: AccountId,
    most: usize,
) -> Vec<AccountId> {
    let book = &state.markets.slot(market).book;
    let holds =
        |id: &AccountId| !lookup::held(state, *id, market).is_zero() || book.open_orders(*id) > 0;
    match state.derived.search {
        Search::Index => {
            let others = others.get(others.partition_point(|id| *id < from)..).unwrap_or_default();
            let members = state.derived.at_risk.members_from(market, from);
            merged(members, others.iter().copied()).filter(holds).take(most).collect()
        }
        Search::Scan => {
            state.accounts.ids().filter(|id| *id >= from).filter(holds).take(most).collect()
        }
    }
}

/// Two ascending sequences as one, each id once.
fn merged(
    one: impl Iterator<Item = AccountId>,
    other: impl Iterator<Item = AccountId>,
) -> impl Iterator<Item = AccountId> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || {
        let next = match (one.peek(), other.peek()) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => return None,
        };
        one.next_if_eq(&next);
        other.next_if_eq(&next);
        Some(next)
    })
}
