//! The zero price (rules §7.9).
//!
//! The zero price of a position is the price at which closing any part of it leaves the ratio of
//! equity to maintenance margin of its account as it is: the part of equity that goes with the lots
//! is to all equity as their maintenance margin is to all of it. A factor σ scales that part. At
//! σ = 1 the zero price is the **bankruptcy price**: a position alone in its account is closed with
//! nothing left. A market has a σ of its own for the book, keepers and the insurance fund
//! (`zero_price_sigma_ppm`); deleveraging closes at the bankruptcy price.

use tidemark_proto::units::{mul_div_ceil, Atoms, AtomsPerTickLot, Lots, Ppm, SignedLots, Ticks};

use crate::error::{fits, RiskError};
use crate::health::Health;
use crate::margin::Marked;
use crate::market::Market;
use crate::position::check_reduces;

/// σ of the bankruptcy price: closing takes along its whole share of the equity, or deficit.
pub const BANKRUPTCY_SIGMA_PPM: Ppm = Ppm::ONE;

/// The quote that `delta_lots` must bring the account at its bankruptcy price: [`zero_quote_delta`]
/// at σ = 1.
///
/// # Errors
/// As [`zero_quote_delta`].
pub fn bankruptcy_quote_delta(
    market: &Market,
    lots: SignedLots,
    delta_lots: SignedLots,
    health: &Health,
) -> Result<Atoms, RiskError> {
    zero_quote_delta(market, lots, delta_lots, health, BANKRUPTCY_SIGMA_PPM)
}

/// The quote that `delta_lots` must bring the account at its zero price: at least this when
/// positive, at most its negative is paid when negative. `−ΔPNN − floor(σ·E·|ΔPMM|/MM)`: the
/// division rounds down and is subtracted, so the result rounds up, for the account, and `E/MM`
/// never falls by it. Where `MM` is 0 the mark is the zero price.
///
/// `lots` is the position, `delta_lots` what closes of it; equity and maintenance margin are the
/// account's.
///
/// # Errors
/// As [`check_reduces`]; `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn zero_quote_delta(
    market: &Market,
    lots: SignedLots,
    delta_lots: SignedLots,
    health: &Health,
    sigma_ppm: Ppm,
) -> Result<Atoms, RiskError> {
    ZeroTerms::of(market, lots, delta_lots, health, sigma_ppm).map(|terms| terms.quote_atoms)
}

/// The terms of [`zero_quote_delta`]: `quote = value_fall − floor(σ·E·margin_fall/MM)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeroTerms {
    /// Lots that close: negative of a long, positive of a short.
    pub delta_lots: SignedLots,
    /// Fall of the position's value at the mark, signed: `−ΔPNN`.
    pub value_fall_atoms: Atoms,
    /// Fall of its maintenance margin: `|ΔPMM|`. Of the value it is the rule's `mmr`.
    pub margin_fall_atoms: Atoms,
    /// `floor(σ·E·margin_fall/MM)`: the part of equity that closing takes with it; 0 where `MM` is.
    pub equity_share_atoms: Atoms,
    /// Quote that `delta_lots` must bring.
    pub quote_atoms: Atoms,
}

impl ZeroTerms {
    /// Of a position of `lots`, `delta_lots` of which close.
    ///
    /// # Errors
    /// As [`zero_quote_delta`].
    pub fn of(
        market: &Market,
        lots: SignedLots,
        delta_lots: SignedLots,
        health: &Health,
        sigma_ppm: Ppm,
    ) -> Result<Self, RiskError> {
        check_reduces(lots, delta_lots)?;
        let before = Marked::of(market, lots)?;
        let rest = fits(lots.checked_add(delta_lots), "a position")?;
        let after = Marked::of(market, rest)?;
        let value_fall = before.value_atoms.checked_sub(after.value_atoms);
        let value_fall_atoms = fits(value_fall, "a position's value")?;
        let margin_fall = after.maintenance_atoms.checked_sub(before.maintenance_atoms);
        let margin_fall_atoms =
            fits(margin_fall.and_then(Atoms::checked_abs), "maintenance margin")?;
        let equity_share_atoms = equity_share_atoms(health, margin_fall_atoms, sigma_ppm)?;
        let quote_atoms = fits(value_fall_atoms.checked_sub(equity_share_atoms), "the zero price")?;
        Ok(Self {
            delta_lots,
            value_fall_atoms,
            margin_fall_atoms,
            equity_share_atoms,
            quote_atoms,
        })
    }
}

