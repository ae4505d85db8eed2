//! The backstop: keepers take over liquidated positions at the zero price (rules §7.3).

use tidemark_proto::units::{Atoms, MarketId, SignedLots};

use crate::account::Account;
use crate::claim::KeeperTerms;
use crate::error::{fits, RiskError};
use crate::health::Health;
use crate::market::Market;
use crate::position::trade;
use crate::zero_price::zero_quote_delta;

/// Both accounts and the market after a takeover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeoverOutcome {
    /// Who was closed.
    pub closing: Account,
    /// Who took it.
    pub keeper: Account,
    /// The market: funding and open interest.
    pub market: Market,
    /// Quote that the closing account got (positive) or paid; the keeper the opposite.
    pub quote_atoms: Atoms,
    /// The part of it by which the keeper's price is better than the mark, at the fund's expense.
    pub premium_atoms: Atoms,
    /// Payment of the fund to the closing account, not made yet.
    pub owed_atoms: Atoms,
}

/// The price of a takeover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeoverPrice {
    /// The zero price of an account that can still pay: exact, not in whole ticks, and rounded as
    /// [`zero_quote_delta`] rounds.
    Zero,
    /// The mark less a premium, of an account with equity below 0.
    BelowMark,
}

/// `delta_lots` of the closing account's position (the sign is that of its trade) go to the keeper
/// at the price that `health`, the closing account's, gives. No fees.
///
/// # Errors
/// `WOULD_INCREASE` when `delta_lots` does not reduce the position; `STALE_INDEX` without a mark,
/// `OVERFLOW`.
pub fn take_over(
    closing: &Account,
    keeper: &Account,
    market: &Market,
    delta_lots: SignedLots,
    health: &Health,
    price: TakeoverPrice,
) -> Result<TakeoverOutcome, RiskError> {
    let id: MarketId = market.params.id;
    let held = closing.lots(id);
    let (quote_atoms, premium_atoms, owed_atoms) = match price {
        TakeoverPrice::Zero => {
            let sigma_ppm = market.params.zero_price_sigma_ppm;
            let quote = zero_quote_delta(market, held, delta_lots, health, sigma_ppm)?;
            (quote, Atoms::ZERO, Atoms::ZERO)
        }
        TakeoverPrice::BelowMark => {
            let terms = KeeperTerms::of(market, held, delta_lots, health)?;
            (terms.quote_atoms, terms.premium_atoms, terms.owed_atoms)
        }
    };
    let opposite = fits(delta_lots.checked_neg(), "a quantity")?;
    let cost = fits(quote_atoms.checked_neg(), "the price of a position")?;
    let mut after = TakeoverOutcome {
        closing: closing.clone(),
        keeper: keeper.clone(),
        market: market.clone(),
        quote_atoms,
        premium_atoms,
        owed_atoms,
    };
    trade(&mut after.closing, &mut after.market, delta_lots, cost, Atoms::ZERO)?;
    trade(&mut after.keeper, &mut after.market, opposite, quote_atoms, Atoms::ZERO)?;
    Ok(after)
}

/// Part of the keeper's set-aside collateral that a takeover uses up: the fall of its free
/// collateral. So its other collateral never stands for a position that it took over.
///
/// # Errors
/// `INSUFFICIENT_COLLATERAL` when that is more than is set aside, or free collateral was below 0
/// before; `OVERFLOW`.
pub fn set_aside_used_atoms(
    free_before_atoms: Atoms,
    free_after_atoms: Atoms,
    set_aside_atoms: Atoms,
) -> Result<Atoms, RiskError> {
    let fall = fits(free_before_atoms.checked_sub(free_after_atoms), "used collateral")?;
    let used = fall.max(Atoms::ZERO);
    if free_before_atoms.is_negative() || used > set_aside_atoms {
        return Err(RiskError::TakeoverUncovered {
            used_atoms: used,
            set_aside_atoms,
            free_atoms: free_before_atoms,
        });
    }
    Ok(used)
}
