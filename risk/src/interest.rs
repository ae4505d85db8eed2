//! Open interest at the admission of orders: how much more they must find covered, and how many
//! lots then fit (rules §§3.4, 3.8).

use tidemark_proto::units::{Atoms, Lots, Ppm, Side, SignedLots};

use crate::account::Position;
use crate::error::{fits, RiskError};
use crate::market::Market;
use crate::orders::{reserve, OpenOrder, OrderTotals, ReserveTerms};
use crate::sharing::midpoint;

/// Open interest once a position of `held` lots has changed by lots of a side that take: longs are
/// counted, as many as shorts, so a taker adds at most what its own side grows by.
#[must_use]
pub fn open_interest_with(now: Lots, held: SignedLots, side: Side, lots: Lots) -> Lots {
    let of_side = |lots: i128| match side {
        Side::Buy => lots.max(0),
        Side::Sell => lots.saturating_neg().max(0),
    };
    let delta = match side {
        Side::Buy => lots.wide(),
        Side::Sell => lots.wide().saturating_neg(),
    };
    let after = of_side(held.wide().saturating_add(delta));
    let added = after.saturating_sub(of_side(held.wide())).max(0);
    now.saturating_add(u64::try_from(added).map_or(Lots::MAX, Lots::new))
}

/// By how much an order that increases must find the reserve of its market covered beyond what is
/// reserved (rules §3.4): margin at the initial rate that an open interest of so many lots raises,
/// less that at the tiers' own. Only admission asks for it: were it reserved, one pair of orders
/// could prune everybody.
///
/// # Errors
/// `STALE_INDEX` without a mark, `OVERFLOW` beyond 127 bits.
pub fn raise_atoms(
    market: &Market,
    position: &Position,
    totals: &OrderTotals,
    open_interest_lots: Lots,
) -> Result<Atoms, RiskError> {
    if market.params.oi_upper_atoms.is_zero() {
        return Ok(Atoms::ZERO);
    }
    let open_interest = market.value_atoms(market.mark()?, open_interest_lots.wide());
    let open_interest = fits(open_interest, "open interest")?;
    let raised = ReserveTerms::at(market, position, totals, open_interest)?.margin_atoms;
    let own = ReserveTerms::of(market, position, totals)?.margin_atoms;
    fits(raised.checked_sub(own), "initial margin")
}

/// The most lots, up to `most_lots`, of one more order like `order` that `free_atoms` covers in its
/// market: what it adds to the reserve rises with its lots, so halving finds the bound in 64 steps.
/// 0 when `free_atoms` is negative.
///
/// # Errors
/// `STALE_INDEX` without a mark.
pub fn affordable_lots(
    market: &Market,
    position: &Position,
    totals: &OrderTotals,
    free_atoms: Atoms,
    order: &OpenOrder,
    most_lots: Lots,
    max_fee_ppm: Ppm,
) -> Result<Lots, RiskError> {
    let mark_ticks = market.mark()?;
    let before = reserve(market, position, totals)?;
    // What passes 127 bits is not affordable.
    let covers = |lots: Lots| {
        let mut with = *totals;
        with.add(&OpenOrder { lots, ..*order }, mark_ticks, market.k, max_fee_ppm).ok()?;
        let added = reserve(market, position, &with).ok()?.checked_sub(before)?;
        let raise = if order.reduce_only {
            Atoms::ZERO
        } else {
            let open_interest =
                open_interest_with(market.open_interest_lots, position.lots, order.side, lots);
            raise_atoms(market, position, &with, open_interest).ok()?
        };
        (added.checked_add(raise)? <= free_atoms).then_some(())
    };
    let (mut low, mut high) =
        (Lots::ZERO, if free_atoms.is_negative() { Lots::ZERO } else { most_lots });
    while low < high {
        // Rounded up, so that it is above `low`; neither it nor the one below it saturates.
        let middle = midpoint(low.saturating_add(Lots::ONE), high);
        if covers(middle).is_some() {
            low = middle;
        } else {
            high = middle.saturating_sub(Lots::ONE);
        }
    }
    Ok(low)
}
