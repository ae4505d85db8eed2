//! Auto-deleveraging: the rest of a position is closed against opposite ones at its zero price (rules §7.5).

use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ppm, SignedLots};
use tidemark_proto::{Code, Refusal};

use crate::account::Account;
use crate::liquidation::{check_reduces, zero_quote_delta};
use crate::margin::{health_without_orders, unrealised_atoms, Health};
use crate::market::{unknown, Markets, MarketsMut};
use crate::math::{cmp_products, fits, mul_div_rem};
use crate::position::{settle_funding, trade};

/// σ of the zero price at which positions are closed against each other: all of the closing account's equity, or deficit.
pub const SIGMA_PPM: Ppm = 1_000_000;

/// A holder of an opposite position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counterparty {
    /// The account.
    pub account: AccountId,
    /// Size of its opposite position.
    pub lots: Lots,
    /// Its unrealised profit in the market, funding aside; negative is a loss.
    pub profit_atoms: Atoms,
}

/// One part of a position, closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdlFill {
    /// The counterparty.
    pub account: AccountId,
    /// Lots closed on both sides.
    pub lots: Lots,
    /// What the closing account got (positive) or paid; the counterparty the opposite.
    pub quote_atoms: Atoms,
}

/// Where counterparties' accounts are kept.
pub trait Accounts {
    /// A copy of the account, if it exists.
    fn load(&self, id: AccountId) -> Option<Account>;
    /// Puts the changed account back.
    fn store(&mut self, id: AccountId, account: Account);
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
) -> Result<Option<Counterparty>, Refusal> {
    let Some(position) = account.position(market) else { return Ok(None) };
    if position.lots.signum() * closing_lots.signum() != -1 {
        return Ok(None);
    }
    let profit_atoms = unrealised_atoms(markets.existing(market)?, position)?;
    Ok(Some(Counterparty { account: id, lots: position.lots.unsigned_abs(), profit_atoms }))
}

/// Shares `lots` among those in profit, pro rata to unrealised profit, none more than its position: what passes a
/// position is shared among the others. Largest remainder, ties by account id. The result is by account id, without empty shares;
/// it adds up to the smaller of `lots` and what they hold.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn pro_rata(lots: Lots, counterparties: &[Counterparty]) -> Result<Vec<(AccountId, Lots)>, Refusal> {
    let mut winners: Vec<Counterparty> =
        counterparties.iter().copied().filter(|c| c.profit_atoms > 0 && c.lots > 0).collect();
    // By lots per profit: those whose position is used up first come first.
    winners.sort_unstable_by(|a, b| {
        cmp_products(i128::from(a.lots), b.profit_atoms, i128::from(b.lots), a.profit_atoms)
            .then(a.account.cmp(&b.account))
    });
    let sum = winners.iter().try_fold(0_i128, |sum, c| sum.checked_add(c.profit_atoms));
    let mut weight = fits(sum, "the sum of profits")?;
    let mut left = i128::from(lots);
    let mut shares = Vec::with_capacity(winners.len());
    let mut rest = winners.as_slice();
    while let Some((first, others)) = rest.split_first() {
        // Its share left·profit/weight is at least its position.
        if cmp_products(left, first.profit_atoms, i128::from(first.lots), weight).is_lt() {
            break;
        }
        shares.push((first.account, first.lots));
        left -= i128::from(first.lots);
        weight -= first.profit_atoms;
        rest = others;
    }
    shares.extend(largest_remainder(left, weight, rest)?);
    shares.retain(|(_, lots)| *lots > 0);
    shares.sort_unstable();
    Ok(shares)
}

/// Shares `lots` by profit; each share is below its position, so that rounding one up stays within it.
fn largest_remainder(
    lots: i128,
    weight: i128,
    among: &[Counterparty],
) -> Result<Vec<(AccountId, Lots)>, Refusal> {
    let mut shares = Vec::with_capacity(among.len());
    let mut left = lots;
    for c in among {
        let (share, remainder) = fits(mul_div_rem(lots, c.profit_atoms, weight), "a share of the position")?;
        left -= share;
        shares.push((std::cmp::Reverse(remainder), c.account, fits(Lots::try_from(share).ok(), "a share")?));
    }
    shares.sort_unstable();
    let one_more = usize::try_from(left.max(0)).unwrap_or(usize::MAX);
    Ok(shares
        .into_iter()
        .enumerate()
        .map(|(at, (_, account, share))| (account, share + u64::from(at < one_more)))
        .collect())
}

/// Whether a change leaves an account no riskier: at or above initial margin after it; or else maintenance margin has not risen and
/// the ratio of equity to it has not fallen; equity is at least 0 where no maintenance margin is left.
#[must_use]
pub fn is_no_riskier(before: &Health, after: &Health) -> bool {
    if after.equity_atoms >= after.initial_atoms {
        return true;
    }
    if after.maintenance_atoms == 0 {
        return after.equity_atoms >= 0;
    }
    after.maintenance_atoms <= before.maintenance_atoms
        && cmp_products(
            after.equity_atoms,
            before.maintenance_atoms,
            before.equity_atoms,
            after.maintenance_atoms,
        )
        .is_ge()
}

/// At which price positions are closed against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosingPrice {
    /// The closing account's zero price: it has lost more than it has.
    Zero,
    /// The mark: the market is being closed for good, and the account can pay.
    Mark,
}

/// Whether, and at which price, an account's positions may be closed against others': at the zero price with equity below
/// 0; at the mark in a market that closes for good.
#[must_use]
pub const fn closing_price(equity_atoms: Atoms, market_closes: bool) -> Option<ClosingPrice> {
    if equity_atoms < 0 {
        Some(ClosingPrice::Zero)
    } else if market_closes {
        Some(ClosingPrice::Mark)
    } else {
        None
    }
}

