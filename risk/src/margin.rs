//! Margin: requirements by tier, equity, health (rules §3).

use tidemark_proto::params::{MarginTier, MarketParams};
use tidemark_proto::units::{Atoms, MarketId, Ppm, PPM};

use crate::account::{Account, Position};
use crate::error::{fits, RiskError};
use crate::funding;
use crate::market::{Market, Markets};
use crate::math::{div_rem, mul_div_ceil};
pub use crate::orders::{reserve, OpenOrder, OrderTotals, ReserveTerms};

/// Share of open notional that stays on the exchange with a withdrawal (rules §3.11).
pub const WITHDRAWAL_RETAINED_PPM: Ppm = 100_000;

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

/// The part of a notional that lies within one tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TierPart {
    /// Where the tier begins, in atoms of notional.
    pub lower_atoms: Atoms,
    /// Where it ends; `i128::MAX` for the last.
    pub upper_atoms: Atoms,
    /// Part of the notional that lies between.
    pub part_atoms: Atoms,
    /// The tier's initial rate, after open-interest scaling where that counts.
    pub rate_ppm: Ppm,
}

impl TierPart {
    /// `part·rate`, in 10⁻⁶ atoms; `None` beyond 127 bits.
    fn micro_atoms(&self) -> Option<i128> {
        self.part_atoms.checked_mul(i128::from(self.rate_ppm))
    }
}

/// A notional over tiers: each part of it at its own tier's rate, as far as the notional reaches.
fn tier_parts<'a>(
    tiers: &'a [MarginTier],
    notional_atoms: Atoms,
    rate: impl Fn(Ppm) -> Result<Ppm, RiskError> + 'a,
) -> impl Iterator<Item = Result<TierPart, RiskError>> + 'a {
    let mut lower_atoms = 0;
    tiers.iter().map_while(move |tier| {
        let (lower, upper_atoms) = (lower_atoms, tier.upper_notional_atoms);
        let part_atoms = notional_atoms.min(upper_atoms).saturating_sub(lower);
        lower_atoms = upper_atoms;
        let part = |rate_ppm| TierPart { lower_atoms: lower, upper_atoms, part_atoms, rate_ppm };
        (part_atoms > 0).then(|| rate(tier.initial_margin_ppm).map(part))
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

fn ceil_micro(micro_atoms: i128) -> Atoms {
    let (atoms, rest) = div_rem(micro_atoms, PPM);
    atoms + i128::from(rest != 0)
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
    let tiered =
        ceil_micro(tiered_micro_atoms(initial_tiers(params, notional_atoms, open_interest_atoms))?);
    if leverage == 0 {
        return Ok(tiered);
    }
    Ok(tiered.max(fits(mul_div_ceil(notional_atoms, 1, i128::from(leverage)), "initial margin")?))
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
    let initial = ceil_micro(tiered_micro_atoms(maintenance_tiers(params, notional_atoms))?);
    fits(
        mul_div_ceil(initial, i128::from(params.maintenance_fraction_ppm), PPM),
        "maintenance margin",
    )
}

/// Signed value of lots at the market's mark: `mark·q·k`.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn marked_atoms(market: &Market, lots: i128) -> Result<Atoms, RiskError> {
    if lots == 0 {
        return Ok(0);
    }
    fits(market.value_atoms(market.mark()?, lots), "notional")
}

/// Unrealised profit of a position at the mark, `mark·q·k − c`, funding aside.
///
/// # Errors
/// As [`marked_atoms`].
pub fn unrealised_atoms(market: &Market, position: &Position) -> Result<Atoms, RiskError> {
    let value = marked_atoms(market, i128::from(position.lots))?;
    fits(value.checked_sub(position.cost_atoms), "unrealised profit")
}

/// Equity and requirements of an account over all its markets, at the block's marks.
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
    /// Reserve of positions and open orders together: `Σ reserve`.
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

    /// `min(cash, E) − max(Σ reserve, 10 % of open notional)`, at least 0 (rules §3.11); the 10 %
    /// is rounded up.
    #[must_use]
    pub fn withdrawable_atoms(&self) -> Atoms {
        self.cash_atoms.min(self.equity_atoms).saturating_sub(self.retained_atoms()).max(0)
    }

    /// Amount that must stay with a withdrawal: `max(Σ reserve, 10 % of open notional)`, the 10 %
    /// rounded up.
    #[must_use]
    pub fn retained_atoms(&self) -> Atoms {
        let tenth = mul_div_ceil(self.notional_atoms, i128::from(WITHDRAWAL_RETAINED_PPM), PPM);
        self.reserve_atoms.max(tenth.unwrap_or(Atoms::MAX))
    }

    /// `E < MM`, with a position that needs margin at all (rules §7.7). Equality is safe.
    #[must_use]
    pub fn is_liquidatable(&self) -> bool {
        self.maintenance_atoms > 0 && self.equity_atoms < self.maintenance_atoms
    }
}

