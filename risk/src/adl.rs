//! Auto-deleveraging: the rest of a position is closed against opposite ones at its bankruptcy
//! price, its zero price at σ = 1 (rules §7.5).

use std::collections::BTreeMap;

use tidemark_proto::params::AdlOrder;
use tidemark_proto::units::{
    cmp_products, mul_div_floor, AccountId, Atoms, Lots, MarketId, Ppm, Side, SignedLots,
};

use crate::account::Account;
use crate::error::{fits, invariant, Party, RiskError};
use crate::health::{health_without_orders, Health};
use crate::margin::{marked_atoms, unrealised_atoms};
use crate::market::{Market, Markets, MarketsMut};
use crate::position::{are_opposite, check_reduces, trade};
use crate::sharing::{most_that_bears, share, Claim};
use crate::zero_price::bankruptcy_quote_delta;

/// A holder of an opposite position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counterparty {
    /// The account.
    pub account: AccountId,
    /// Size of its opposite position.
    pub lots: Lots,
    /// The part of it that was added a short while ago.
    pub fresh_lots: Lots,
    /// Its unrealised profit in the market, funding aside, or the favourable move of the mark over
    /// the last hour, whichever is more; at least 0. So who closes and opens again is no further
    /// from deleveraging than who stayed.
    pub weight_atoms: Atoms,
    /// Its [`rank`], in a market that deleverages by rank; else 0.
    pub rank: i128,
}

/// One part of a position, closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdlFill {
    /// The counterparty.
    pub account: AccountId,
    /// Lots closed on both sides.
    pub lots: Lots,
    /// Quote that the closing account got (positive) or paid; the counterparty the opposite.
    pub quote_atoms: Atoms,
}

/// Where counterparties' accounts are kept.
pub trait Accounts {
    /// A copy of the account, if it exists.
    fn load(&self, id: AccountId) -> Option<Account>;
    /// Puts the changed account back; `None` if it does not exist.
    fn store(&mut self, id: AccountId, account: Account) -> Option<()>;
}

/// The counterparty that an account is to a position of the other side; `None` when it has none.
///
/// # Errors
/// `UNKNOWN_MARKET`, `STALE_INDEX`, `OVERFLOW`.
pub fn counterparty(
    id: AccountId,
    account: &Account,
    market: MarketId,
    closing_lots: SignedLots,
    markets: &(impl Markets + ?Sized),
) -> Result<Option<Counterparty>, RiskError> {
    let Some(position) = account.position(market) else { return Ok(None) };
    if !are_opposite(position.lots, closing_lots) {
        return Ok(None);
    }
    let of = markets.existing(market)?;
    let profit_atoms = unrealised_atoms(of, position)?;
    let lots = position.lots.unsigned_abs();
    let moved = of.recent_marks.favourable_ticks(of.mark()?, position.lots.is_positive());
    let moved_atoms = fits(moved.notional_atoms(lots, of.k), "a weight of deleveraging")?;
    let weight_atoms = profit_atoms.max(moved_atoms);
    let rank = match of.params.adl_order {
        AdlOrder::ProRata => 0,
        AdlOrder::Ranked => {
            let value = marked_atoms(of, position.lots.wide())?;
            let notional = fits(value.checked_abs(), "notional")?;
            rank(profit_atoms, notional, &health_without_orders(account, markets)?)?
        }
    };
    let fresh_lots = position.fresh.lots(of.window());
    Ok(Some(Counterparty { account: id, lots, fresh_lots, weight_atoms, rank }))
}

/// Shares `lots` among those with a weight, pro rata to it, none more than its position
/// ([`share`]).
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn pro_rata(
    lots: Lots,
    counterparties: &[Counterparty],
) -> Result<Vec<(AccountId, Lots)>, RiskError> {
    let claim = |c: &Counterparty| Claim {
        account: c.account,
        most_lots: c.lots,
        weight_atoms: c.weight_atoms,
    };
    share(lots, counterparties.iter().map(claim))
}

/// Shares `lots` among those with fresh lots, pro rata to what these weigh, none more than them.
fn pro_rata_of_fresh(
    lots: Lots,
    counterparties: &[Counterparty],
) -> Result<Vec<(AccountId, Lots)>, RiskError> {
    let mut claims = Vec::with_capacity(counterparties.len());
    for c in counterparties.iter().filter(|c| !c.fresh_lots.is_zero()) {
        let part = c.weight_atoms.mul_div_floor(c.fresh_lots.wide(), c.lots.wide());
        let weight_atoms = fits(part, "a weight of deleveraging")?;
        claims.push(Claim { account: c.account, most_lots: c.fresh_lots, weight_atoms });
    }
    share(lots, claims)
}

