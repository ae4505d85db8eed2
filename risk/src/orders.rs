//! Reserve of open orders, and the orders that go when free collateral is short (rules §§3.6, 3.9).

use tidemark_proto::units::{Atoms, AtomsPerTickLot, Lots, MarketId, OrderId, Ppm, Side, Ticks};

use crate::account::Position;
use crate::error::{fits, invariant, RiskError};
use crate::margin::{initial_margin, marked_atoms};
use crate::market::Market;

/// An open order as margin sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    /// Buy or sell.
    pub side: Side,
    /// Limit.
    pub price_ticks: Ticks,
    /// Unfilled quantity.
    pub lots: Lots,
    /// True if it may only reduce.
    pub reduce_only: bool,
}

impl OpenOrder {
    /// Returns true if it would trade with an order at the best opposite price.
    #[must_use]
    pub fn crosses(&self, best_ticks: Option<Ticks>) -> bool {
        best_ticks.is_some_and(|best_ticks| match self.side {
            Side::Buy => self.price_ticks >= best_ticks,
            Side::Sell => self.price_ticks <= best_ticks,
        })
    }
}

/// Sums over one account's open orders in one market, at one mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderTotals {
    /// Lots of buys that are not reduce-only.
    pub buy_lots: i128,
    /// Lots of sells that are not reduce-only.
    pub sell_lots: i128,
    /// Lots of reduce-only buys.
    pub reduce_only_buy_lots: i128,
    /// Lots of reduce-only sells.
    pub reduce_only_sell_lots: i128,
    /// Loss against the mark if all fill at their limits.
    pub adverse_atoms: Atoms,
    /// The most that their fees may be.
    pub max_fee_atoms: Atoms,
    /// Trigger reserve of orders that wait off the book and could increase (rules §2.11).
    pub waiting_atoms: Atoms,
}

impl OrderTotals {
    /// Returns true if there is no order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Counts an order in. `mark_ticks` and `max_fee_ppm` must be the same for all of a sum.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits; the totals are as before then.
    pub fn add(
        &mut self,
        order: &OpenOrder,
        mark_ticks: Ticks,
        k: AtomsPerTickLot,
        max_fee_ppm: Ppm,
    ) -> Result<(), RiskError> {
        self.change(order, mark_ticks, k, max_fee_ppm, Change::Add)
    }

    /// Takes an order out that was counted in with the same mark and rate.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits; the totals are as before then.
    pub fn remove(
        &mut self,
        order: &OpenOrder,
        mark_ticks: Ticks,
        k: AtomsPerTickLot,
        max_fee_ppm: Ppm,
    ) -> Result<(), RiskError> {
        self.change(order, mark_ticks, k, max_fee_ppm, Change::Remove)
    }

    fn change(
        &mut self,
        order: &OpenOrder,
        mark_ticks: Ticks,
        k: AtomsPerTickLot,
        max_fee_ppm: Ppm,
        change: Change,
    ) -> Result<(), RiskError> {
        let adverse = fits(adverse_atoms(order, mark_ticks, k), "an order's adverse move")?;
        let fee = fits(max_fee_atoms(order, k, max_fee_ppm), "an order's fee")?;
        let mut after = *self;
        let lots = match (order.side, order.reduce_only) {
            (Side::Buy, false) => &mut after.buy_lots,
            (Side::Sell, false) => &mut after.sell_lots,
            (Side::Buy, true) => &mut after.reduce_only_buy_lots,
            (Side::Sell, true) => &mut after.reduce_only_sell_lots,
        };
        *lots = fits(change.of_lots(*lots, order.lots), "a sum of open orders")?;
        for (total, part) in [(&mut after.adverse_atoms, adverse), (&mut after.max_fee_atoms, fee)]
        {
            *total = fits(change.of_atoms(*total, part), "a sum of open orders")?;
        }
        *self = after;
        Ok(())
    }
}

/// Direction in which one order changes a sum.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Remove,
}

impl Change {
    fn of_lots(self, total: i128, part: Lots) -> Option<i128> {
        match self {
            Self::Add => total.checked_add(part.wide()),
            Self::Remove => total.checked_sub(part.wide()),
        }
    }

    fn of_atoms(self, total: Atoms, part: Atoms) -> Option<Atoms> {
        match self {
            Self::Add => total.checked_add(part),
            Self::Remove => total.checked_sub(part),
        }
    }
}

