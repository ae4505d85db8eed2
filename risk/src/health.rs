//! Health of an account: its equity against what margin asks for, in all its markets (rules §3.2).

use tidemark_proto::units::{Atoms, MarketId, Ppm};

use crate::account::{Account, Position};
use crate::error::{fits, RiskError};
use crate::funding;
use crate::margin::{initial_margin, maintenance_margin, marked_atoms, unrealised_atoms};
use crate::market::{Market, Markets};
use crate::orders::{reserve, OrderTotals};

/// Share of open notional that stays on the exchange with a withdrawal (rules §3.11).
pub const WITHDRAWAL_RETAINED_PPM: Ppm = Ppm::new(100_000);

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
    /// `E − Σ reserve`. A difference beyond 127 bits keeps its sign, which is all that decides.
    #[must_use]
    pub fn free_atoms(&self) -> Atoms {
        self.equity_atoms.saturating_sub(self.reserve_atoms)
    }

    /// `min(cash, E) − max(Σ reserve, 10 % of open notional)`, at least 0 (rules §3.11); the 10 %
    /// is rounded up.
    #[must_use]
    pub fn withdrawable_atoms(&self) -> Atoms {
        self.cash_atoms
            .min(self.equity_atoms)
            .saturating_sub(self.retained_atoms())
            .max(Atoms::ZERO)
    }

    /// Amount that must stay with a withdrawal: `max(Σ reserve, 10 % of open notional)`, the 10 %
    /// rounded up.
    #[must_use]
    pub fn retained_atoms(&self) -> Atoms {
        let tenth = self.notional_atoms.mul_ppm_ceil(WITHDRAWAL_RETAINED_PPM);
        self.reserve_atoms.max(tenth.unwrap_or(Atoms::MAX))
    }

    /// `E < MM`, with a position that needs margin at all (rules §7.7). Equality is safe.
    #[must_use]
    pub fn is_liquidatable(&self) -> bool {
        self.maintenance_atoms.is_positive() && self.equity_atoms < self.maintenance_atoms
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
        if position.lots.is_zero() && orders.is_empty() {
            continue;
        }
        sum.add(&MarketTerms::of(markets.existing(position.market)?, position, &orders)?)?;
    }
    Ok(sum)
}

/// `E − Σ reserve` alone, which is all that an order's admission asks for: what
/// `health(…)?.free_atoms()` is, in half of the time.
///
/// # Errors
/// As [`health`].
pub fn free_atoms(
    account: &Account,
    markets: &(impl Markets + ?Sized),
    mut totals: impl FnMut(MarketId) -> Result<OrderTotals, RiskError>,
) -> Result<Atoms, RiskError> {
    let plus = |a: Atoms, b: Atoms| fits(a.checked_add(b), "an account total");
    let minus = |a: Atoms, b: Atoms| fits(a.checked_sub(b), "an account total");
    let (mut equity_atoms, mut reserve_atoms) = (account.collateral_atoms, Atoms::ZERO);
    for position in &account.positions {
        let orders = totals(position.market)?;
        if position.lots.is_zero() && orders.is_empty() {
            continue;
        }
        let market = markets.existing(position.market)?;
        if !position.lots.is_zero() {
            let unpaid_atoms = funding::unpaid_atoms(&market.funding, position)?;
            equity_atoms = plus(equity_atoms, unrealised_atoms(market, position)?)?;
            equity_atoms = minus(equity_atoms, unpaid_atoms)?;
        }
        reserve_atoms = plus(reserve_atoms, reserve(market, position, &orders)?)?;
    }
    Ok(equity_atoms.saturating_sub(reserve_atoms))
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
        let value_atoms = marked_atoms(market, position.lots.wide())?;
        let notional_atoms = fits(value_atoms.checked_abs(), "notional")?;
        let initial_atoms = position_initial(market, position, notional_atoms)?;
        let unrealised = value_atoms.checked_sub(position.cost_atoms);
        Ok(Self {
            value_atoms,
            unrealised_atoms: fits(unrealised, "unrealised profit")?,
            unpaid_funding_atoms: funding::unpaid_atoms(&market.funding, position)?,
            initial_atoms,
            maintenance_atoms: maintenance_margin(&market.params, notional_atoms)?,
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
        self.notional_atoms =
            plus(self.notional_atoms, fits(terms.value_atoms.checked_abs(), "notional")?)?;
        Ok(())
    }
}

fn position_initial(
    market: &Market,
    position: &Position,
    notional_atoms: Atoms,
) -> Result<Atoms, RiskError> {
    if notional_atoms.is_zero() {
        return Ok(Atoms::ZERO);
    }
    initial_margin(&market.params, notional_atoms, position.leverage, Atoms::ZERO)
}