/// An account's health. `totals` gives the open orders of each market that has an entry in
/// `positions`: every market with an open order must have one.
///
/// # Errors
/// `UNKNOWN_MARKET`, `STALE_INDEX` (a position or order in a market that never had a mark),
/// `OVERFLOW`.
pub fn health(
    account: &Account,
    markets: &(impl Markets + ?Sized),
    mut totals: impl FnMut(MarketId) -> Result<OrderTotals, RiskError>,
) -> Result<Health, RiskError> {
    let mut sum = Health { cash_atoms: account.collateral_atoms, ..Health::default() };
    sum.equity_atoms = account.collateral_atoms;
    for position in &account.positions {
        let orders = totals(position.market)?;
        if position.lots == 0 && orders.is_empty() {
            continue;
        }
        sum.add(&MarketTerms::of(markets.existing(position.market)?, position, &orders)?)?;
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
) -> Result<Health, RiskError> {
    health(account, markets, |_| Ok(OrderTotals::default()))
}

/// One market's part of an account's margin, at the block's mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarketTerms {
    /// `mark·q·k`, signed.
    pub value_atoms: Atoms,
    /// `mark·q·k − c`.
    pub unrealised_atoms: Atoms,
    /// Unpaid funding of the position; positive where the account owes it.
    pub unpaid_funding_atoms: Atoms,
    /// Initial margin of the position alone.
    pub initial_atoms: Atoms,
    /// Maintenance margin of the position.
    pub maintenance_atoms: Atoms,
    /// Reserve of the position and its market's open orders together.
    pub reserve_atoms: Atoms,
}

impl MarketTerms {
    /// Of a position and its market's open orders.
    ///
    /// # Errors
    /// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
    pub fn of(
        market: &Market,
        position: &Position,
        orders: &OrderTotals,
    ) -> Result<Self, RiskError> {
        let value_atoms = marked_atoms(market, i128::from(position.lots))?;
        let initial_atoms = position_initial(market, position, value_atoms.abs())?;
        let unrealised = value_atoms.checked_sub(position.cost_atoms);
        Ok(Self {
            value_atoms,
            unrealised_atoms: fits(unrealised, "unrealised profit")?,
            unpaid_funding_atoms: funding::unpaid_atoms(&market.funding, position)?,
            initial_atoms,
            maintenance_atoms: maintenance_margin(&market.params, value_atoms.abs())?,
            reserve_atoms: if orders.is_empty() {
                initial_atoms
            } else {
                reserve(market, position, orders)?
            },
        })
    }
}

impl Health {
    /// Adds one market's terms.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits; some sums are changed then.
    pub fn add(&mut self, terms: &MarketTerms) -> Result<(), RiskError> {
        let plus = |a: Atoms, b: Atoms| fits(a.checked_add(b), "an account total");
        let minus = |a: Atoms, b: Atoms| fits(a.checked_sub(b), "an account total");
        self.cash_atoms = minus(self.cash_atoms, terms.unpaid_funding_atoms)?;
        self.equity_atoms =
            minus(plus(self.equity_atoms, terms.unrealised_atoms)?, terms.unpaid_funding_atoms)?;
        self.initial_atoms = plus(self.initial_atoms, terms.initial_atoms)?;
        self.maintenance_atoms = plus(self.maintenance_atoms, terms.maintenance_atoms)?;
        self.reserve_atoms = plus(self.reserve_atoms, terms.reserve_atoms)?;
        self.notional_atoms = plus(self.notional_atoms, terms.value_atoms.abs())?;
        Ok(())
    }
}

fn position_initial(
    market: &Market,
    position: &Position,
    notional_atoms: Atoms,
) -> Result<Atoms, RiskError> {
    if notional_atoms == 0 {
        return Ok(0);
    }
    initial_margin(
        &market.params,
        notional_atoms,
        position.leverage,
        market.margin_open_interest_atoms()?,
    )
}