/// Sums of a market's open orders of one account.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn order_totals<'a>(
    orders: impl IntoIterator<Item = &'a OpenOrder>,
    mark_ticks: Ticks,
    k: AtomsPerTickLot,
    max_fee_ppm: Ppm,
) -> Result<OrderTotals, RiskError> {
    let mut totals = OrderTotals::default();
    for order in orders {
        totals.add(order, mark_ticks, k, max_fee_ppm)?;
    }
    Ok(totals)
}

/// `(limit − mark)⁺·q·k` for a buy, `(mark − limit)⁺·q·k` for a sell. Linear in lots.
fn adverse_atoms(order: &OpenOrder, mark_ticks: Ticks, k: AtomsPerTickLot) -> Option<Atoms> {
    let ticks = match order.side {
        Side::Buy => order.price_ticks.saturating_sub(mark_ticks),
        Side::Sell => mark_ticks.saturating_sub(order.price_ticks),
    };
    ticks.notional_atoms(order.lots, k)
}

/// The fee that is reserved for an order: `q·ceil(limit·k·rate)`, in atoms. Linear in lots, so that
/// the parts that partial fills release add up to what was reserved.
///
/// No sequence of fills costs more. Each pays `ceil(p·r·k·f)` for its `r` lots at price `p`, with
/// `f ≤ max_fee_ppm ≤ 10⁶`:
/// - a buy fills at `p ≤ limit`, and `ceil(p·r·k·f) ≤ ceil(r·(limit·k·f)) ≤ r·ceil(limit·k·f)`;
/// - a sell fills at `p ≥ limit`, and
///   `ceil(p·r·k·f) ≤ r·ceil(limit·k·f) + ceil((p − limit)·r·k·f)`. The last term is at most
///   `(p − limit)·r·k`, a whole number that the better price itself added to equity.
fn max_fee_atoms(order: &OpenOrder, k: AtomsPerTickLot, max_fee_ppm: Ppm) -> Option<Atoms> {
    let one_lot = order.price_ticks.notional_atoms(Lots::ONE, k)?;
    one_lot.mul_ppm_ceil(max_fee_ppm.max(Ppm::ZERO))?.checked_mul(order.lots.wide())
}

/// Reserve of a position and its market's open orders:
/// `IM(mark·max(|q+B*|, |q−A*|)·k) + Σ adverse + Σ max_fee`, with reduce-only quantities as far as
/// they can act, and the trigger reserve of orders that wait (rules §3.6). No fill changes the
/// trigger reserve: an order that triggers gives it up before it is admitted.
///
/// **Lemma** (rules §3.7). No fill of these orders, at its limit or better, in any order, lowers
/// `E − reserve`. Let a buy of `r` lots fill. Then `q + B*` stays (what leaves `B*` enters `q`; a
/// reduce-only buy acts only on `q⁻`), and the lower end `q − A* = (q⁺ − R_sell)⁺ − q⁻ − A` does
/// not fall; so neither end is farther from 0 than the farther one was, and IM, monotone, does not
/// rise. `E` loses at most `(p − mark)⁺·r·k` and the fee, both of which the reserve drops with
/// those lots (see the bound of `max_fee_atoms`). Reduce-only orders that shrink with the position
/// (rules §2.5) release more; nothing grows with a fill. Sells mirror this. Nothing here depends on
/// other markets or accounts: marks and rates are fixed in a block.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn reserve(
    market: &Market,
    position: &Position,
    totals: &OrderTotals,
) -> Result<Atoms, RiskError> {
    ReserveTerms::of(market, position, totals)?.total_atoms()
}

/// The terms of [`reserve`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReserveTerms {
    /// `q + B*`: the position when every buy has filled.
    pub highest_lots: i128,
    /// `q − A*`: the position when every sell has filled.
    pub lowest_lots: i128,
    /// Initial margin of the farther of the two from 0, at the mark.
    pub margin_atoms: Atoms,
    /// `Σ adverse`.
    pub adverse_atoms: Atoms,
    /// `Σ max_fee`.
    pub max_fee_atoms: Atoms,
    /// Trigger reserve of orders that wait.
    pub waiting_atoms: Atoms,
}

impl ReserveTerms {
    /// Of a position and its market's open orders.
    ///
    /// # Errors
    /// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
    pub fn of(
        market: &Market,
        position: &Position,
        totals: &OrderTotals,
    ) -> Result<Self, RiskError> {
        Self::at(market, position, totals, Atoms::ZERO)
    }

