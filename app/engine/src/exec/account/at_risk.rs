//! The accounts that the sweep examines and the holders of a market: by the index of
//! `risk::at_risk`, or by looking at every account.

use tidemark_proto::units::{AccountId, MarketId, Ppm};
use tidemark_risk::at_risk::{at_risk, Found, Source};
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

    fn review(&self, market: MarketId) -> Option<AccountId> {
        self.state.danger.reviews.get(&market).copied()
    }
}

/// Returns the accounts for which the sweep has a step, ascending, with their margin; and those
/// whose margin cannot be computed.
pub fn find(state: &mut State) -> Vec<Found> {
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
pub fn scan(state: &State) -> Vec<Found> {
    let accounts = Accounts::of(state);
    state.accounts.ids().filter_map(|id| at_risk(&accounts, id)).collect()
}

/// Has the next search evaluate an account, though nothing of it was written.
pub(crate) fn look_again(state: &mut State, id: AccountId) {
    if state.derived.search == Search::Index {
        state.derived.at_risk.touch(id);
    }
}

/// The accounts with lots or open orders in a market. A walk over them costs what it looks at.
pub(crate) struct Holders<'a> {
    state: &'a State,
    market: MarketId,
    /// Accounts that the index does not know yet, ascending: those that this block has written, and
    /// those that no search has evaluated.
    others: Vec<AccountId>,
}

impl<'a> Holders<'a> {
    /// Of a market.
    pub(crate) fn of(state: &'a mut State, market: MarketId) -> Self {
        let mut others: Vec<AccountId> = Vec::new();
        if state.derived.search == Search::Index {
            others.extend(state.derived.at_risk.unevaluated(state.accounts.len()));
            let is_sorted = others.is_empty();
            others.extend(state.accounts.dirty());
            if !is_sorted {
                others.sort_unstable();
                others.dedup();
            }
        }
        Self { state, market, others }
    }

    /// The state that they are of.
    pub(crate) const fn state(&self) -> &'a State {
        self.state
    }

    /// Those of an id and above, ascending.
    pub(crate) fn from(&self, from: AccountId) -> impl Iterator<Item = AccountId> + '_ {
        let (state, market) = (self.state, self.market);
        let book = &state.markets.slot(market).book;
        let holds = move |id: &AccountId| {
            !lookup::held(state, *id, market).is_zero() || book.open_orders(*id) > 0
        };
        let all: Box<dyn Iterator<Item = AccountId> + '_> = match state.derived.search {
            Search::Index => {
                let first = self.others.partition_point(|id| *id < from);
                let others = self.others.get(first..).unwrap_or_default();
                let members = state.derived.at_risk.members_from(market, from);
                Box::new(merged(members, others.iter().copied()))
            }
            Search::Scan => Box::new(state.accounts.ids().filter(move |id| *id >= from)),
        };
        all.filter(holds)
    }

    /// All of them: by id from `first` on, then from the lowest.
    pub(crate) fn around(&self, first: AccountId) -> impl Iterator<Item = AccountId> + '_ {
        self.from(first).chain(self.from(AccountId::ZERO).take_while(move |id| *id < first))
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