/// `floor(σ·E·margin_fall/MM)`.
fn equity_share_atoms(
    health: &Health,
    margin_fall: Atoms,
    sigma_ppm: Ppm,
) -> Result<Atoms, RiskError> {
    if !health.maintenance_atoms.is_positive() {
        return Ok(Atoms::ZERO);
    }
    let scaled = health.equity_atoms.checked_mul(sigma_ppm.wide());
    let share = scaled.zip(health.maintenance_atoms.checked_mul(Ppm::ONE.wide())).and_then(
        |(equity, maintenance)| equity.mul_div_floor(margin_fall.get(), maintenance.get()),
    );
    fits(share, "the zero price")
}

/// A zero price in ticks, from the quote that `delta_lots` must bring: rounded up for a long being
/// sold, down for a short being bought. A sale's is at least 1 tick. 0 for a purchase: no price is
/// low enough.
///
/// # Errors
/// `OVERFLOW` when it passes 64 bits, `INVALID_ARGUMENT` for no lots.
#[expect(clippy::arithmetic_side_effects, reason = "2⁶³ lots of less than 2⁶⁴ atoms a tick")]
pub fn zero_price_ticks(
    k: AtomsPerTickLot,
    delta_lots: SignedLots,
    quote_delta_atoms: Atoms,
) -> Result<Ticks, RiskError> {
    let lots_k = delta_lots.unsigned_abs().wide() * k.wide();
    if lots_k == 0 {
        return Err(RiskError::NoLots);
    }
    let ceiling = fits(mul_div_ceil(quote_delta_atoms.get(), 1, lots_k), "the zero price")?;
    let ticks = if delta_lots.is_negative() {
        ceiling.max(1)
    } else {
        // At most its negative: floor(−x/n) = −ceil(x/n).
        ceiling.saturating_neg().max(0)
    };
    fits(u64::try_from(ticks).ok().map(Ticks::new), "the zero price")
}

/// The zero price of a whole position at its market's σ: `mark·(1 ∓ σ·mmr·E/MM)`.
///
/// # Errors
/// `WOULD_INCREASE` without a position; `STALE_INDEX` without a mark, `OVERFLOW`.
pub fn zero_price(market: &Market, lots: SignedLots, health: &Health) -> Result<Ticks, RiskError> {
    let delta = fits(lots.checked_neg(), "a position")?;
    let quote = zero_quote_delta(market, lots, delta, health, market.params.zero_price_sigma_ppm)?;
    zero_price_ticks(market.k, delta, quote)
}

/// The worst price at which an exit may rest once free collateral is below 0: at it, no fill of any
/// part of the position, in any order, lowers `E/MM`. Every lot releases maintenance margin of the
/// first tier's rate at least, so the price is that of a position which has only this rate: with
/// one tier it is the zero price. Below 0 of equity the rate is that of the tier in which the
/// position ends. Two atoms a lot are for the roundings of maintenance margin.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn resting_zero_price(
    market: &Market,
    lots: SignedLots,
    health: &Health,
) -> Result<Ticks, RiskError> {
    let roundings = Atoms::new(2);
    let one = fits(market.mark()?.notional_atoms(Lots::ONE, market.k), "notional")?;
    let notional = fits(Marked::of(market, lots)?.value_atoms.checked_abs(), "notional")?;
    let (tiers, fraction) = (&market.params.tiers, market.params.maintenance_fraction_ppm);
    let margin = if health.equity_atoms.is_negative() {
        let last = tiers.iter().find(|tier| notional <= tier.upper_notional_atoms);
        let rate = last.or(tiers.last()).map_or(Ppm::ONE, |tier| tier.initial_margin_ppm);
        let most = one.mul_ppm_ceil(rate).and_then(|margin| margin.mul_ppm_ceil(fraction));
        most.and_then(|margin| margin.checked_add(roundings))
    } else {
        let rate = tiers.first().map_or(Ppm::ZERO, |tier| tier.initial_margin_ppm);
        let least = one.mul_ppm_floor(rate).and_then(|margin| margin.mul_ppm_floor(fraction));
        least.map(|margin| margin.saturating_sub(roundings).max(Atoms::ZERO))
    };
    let sigma_ppm = market.params.zero_price_sigma_ppm;
    let share = equity_share_atoms(health, fits(margin, "maintenance margin")?, sigma_ppm)?;
    let (delta, quote) = if lots.is_positive() {
        (SignedLots::new(-1), one.checked_sub(share))
    } else {
        (SignedLots::new(1), one.checked_add(share).and_then(Atoms::checked_neg))
    };
    zero_price_ticks(market.k, delta, fits(quote, "the zero price")?)
}
