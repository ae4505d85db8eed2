//! Liquidation: stages, steps, fees, the insurance fund's part (rules §7).

use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{
    cmp_products, mul_div_ceil, mul_div_floor, Atoms, AtomsPerTickLot, Lots, MarketId, Ppm,
    SignedLots, Ticks, TimeMs,
};

use crate::account::{Account, Position};
use crate::error::{fits, invariant, RiskError};
use crate::health::Health;
use crate::margin::{marked_atoms, Marked};
use crate::market::{Market, Markets, Treasury};

/// How far an account is beyond what the book alone may do for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Beyond {
    /// Part of maintenance margin below which keepers are asked: the largest of its markets'.
    pub backstop_ppm: Ppm,
    /// True if it [`is_insolvent`].
    pub is_insolvent: bool,
    /// True if the bound of a turn or the budget has kept some lots open for too long.
    pub is_overdue: bool,
}

/// The stage due after `done` (`None` when none was), by the account's health now; `None` when it
/// is over for this block.
///
/// Below maintenance: prune, then book. Below `backstop_ppm` of it: backstop. Insolvent: insurance
/// fund, then ADL. What is overdue goes on to backstop and ADL whatever equity is. Equity below 0
/// without a position: bad debt (rules §7.8).
#[must_use]
pub fn next_stage(
    done: Option<LiquidationStage>,
    health: &Health,
    has_position: bool,
    beyond: Beyond,
) -> Option<LiquidationStage> {
    if !has_position {
        return (health.equity_atoms.is_negative() && done != Some(LiquidationStage::BadDebt))
            .then_some(LiquidationStage::BadDebt);
    }
    if !health.is_liquidatable() {
        return None;
    }
    let goes_on = beyond.is_insolvent || beyond.is_overdue;
    match done {
        None => Some(LiquidationStage::Prune),
        Some(LiquidationStage::Prune) => Some(LiquidationStage::Book),
        Some(LiquidationStage::Book) => {
            let asks_keepers = goes_on || takes_at_zero_price(health, beyond.backstop_ppm);
            asks_keepers.then_some(LiquidationStage::Backstop)
        }
        Some(LiquidationStage::Backstop) if beyond.is_insolvent => {
            Some(LiquidationStage::InsuranceFund)
        }
        Some(LiquidationStage::Backstop | LiquidationStage::InsuranceFund) => {
            goes_on.then_some(LiquidationStage::Adl)
        }
        Some(LiquidationStage::Adl | LiquidationStage::BadDebt) => None,
    }
}

/// Equity below 0 at the mark and with every index in place of its mark: no book of perpetuals has
/// made the loss, and nothing but a deficit is left to take (rules §7.4).
#[must_use]
pub fn is_insolvent(health: &Health, equity_at_indices_atoms: Atoms) -> bool {
    health.equity_atoms.is_negative() && equity_at_indices_atoms.is_negative()
}

/// `0 ≤ E < backstop_ppm·MM`: keepers take what the book leaves, at the zero price.
#[must_use]
pub fn takes_at_zero_price(health: &Health, backstop_ppm: Ppm) -> bool {
    !health.equity_atoms.is_negative() && is_deep(health, backstop_ppm)
}

/// `E < backstop_ppm·MM`: the book alone will not do.
#[must_use]
pub fn is_deep(health: &Health, backstop_ppm: Ppm) -> bool {
    let (equity, maintenance) = (health.equity_atoms.get(), health.maintenance_atoms.get());
    cmp_products(equity, Ppm::ONE.wide(), maintenance, backstop_ppm.wide()).is_lt()
}

/// The part of a large position that one block closes of an account whose equity is below two
/// thirds of its maintenance margin.
const DEEP_PART_PPM: Ppm = Ppm::new(500_000);

/// How many lots of a position one block closes (rules §7.2): all of it up to `partial_liquidation`
/// of notional, and whatever its size once equity is below 0; of a larger one its part where
/// `3E ≥ 2MM`, else a half or the part, whichever is more. Rounded up.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn step_lots(market: &Market, lots: SignedLots, health: &Health) -> Result<Lots, RiskError> {
    let (held, params) = (lots.unsigned_abs(), &market.params);
    if health.equity_atoms.is_negative()
        || marked_atoms(market, held.wide())? <= params.partial_liquidation_atoms
    {
        return Ok(held);
    }
    let (equity, maintenance) = (health.equity_atoms.get(), health.maintenance_atoms.get());
    let is_shallow = cmp_products(equity, 3, maintenance, 2).is_ge();
    let part_ppm = if is_shallow {
        params.partial_liquidation_ppm
    } else {
        params.partial_liquidation_ppm.max(DEEP_PART_PPM)
    };
    let part = mul_div_ceil(held.wide(), part_ppm.wide(), Ppm::ONE.wide());
    let part = part.and_then(|part| u64::try_from(part).ok()).map(Lots::new);
    let part = invariant(part, "a part of a position is no more than all of it")?;
    Ok(part.clamp(Lots::ONE, held.max(Lots::ONE)))
}