    /// As [`ReserveTerms::of`], at the initial rate of an open interest.
    pub(crate) fn at(
        market: &Market,
        position: &Position,
        totals: &OrderTotals,
        open_interest_atoms: Atoms,
    ) -> Result<Self, RiskError> {
        let held = position.lots.wide();
        let up = totals.reduce_only_buy_lots.min(held.saturating_neg()).max(0);
        let down = totals.reduce_only_sell_lots.min(held).max(0);
        let highest = held.checked_add(totals.buy_lots).and_then(|lots| lots.checked_add(up));
        let lowest = held.checked_sub(totals.sell_lots).and_then(|lots| lots.checked_sub(down));
        let mut terms = Self {
            highest_lots: fits(highest, "a sum of lots")?,
            lowest_lots: fits(lowest, "a sum of lots")?,
            margin_atoms: Atoms::ZERO,
            adverse_atoms: totals.adverse_atoms,
            max_fee_atoms: totals.max_fee_atoms,
            waiting_atoms: totals.waiting_atoms,
        };
        if terms.farthest_lots() != 0 {
            let notional = marked_atoms(market, terms.farthest_lots())?;
            terms.margin_atoms =
                initial_margin(&market.params, notional, position.leverage, open_interest_atoms)?;
        }
        Ok(terms)
    }

    /// `max(|q+B*|, |q−A*|)`.
    #[must_use]
    pub fn farthest_lots(&self) -> i128 {
        self.highest_lots.saturating_abs().max(self.lowest_lots.saturating_abs())
    }

    /// Margin, adverse moves, fees and trigger reserve together.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits.
    pub fn total_atoms(&self) -> Result<Atoms, RiskError> {
        let sum = self.margin_atoms.checked_add(self.adverse_atoms);
        let sum = sum.and_then(|sum| sum.checked_add(self.max_fee_atoms));
        fits(sum.and_then(|sum| sum.checked_add(self.waiting_atoms)), "reserved margin")
    }
}

/// An order that the sweep may cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prunable {
    /// Its market.
    pub market: MarketId,
    /// Its id.
    pub order_id: OrderId,
    /// Its part of the reserve.
    pub reserves: Reserves,
}

/// An order's part of the reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserves {
    /// It rests on the book.
    Resting(OpenOrder),
    /// It waits off the book, could increase, and reserves so much.
    Waiting(Atoms),
}

impl Reserves {
    /// Returns true if the order could increase exposure.
    #[must_use]
    pub const fn increases(&self) -> bool {
        match self {
            Self::Resting(order) => !order.reduce_only,
            Self::Waiting(_) => true,
        }
    }

    /// Takes the order out of its market's totals.
    fn leave(
        &self,
        totals: &mut OrderTotals,
        market: &Market,
        max_fee_ppm: Ppm,
    ) -> Result<(), RiskError> {
        match self {
            Self::Resting(order) => totals.remove(order, market.mark()?, market.k, max_fee_ppm),
            Self::Waiting(atoms) => {
                let left = totals.waiting_atoms.checked_sub(*atoms);
                totals.waiting_atoms = fits(left, "a sum of trigger reserves")?;
                Ok(())
            }
        }
    }
}

/// One market of an account that is being pruned.
#[derive(Clone, Copy, Debug)]
pub struct PrunedMarket<'a> {
    /// The market.
    pub market: &'a Market,
    /// The account's entry there.
    pub position: &'a Position,
    /// All its open orders there.
    pub totals: OrderTotals,
}

/// The orders to cancel so that `free ≥ 0`: newest first, exposure-increasing ones only (those that
/// are not reduce-only), until it is or none is left (rules §3.9). Returns them, and free
/// collateral after.
///
/// `newest_first` are the account's open orders over all markets; `markets` those with any, at most
/// one entry each.
///
/// # Errors
/// `STALE_INDEX`, `OVERFLOW`.
pub fn prune(
    mut free_atoms: Atoms,
    markets: &mut [PrunedMarket<'_>],
    newest_first: &[Prunable],
    max_fee_ppm: Ppm,
) -> Result<(Vec<Prunable>, Atoms), RiskError> {
    let mut cancelled = Vec::new();
    for open in newest_first.iter().filter(|open| open.reserves.increases()) {
        if !free_atoms.is_negative() {
            break;
        }
        let of = markets.iter_mut().find(|of| of.position.market == open.market);
        let of = invariant(of, "every open order is in a market of its account")?;
        let before = reserve(of.market, of.position, &of.totals)?;
        open.reserves.leave(&mut of.totals, of.market, max_fee_ppm)?;
        let after = reserve(of.market, of.position, &of.totals)?;
        let released = fits(before.checked_sub(after), "released margin")?;
        free_atoms = fits(free_atoms.checked_add(released), "free collateral")?;
        cancelled.push(*open);
    }
    Ok((cancelled, free_atoms))
}

#[cfg(test)]
mod tests;
