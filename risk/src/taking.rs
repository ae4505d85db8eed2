//! An order that takes, judged fill by fill (rules §§3.8, 3.10).
//!
//! An immediate order's cost is known when it meets a maker: its price, the fee, and what the
//! reserve of its market changes by. So nothing is reserved for it beforehand; each fill is
//! admitted as far as the account bears it.
//!
//! **Why no account ends below 0 while marks stand.** An account is in one of two states. *Free
//! collateral is at least 0*: `E ≥ Σ reserve ≥ 0`, fills of resting orders keep it so (the lemma
//! of [`crate::orders::reserve`]), and every fill that [`Taking::take`] admits by free collateral
//! does. *Free collateral is below 0*: nothing that could increase rests (the sweep cancels it) or
//! is admitted, and exits, resting or admitted here, trade at the zero price or better, where no
//! fill lowers `E/MM`. The only way from the first state to the second without a new mark is a fill
//! at the zero price, or an exit that comes to rest there; both need that nothing increasing rests
//! and that no resting exit is worse than the zero price at the ratio of that moment.

use std::cmp::Ordering;

use tidemark_proto::defence::Defence;
use tidemark_proto::units::{cmp_products, Atoms, Lots, Ppm, Side, SignedLots, Ticks};

use crate::account::Position;
use crate::error::{fits, RiskError};
use crate::health::Health;
use crate::interest::{affordable_lots, open_interest_with, raise_atoms};
use crate::margin::Marked;
use crate::market::Market;
use crate::orders::{reserve, OpenOrder, OrderTotals};
use crate::position::{are_opposite, signed_lots};
use crate::sharing::most_that_bears;
use crate::zero_price::ZeroTerms;

/// The condition on which an account's exits trade down to the zero price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtZeroPrice {
    /// Never: something of the account could increase, or an exit rests that is worse.
    Never,
    /// Always: nothing of the account rests.
    Always,
    /// While `E/MM` is at least this: exits rest which are no worse than the zero price at it.
    While {
        /// `E`.
        equity_atoms: Atoms,
        /// `MM`.
        maintenance_atoms: Atoms,
    },
}

/// An account as an order of it begins to take.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Its margin over all markets, without the order.
    pub health: &'a Health,
    /// Its entry in the order's market.
    pub position: &'a Position,
    /// Its resting orders there.
    pub totals: &'a OrderTotals,
    /// The highest rate that it may pay as a taker.
    pub taker_ppm: Ppm,
    /// True if its free collateral counts: it is not frozen.
    pub spends_free: bool,
    /// On which condition its exits trade down to the zero price.
    pub at_zero_price: AtZeroPrice,
    /// Collateral that it may draw from a parent for what increases.
    pub drawable_atoms: Atoms,
}

/// The account in the order's market after the fills so far.
#[derive(Clone, Copy, Debug)]
struct Standing {
    position: Position,
    equity_atoms: Atoms,
    reserve_atoms: Atoms,
    maintenance_atoms: Atoms,
}

/// An order that takes, after the fills that it was admitted so far.
#[derive(Clone, Debug)]
pub struct Taking {
    side: Side,
    taker_ppm: Ppm,
    spends_free: bool,
    at_zero_price: AtZeroPrice,
    drawable_atoms: Atoms,
    totals: OrderTotals,
    now: Standing,
    /// Reserve and maintenance margin of the other markets.
    elsewhere_reserve_atoms: Atoms,
    elsewhere_maintenance_atoms: Atoms,
    drawn_atoms: Atoms,
    /// Position and open interest before the first fill.
    start_lots: SignedLots,
    start_interest_lots: Lots,
}

impl Taking {
    /// An order of `side` before its first fill.
    ///
    /// # Errors
    /// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
    pub fn new(market: &Market, side: Side, terms: Terms<'_>) -> Result<Self, RiskError> {
        let Terms { health, position, totals, .. } = terms;
        let now = Standing {
            position: *position,
            equity_atoms: health.equity_atoms,
            reserve_atoms: reserve(market, position, totals)?,
            maintenance_atoms: Marked::of(market, position.lots)?.maintenance_atoms,
        };
        let elsewhere = |sum: Atoms, here| fits(sum.checked_sub(here), "an account total");
        Ok(Self {
            side,
            taker_ppm: terms.taker_ppm,
            spends_free: terms.spends_free,
            at_zero_price: terms.at_zero_price,
            drawable_atoms: terms.drawable_atoms,
            totals: *totals,
            elsewhere_reserve_atoms: elsewhere(health.reserve_atoms, now.reserve_atoms)?,
            elsewhere_maintenance_atoms: elsewhere(
                health.maintenance_atoms,
                now.maintenance_atoms,
            )?,
            now,
            drawn_atoms: Atoms::ZERO,
            start_lots: position.lots,
            start_interest_lots: market.open_interest_lots,
        })
    }

    /// Collateral that the fills so far draw from the parent.
    #[must_use]
    pub const fn drawn_atoms(&self) -> Atoms {
        self.drawn_atoms
    }

