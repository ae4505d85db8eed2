//! Positions: fills and lazy funding (rules §§1.3, 5.4).

use tidemark_proto::units::{Atoms, Lots, Side, SignedLots, Ticks};

use crate::account::{Account, Position};
use crate::error::{fits, RiskError};
use crate::funding;
use crate::market::Market;

/// Effect of a fill on one of its two accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FillEffect {
    /// Profit that went to collateral, fee aside.
    pub realised_atoms: Atoms,
    /// Funding paid (positive) or drawn just before.
    pub funding_atoms: Atoms,
    /// Lots before.
    pub lots_before: SignedLots,
    /// Lots after.
    pub lots_after: SignedLots,
}

/// Signed lots of a side.
///
/// # Errors
/// `OVERFLOW` beyond 63 bits.
pub fn signed_lots(side: Side, lots: Lots) -> Result<SignedLots, RiskError> {
    fits(lots.signed(side), "a quantity")
}

/// Returns true if one of two positions is long and the other short.
pub(crate) fn are_opposite(a: SignedLots, b: SignedLots) -> bool {
    a.side().zip(b.side()).is_some_and(|(a, b)| a != b)
}

/// Checks that `delta_lots` reduces a position of `lots` and no more.
///
/// # Errors
/// `WOULD_INCREASE` for no delta, no position, the position's own side, or more than it.
pub fn check_reduces(lots: SignedLots, delta_lots: SignedLots) -> Result<(), RiskError> {
    if are_opposite(lots, delta_lots) && delta_lots.unsigned_abs() <= lots.unsigned_abs() {
        return Ok(());
    }
    Err(RiskError::DoesNotReduce { delta_lots, held_lots: lots })
}

/// Applies one side of a trade to its account: settles funding, then opens, reduces or turns the
/// position, then takes the fee (negative is a rebate) from collateral, and counts its part of open
/// interest.
///
/// Equity changes by exactly `(mark − p)·(±r)·k − fee`: how cost is split between what is released
/// and what stays only moves profit between realised and unrealised.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits (63 for lots); account and market are as before then.
pub fn apply_fill(
    account: &mut Account,
    market: &mut Market,
    side: Side,
    price_ticks: Ticks,
    lots: Lots,
    fee_atoms: Atoms,
) -> Result<FillEffect, RiskError> {
    let delta = signed_lots(side, lots)?;
    let cost = fits(price_ticks.position_atoms(delta, market.k), "notional")?;
    trade(account, market, delta, cost, fee_atoms)
}

/// As [`apply_fill`], for `delta` lots bought for `cost` atoms in all: exact where no whole tick
/// is. For a sale both are negative; `cost` may have the other sign when a position is worth less
/// than nothing.
///
/// # Errors
/// As [`apply_fill`].
pub fn trade(
    account: &mut Account,
    market: &mut Market,
    delta: SignedLots,
    cost_atoms: Atoms,
    fee_atoms: Atoms,
) -> Result<FillEffect, RiskError> {
    let before = account.position(market.params.id).copied().unwrap_or(Position {
        funding_index: market.funding.cumulative_index,
        ..Position::empty(market.params.id)
    });
    let funding_atoms = funding::unpaid_atoms(&market.funding, &before)?;
    let (after, realised_atoms) = turn(&before, delta, cost_atoms)?;
    let pool = fits(market.funding_pool_atoms.checked_add(funding_atoms), "the funding pool")?;
    let collateral = account
        .collateral_atoms
        .checked_sub(funding_atoms)
        .and_then(|sum| sum.checked_add(realised_atoms))
        .and_then(|sum| sum.checked_sub(fee_atoms));
    let collateral = fits(collateral, "collateral")?;
    let open_interest = open_interest_after(market.open_interest_lots, &before, &after);
    market.open_interest_lots = fits(open_interest, "open interest")?;
    market.funding_pool_atoms = pool;
    account.collateral_atoms = collateral;
    let fresh = before.fresh.changed(market.window(), before.lots, after.lots);
    let funding_index = market.funding.cumulative_index;
    let realised_total = realised_since_opening(&before, after.lots, realised_atoms);
    *account.position_mut(market.params.id) =
        Position { funding_index, fresh, realised_atoms: realised_total, ..after };
    Ok(FillEffect {
        realised_atoms,
        funding_atoms,
        lots_before: before.lots,
        lots_after: after.lots,
    })
}

