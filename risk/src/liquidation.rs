//! Liquidation: zero price, steps, fees, the insurance fund's part (rules §7).

use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Atoms, Lots, MarketId, Ppm, SignedLots, Ticks, PPM};

use crate::account::{Account, Position};
use crate::error::{fits, RiskError};
use crate::margin::{maintenance_margin, marked_atoms, Health};
use crate::market::{Market, Markets, Treasury};
use crate::math::{cmp_products, mul_div_ceil, mul_div_floor};

/// The stage due after `done` (`None` when none was), by the account's health now; `None` when it
/// is over for this block.
///
/// Below maintenance: prune, then book. Below `backstop_ppm` of it: backstop; what backstop leaves,
/// or equity below 0: insurance fund, then ADL. Equity below 0 without a position: bad debt.
#[must_use]
pub fn next_stage(
    done: Option<LiquidationStage>,
    health: &Health,
    has_position: bool,
    backstop_ppm: Ppm,
) -> Option<LiquidationStage> {
    if !has_position {
        return (health.equity_atoms < 0 && done != Some(LiquidationStage::BadDebt))
            .then_some(LiquidationStage::BadDebt);
    }
    if !health.is_liquidatable() {
        return None;
    }
    let is_deep = is_deep(health, backstop_ppm);
    match done {
        None => Some(LiquidationStage::Prune),
        Some(LiquidationStage::Prune) => Some(LiquidationStage::Book),
        Some(LiquidationStage::Book) if health.equity_atoms < 0 => {
            Some(LiquidationStage::InsuranceFund)
        }
        Some(LiquidationStage::Book) => is_deep.then_some(LiquidationStage::Backstop),
        Some(LiquidationStage::Backstop) => is_deep.then_some(LiquidationStage::InsuranceFund),
        Some(LiquidationStage::InsuranceFund) => is_deep.then_some(LiquidationStage::Adl),
        Some(LiquidationStage::Adl | LiquidationStage::BadDebt) => None,
    }
}

/// `E < backstop_ppm·MM`: the book alone will not do.
#[must_use]
pub fn is_deep(health: &Health, backstop_ppm: Ppm) -> bool {
    cmp_products(health.equity_atoms, PPM, health.maintenance_atoms, i128::from(backstop_ppm))
        .is_lt()
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
        let value_atoms = marked_atoms(market, i128::from(lots))?;
        Ok(Self {
            value_atoms,
            maintenance_atoms: maintenance_margin(&market.params, value_atoms.abs())?,
        })
    }
}

/// Checks that `delta_lots` reduces a position of `lots` and no more.
///
/// # Errors
/// `WOULD_INCREASE` for no delta, no position, the position's own side, or more than it.
pub fn check_reduces(lots: SignedLots, delta_lots: SignedLots) -> Result<(), RiskError> {
    let reduces = lots.signum() * delta_lots.signum() == -1
        && delta_lots.unsigned_abs() <= lots.unsigned_abs();
    if reduces {
        return Ok(());
    }
    Err(RiskError::DoesNotReduce { delta_lots, held_lots: lots })
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
        let after = Marked::of(market, lots + delta_lots)?;
        let value_fall = before.value_atoms.checked_sub(after.value_atoms);
        let value_fall_atoms = fits(value_fall, "a position's value")?;
        let margin_fall = after.maintenance_atoms.checked_sub(before.maintenance_atoms);
        let margin_fall_atoms = fits(margin_fall, "maintenance margin")?.abs();
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
    if health.maintenance_atoms <= 0 {
        return Ok(0);
    }
    let scaled = health.equity_atoms.checked_mul(i128::from(sigma_ppm));
    let share = scaled
        .zip(health.maintenance_atoms.checked_mul(PPM))
        .and_then(|(equity, maintenance)| mul_div_floor(equity, margin_fall, maintenance));
    fits(share, "the zero price")
}