    /// True if exits may trade, and rest, at the zero price now.
    #[must_use]
    pub fn is_at_zero_price(&self) -> bool {
        match self.at_zero_price {
            AtZeroPrice::Never => false,
            AtZeroPrice::Always => true,
            AtZeroPrice::While { equity_atoms, maintenance_atoms } => {
                let (now, maintenance) = (self.health().equity_atoms, self.maintenance_atoms());
                let ratio = cmp_products(
                    now.get(),
                    maintenance_atoms.get(),
                    equity_atoms.get(),
                    maintenance.get(),
                );
                ratio != Ordering::Less
            }
        }
    }

    /// Equity and margins after the fills so far, without initial margin and cash.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            equity_atoms: self.now.equity_atoms,
            maintenance_atoms: self.maintenance_atoms(),
            reserve_atoms: self.now.reserve_atoms.saturating_add(self.elsewhere_reserve_atoms),
            ..Health::default()
        }
    }

    /// The position after the fills so far.
    #[must_use]
    pub const fn held(&self) -> SignedLots {
        self.now.position.lots
    }

    fn maintenance_atoms(&self) -> Atoms {
        self.now.maintenance_atoms.saturating_add(self.elsewhere_maintenance_atoms)
    }

    /// `E − Σ reserve`. A difference beyond 127 bits keeps its sign.
    fn free_atoms(&self, standing: &Standing) -> Atoms {
        let reserve = standing.reserve_atoms.saturating_add(self.elsewhere_reserve_atoms);
        standing.equity_atoms.saturating_sub(reserve)
    }

    /// Free collateral after the fills so far, once the rest of the order rests as `order`.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits.
    pub fn free_beside(
        &self,
        market: &Market,
        order: &OpenOrder,
        max_fee_ppm: Ppm,
    ) -> Result<Atoms, RiskError> {
        let mut totals = self.totals;
        totals.add(order, market.mark()?, market.k, max_fee_ppm)?;
        let reserve_atoms = reserve(market, &self.now.position, &totals)?;
        let free = self.free_atoms(&Standing { reserve_atoms, ..self.now });
        if order.reduce_only {
            return Ok(free);
        }
        let raise = self.raise_atoms(market, &self.now.position, &totals, order.lots)?;
        Ok(free.saturating_sub(raise))
    }

    /// The rise of initial margin by open interest, once `more` lots of the order have traded.
    fn raise_atoms(
        &self,
        market: &Market,
        position: &Position,
        totals: &OrderTotals,
        more: Lots,
    ) -> Result<Atoms, RiskError> {
        if market.params.oi_upper_atoms.is_zero() {
            return Ok(Atoms::ZERO);
        }
        // The walk that trades counts its fills in open interest; one without effects does not.
        let traded = position.lots.wide().abs_diff(self.start_lots.wide());
        let traded = u64::try_from(traded).map_or(Lots::MAX, Lots::new).saturating_add(more);
        let (start_lots, start) = (self.start_lots, self.start_interest_lots);
        let open_interest = open_interest_with(start, start_lots, self.side, traded);
        raise_atoms(market, position, totals, open_interest)
    }

    /// The most lots of `order` that could rest after the fills so far.
    ///
    /// # Errors
    /// `STALE_INDEX` without a mark.
    pub fn restable_lots(
        &self,
        market: &Market,
        order: &OpenOrder,
        max_fee_ppm: Ppm,
    ) -> Result<Lots, RiskError> {
        if !self.spends_free {
            return Ok(Lots::ZERO);
        }
        let free = self.free_atoms(&self.now).saturating_add(self.left_to_draw_atoms());
        let position = &self.now.position;
        affordable_lots(market, position, &self.totals, free, order, order.lots, max_fee_ppm)
    }

    /// Collateral that is left to be drawn.
    #[must_use]
    pub fn left_to_draw_atoms(&self) -> Atoms {
        self.drawable_atoms.saturating_sub(self.drawn_atoms)
    }

    /// True if its free collateral counts.
    #[must_use]
    pub const fn spends_free(&self) -> bool {
        self.spends_free
    }

    /// A resting order of the account has left its market, or lots of it.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits.
    pub fn release(
        &mut self,
        market: &Market,
        order: &OpenOrder,
        max_fee_ppm: Ppm,
    ) -> Result<(), RiskError> {
        self.totals.remove(order, market.mark()?, market.k, max_fee_ppm)?;
        self.now.reserve_atoms = reserve(market, &self.now.position, &self.totals)?;
        Ok(())
    }

    /// Collateral was drawn for the order before it takes.
    pub fn drew(&mut self, atoms: Atoms) {
        self.now.equity_atoms = self.now.equity_atoms.saturating_add(atoms);
        self.drawable_atoms = Atoms::ZERO;
    }

    /// Takes up to `lots` at a price: first what reduces the position, then what increases.
    /// Returns the lots that are admitted; the order is as after their fill then.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits; the order is as before, or as after the part that reduces.
    pub fn take(
        &mut self,
        market: &Market,
        price_ticks: Ticks,
        lots: Lots,
    ) -> Result<Lots, RiskError> {
        let held = self.now.position.lots;
        let delta = signed_lots(self.side, lots)?;
        let reducing =
            if are_opposite(held, delta) { lots.min(held.unsigned_abs()) } else { Lots::ZERO };
        let exited = self.part(market, price_ticks, reducing, Self::bears_exit)?;
        let increasing = lots.saturating_sub(reducing);
        if exited < reducing || increasing.is_zero() {
            return Ok(exited);
        }
        let entered = self.part(market, price_ticks, increasing, Self::bears_entry)?;
        if !entered.is_zero() {
            self.draw(market)?;
        }
        Ok(exited.saturating_add(entered))
    }

    /// The most lots up to `most` whose fill the account bears; they are filled then. Equity falls
    /// and the reserve, convex, falls less with each lot, so whatever bears some bears fewer.
    fn part(
        &mut self,
        market: &Market,
        price_ticks: Ticks,
        most: Lots,
        bears: fn(&Self, &Market, &Filled) -> Result<bool, RiskError>,
    ) -> Result<Lots, RiskError> {
        let found = most_that_bears(most, |lots| {
            let filled = self.after(market, price_ticks, lots)?;
            Ok::<_, RiskError>(bears(self, market, &filled)?.then_some(filled))
        })?;
        let Some(filled) = found else { return Ok(Lots::ZERO) };
        self.now = filled.standing;
        Ok(filled.lots)
    }

    /// The account after one more fill.
    fn after(&self, market: &Market, price_ticks: Ticks, lots: Lots) -> Result<Filled, RiskError> {
        let delta = signed_lots(self.side, lots)?;
        let position = Position {
            lots: fits(self.now.position.lots.checked_add(delta), "a position")?,
            ..self.now.position
        };
        let at = |ticks: Ticks| fits(ticks.position_atoms(delta, market.k), "notional");
        let (cost, value) = (at(price_ticks)?, at(market.mark()?)?);
        let notional = fits(cost.checked_abs(), "notional")?;
        let fee = fits(notional.mul_ppm_ceil(self.taker_ppm.max(Ppm::ZERO)), "a fee")?;
        let gain = value.checked_sub(cost).and_then(|gain| gain.checked_sub(fee));
        let equity = gain.and_then(|gain| self.now.equity_atoms.checked_add(gain));
        let quote = cost.checked_add(fee).and_then(Atoms::checked_neg);
        let standing = Standing {
            position,
            equity_atoms: fits(equity, "equity")?,
            reserve_atoms: reserve(market, &position, &self.totals)?,
            maintenance_atoms: Marked::of(market, position.lots)?.maintenance_atoms,
        };
        Ok(Filled { lots, delta, quote_atoms: fits(quote, "a quote")?, standing })
    }

    /// An exit: free collateral stays at least 0, or the price is the zero price or better.
    fn bears_exit(&self, market: &Market, filled: &Filled) -> Result<bool, RiskError> {
        let is_free = |standing: &Standing| !self.free_atoms(standing).is_negative();
        if self.spends_free && is_free(&self.now) && is_free(&filled.standing) {
            return Ok(true);
        }
        if !Defence::Exits.stands() {
            return Ok(true);
        }
        if !self.is_at_zero_price() {
            return Ok(false);
        }
        let (held, sigma_ppm) = (self.now.position.lots, market.params.zero_price_sigma_ppm);
        let zero = ZeroTerms::of(market, held, filled.delta, &self.health(), sigma_ppm)?;
        Ok(filled.quote_atoms >= zero.quote_atoms)
    }

    /// An entry: free collateral, with what may be drawn, is at least 0 before, and after at the
    /// initial rate that open interest raises.
    fn bears_entry(&self, market: &Market, filled: &Filled) -> Result<bool, RiskError> {
        let free = |standing: &Standing| {
            self.free_atoms(standing).saturating_add(self.left_to_draw_atoms())
        };
        if !self.spends_free || free(&self.now).is_negative() {
            return Ok(false);
        }
        let after = &filled.standing;
        let raise = self.raise_atoms(market, &after.position, &self.totals, Lots::ZERO)?;
        Ok(free(after) >= raise)
    }

    /// Draws what free collateral lacks.
    fn draw(&mut self, market: &Market) -> Result<(), RiskError> {
        let raise = self.raise_atoms(market, &self.now.position, &self.totals, Lots::ZERO)?;
        let lacking = self.free_atoms(&self.now).saturating_sub(raise).min(Atoms::ZERO);
        let drawn = Atoms::ZERO.saturating_sub(lacking).min(self.left_to_draw_atoms());
        self.drawn_atoms = self.drawn_atoms.saturating_add(drawn);
        self.now.equity_atoms = self.now.equity_atoms.saturating_add(drawn);
        Ok(())
    }
}

/// A fill, and the account after it.
struct Filled {
    lots: Lots,
    delta: SignedLots,
    /// Quote that it brings, less its fee.
    quote_atoms: Atoms,
    standing: Standing,
}

#[cfg(test)]
mod tests;