/// Profit realised since the position was opened, after it has changed. A position that turns is
/// opened anew.
fn realised_since_opening(before: &Position, after: SignedLots, realised: Atoms) -> Atoms {
    if before.lots.is_zero() || are_opposite(before.lots, after) {
        return Atoms::ZERO;
    }
    before.realised_atoms.saturating_add(realised)
}

/// Open interest, the sum of longs, once a position was changed.
fn open_interest_after(now: Lots, before: &Position, after: &Position) -> Option<Lots> {
    let long = |position: &Position| position.lots.max(SignedLots::ZERO).wide();
    let change = long(after).checked_sub(long(before))?;
    u64::try_from(now.wide().checked_add(change)?).ok().map(Lots::new)
}

/// The position after buying `delta` lots for `cost` atoms, and the profit that this realises.
fn turn(
    position: &Position,
    delta: SignedLots,
    cost: Atoms,
) -> Result<(Position, Atoms), RiskError> {
    let lots = fits(
        position.lots.checked_add(delta).filter(|lots| *lots != SignedLots::MIN),
        "a position",
    )?;
    let opens = position.lots.is_zero()
        || position.lots.is_positive() == delta.is_positive()
        || delta.is_zero();
    if opens {
        let cost_atoms = fits(position.cost_atoms.checked_add(cost), "cost basis")?;
        return Ok((Position { lots, cost_atoms, ..*position }, Atoms::ZERO));
    }
    let held = position.lots.unsigned_abs().wide();
    let traded = delta.unsigned_abs().wide();
    let (closing_cost, opening_cost) = if traded <= held {
        (cost, Atoms::ZERO)
    } else {
        // A position that turns: what closes pays its share of the price, rounded against the
        // account's profit; exact where the price is a whole number of ticks.
        let closing = fits(cost.mul_div_ceil(held, traded), "closing cost")?;
        (closing, fits(cost.checked_sub(closing), "opening cost")?)
    };
    // Up: less is realised now, the rest stays in the basis of what is left.
    let released = fits(position.cost_atoms.mul_div_ceil(traded.min(held), held), "released cost")?;
    let realised =
        fits(closing_cost.checked_add(released).and_then(Atoms::checked_neg), "realised profit")?;
    let kept = fits(position.cost_atoms.checked_sub(released), "cost basis")?;
    let cost_atoms = fits(kept.checked_add(opening_cost), "cost basis")?;
    Ok((Position { lots, cost_atoms, ..*position }, realised))
}

/// Settles one account's funding in a market: collateral against the market's pool. Equity stays:
/// it counted the unpaid part, rounded the same way. Returns what was paid (positive) or drawn.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits; account and market are as before then.
pub fn settle_funding(account: &mut Account, market: &mut Market) -> Result<Atoms, RiskError> {
    let id = market.params.id;
    let Some(position) = account.position(id).copied() else { return Ok(Atoms::ZERO) };
    let atoms = funding::unpaid_atoms(&market.funding, &position)?;
    let collateral = fits(account.collateral_atoms.checked_sub(atoms), "collateral")?;
    market.funding_pool_atoms =
        fits(market.funding_pool_atoms.checked_add(atoms), "the funding pool")?;
    account.collateral_atoms = collateral;
    account.position_mut(id).funding_index = market.funding.cumulative_index;
    Ok(atoms)
}

#[cfg(test)]
mod tests;
