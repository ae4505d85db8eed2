//! The gas that closing may use in a block, by market (rules §7.12).
//!
//! A unit of gas is 5 ns of one core, as it is for transactions. Costs are charged by what is
//! looked at, so that they are the same on every node. What markets have in common is divided
//! before the first position is closed: evenly among the markets in which an account below
//! maintenance has a position that may be closed. Of a market's part the book, keepers with the
//! fund, and deleveraging have a third each.

use tidemark_proto::units::MarketId;

use crate::state::{MarketCell, State};

/// Gas of an account's step: its margin, its closing order, its zero prices.
pub(crate) const STEP_GAS: u64 = 1_000;

/// Gas of each maker that the sweep meets on the book.
pub(crate) const MAKER_GAS: u64 = 400;

/// Gas of asking a keeper.
pub(crate) const KEEPER_GAS: u64 = 2_000;

/// Gas of a look at a holder of a market in deleveraging.
pub(crate) const HOLDER_GAS: u64 = 40;

/// Gas of asking a counterparty in deleveraging, and of what its part changes.
pub(crate) const COUNTERPARTY_GAS: u64 = 1_500;

/// One stage's gas in one market. A quarter waits until those that are the farthest below
/// maintenance have had their turn: it is for those that are listed longest.
#[derive(Clone, Copy, Default)]
struct Part {
    left: u64,
    quarter: u64,
}

impl Part {
    const fn of(gas: u64) -> Self {
        let quarter = gas / 4;
        Self { left: gas.saturating_sub(quarter), quarter }
    }

    fn release(&mut self) {
        self.left = self.left.saturating_add(std::mem::take(&mut self.quarter));
    }
}

/// Which third of a market's gas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Third {
    /// Stage 2.
    Book,
    /// Stages 3, 4 and 6.
    OffBook,
    /// Stage 5.
    Deleveraging,
}

/// The gas of all markets.
pub(crate) struct Budgets {
    /// By market, then by third.
    parts: Vec<[Part; 3]>,
}

impl Budgets {
    /// Divides the block's gas evenly among the markets that are `active`. Six eighths of the
    /// sweep's gas are for closing, but for one while a market is being settled.
    pub(crate) fn divided(state: &State, active: &[bool]) -> Self {
        let markets = active.iter().filter(|active| **active).count() as u64;
        let settles = state.markets.cells().any(MarketCell::is_settling);
        let eighths: u64 = if settles { 5 } else { 6 };
        let third = state.chain.params.sweep_gas.saturating_mul(eighths) / 24;
        let gas = third.checked_div(markets).unwrap_or(0);
        let part = |active: &bool| if *active { [Part::of(gas); 3] } else { Default::default() };
        Self { parts: active.iter().map(part).collect() }
    }

    fn part(&mut self, market: MarketId, third: Third) -> Option<&mut Part> {
        self.parts.get_mut(market.index())?.get_mut(third as usize)
    }

    /// Gas that is left.
    pub(crate) fn left(&self, market: MarketId, third: Third) -> u64 {
        let part = self.parts.get(market.index()).and_then(|parts| parts.get(third as usize));
        part.map_or(0, |part| part.left)
    }

    /// Uses gas up, no more than there is.
    pub(crate) fn spend(&mut self, market: MarketId, third: Third, gas: u64) {
        if let Some(part) = self.part(market, third) {
            part.left = part.left.saturating_sub(gas);
        }
    }

    /// Uses gas up for one more piece of work, or says that none is left. So a market passes its
    /// part by one piece of work at most, and the smallest part still closes something.
    pub(crate) fn take(&mut self, market: MarketId, third: Third, gas: u64) -> bool {
        let has_some = self.left(market, third) > 0;
        self.spend(market, third, gas);
        has_some
    }

    /// Adds the quarter for those that are listed longest.
    pub(crate) fn release(&mut self, third: Third) {
        for parts in &mut self.parts {
            if let Some(part) = parts.get_mut(third as usize) {
                part.release();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariant::tests::two_markets;

    #[test]
    fn active_markets_have_equal_parts_and_a_quarter_of_each_waits() {
        let mut state = two_markets();
        state.chain.params.sweep_gas = 16_000;
        let (first, second) = (MarketId::ZERO, MarketId::new(1));
        let mut both = Budgets::divided(&state, &[true, true]);
        let mut one = Budgets::divided(&state, &[false, true]);
        assert_eq!(
            (both.left(first, Third::Book), both.left(second, Third::OffBook)),
            (1_500, 1_500)
        );
        assert_eq!((one.left(first, Third::Book), one.left(second, Third::Book)), (0, 3_000));
        assert!(both.take(first, Third::Book, 1_501) && !both.take(first, Third::Book, 1));
        both.release(Third::Book);
        both.release(Third::Book);
        assert_eq!((both.left(first, Third::Book), both.left(second, Third::Book)), (500, 2_000));
        assert_eq!(both.left(second, Third::OffBook), 1_500, "the thirds are apart");
        one.spend(second, Third::Book, u64::MAX);
        assert_eq!(one.left(second, Third::Book), 0);
        assert_eq!(Budgets::divided(&state, &[false, false]).left(first, Third::Book), 0);
    }
}
