//! Margin: requirements by tier, equity, health (rules §3).

use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{Atoms, MarketId, Ppm, PPM};
use tidemark_proto::Refusal;

use crate::account::{Account, Position};
use crate::funding;
use crate::market::{Market, Markets};
use crate::math::{fits, mul_div_ceil};
pub use crate::orders::{reserve, OpenOrder, OrderTotals};

/// Share of open notional that stays on the exchange with a withdrawal (rules §3).
pub const WITHDRAWAL_RETAINED_PPM: Ppm = 100_000;

/// The initial rate after open-interest scaling: `rate` up to `lower`, 100 % from `upper` on, linear between and rounded
/// down to the ppm; `rate` where `upper` is 0. All amounts in atoms of notional.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn effective_initial_ppm(
    rate_ppm: Ppm,
    open_interest_atoms: Atoms,
    oi_lower_atoms: Atoms,
    oi_upper_atoms: Atoms,
) -> Result<Ppm, Refusal> {
    let rate = i128::from(rate_ppm);
    if oi_upper_atoms == 0 || open_interest_atoms <= oi_lower_atoms || rate >= PPM {
        return Ok(rate_ppm);
    }
    if open_interest_atoms >= oi_upper_atoms {
        return Ok(1_000_000);
    }
    let rise = open_interest_atoms
        .checked_sub(oi_lower_atoms)
        .zip(oi_upper_atoms.checked_sub(oi_lower_atoms))
        .and_then(|(above, width)| (PPM - rate).checked_mul(above).map(|product| product / width));
    fits(rise.and_then(|rise| Ppm::try_from(rate + rise).ok()), "the scaled initial rate")
}

/// Margin on a notional over tiers, in 10⁻⁶ atoms: each part of the notional at its own tier's rate, which is
/// `n·rate_t − ded_t`. Exact, continuous, convex, as long as the rates ascend.
fn tiered_micro_atoms(
    tiers: &[MarginTier],
    notional_atoms: Atoms,
    rate: impl Fn(Ppm) -> Result<Ppm, Refusal>,
) -> Result<i128, Refusal> {
    let (mut sum, mut lower) = (0_i128, 0);
    for tier in tiers {
        let part = notional_atoms.min(tier.upper_notional_atoms).saturating_sub(lower);
        if part <= 0 {
            break;
        }
        let margin = part.checked_mul(i128::from(rate(tier.initial_margin_ppm)?));
        sum = fits(margin.and_then(|margin| sum.checked_add(margin)), "margin")?;
        lower = tier.upper_notional_atoms;
    }
    Ok(sum)
}

fn ceil_micro(micro_atoms: i128) -> Atoms {
    micro_atoms.div_euclid(PPM) + i128::from(micro_atoms.rem_euclid(PPM) != 0)
}

/// Initial margin of a notional, rounded up to the atom: the tiers' rates scaled by open interest, or `n/leverage`
/// where that is more; `leverage` 0 is the tiers' most (rules §3).
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn initial_margin(
    params: &MarketParams,
    notional_atoms: Atoms,
    leverage: u32,
    open_interest_atoms: Atoms,
) -> Result<Atoms, Refusal> {
    let scaled =
        |rate| effective_initial_ppm(rate, open_interest_atoms, params.oi_lower_atoms, params.oi_upper_atoms);
    let tiered = ceil_micro(tiered_micro_atoms(&params.tiers, notional_atoms, scaled)?);
    if leverage == 0 {
        return Ok(tiered);
    }
    Ok(tiered.max(fits(mul_div_ceil(notional_atoms, 1, i128::from(leverage)), "initial margin")?))
}

/// Maintenance margin of a notional: `ceil(ceil(IM)·fraction)` of the tiers' own initial margin, whatever open interest
/// and leverage are (rules §3).
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn maintenance_margin(params: &MarketParams, notional_atoms: Atoms) -> Result<Atoms, Refusal> {
    let initial = ceil_micro(tiered_micro_atoms(&params.tiers, notional_atoms, Ok)?);
    fits(mul_div_ceil(initial, i128::from(params.maintenance_fraction_ppm), PPM), "maintenance margin")
}

/// Signed value of lots at the market's mark: `mark·q·k`.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn marked_atoms(market: &Market, lots: i128) -> Result<Atoms, Refusal> {
    if lots == 0 {
        return Ok(0);
    }
    fits(market.value_atoms(market.mark()?, lots), "notional")
}