/// Notional for each maker that a turn of the book stage may visit.
const NOTIONAL_PER_MAKER: Atoms = Atoms::from_usdc(2_000);

/// Least and most makers that a turn of the book stage may visit.
const TURN_MAKERS: (i128, i128) = (500, 5_000);

/// How many makers one turn of the book stage visits at most: `notional / 2 000 USDC`, within 500
/// and 5 000 (rules §7.2). So dust at the best price stops no liquidation of a large position.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn turn_makers(market: &Market, lots: Lots) -> Result<u32, RiskError> {
    let notional = marked_atoms(market, lots.wide())?;
    let makers = mul_div_floor(notional.get(), 1, NOTIONAL_PER_MAKER.get());
    let makers = makers.unwrap_or(i128::MAX).clamp(TURN_MAKERS.0, TURN_MAKERS.1);
    invariant(u32::try_from(makers).ok(), "a turn's makers are at most 5 000")
}

/// The account's open positions in the order in which they are closed: largest maintenance margin
/// first, ties by market.
///
/// # Errors
/// `UNKNOWN_MARKET`, `STALE_INDEX`, `OVERFLOW`.
pub fn closing_order(
    account: &Account,
    markets: &(impl Markets + ?Sized),
) -> Result<Vec<(MarketId, SignedLots)>, RiskError> {
    let mut order = Vec::new();
    for Position { market, lots, .. } in
        account.positions.iter().filter(|position| !position.lots.is_zero())
    {
        let marked = Marked::of(markets.existing(*market)?, *lots)?;
        order.push((std::cmp::Reverse(marked.maintenance_atoms), *market, *lots));
    }
    order.sort_unstable();
    Ok(order.into_iter().map(|(_, market, lots)| (market, lots)).collect())
}

/// Who pays whom for a liquidation fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillOutcome {
    /// At the zero price or better: the account pays the insurance fund this fee.
    Fee(Atoms),
    /// Beyond the zero price: the insurance fund owes the account this difference.
    FundPays(Atoms),
}

/// The most that a liquidation fill pays the insurance fund by its notional:
/// `floor(notional·liquidation_fee)`.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn fee_cap_atoms(
    fill_quote_delta_atoms: Atoms,
    liquidation_fee_ppm: Ppm,
) -> Result<Atoms, RiskError> {
    let notional = fits(fill_quote_delta_atoms.checked_abs(), "notional")?;
    fits(notional.mul_ppm_floor(liquidation_fee_ppm), "a liquidation fee")
}

/// The part of the maintenance margin that closing releases, which the fee takes at most: whoever
/// is closed at the mark keeps three quarters of the maintenance margin at every leverage.
const FEE_OF_MAINTENANCE_PPM: Ppm = Ppm::new(250_000);

/// The most that a liquidation fill pays the insurance fund by the maintenance margin that it
/// releases: a quarter, rounded down.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn maintenance_fee_cap_atoms(margin_fall_atoms: Atoms) -> Result<Atoms, RiskError> {
    fits(margin_fall_atoms.mul_ppm_floor(FEE_OF_MAINTENANCE_PPM), "a liquidation fee")
}

/// The liquidation fee of a fill, its improvement over the zero price but at most `fee_cap_atoms`,
/// or what the fund owes when the fill is beyond the zero price (rules §§7.2, 7.4). Both quotes are
/// signed as the account's quote changes, for the same lots.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn fill_outcome(
    fill_quote_delta_atoms: Atoms,
    zero_quote_delta_atoms: Atoms,
    fee_cap_atoms: Atoms,
) -> Result<FillOutcome, RiskError> {
    let improvement = fits(
        fill_quote_delta_atoms.checked_sub(zero_quote_delta_atoms),
        "the improvement of a fill",
    )?;
    if improvement.is_negative() {
        let owed_atoms = fits(improvement.checked_neg(), "the improvement of a fill")?;
        return Ok(FillOutcome::FundPays(owed_atoms));
    }
    Ok(FillOutcome::Fee(improvement.min(fee_cap_atoms)))
}

/// The worst price at which the fund closes a position: `mark − fund_slippage` for a long being
/// sold, rounded up; `mark + fund_slippage` for a short being bought, rounded down (rules §7.4).
///
/// # Errors
/// `STALE_INDEX` without a mark.
pub fn fund_limit_ticks(market: &Market, lots: SignedLots) -> Result<Ticks, RiskError> {
    let (low, high) =
        tidemark_oracle::mark::band_ticks(market.mark()?, market.params.fund_slippage_ppm);
    Ok(if lots.is_positive() { low } else { high })
}