/// Closes `delta_lots` of the closing account's position against the counterparty's, at the closing account's zero price
/// with σ = 1: what it takes from the counterparty is no more than the account's deficit. Returns the quote that
/// the closing account got (positive) or paid.
///
/// # Errors
/// `WOULD_INCREASE` when `delta_lots` does not reduce both positions; `INSUFFICIENT_COLLATERAL` when either account would end
/// riskier ([`is_no_riskier`]); `UNKNOWN_MARKET`, `STALE_INDEX`, `OVERFLOW`. Both accounts are then as before, but for settled funding.
pub fn deleverage_pair(
    closing: &mut Account,
    counterparty: &mut Account,
    market: MarketId,
    delta_lots: SignedLots,
    markets: &mut (impl MarketsMut + ?Sized),
) -> Result<Atoms, Refusal> {
    pair(closing, counterparty, market, delta_lots, markets, is_no_riskier)
}

fn pair(
    closing: &mut Account,
    counterparty: &mut Account,
    market_id: MarketId,
    delta_lots: SignedLots,
    markets: &mut (impl MarketsMut + ?Sized),
    bears: fn(&Health, &Health) -> bool,
) -> Result<Atoms, Refusal> {
    let opposite_delta = fits(delta_lots.checked_neg(), "a quantity")?;
    check_reduces(closing.lots(market_id), delta_lots)?;
    check_reduces(counterparty.lots(market_id), opposite_delta)?;
    let market = markets.market_mut(market_id).ok_or_else(|| unknown(market_id))?;
    settle_funding(closing, market)?;
    settle_funding(counterparty, market)?;
    let before = health_without_orders(closing, markets)?;
    let other_before = health_without_orders(counterparty, markets)?;
    let market = markets.existing(market_id)?;
    let quote = zero_quote_delta(market, closing.lots(market_id), delta_lots, &before, SIGMA_PPM)?;
    // On copies: nothing is written before both accounts are known to bear it.
    let (mut closing_after, mut other_after, mut market_after) =
        (closing.clone(), counterparty.clone(), market.clone());
    let cost = fits(quote.checked_neg(), "the price of a position")?;
    trade(&mut closing_after, &mut market_after, delta_lots, cost, 0)?;
    trade(&mut other_after, &mut market_after, opposite_delta, quote, 0)?;
    if !is_no_riskier(&before, &health_without_orders(&closing_after, markets)?) {
        return Err(riskier("closing account"));
    }
    if !bears(&other_before, &health_without_orders(&other_after, markets)?) {
        return Err(riskier("counterparty"));
    }
    if let Some(market) = markets.market_mut(market_id) {
        *market = market_after;
    }
    (*closing, *counterparty) = (closing_after, other_after);
    Ok(quote)
}

fn riskier(who: &str) -> Refusal {
    Refusal::new(Code::InsufficientCollateral, format!("the {who} would end riskier"))
}

/// Whether one in profit is taken: unless it leaves it below maintenance, and riskier than it was.
fn bears_in_profit(before: &Health, after: &Health) -> bool {
    !after.is_liquidatable() && after.equity_atoms >= 0 || is_no_riskier(before, after)
}

/// Closes up to `lots` of the closing account's position against `counterparties`: first those in profit, pro rata to unrealised
/// profit; then, by account id, those who can bear it without becoming riskier. A counterparty that cannot bear its part
/// keeps its position. Takes no more than the position; what no one can take stays open. At most two visits a counterparty.
///
/// # Errors
/// `UNKNOWN_MARKET`, `STALE_INDEX`, `OVERFLOW` of the sharing itself; a single counterparty's are skipped.
pub fn deleverage(
    closing: &mut Account,
    market: MarketId,
    lots: Lots,
    counterparties: &[Counterparty],
    accounts: &mut impl Accounts,
    markets: &mut (impl MarketsMut + ?Sized),
) -> Result<Vec<AdlFill>, Refusal> {
    let mut left = lots.min(closing.lots(market).unsigned_abs());
    let mut fills = Vec::new();
    for (account, share) in pro_rata(left, counterparties)? {
        let filled = take(closing, market, share, account, accounts, markets, bears_in_profit);
        left -= filled.map_or(0, |fill| fill.lots);
        fills.extend(filled);
    }
    let mut by_id: Vec<AccountId> = counterparties.iter().map(|c| c.account).collect();
    by_id.sort_unstable();
    by_id.dedup();
    for account in by_id {
        if left == 0 {
            break;
        }
        let filled = take(closing, market, left, account, accounts, markets, is_no_riskier);
        left -= filled.map_or(0, |fill| fill.lots);
        fills.extend(filled);
    }
    Ok(fills)
}

/// Closes up to `lots` against one counterparty; `None` when it holds nothing opposite or cannot bear it.
fn take(
    closing: &mut Account,
    market: MarketId,
    lots: Lots,
    id: AccountId,
    accounts: &mut impl Accounts,
    markets: &mut (impl MarketsMut + ?Sized),
    bears: fn(&Health, &Health) -> bool,
) -> Option<AdlFill> {
    let mut other = accounts.load(id)?;
    let (held, opposite) = (closing.lots(market), other.lots(market));
    let lots = lots.min(held.unsigned_abs()).min(opposite.unsigned_abs());
    let delta = SignedLots::try_from(lots).ok()?.checked_mul(-held.signum())?;
    let quote_atoms = pair(closing, &mut other, market, delta, markets, bears).ok()?;
    accounts.store(id, other);
    Some(AdlFill { account: id, lots, quote_atoms })
}