/// `floor(uPnL·10⁶/notional)·floor(account notional·10⁶/equity)`: profit per risk times leverage,
/// in 10⁻¹². An account in profit without equity comes first of all, beside products beyond 127
/// bits; one without profit or notional has rank 0.
///
/// # Errors
/// `OVERFLOW` of a ratio.
pub fn rank(
    profit_atoms: Atoms,
    notional_atoms: Atoms,
    health: &Health,
) -> Result<i128, RiskError> {
    let part = |of: Atoms, whole: Atoms| {
        fits(mul_div_floor(of.get(), Ppm::ONE.wide(), whole.get()), "a rank of deleveraging")
    };
    if !profit_atoms.is_positive() {
        return Ok(0);
    }
    if !health.equity_atoms.is_positive() {
        return Ok(i128::MAX);
    }
    if notional_atoms.is_zero() {
        return Ok(0);
    }
    let profit = part(profit_atoms, notional_atoms)?;
    Ok(profit.saturating_mul(part(health.notional_atoms, health.equity_atoms)?))
}

/// Returns true if a change leaves an account at or above initial margin; or else if its
/// maintenance margin has not risen and the ratio of equity to it has not fallen; equity is at
/// least 0 where no maintenance margin is left.
#[must_use]
pub fn is_no_riskier(before: &Health, after: &Health) -> bool {
    if after.equity_atoms >= after.initial_atoms {
        return true;
    }
    if after.maintenance_atoms.is_zero() {
        return !after.equity_atoms.is_negative();
    }
    after.maintenance_atoms <= before.maintenance_atoms
        && cmp_products(
            after.equity_atoms.get(),
            before.maintenance_atoms.get(),
            before.equity_atoms.get(),
            after.maintenance_atoms.get(),
        )
        .is_ge()
}

/// Both accounts and the market after a pair was closed.
struct Pair {
    closing: Account,
    counterparty: Account,
    market: Market,
    quote_atoms: Atoms,
}

/// Both accounts after `delta_lots` are closed: nothing is written before both are known to bear
/// the change.
fn pair(
    closing: &Account,
    counterparty: &Account,
    market_id: MarketId,
    delta_lots: SignedLots,
    markets: &(impl Markets + ?Sized),
    way: Way,
) -> Result<Pair, RiskError> {
    let opposite_delta = fits(delta_lots.checked_neg(), "a quantity")?;
    check_reduces(counterparty.lots(market_id), opposite_delta)?;
    let had = [closing, counterparty].map(|row| row.position(market_id).map(|had| had.fresh));
    let (mut closing, mut market, quote_atoms) = closed(closing, market_id, delta_lots, markets)?;
    let before = health_without_orders(counterparty, markets)?;
    let mut counterparty = counterparty.clone();
    let effect = trade(&mut counterparty, &mut market, opposite_delta, quote_atoms, Atoms::ZERO)?;
    if way.takes_fresh {
        let (window, lots) = (market.window(), delta_lots.unsigned_abs());
        for (row, had) in [&mut closing, &mut counterparty].into_iter().zip(had) {
            row.position_mut(market_id).fresh = had.unwrap_or_default().taken(window, lots);
        }
    }
    let after = health_without_orders(&counterparty, markets)?;
    let is_profit = way.weighs && !effect.realised_atoms.is_negative();
    if !if is_profit { bears_in_profit(&before, &after) } else { is_no_riskier(&before, &after) } {
        return Err(RiskError::Riskier(Party::Counterparty));
    }
    Ok(Pair { closing, counterparty, market, quote_atoms })
}

/// The closing account and its market after `delta_lots` at its bankruptcy price, and what it got
/// for them.
fn closed(
    closing: &Account,
    market_id: MarketId,
    delta_lots: SignedLots,
    markets: &(impl Markets + ?Sized),
) -> Result<(Account, Market, Atoms), RiskError> {
    let before = health_without_orders(closing, markets)?;
    let market = markets.existing(market_id)?;
    let quote_atoms = bankruptcy_quote_delta(market, closing.lots(market_id), delta_lots, &before)?;
    let (mut closing, mut market) = (closing.clone(), market.clone());
    let cost_atoms = fits(quote_atoms.checked_neg(), "the price of a position")?;
    trade(&mut closing, &mut market, delta_lots, cost_atoms, Atoms::ZERO)?;
    if !is_no_riskier(&before, &health_without_orders(&closing, markets)?) {
        return Err(RiskError::Riskier(Party::Closing));
    }
    Ok((closing, market, quote_atoms))
}

