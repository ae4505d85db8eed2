//! Index of accounts by the price moves that could put them at risk: the sweep looks at no other
//! (rules §7.7).
//!
//! [`AtRiskIndex::find`] returns exactly the accounts that [`at_risk`] does, as a look
//! at every account would. It evaluates those that were written since the last time, those whose
//! bound a mark or funding has passed, and those that were in danger and may still
//! be; it reads no other. Bounds are conservative (`bounds`): who has not passed one is safe, who
//! has is evaluated and gets new ones.
//!
//! Changes of an account's margin, and how each is noticed:
//!
//! | change | noticed by |
//! |---|---|
//! | mark | bounds, for each market below and above |
//! | funding | every bound of the market closes in by its worth in ticks (`drift_ticks`) |
//! | the account's own row or orders | [`AtRiskIndex::touch`], or an id beyond those known |
//! | a market's margin parameters | compared at every search: its members are evaluated, as far as its review has come ([`Source::review`]); those behind must be touched when it comes to them |
//! | the highest fee rate | compared at every search: everyone is evaluated |
//! | a market stale, paused and back | changes no margin; who is in danger is evaluated in every search until it is over |
//!
//! It is derived from accounts, orders and markets, and never encoded: an empty one evaluates
//! everyone in its first search. Which bounds it holds depends on its history; what it finds does
//! not.

mod bounds;
mod keys;
mod members;
#[cfg(test)]
mod tests;
mod thresholds;

use tidemark_proto::units::{AccountId, MarketId, Ppm, Ticks};

use crate::account::{Account, Position};
use crate::error::RiskError;
use crate::health::{health, Health};
use crate::market::{Market, Markets};
use crate::orders::OrderTotals;
pub use bounds::have_same_margin;
use bounds::{Assessed, Bounds, Rates};
use keys::{key, level, Axis, Key, AXES};
use members::Members;
use thresholds::Thresholds;

/// Where accounts and their orders are found. Markets have ids from 0.
pub trait Source: Markets {
    /// Number of accounts; their ids are below it.
    fn accounts(&self) -> u32;

    /// An account.
    fn account(&self, id: AccountId) -> Option<&Account>;

    /// The totals of an account's open orders in a market.
    ///
    /// # Errors
    /// `STALE_INDEX` without a mark, `OVERFLOW`.
    fn order_totals(&self, id: AccountId, market: &Market) -> Result<OrderTotals, RiskError>;

    /// The highest fee rate of any tier.
    fn max_fee_ppm(&self) -> Ppm;

    /// The account from which on holders of a market are still to be looked at by its new
    /// parameters, in order of id; `None` where none is.
    fn review(&self, market: MarketId) -> Option<AccountId>;
}

/// Returns true if an account has an entry for a market whose review has not come to it: no search
/// finds it, whatever its margin is.
fn awaits_review(source: &impl Source, id: AccountId, account: &Account) -> bool {
    let awaits = |of: &Position| source.review(of.market).is_some_and(|from| from <= id);
    account.positions.iter().any(awaits)
}

/// An account's margin, and its open orders by position.
struct Assessment {
    health: Health,
    has_orders: bool,
}

impl Assessment {
    /// Works an account's margin out; `totals` becomes that of each of its positions.
    fn of(
        source: &impl Source,
        id: AccountId,
        account: &Account,
        totals: &mut Vec<OrderTotals>,
    ) -> Result<Self, RiskError> {
        totals.clear();
        let health = health(account, source, |market| {
            let of = source.order_totals(id, source.existing(market)?)?;
            totals.push(of);
            Ok(of)
        })?;
        Ok(Self { health, has_orders: totals.iter().any(|of| !of.is_empty()) })
    }

    fn is_at_risk(&self) -> bool {
        let health = &self.health;
        health.is_liquidatable()
            || health.equity_atoms.is_negative()
            || self.has_orders && health.free_atoms().is_negative()
    }
}

/// An account that a search found, and its margin or why there is none.
pub type Found = (AccountId, Result<Health, RiskError>);