/// A zero price in ticks, from the quote that `delta_lots` must bring: rounded up for a long being
/// sold, down for a short being bought. A sale's is at least 1 tick. 0 for a purchase: no price is
/// low enough.
///
/// # Errors
/// `OVERFLOW` when it passes 64 bits, `INVALID_ARGUMENT` for no lots.
pub fn zero_price_ticks(
    k: u64,
    delta_lots: SignedLots,
    quote_delta_atoms: Atoms,
) -> Result<Ticks, RiskError> {
    let lots_k = i128::from(delta_lots.unsigned_abs()) * i128::from(k);
    if lots_k == 0 {
        return Err(RiskError::NoLots);
    }
    let ticks = if delta_lots < 0 {
        fits(mul_div_ceil(quote_delta_atoms, 1, lots_k), "the zero price")?.max(1)
    } else {
        // At most its negative: floor(−x/n) = −ceil(x/n).
        fits(mul_div_ceil(quote_delta_atoms, 1, lots_k), "the zero price")?.saturating_neg().max(0)
    };
    fits(Ticks::try_from(ticks).ok(), "the zero price")
}

/// The zero price of a whole position: `mark·(1 ∓ σ·mmr·E/MM)` (rules §7.9).
///
/// # Errors
/// `WOULD_INCREASE` without a position; `STALE_INDEX` without a mark, `OVERFLOW`.
pub fn zero_price(market: &Market, lots: SignedLots, health: &Health) -> Result<Ticks, RiskError> {
    let delta = fits(lots.checked_neg(), "a position")?;
    let quote = zero_quote_delta(market, lots, delta, health, market.params.zero_price_sigma_ppm)?;
    zero_price_ticks(market.k, delta, quote)
}

/// How many lots of a position one block closes: all of it up to `partial_liquidation` of notional,
/// above it its part, rounded up (rules §7.2).
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn step_lots(market: &Market, lots: SignedLots) -> Result<Lots, RiskError> {
    let held = lots.unsigned_abs();
    if marked_atoms(market, i128::from(held))? <= market.params.partial_liquidation_atoms {
        return Ok(held);
    }
    let part =
        mul_div_ceil(i128::from(held), i128::from(market.params.partial_liquidation_ppm), PPM);
    Ok(part.and_then(|part| Lots::try_from(part).ok()).map_or(held, |part| part.clamp(1, held)))
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
        account.positions.iter().filter(|position| position.lots != 0)
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

/// The most that a liquidation fill pays the insurance fund: `floor(notional·liquidation_fee)`.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn fee_cap_atoms(
    fill_quote_delta_atoms: Atoms,
    liquidation_fee_ppm: Ppm,
) -> Result<Atoms, RiskError> {
    let notional = fits(fill_quote_delta_atoms.checked_abs(), "notional")?;
    fits(mul_div_floor(notional, i128::from(liquidation_fee_ppm), PPM), "a liquidation fee")
}

/// The liquidation fee of a fill,
/// `min(improvement over the zero price, floor(notional·liquidation_fee))`, or what the fund owes
/// when the fill is beyond the zero price (rules §§7.2, 7.4). Both amounts are signed as the
/// account's quote changes, for the same lots.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn fill_outcome(
    fill_quote_delta_atoms: Atoms,
    zero_quote_delta_atoms: Atoms,
    liquidation_fee_ppm: Ppm,
) -> Result<FillOutcome, RiskError> {
    let improvement = fits(
        fill_quote_delta_atoms.checked_sub(zero_quote_delta_atoms),
        "the improvement of a fill",
    )?;
    if improvement < 0 {
        return Ok(FillOutcome::FundPays(-improvement));
    }
    Ok(FillOutcome::Fee(
        improvement.min(fee_cap_atoms(fill_quote_delta_atoms, liquidation_fee_ppm)?),
    ))
}

/// The worst price at which the fund closes a position: `mark − fund_slippage` for a long being
/// sold, rounded up; `mark + fund_slippage` for a short being bought, rounded down (rules §7.4).
///
/// # Errors
/// `STALE_INDEX` without a mark.
pub fn fund_limit_ticks(market: &Market, lots: SignedLots) -> Result<Ticks, RiskError> {
    let (low, high) =
        tidemark_oracle::mark::band_ticks(market.mark()?, market.params.fund_slippage_ppm);
    Ok(if lots > 0 { low } else { high })
}

