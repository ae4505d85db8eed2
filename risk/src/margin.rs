//! Margin: requirements by tier (rules §§3.3 to 3.5).

use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{Atoms, Ppm, SignedLots};

use crate::account::Position;
use crate::error::{fits, RiskError};
use crate::market::Market;

/// The initial rate after open-interest scaling: `rate` up to `lower`, 100 % from `upper` on,
/// linear between and rounded down to the ppm; `rate` where `upper` is 0. All amounts in atoms of
/// notional.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn effective_initial_ppm(
    rate_ppm: Ppm,
    open_interest_atoms: Atoms,
    oi_lower_atoms: Atoms,
    oi_upper_atoms: Atoms,
) -> Result<Ppm, RiskError> {
    if oi_upper_atoms.is_zero() || open_interest_atoms <= oi_lower_atoms || rate_ppm >= Ppm::ONE {
        return Ok(rate_ppm);
    }
    if open_interest_atoms >= oi_upper_atoms {
        return Ok(Ppm::ONE);
    }
    let rate = rate_ppm.wide();
    let above = open_interest_atoms.checked_sub(oi_lower_atoms);
    let width = oi_upper_atoms.checked_sub(oi_lower_atoms);
    let rise = above.zip(width).and_then(|(above, width)| {
        Ppm::ONE.wide().checked_sub(rate)?.checked_mul(above.get())?.checked_div(width.get())
    });
    let scaled = rise.and_then(|rise| i64::try_from(rate.checked_add(rise)?).ok());
    fits(scaled.map(Ppm::new), "the scaled initial rate")
}

/// The part of a notional that lies within one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierPart {
    /// Where the tier begins, in atoms of notional.
    pub lower_atoms: Atoms,
    /// Where it ends; `Atoms::MAX` for the last.
    pub upper_atoms: Atoms,
    /// Part of the notional that lies between.
    pub part_atoms: Atoms,
    /// The tier's initial rate, after open-interest scaling where that counts.
    pub rate_ppm: Ppm,
}

impl TierPart {
    /// `part·rate`, in 10⁻⁶ atoms; `None` beyond 127 bits.
    fn micro_atoms(&self) -> Option<i128> {
        self.part_atoms.get().checked_mul(self.rate_ppm.wide())
    }
}

/// A notional over tiers: each part of it at its own tier's rate, as far as the notional reaches.
fn tier_parts<'a>(
    tiers: &'a [MarginTier],
    notional_atoms: Atoms,
    rate: impl Fn(Ppm) -> Result<Ppm, RiskError> + 'a,
) -> impl Iterator<Item = Result<TierPart, RiskError>> + 'a {
    let mut lower_atoms = Atoms::ZERO;
    tiers.iter().map_while(move |tier| {
        let (lower, upper_atoms) = (lower_atoms, tier.upper_notional_atoms);
        let part_atoms = notional_atoms.min(upper_atoms).saturating_sub(lower);
        lower_atoms = upper_atoms;
        let part = |rate_ppm| TierPart { lower_atoms: lower, upper_atoms, part_atoms, rate_ppm };
        part_atoms.is_positive().then(|| rate(tier.initial_margin_ppm).map(part))
    })
}

/// Margin of parts, in 10⁻⁶ atoms: `n·rate_t − ded_t`. Exact, continuous, convex, as long as the
/// rates ascend.
fn tiered_micro_atoms(
    mut parts: impl Iterator<Item = Result<TierPart, RiskError>>,
) -> Result<i128, RiskError> {
    parts.try_fold(0_i128, |sum, part| {
        fits(part?.micro_atoms().and_then(|margin| sum.checked_add(margin)), "margin")
    })
}

/// The parts of a notional whose products with their rates are its tiered initial margin, the rates
/// scaled by open interest.
pub fn initial_tiers(
    params: &MarketParams,
    notional_atoms: Atoms,
    open_interest_atoms: Atoms,
) -> impl Iterator<Item = Result<TierPart, RiskError>> + '_ {
    let (lower, upper) = (params.oi_lower_atoms, params.oi_upper_atoms);
    let scaled = move |rate| effective_initial_ppm(rate, open_interest_atoms, lower, upper);
    tier_parts(&params.tiers, notional_atoms, scaled)
}

/// The parts of a notional whose products with their rates maintenance margin is a fraction of: the
/// tiers' own rates.
pub fn maintenance_tiers(
    params: &MarketParams,
    notional_atoms: Atoms,
) -> impl Iterator<Item = Result<TierPart, RiskError>> + '_ {
    tier_parts(&params.tiers, notional_atoms, Ok)
}

/// Initial margin of a notional, rounded up to the atom: the tiers' rates scaled by open interest,
/// or `n/leverage` where that is more; `leverage` 0 is the tiers' most (rules §§3.3 to 3.5).
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn initial_margin(
    params: &MarketParams,
    notional_atoms: Atoms,
    leverage: u32,
    open_interest_atoms: Atoms,
) -> Result<Atoms, RiskError> {
    let tiered = Atoms::from_micro_ceil(tiered_micro_atoms(initial_tiers(
        params,
        notional_atoms,
        open_interest_atoms,
    ))?);
    if leverage == 0 {
        return Ok(tiered);
    }
    let by_leverage = notional_atoms.mul_div_ceil(1, i128::from(leverage));
    Ok(tiered.max(fits(by_leverage, "initial margin")?))
}

/// Maintenance margin of a notional: `ceil(ceil(IM)·fraction)` of the tiers' own initial margin,
/// whatever open interest and leverage are (rules §3.3).
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn maintenance_margin(
    params: &MarketParams,
    notional_atoms: Atoms,
) -> Result<Atoms, RiskError> {
    let initial =
        Atoms::from_micro_ceil(tiered_micro_atoms(maintenance_tiers(params, notional_atoms))?);
    fits(initial.mul_ppm_ceil(params.maintenance_fraction_ppm), "maintenance margin")
}

/// Signed value of lots, which may be a sum beyond 63 bits, at the market's mark: `mark·q·k`.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn marked_atoms(market: &Market, lots: i128) -> Result<Atoms, RiskError> {
    if lots == 0 {
        return Ok(Atoms::ZERO);
    }
    fits(market.value_atoms(market.mark()?, lots), "notional")
}

/// Unrealised profit of a position at the mark, `mark·q·k − c`, funding aside.
///
/// # Errors
/// As [`marked_atoms`].
pub fn unrealised_atoms(market: &Market, position: &Position) -> Result<Atoms, RiskError> {
    let value = marked_atoms(market, position.lots.wide())?;
    fits(value.checked_sub(position.cost_atoms), "unrealised profit")
}

/// A position's value and maintenance margin at the mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marked {
    /// `mark·q·k`, signed.
    pub value_atoms: Atoms,
    /// Its maintenance margin.
    pub maintenance_atoms: Atoms,
}

impl Marked {
    /// Of signed lots.
    ///
    /// # Errors
    /// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
    pub fn of(market: &Market, lots: SignedLots) -> Result<Self, RiskError> {
        let value_atoms = marked_atoms(market, lots.wide())?;
        let notional_atoms = fits(value_atoms.checked_abs(), "notional")?;
        let maintenance_atoms = maintenance_margin(&market.params, notional_atoms)?;
        Ok(Self { value_atoms, maintenance_atoms })
    }
}

#[cfg(test)]
mod tests;