/// Returns an account if the sweep has work with it: it is below maintenance, or below 0; or it has
/// open orders and free collateral below 0, so that some of them may have to go; or its margin
/// cannot be computed, which the sweep reports. An account that was never used is not, nor is one
/// in a market that has no mark yet, nor one that a review has not come to.
pub fn at_risk(source: &impl Source, id: AccountId) -> Option<Found> {
    let account = source.account(id).filter(|account| !account.positions.is_empty())?;
    if awaits_review(source, id, account) {
        return None;
    }
    match Assessment::of(source, id, account, &mut Vec::new()) {
        Ok(of) => of.is_at_risk().then_some((id, Ok(of.health))),
        Err(error) => is_reported(&error).then_some((id, Err(error))),
    }
}

/// Returns true if the sweep reports an account whose margin has this error: any but a market that
/// never had a mark, where no price can have moved against it.
const fn is_reported(error: &RiskError) -> bool {
    !matches!(error, RiskError::NoMark { .. })
}

/// One market's part of the index.
#[derive(Clone, Debug)]
struct MarketIndex {
    rates: Rates,
    /// Funding up to which `drift_ticks` counts.
    cumulative_index: i128,
    /// How far bounds have closed in since the beginning, by funding.
    drift_ticks: i128,
    /// Accounts that had lots or orders here when they were last evaluated.
    members: Members,
    /// By axis.
    lists: [Thresholds; AXES.len()],
}

/// Accounts by the moves that could endanger them.
#[derive(Clone, Debug, Default)]
pub struct AtRiskIndex {
    /// By market.
    markets: Vec<MarketIndex>,
    /// By account, ordered by market: at least one key in each market that the account is a member
    /// of.
    accounts: Vec<Box<[Key]>>,
    /// Accounts to evaluate next time, whatever happens; with repeats.
    due: Vec<AccountId>,
    /// Accounts that the last search found in danger or could not compute: to evaluate next time
    /// too. They are members of their markets.
    in_danger: Vec<AccountId>,
    max_fee_ppm: Ppm,
    /// Evaluations so far.
    evaluations: u64,
}

/// Room that evaluations share.
#[derive(Default)]
struct Scratch {
    /// By position, as the other two: of open orders; empty where they are not known.
    totals: Vec<OrderTotals>,
    /// Empty where they cannot be computed.
    bounds: Vec<Bounds>,
    keys: Vec<Key>,
}

/// The ids of so many accounts, ascending.
fn ids(accounts: u32) -> impl Iterator<Item = AccountId> {
    (0..accounts).map(AccountId::new)
}

/// The ids that markets are listed under, ascending.
fn market_ids() -> impl Iterator<Item = MarketId> {
    (0..=u16::MAX).map(MarketId::new)
}

impl MarketIndex {
    fn new(market: &Market) -> Self {
        Self {
            rates: Rates::of(&market.params),
            cumulative_index: market.funding.cumulative_index,
            drift_ticks: 0,
            members: Members::default(),
            lists: Default::default(),
        }
    }

    /// Follows funding and parameters; says whether all members must be evaluated.
    fn follow(&mut self, market: &Market) -> bool {
        let same_rates = self.rates.are_of(&market.params);
        if !same_rates {
            self.rates = Rates::of(&market.params);
        }
        let change = market.funding.cumulative_index.checked_sub(self.cumulative_index);
        self.cumulative_index = market.funding.cumulative_index;
        let drift = change
            .and_then(|change| self.rates.drift_ticks(change, market.k))
            .and_then(|drift| self.drift_ticks.checked_add(drift));
        match drift {
            Some(drift) => self.drift_ticks = drift,
            None => return true,
        }
        !same_rates
    }

    /// The levels that keys are compared with, by axis.
    fn levels(&self, market: &Market) -> [i64; AXES.len()] {
        let Some(mark) = market.mark_ticks.map(Ticks::wide) else { return [i64::MAX; AXES.len()] };
        [
            level(mark.saturating_sub(self.drift_ticks)),
            level(mark.saturating_add(self.drift_ticks).saturating_neg()),
        ]
    }

    /// Keys of bounds, by axis.
    fn keys(&self, bounds: &Bounds) -> [Option<i64>; AXES.len()] {
        [
            bounds.low_ticks.map(|low| key(low.saturating_sub(self.drift_ticks))),
            bounds
                .high_ticks
                .map(|high| key(high.saturating_add(self.drift_ticks).saturating_neg())),
        ]
    }
}