/// Amount that the market's insurance fund may still pay in this block: what its buckets and the
/// market's cap leave; nothing for some blocks after a halt or a stale index.
#[must_use]
pub fn fund_allowance_atoms(market: &Market, treasury: &Treasury) -> Atoms {
    if market.claimless_blocks > 0 {
        return Atoms::ZERO;
    }
    let bucket = &market.fund_bucket;
    // A cap that was lowered in the middle of a block allows nothing more in it.
    let cap = market.params.fund_block_cap_atoms.saturating_sub(bucket.drawn_in_block_atoms());
    let own = bucket.left_atoms(market.bucket_atoms(treasury));
    let all = if market.params.isolated_only {
        own
    } else {
        treasury.bucket.left_atoms(treasury.bucket_atoms())
    };
    market.fund_atoms(treasury).min(cap).min(own).min(all).max(Atoms::ZERO)
}

/// The fund's [allowance](fund_allowance_atoms) for a market in the next block, once a block is
/// over, and the blocks for which it pays nothing from then on.
#[must_use]
pub fn next_allowance(market: &Market, treasury: &Treasury) -> (Atoms, u32) {
    let (mut market, mut treasury) = (market.clone(), *treasury);
    market.pass(&treasury, TimeMs::ZERO, true);
    treasury.pass(TimeMs::ZERO);
    (fund_allowance_atoms(&market, &treasury), market.claimless_blocks)
}

/// Pays `owed` out of the insurance fund as far as its bounds allow, and returns what was paid: the
/// caller credits it.
///
/// # Errors
/// [`RiskError::Invariant`] if a fund within its bounds could not pay.
pub fn pay_from_fund(
    market: &mut Market,
    treasury: &mut Treasury,
    owed_atoms: Atoms,
) -> Result<Atoms, RiskError> {
    let paid = owed_atoms.min(fund_allowance_atoms(market, treasury)).max(Atoms::ZERO);
    if paid.is_zero() {
        return Ok(paid);
    }
    // What was paid is positive and within the fund: its negative does not saturate.
    let change = market.change_fund(treasury, paid.saturating_neg());
    invariant(change.ok(), "the fund pays no more than it has")?;
    market.fund_bucket.draw(paid);
    if !market.params.isolated_only {
        treasury.bucket.draw(paid);
    }
    Ok(paid)
}

/// The mark at which the account's equity would equal its maintenance margin, all other markets as
/// they are: for display. Rounded away from the position's profit: up for a long, down for a short.
/// `None` where no such price exists.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn liquidation_price(
    market: &Market,
    lots: SignedLots,
    health: &Health,
) -> Result<Option<Ticks>, RiskError> {
    let now = Marked::of(market, lots)?;
    // At price p: E + p·q·k − value_now = other MM + MM(p·|q|·k), where MM is linear within a tier.
    let others = health.maintenance_atoms.checked_sub(now.maintenance_atoms);
    let left = others
        .and_then(|others| health.equity_atoms.checked_sub(now.value_atoms)?.checked_sub(others));
    let left = fits(left, "the liquidation price")?;
    tier_prices(&market.params, market.k, lots, left)
}

/// Solves `left + p·q·k = MM(p·|q|·k)` tier by tier.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "2⁶³ lots of less than 2⁶⁴ atoms a tick, and products of two checked rates"
)]
fn tier_prices(
    params: &MarketParams,
    k: AtomsPerTickLot,
    lots: SignedLots,
    left: Atoms,
) -> Result<Option<Ticks>, RiskError> {
    const PPM_2: i128 = Ppm::ONE.wide() * Ppm::ONE.wide();
    let (left, size) = (left.get(), lots.unsigned_abs().wide() * k.wide());
    let (mut lower, mut rate_below, mut deduction) = (0_i128, 0_i128, 0_i128);
    for tier in &params.tiers {
        // Maintenance rate in 10⁻¹²; the deduction in 10⁻¹² atoms.
        let rate = tier.initial_margin_ppm.wide() * params.maintenance_fraction_ppm.wide();
        let step = fits(lower.checked_mul(rate - rate_below), "the liquidation price")?;
        deduction = fits(deduction.checked_add(step), "the liquidation price")?;
        // left·10¹² + deduction = p·size·(rate ∓ 10¹²)
        let slope = if lots.is_positive() { rate - PPM_2 } else { rate + PPM_2 };
        let above = left.checked_mul(PPM_2).and_then(|left| left.checked_add(deduction));
        let above = fits(above, "the liquidation price")?;
        let divisor = fits(size.checked_mul(slope.abs()), "the liquidation price")?;
        let scaled = if slope < 0 { above.checked_neg() } else { Some(above) };
        let scaled = fits(scaled, "the liquidation price")?;
        let price = if lots.is_positive() {
            mul_div_ceil(scaled, 1, divisor)
        } else {
            mul_div_floor(scaled, 1, divisor)
        };
        // Margin never grows faster than equity moves, so there is one root; it is the first that
        // its own tier reaches.
        if let Some(price) = price {
            let upper = tier.upper_notional_atoms.get();
            if price.checked_mul(size).is_some_and(|notional| notional <= upper) {
                let price = u64::try_from(price).ok().map(Ticks::new);
                return Ok(price.filter(|price| !price.is_zero()));
            }
        }
        (lower, rate_below) = (tier.upper_notional_atoms.get(), rate);
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
