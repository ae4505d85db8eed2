//! The debt of an account without positions, and which markets bear it (rules §7.6).

use tidemark_proto::units::{Atoms, MarketId};

use crate::account::{Account, Position};
use crate::error::{fits, invariant, RiskError};
use crate::liquidation::pay_from_fund;
use crate::market::{Market, Treasury};

/// Divides the debt of an account among markets, in proportion to the losses that its lots have
/// realised in them since their positions were opened; by market, ascending. Without a loss all of
/// it is the market's that is given: the debt comes from funding and fees.
///
/// A market bears the debt times the losses up to and with its own over all losses, rounded down,
/// less what the markets before it bear: parts add up to the debt, and each is within an atom of
/// its proportion.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn shares(account: &Account, otherwise: MarketId) -> Result<Vec<(MarketId, Atoms)>, RiskError> {
    let debt = debt_atoms(account)?;
    let losses: Vec<(MarketId, Atoms)> = account.positions.iter().filter_map(loss).collect();
    let all = losses.iter().try_fold(Atoms::ZERO, |sum, (_, loss)| sum.checked_add(*loss));
    let all = fits(all, "losses")?;
    if all.is_zero() || debt.is_zero() {
        return Ok(vec![(otherwise, debt)]);
    }
    let (mut lost, mut borne) = (Atoms::ZERO, Atoms::ZERO);
    let mut parts = Vec::with_capacity(losses.len());
    for (market, loss) in losses {
        lost = lost.saturating_add(loss);
        let until = fits(debt.mul_div_floor(lost.get(), all.get()), "a part of a debt")?;
        let part = fits(until.checked_sub(borne), "a part of a debt")?;
        if !part.is_zero() {
            parts.push((market, part));
        }
        borne = until;
    }
    Ok(parts)
}

/// The loss that an entry's lots have realised, if there is one.
fn loss(position: &Position) -> Option<(MarketId, Atoms)> {
    let loss = position.realised_atoms.min(Atoms::ZERO).checked_neg()?;
    loss.is_positive().then_some((position.market, loss))
}

fn debt_atoms(account: &Account) -> Result<Atoms, RiskError> {
    fits(account.collateral_atoms.min(Atoms::ZERO).checked_neg(), "debt")
}

/// Closes a part of an account's debt: when it holds no position, the insurance fund pays what its
/// bounds allow, and the rest is booked as the market's bad debt. Returns `(paid by the fund,
/// booked)`.
///
/// # Errors
/// `INVALID_ARGUMENT` while a position is open; `OVERFLOW` beyond 127 bits.
pub fn settle(
    account: &mut Account,
    market: &mut Market,
    treasury: &mut Treasury,
    part: Atoms,
) -> Result<(Atoms, Atoms), RiskError> {
    if account.has_position() {
        return Err(RiskError::PositionOpen);
    }
    let part = part.min(debt_atoms(account)?).max(Atoms::ZERO);
    let collateral = fits(account.collateral_atoms.checked_add(part), "collateral")?;
    let booked_total = fits(market.bad_debt_atoms.checked_add(part), "bad debt")?;
    let paid = pay_from_fund(market, treasury, part)?;
    let booked = invariant(part.checked_sub(paid), "the fund pays no more than the debt")?;
    market.bad_debt_atoms =
        invariant(booked_total.checked_sub(paid), "the fund pays no more than the debt")?;
    account.collateral_atoms = collateral;
    Ok((paid, booked))
}

/// Returns true if the entry tells of lots that have closed, and of none that are open.
const fn is_past(position: &Position) -> bool {
    position.lots.is_zero() && !position.realised_atoms.is_zero()
}

/// Returns true if [`forget_closed`] would change an account, where `counts` names the markets
/// whose closed positions still count.
#[must_use]
pub fn has_closed(account: &Account, counts: impl Fn(MarketId) -> bool) -> bool {
    account.positions.iter().any(|position| is_past(position) && !counts(position.market))
}

/// Forgets the losses of positions that are closed, but of markets for which `counts` is true: an
/// account has borne them that could pay, or their debt is booked.
pub fn forget_closed(account: &mut Account, counts: impl Fn(MarketId) -> bool) {
    for position in &mut account.positions {
        if is_past(position) && !counts(position.market) {
            position.realised_atoms = Atoms::ZERO;
        }
    }
}

#[cfg(test)]
mod tests;