impl AtRiskIndex {
    /// Has an account evaluated in the next search: its row or its orders were written.
    pub fn touch(&mut self, id: AccountId) {
        self.due.push(id);
    }

    /// The accounts in danger, ascending: exactly those that [`at_risk`] returns.
    #[expect(clippy::indexing_slicing, reason = "every account has its place since `follow`")]
    pub fn find(&mut self, source: &impl Source) -> Vec<Found> {
        self.follow(source);
        let mut due = std::mem::take(&mut self.due);
        due.append(&mut self.in_danger);
        self.take_crossed(source, &mut due);
        due.sort_unstable();
        due.dedup();
        let (mut found, mut scratch) = (Vec::new(), Scratch::default());
        self.evaluations = self.evaluations.saturating_add(due.len() as u64);
        for id in due {
            self.evaluate(source, id, &mut scratch, &mut found);
        }
        for (market, of) in market_ids().zip(&mut self.markets) {
            for (axis, list) in AXES.iter().zip(&mut of.lists) {
                let accounts = &self.accounts;
                list.compact(|id, key| {
                    accounts[id.index()].contains(&Key { market, axis: *axis, key })
                });
            }
        }
        found
    }

    /// Accounts, of so many, that may have lots or orders in a market, from an id on, ascending:
    /// those that had any when they were last evaluated. None else has, but those of
    /// [`AtRiskIndex::unevaluated`] and what was written since the last [`AtRiskIndex::touch`].
    pub fn members_from(
        &self,
        market: MarketId,
        from: AccountId,
    ) -> impl Iterator<Item = AccountId> + '_ {
        self.markets.get(market.index()).into_iter().flat_map(move |of| of.members.iter_from(from))
    }

    /// Accounts, of so many, that were touched or made since the last search, in no order and with
    /// repeats.
    pub fn unevaluated(&self, accounts: u32) -> impl Iterator<Item = AccountId> + '_ {
        let known = u32::try_from(self.accounts.len()).unwrap_or(u32::MAX);
        self.due.iter().copied().chain((known..accounts).map(AccountId::new))
    }

    /// Accounts evaluated since the index was made, again counted again. For the benchmark of risk,
    /// which reports how few accounts a block evaluates.
    #[must_use]
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// Bytes on the heap, as far as they grow with accounts.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "memory that exists can be counted")]
    pub fn memory_bytes(&self) -> usize {
        let keys: usize = self.accounts.iter().map(|keys| size_of_val::<[Key]>(keys)).sum();
        let of_market = |of: &MarketIndex| {
            of.members.memory_bytes() + of.lists.iter().map(Thresholds::memory_bytes).sum::<usize>()
        };
        keys + self.accounts.capacity() * size_of::<Box<[Key]>>()
            + (self.due.capacity() + self.in_danger.capacity()) * size_of::<AccountId>()
            + self.markets.iter().map(of_market).sum::<usize>()
    }

    /// Takes in what is new: markets, accounts, parameters, funding, fees.
    fn follow(&mut self, source: &impl Source) {
        for id in market_ids() {
            let Some(market) = source.market(id) else { break };
            match self.markets.get_mut(id.index()) {
                None => self.markets.push(MarketIndex::new(market)),
                Some(of) => {
                    if of.follow(market) {
                        let review = source.review(id);
                        let is_due = |id: &AccountId| review.is_none_or(|from| *id < from);
                        self.due.extend(of.members.iter_from(AccountId::ZERO).take_while(is_due));
                    }
                }
            }
        }
        let (known, accounts) = (self.accounts.len(), source.accounts());
        let max_fee_ppm = source.max_fee_ppm();
        if std::mem::replace(&mut self.max_fee_ppm, max_fee_ppm) != max_fee_ppm {
            self.due.extend(ids(accounts));
        } else {
            self.due.extend(ids(accounts).skip(known));
        }
        self.accounts.resize_with(known.max(accounts as usize), Default::default);
        self.due.retain(|id| id.get() < accounts);
    }

    /// Takes out of the lists what the markets have passed.
    #[expect(clippy::indexing_slicing, reason = "every account has its place since `follow`")]
    fn take_crossed(&mut self, source: &impl Source, due: &mut Vec<AccountId>) {
        for (id, of) in market_ids().zip(&mut self.markets) {
            let Some(market) = source.market(id) else { continue };
            let levels = of.levels(market);
            for ((axis, list), level) in AXES.iter().zip(&mut of.lists).zip(levels) {
                let mut spent = 0_usize;
                list.take_crossed(level, |account, key| {
                    let crossed = Key { market: id, axis: *axis, key };
                    let keys = &mut self.accounts[account.index()];
                    // One that is not the account's any more is passed over.
                    if let Some(key) = keys.iter_mut().find(|key| **key == crossed) {
                        key.axis = Axis::None;
                        due.push(account);
                        spent = spent.saturating_add(1);
                    }
                });
                list.forget(spent);
            }
        }
    }

    /// Evaluates one account, and gives it new bounds; in danger it has none, and is evaluated
    /// again next time.
    fn evaluate(
        &mut self,
        source: &impl Source,
        id: AccountId,
        scratch: &mut Scratch,
        found: &mut Vec<Found>,
    ) {
        let Some(account) = source.account(id).filter(|account| !account.positions.is_empty())
        else {
            // Its last entry is gone, and so are its keys.
            return self.replace(id, &[], scratch);
        };
        let Scratch { totals, bounds, .. } = scratch;
        let found_bounds = match Assessment::of(source, id, account, totals) {
            Ok(of) if of.is_at_risk() => {
                if !awaits_review(source, id, account) {
                    found.push((id, Ok(of.health)));
                }
                None
            }
            Ok(of) => {
                let assessed = Assessed { account, markets: source, totals, health: &of.health };
                let rates = |position: &Position| {
                    self.markets.get(position.market.index()).map(|of| &of.rates)
                };
                bounds::bounds(&assessed, of.has_orders, rates, bounds)
            }
            // Which of its markets it has orders in is not known: it counts as a member of all.
            Err(error) => {
                if is_reported(&error) && !awaits_review(source, id, account) {
                    found.push((id, Err(error)));
                }
                totals.clear();
                None
            }
        };
        if found_bounds.is_none() {
            bounds.clear();
            self.in_danger.push(id);
        }
        self.replace(id, &account.positions, scratch);
    }

    /// Gives an account its keys. One that it has and that is crossed no later stays: the account
    /// is then evaluated a little early, and its list is spared an entry.
    #[expect(clippy::indexing_slicing, reason = "every account has its place since `follow`")]
    fn replace(&mut self, id: AccountId, positions: &[Position], scratch: &mut Scratch) {
        let Scratch { totals, bounds, keys } = scratch;
        let before = &mut self.accounts[id.index()];
        keys.clear();
        for (at, position) in positions.iter().enumerate() {
            let is_member =
                !position.lots.is_zero() || totals.get(at).is_none_or(|of| !of.is_empty());
            let Some(of) = self.markets.get_mut(position.market.index()).filter(|_| is_member)
            else {
                continue;
            };
            let first = keys.len();
            let new = bounds.get(at).map_or([None; AXES.len()], |bounds| of.keys(bounds));
            for ((axis, list), new) in AXES.into_iter().zip(&mut of.lists).zip(new) {
                let old =
                    before.iter().find(|key| key.market == position.market && key.axis == axis);
                let kept = old.filter(|old| new.is_some_and(|new| old.key >= new));
                if let Some(kept) = kept {
                    keys.push(*kept);
                    continue;
                }
                list.forget(usize::from(old.is_some()));
                if let Some(key) = new {
                    list.push(key, id);
                    keys.push(Key { market: position.market, axis, key });
                }
            }
            if keys.len() == first {
                keys.push(Key { market: position.market, axis: Axis::None, key: 0 });
            }
            if !before.iter().any(|key| key.market == position.market) {
                of.members.insert(id);
            }
        }
        for old in before.iter() {
            let stays = keys.iter().any(|key| key.market == old.market);
            if let Some(of) = self.markets.get_mut(old.market.index()).filter(|_| !stays) {
                of.members.remove(id);
                if let Some(list) = of.lists.get_mut(old.axis as usize) {
                    list.forget(1);
                }
            }
        }
        if before.len() == keys.len() {
            before.copy_from_slice(keys);
        } else {
            *before = keys.as_slice().into();
        }
    }
}