/// Lots whose own profit is at least their part of the price may be deleveraged if their account
/// stays above maintenance or ends no riskier.
fn bears_in_profit(before: &Health, after: &Health) -> bool {
    !after.is_liquidatable() && !after.equity_atoms.is_negative() || is_no_riskier(before, after)
}

/// Who is asked to close against the positions of one side of a market, one after the other: first
/// those with a weight, in the market's order ([`AdlOrder`]); then, by account id, those who can
/// bear it without becoming riskier. A counterparty that cannot bear its part bears as much of it
/// as it can, and the next are asked for the rest.
///
/// Several accounts may close against one queue, those whose price asks least of a counterparty
/// first: each goes on where the one before ended, as whoever could bear no more of a milder price
/// can bear nothing of a harsher one. At most three visits a counterparty, and one an account that
/// closes; no more visits than [`Queue::limit`] leaves.
#[derive(Clone, Debug)]
pub struct Queue {
    market: MarketId,
    visits: std::vec::IntoIter<Visit>,
    next: Option<Visit>,
    visits_left: u64,
}

/// A counterparty's turn.
#[derive(Clone, Copy, Debug)]
struct Visit {
    account: AccountId,
    /// Most lots that it is asked for.
    lots: Lots,
    way: Way,
}

/// Terms of a visit.
#[derive(Clone, Copy, Debug)]
struct Way {
    /// Lots whose own profit is at least their part of the price leave their account above
    /// maintenance; else it ends no riskier.
    weighs: bool,
    /// Fresh lots close on both sides.
    takes_fresh: bool,
}

impl Way {
    const BY_WEIGHT: Self = Self { weighs: true, takes_fresh: false };
    const NO_RISKIER: Self = Self { weighs: false, takes_fresh: false };
    const FRESH: Self = Self { weighs: true, takes_fresh: true };
}

impl Queue {
    /// For closing `lots` in all. Where all in profit share them, the shares are asked for by
    /// account id, from `first` on and then from the lowest: whose price each share gets is so not
    /// decided by the id.
    ///
    /// # Errors
    /// `UNKNOWN_MARKET`, `OVERFLOW` of the sharing.
    pub fn new(
        market: MarketId,
        lots: Lots,
        counterparties: &[Counterparty],
        first: AccountId,
        markets: &(impl Markets + ?Sized),
    ) -> Result<Self, RiskError> {
        let mut winners: Vec<&Counterparty> =
            counterparties.iter().filter(|c| c.weight_atoms.is_positive()).collect();
        winners.sort_unstable_by_key(|c| (std::cmp::Reverse(c.rank), c.account));
        let mut shares = match markets.existing(market)?.params.adl_order {
            AdlOrder::ProRata => pro_rata(lots, counterparties)?,
            AdlOrder::Ranked => Vec::new(),
        };
        from_first(&mut shares, first);
        let mut others: Vec<AccountId> = counterparties.iter().map(|c| c.account).collect();
        others.sort_unstable();
        others.dedup();
        let all = |account, way| Visit { account, lots: Lots::MAX, way };
        let visits =
            shares.into_iter().map(|(account, lots)| Visit { account, lots, way: Way::BY_WEIGHT });
        let visits = visits.chain(winners.into_iter().map(|c| all(c.account, Way::BY_WEIGHT)));
        let visits = visits.chain(others.into_iter().map(|account| all(account, Way::NO_RISKIER)));
        Ok(Self::of(market, visits.collect()))
    }

    /// For closing `lots` in all, fresh against fresh: those with fresh lots share them pro rata to
    /// what these weigh, and are then asked for the rest of them.
    ///
    /// # Errors
    /// `OVERFLOW` of the sharing.
    pub fn of_fresh(
        market: MarketId,
        lots: Lots,
        counterparties: &[Counterparty],
        first: AccountId,
    ) -> Result<Self, RiskError> {
        let mut shares = pro_rata_of_fresh(lots, counterparties)?;
        let shared: BTreeMap<AccountId, Lots> = shares.iter().copied().collect();
        from_first(&mut shares, first);
        let mut rest: Vec<(AccountId, Lots)> = Vec::new();
        for c in counterparties {
            let share = shared.get(&c.account).copied().unwrap_or(Lots::ZERO);
            rest.push((c.account, c.fresh_lots.saturating_sub(share)));
        }
        rest.retain(|(_, lots)| !lots.is_zero());
        rest.sort_unstable();
        let visit = |(account, lots)| Visit { account, lots, way: Way::FRESH };
        Ok(Self::of(market, shares.into_iter().chain(rest).map(visit).collect()))
    }