/// Unrealised profit of a position at the mark, `mark·q·k − c`, funding aside.
///
/// # Errors
/// As [`marked_atoms`].
pub fn unrealised_atoms(market: &Market, position: &Position) -> Result<Atoms, Refusal> {
    let value = marked_atoms(market, i128::from(position.lots))?;
    fits(value.checked_sub(position.cost_atoms), "unrealised profit")
}

/// What an account is worth and what it must hold, over all its markets, all at the block's marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// `E = collateral + Σ (mark·q·k − c) − unpaid funding`.
    pub equity_atoms: Atoms,
    /// Collateral after unpaid funding: what is there in cash.
    pub cash_atoms: Atoms,
    /// Initial margin of the positions alone.
    pub initial_atoms: Atoms,
    /// Maintenance margin of the positions.
    pub maintenance_atoms: Atoms,
    /// What positions and open orders reserve together: `Σ reserve`.
    pub reserve_atoms: Atoms,
    /// `Σ mark·|q|·k`.
    pub notional_atoms: Atoms,
}

impl Health {
    /// `E − Σ reserve`.
    #[must_use]
    pub fn free_atoms(&self) -> Atoms {
        self.equity_atoms.saturating_sub(self.reserve_atoms)
    }

    /// `min(cash, E) − max(Σ reserve, 10 % of open notional)`, at least 0 (rules §3); the 10 % is rounded up.
    #[must_use]
    pub fn withdrawable_atoms(&self) -> Atoms {
        let tenth = mul_div_ceil(self.notional_atoms, i128::from(WITHDRAWAL_RETAINED_PPM), PPM);
        let kept = self.reserve_atoms.max(tenth.unwrap_or(Atoms::MAX));
        self.cash_atoms.min(self.equity_atoms).saturating_sub(kept).max(0)
    }

    /// `E < MM`, with a position that needs margin at all (rules §7). Equality is safe.
    #[must_use]
    pub fn is_liquidatable(&self) -> bool {
        self.maintenance_atoms > 0 && self.equity_atoms < self.maintenance_atoms
    }
}

/// An account's health. `totals` gives the open orders of each market that has an entry in `positions`: every market with
/// an open order must have one.
///
/// # Errors
/// `UNKNOWN_MARKET`, `STALE_INDEX` (a position or order in a market that never had a mark), `OVERFLOW`.
pub fn health(
    account: &Account,
    markets: &(impl Markets + ?Sized),
    mut totals: impl FnMut(MarketId) -> Result<OrderTotals, Refusal>,
) -> Result<Health, Refusal> {
    let mut sum = Health { cash_atoms: account.collateral_atoms, ..Health::default() };
    sum.equity_atoms = account.collateral_atoms;
    for position in &account.positions {
        let orders = totals(position.market)?;
        if position.lots == 0 && orders.is_empty() {
            continue;
        }
        add(&mut sum, markets.existing(position.market)?, position, &orders)?;
    }
    Ok(sum)
}

/// An account's health as if it had no open orders: what liquidation and deleveraging ask for.
///
/// # Errors
/// As [`health`].
pub fn health_without_orders(
    account: &Account,
    markets: &(impl Markets + ?Sized),
) -> Result<Health, Refusal> {
    health(account, markets, |_| Ok(OrderTotals::default()))
}

fn add(sum: &mut Health, market: &Market, position: &Position, orders: &OrderTotals) -> Result<(), Refusal> {
    let value = marked_atoms(market, i128::from(position.lots))?;
    let notional = value.abs();
    let funding = funding::unpaid_atoms(&market.funding, position)?;
    let initial = position_initial(market, position, notional)?;
    let plus = |a: Atoms, b: Atoms| fits(a.checked_add(b), "an account total");
    let minus = |a: Atoms, b: Atoms| fits(a.checked_sub(b), "an account total");
    sum.cash_atoms = minus(sum.cash_atoms, funding)?;
    sum.equity_atoms = minus(plus(sum.equity_atoms, minus(value, position.cost_atoms)?)?, funding)?;
    sum.initial_atoms = plus(sum.initial_atoms, initial)?;
    sum.maintenance_atoms = plus(sum.maintenance_atoms, maintenance_margin(&market.params, notional)?)?;
    let reserved = if orders.is_empty() { initial } else { reserve(market, position, orders)? };
    sum.reserve_atoms = plus(sum.reserve_atoms, reserved)?;
    sum.notional_atoms = plus(sum.notional_atoms, notional)?;
    Ok(())
}

fn position_initial(market: &Market, position: &Position, notional_atoms: Atoms) -> Result<Atoms, Refusal> {
    if notional_atoms == 0 {
        return Ok(0);
    }
    initial_margin(&market.params, notional_atoms, position.leverage, market.margin_open_interest_atoms()?)
}
