//! Impact prices: what an order of a given notional would pay or earn on average (rules §§4.5,
//! 5.2).

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{
    mul_div_ceil, mul_div_floor, Atoms, AtomsPerTickLot, Lots, NanoTicks, Side, Ticks,
};

/// Most levels of a side that are looked at; what lies beyond counts as no depth. A notional that
/// so many levels do not fill is spread so thinly that nobody could trade it either.
pub const MAX_LEVELS: usize = 1_000;

/// The impact prices of a book that has the depth on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Impact {
    /// Average price of a sale.
    pub bid: NanoTicks,
    /// Average price of a purchase.
    pub ask: NanoTicks,
}

impl Impact {
    /// The impact prices of a book whose sides are known.
    #[must_use]
    pub fn of(bid: Option<NanoTicks>, ask: Option<NanoTicks>) -> Option<Self> {
        Some(Self { bid: bid?, ask: ask? })
    }

    /// On each side the price that is worse for whoever trades: the lower bid, the higher ask.
    #[must_use]
    pub fn less_favourable(self, other: Self) -> Self {
        Self { bid: self.bid.min(other.bid), ask: self.ask.max(other.ask) }
    }
}

/// The average price at which a side of a book fills each of several notionals, exactly, in one
/// walk of its `levels` from the best. A bid is rounded down and an ask up, to 10⁻⁹ ticks. A
/// notional of 0 means the best price. `None` for a notional that [`MAX_LEVELS`] levels do not
/// fill, or amounts beyond 127 bits. Walks no further than the largest notional needs.
///
/// With the levels before the last at `quote` atoms for `lots`, and the last at `p` ticks, a
/// notional `N` buys `lots + (N − quote)/(p·k)`; so `N` over that is `N·p/(lots·p·k + N − quote)`
/// ticks.
#[must_use]
pub fn impact_prices<const N: usize>(
    side: Side,
    notionals: [Atoms; N],
    k: AtomsPerTickLot,
    levels: impl IntoIterator<Item = (Ticks, Lots)>,
) -> [Option<NanoTicks>; N] {
    let mut prices = [None; N];
    let mut filled = Filled::default();
    for (price_ticks, lots) in levels.into_iter().take(MAX_LEVELS) {
        let Some(after) = filled.with(price_ticks, lots, k) else { break };
        for (price, notional) in prices.iter_mut().zip(notionals) {
            if notional.is_zero() {
                *price = price.or(Some(NanoTicks::of(price_ticks)));
            } else if filled.quote_atoms < notional && notional <= after.quote_atoms {
                *price = filled.average(side, notional, price_ticks, k);
            }
        }
        if notionals.iter().all(|notional| *notional <= after.quote_atoms) {
            break;
        }
        filled = after;
    }
    prices
}

/// Levels that a walk has passed.
#[derive(Clone, Copy, Default)]
struct Filled {
    quote_atoms: Atoms,
    lots: i128,
}

impl Filled {
    fn with(self, price_ticks: Ticks, lots: Lots, k: AtomsPerTickLot) -> Option<Self> {
        let level_atoms = price_ticks.notional_atoms(lots, k)?;
        Some(Self {
            quote_atoms: self.quote_atoms.checked_add(level_atoms)?,
            lots: self.lots.checked_add(lots.wide())?,
        })
    }

    /// The average of a notional whose last part is filled at `price_ticks`.
    fn average(
        self,
        side: Side,
        notional: Atoms,
        price_ticks: Ticks,
        k: AtomsPerTickLot,
    ) -> Option<NanoTicks> {
        let price = price_ticks.wide();
        let at_last = price.checked_mul(k.wide())?.checked_mul(self.lots)?;
        let base = at_last.checked_add(notional.checked_sub(self.quote_atoms)?.get())?;
        let scaled = price.checked_mul(NanoTicks::PER_TICK)?;
        let average = match side {
            Side::Buy => mul_div_floor(notional.get(), scaled, base),
            Side::Sell => mul_div_ceil(notional.get(), scaled, base),
        };
        average.map(NanoTicks::new)
    }
}

#[cfg(test)]
mod tests;