    fn of(market: MarketId, visits: Vec<Visit>) -> Self {
        let mut visits = visits.into_iter();
        Self { market, next: visits.next(), visits, visits_left: u64::MAX }
    }

    /// Bounds the visits that are still to come; what they do not reach stays open.
    pub fn limit(&mut self, visits: u64) {
        self.visits_left = visits;
    }

    /// Visits that the bound still leaves.
    #[must_use]
    pub const fn visits_left(&self) -> u64 {
        self.visits_left
    }

    /// Closes up to `lots` of the account's position, no more than there are; what no one can take
    /// stays open.
    ///
    /// # Errors
    /// [`RiskError::Invariant`] for a counterparty or a market that is not there; `OVERFLOW`.
    pub fn close(
        &mut self,
        closing: &mut Account,
        lots: Lots,
        accounts: &mut impl Accounts,
        markets: &mut (impl MarketsMut + ?Sized),
    ) -> Result<Vec<AdlFill>, RiskError> {
        let held = closing.lots(self.market);
        let mut left = lots.min(held.unsigned_abs());
        // An account that could not bear its own price would use the queue up in vain.
        let alone = |lots| {
            let closed = closed(closing, self.market, delta(held, lots)?, markets);
            RiskError::borne(closed).map(|closed| closed.is_some())
        };
        let mut fills = Vec::new();
        if left.is_zero() || !alone(left)? && !alone(Lots::ONE)? {
            return Ok(fills);
        }
        while let Some(visit) = self.next.as_mut().filter(|_| !left.is_zero()) {
            let Some(visits_left) = self.visits_left.checked_sub(1) else { break };
            self.visits_left = visits_left;
            let asked = left.min(visit.lots);
            let fill =
                take(closing, self.market, asked, visit.account, accounts, markets, visit.way)?;
            let filled = fill.map_or(Lots::ZERO, |fill| fill.lots);
            let within = "a fill is no larger than what was asked for";
            left = invariant(left.checked_sub(filled), within)?;
            visit.lots = invariant(visit.lots.checked_sub(filled), within)?;
            fills.extend(fill);
            // It has more for the next account that closes, or not.
            if filled < asked || visit.lots.is_zero() {
                self.next = self.visits.next();
            }
        }
        Ok(fills)
    }
}

/// Shares by account id from one on, then from the lowest.
fn from_first(shares: &mut [(AccountId, Lots)], first: AccountId) {
    let lower = shares.partition_point(|(account, _)| *account < first);
    shares.rotate_left(lower);
}

/// Closes up to `lots` against one counterparty, as many as it can bear; `None` when it holds
/// nothing opposite or can bear none.
fn take(
    closing: &mut Account,
    market: MarketId,
    lots: Lots,
    id: AccountId,
    accounts: &mut impl Accounts,
    markets: &mut (impl MarketsMut + ?Sized),
    way: Way,
) -> Result<Option<AdlFill>, RiskError> {
    let other = invariant(accounts.load(id), "a counterparty is an account")?;
    let (held, opposite) = (closing.lots(market), other.lots(market));
    // What an earlier visit closed is not there any more.
    if !are_opposite(held, opposite) {
        return Ok(None);
    }
    let most = lots.min(held.unsigned_abs()).min(opposite.unsigned_abs());
    let found = most_that_bears(most, |lots| {
        let pair = pair(closing, &other, market, delta(held, lots)?, markets, way);
        Ok(RiskError::borne(pair)?.map(|pair| (lots, pair)))
    })?;
    let Some((lots, pair)) = found else { return Ok(None) };
    let row = invariant(markets.market_mut(market), "a market whose positions close is listed")?;
    invariant(accounts.store(id, pair.counterparty), "a counterparty is an account")?;
    *row = pair.market;
    *closing = pair.closing;
    Ok(Some(AdlFill { account: id, lots, quote_atoms: pair.quote_atoms }))
}

/// Signed change of a position by which so many of its lots close.
fn delta(held: SignedLots, lots: Lots) -> Result<SignedLots, RiskError> {
    invariant(lots.signed(Side::reducing(held)), "no position is beyond 63 bits")
}

#[cfg(test)]
mod tests;