/// Amount that the market's insurance fund may still pay in this block.
#[must_use]
pub fn fund_allowance_atoms(market: &Market, treasury: &Treasury) -> Atoms {
    let cap = market.params.fund_block_cap_atoms.saturating_sub(market.fund_spent_in_block_atoms);
    market.fund_atoms(treasury).min(cap).max(0)
}

/// The most lots, of `lots`, that the fund can pay for at its limit price, each at
/// `|zero − limit|·k` at worst.
#[must_use]
pub fn fundable_lots(
    zero_ticks: Ticks,
    limit_ticks: Ticks,
    k: u64,
    allowance_atoms: Atoms,
    lots: Lots,
) -> Lots {
    let per_lot = i128::from(zero_ticks.abs_diff(limit_ticks)).checked_mul(i128::from(k));
    match per_lot {
        Some(0) => lots,
        Some(per_lot) => Lots::try_from(allowance_atoms.max(0) / per_lot).unwrap_or(lots).min(lots),
        None => 0,
    }
}

/// Returns true if a change leaves the insurance fund at 0 or above; a gain always does.
#[must_use]
pub fn fund_can_cover(balance_atoms: Atoms, delta_atoms: Atoms) -> bool {
    delta_atoms >= 0 || balance_atoms.checked_add(delta_atoms).is_some_and(|after| after >= 0)
}

/// Pays `owed` out of the insurance fund as far as its caps allow, and returns what was paid: the
/// caller credits it.
pub fn pay_from_fund(market: &mut Market, treasury: &mut Treasury, owed_atoms: Atoms) -> Atoms {
    let paid = owed_atoms.min(fund_allowance_atoms(market, treasury)).max(0);
    if !fund_can_cover(market.fund_atoms(treasury), -paid)
        || market.change_fund(treasury, -paid).is_err()
    {
        return 0;
    }
    market.fund_spent_in_block_atoms = market.fund_spent_in_block_atoms.saturating_add(paid);
    paid
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
fn tier_prices(
    params: &MarketParams,
    k: u64,
    lots: SignedLots,
    left: Atoms,
) -> Result<Option<Ticks>, RiskError> {
    const PPM_2: i128 = PPM * PPM;
    let size = i128::from(lots.unsigned_abs()) * i128::from(k);
    let (mut lower, mut rate_below, mut deduction) = (0_i128, 0_i128, 0_i128);
    for tier in &params.tiers {
        // Maintenance rate in 10⁻¹²; the deduction in 10⁻¹² atoms.
        let rate =
            i128::from(tier.initial_margin_ppm) * i128::from(params.maintenance_fraction_ppm);
        let step = fits(lower.checked_mul(rate - rate_below), "the liquidation price")?;
        deduction = fits(deduction.checked_add(step), "the liquidation price")?;
        // left·10¹² + deduction = p·size·(rate ∓ 10¹²)
        let slope = if lots > 0 { rate - PPM_2 } else { rate + PPM_2 };
        let above = left.checked_mul(PPM_2).and_then(|left| left.checked_add(deduction));
        let above = fits(above, "the liquidation price")?;
        let divisor = fits(size.checked_mul(slope.abs()), "the liquidation price")?;
        let scaled = if slope < 0 { -above } else { above };
        let price = if lots > 0 {
            mul_div_ceil(scaled, 1, divisor)
        } else {
            mul_div_floor(scaled, 1, divisor)
        };
        // Margin never grows faster than equity moves, so there is one root; it is the first that
        // its own tier reaches.
        if let Some(price) = price {
            if price.checked_mul(size).is_some_and(|notional| notional <= tier.upper_notional_atoms)
            {
                return Ok(Ticks::try_from(price).ok().filter(|price| *price > 0));
            }
        }
        (lower, rate_below) = (tier.upper_notional_atoms, rate);
    }
    Ok(None)
}
