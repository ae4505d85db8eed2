//! Fees: tiers by volume, rebates, and where the money goes (rules §6).

use tidemark_proto::params::FeeTier;
use tidemark_proto::units::{Atoms, Ppm};

use crate::error::{fits, RiskError};
use crate::market::{Market, Treasury};

/// An account's fee rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeeRates {
    /// As maker; negative is a rebate.
    pub maker_ppm: Ppm,
    /// As taker.
    pub taker_ppm: Ppm,
}

/// The rates for a traded volume (rules §6.1): those of the last tier that it reaches. `tiers`
/// ascend; none at all means no fees.
#[must_use]
pub fn rates(tiers: &[FeeTier], volume_atoms: Atoms) -> FeeRates {
    let reached =
        tiers.iter().rev().find(|tier| tier.min_volume_atoms <= volume_atoms).or(tiers.first());
    reached.map_or(FeeRates::default(), |tier| FeeRates {
        maker_ppm: tier.maker_ppm,
        taker_ppm: tier.taker_ppm,
    })
}

/// The highest rate as a taker from a traded volume on: tiers need not descend, and an order's own
/// fills add to the volume.
#[must_use]
pub fn highest_taker_ppm(tiers: &[FeeTier], volume_atoms: Atoms) -> Ppm {
    let later = tiers.iter().filter(|tier| tier.min_volume_atoms > volume_atoms);
    let now = rates(tiers, volume_atoms).taker_ppm;
    later.map(|tier| tier.taker_ppm).fold(now, Ppm::max)
}

/// The highest rate of any tier: what open orders reserve, so that an account whose volume falls
/// stays covered.
#[must_use]
pub fn max_fee_ppm(tiers: &[FeeTier]) -> Ppm {
    let highest = tiers.iter().map(|tier| tier.maker_ppm.max(tier.taker_ppm)).max();
    highest.map_or(Ppm::ZERO, |rate| rate.max(Ppm::ZERO))
}

/// The fees of one trade.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TradeFees {
    /// Paid by the taker; at least 0.
    pub taker_atoms: Atoms,
    /// Paid by the maker; negative is its rebate, at most what the taker paid.
    pub maker_atoms: Atoms,
}

impl TradeFees {
    /// Part that the chain keeps; at least 0. A rebate is at most the taker's fee, and fees are
    /// parts of a notional, so that no sum saturates.
    #[must_use]
    pub fn net_atoms(&self) -> Atoms {
        self.taker_atoms.saturating_add(self.maker_atoms)
    }
}

/// The fees of a trade (rules §6.2): fees rounded up, a rebate rounded down and no more than the
/// taker's fee.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn trade_fees(
    notional_atoms: Atoms,
    maker_ppm: Ppm,
    taker_ppm: Ppm,
) -> Result<TradeFees, RiskError> {
    // Up for a negative product too: −ceil(−x) is floor(x), a smaller rebate.
    let fee = |rate: Ppm| fits(notional_atoms.mul_ppm_ceil(rate), "a fee");
    let taker_atoms = fee(taker_ppm.max(Ppm::ZERO))?;
    let most_rebate = fits(taker_atoms.checked_neg(), "a fee")?;
    Ok(TradeFees { taker_atoms, maker_atoms: fee(maker_ppm)?.max(most_rebate) })
}

/// Takes in a fee (rules §6.3): the market's bad debt is repaid first, then the market's insurance
/// fund gets its part, rounded up, and the validators the rest.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits; nothing has changed then.
pub fn collect(
    fee_atoms: Atoms,
    insurance_fee_ppm: Ppm,
    market: &mut Market,
    treasury: &mut Treasury,
) -> Result<(), RiskError> {
    let repaid = fee_atoms.min(market.bad_debt_atoms).max(Atoms::ZERO);
    let rest = fits(fee_atoms.checked_sub(repaid), "a fee")?;
    let part = insurance_fee_ppm.clamp(Ppm::ZERO, Ppm::ONE);
    let insurance = fits(rest.mul_ppm_ceil(part), "a fee")?;
    let validators = fits(rest.checked_sub(insurance), "a fee")?;
    let validators_total =
        fits(treasury.validators_atoms.checked_add(validators), "the validators' pool")?;
    let bad_debt = fits(market.bad_debt_atoms.checked_sub(repaid), "bad debt")?;
    market.change_fund(treasury, insurance)?;
    market.bad_debt_atoms = bad_debt;
    treasury.validators_atoms = validators_total;
    Ok(())
}

#[cfg(test)]
mod tests;
