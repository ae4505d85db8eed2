//! Closing at the insurance fund's expense (rules §7.4).
//!
//! Of an account with equity `E < 0`, closing lots that release `m` of its maintenance margin `MM`
//! carries the part `D = ⌈−E·m/MM⌉` of its deficit, and no more: the fund pays for lots that close,
//! never for lots that stay open. With the fund's payment the account's share of the closed lots
//! ends at 0, which is their bankruptcy price.

use tidemark_proto::units::{Atoms, Lots, Ppm, Side, SignedLots, Ticks};

use crate::error::{fits, invariant, RiskError};
use crate::health::Health;
use crate::market::Market;
use crate::sharing::most_that_bears;
use crate::zero_price::{ZeroTerms, BANKRUPTCY_SIGMA_PPM};

/// The most lots, of `lots`, that the fund can pay for at its limit price: all of their part of the
/// deficit, and the distance from the mark to the limit. Of fewer lots, or at a better price, the
/// fund owes no more: maintenance margin grows with the lots, and so does the part of the deficit.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn fundable_lots(
    market: &Market,
    held: SignedLots,
    lots: Lots,
    health: &Health,
    limit_ticks: Ticks,
    allowance_atoms: Atoms,
) -> Result<Lots, RiskError> {
    let most = most_that_bears(lots, |lots| {
        let delta = invariant(lots.signed(Side::reducing(held)), "a position is within 63 bits")?;
        let terms = ZeroTerms::of(market, held, delta, health, BANKRUPTCY_SIGMA_PPM)?;
        let bought = fits(limit_ticks.position_atoms(delta, market.k), "a fill at the limit")?;
        // Selling brings what buying so many would cost.
        let owed = fits(terms.quote_atoms.checked_add(bought), "the fund's payment")?;
        Ok::<_, RiskError>((owed <= allowance_atoms).then_some(lots))
    })?;
    Ok(most.unwrap_or(Lots::ZERO))
}

/// Terms on which a keeper takes lots of an account with equity below 0: at the mark less a
/// premium, the fund paying the lots' part of the deficit and the premium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeeperTerms {
    /// Quote that the account gets from the keeper (positive) or pays it.
    pub quote_atoms: Atoms,
    /// A quarter of the maintenance margin that the lots release, but no more than their part of
    /// the deficit.
    pub premium_atoms: Atoms,
    /// Payment of the fund to the account.
    pub owed_atoms: Atoms,
}

/// The premium's part of the maintenance margin that is released.
const PREMIUM_OF_MAINTENANCE_PPM: Ppm = Ppm::new(250_000);

impl KeeperTerms {
    /// For closing `delta_lots`; of fewer lots each amount is no more.
    ///
    /// # Errors
    /// As [`ZeroTerms::of`].
    pub fn of(
        market: &Market,
        held: SignedLots,
        delta_lots: SignedLots,
        health: &Health,
    ) -> Result<Self, RiskError> {
        let terms = ZeroTerms::of(market, held, delta_lots, health, BANKRUPTCY_SIGMA_PPM)?;
        let deficit = terms.quote_atoms.checked_sub(terms.value_fall_atoms);
        let deficit_atoms = fits(deficit, "a deficit")?.max(Atoms::ZERO);
        let quarter = terms.margin_fall_atoms.mul_ppm_floor(PREMIUM_OF_MAINTENANCE_PPM);
        let premium_atoms = fits(quarter, "a premium")?.min(deficit_atoms);
        let quote = terms.value_fall_atoms.checked_sub(premium_atoms);
        let owed = deficit_atoms.checked_add(premium_atoms);
        Ok(Self {
            quote_atoms: fits(quote, "the price of a position")?,
            premium_atoms,
            owed_atoms: fits(owed, "the fund's payment")?,
        })
    }
}

#[cfg(test)]
mod tests;
