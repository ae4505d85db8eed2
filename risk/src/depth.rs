//! How much depth a book must show on both sides to have a say (rules §§4.5, 5.2).

use tidemark_proto::defence::Defence;
use tidemark_proto::units::{Atoms, Ppm};

use crate::market::Market;

/// The most that open interest asks for: 1 000 000 USDC.
const MOST_FOR_OPEN_INTEREST: Atoms = Atoms::from_usdc(1_000_000);

/// The part of open interest that a book's say in the mark needs: 1 %.
const MARK_PART_PPM: Ppm = Ppm::new(10_000);
/// The part of open interest that a sample of funding needs: 0.5 %.
const FUNDING_PART_PPM: Ppm = Ppm::new(5_000);

impl Market {
    /// The notional of the impact prices behind the mark: the market's own, or a hundredth of open
    /// interest where that is more, which is 1 000 000 USDC at most.
    #[must_use]
    pub fn mark_impact_notional_atoms(&self) -> Atoms {
        if !Defence::Depth.stands() {
            return Atoms::ZERO;
        }
        self.params.mark_impact_notional_atoms.max(self.of_open_interest(MARK_PART_PPM))
    }

    /// The notional of the impact prices behind funding: the market's own, or a two-hundredth of
    /// open interest where that is more, which is 1 000 000 USDC at most.
    #[must_use]
    pub fn funding_impact_notional_atoms(&self) -> Atoms {
        if !Defence::Depth.stands() {
            return Atoms::ZERO;
        }
        self.params.impact_notional_atoms.max(self.of_open_interest(FUNDING_PART_PPM))
    }

    /// A part of open interest at the mark; nothing without a mark.
    fn of_open_interest(&self, part_ppm: Ppm) -> Atoms {
        let lots = self.open_interest_lots.wide();
        let open_interest = self.mark_ticks.and_then(|mark| self.value_atoms(mark, lots));
        let part = open_interest.and_then(|atoms| atoms.mul_ppm_floor(part_ppm));
        part.map_or(Atoms::ZERO, |part| part.min(MOST_FOR_OPEN_INTEREST))
    }
}

#[cfg(test)]
mod tests {
    use tidemark_proto::units::{Atoms, Lots};

    use crate::tests::{market, usdc};

    #[test]
    fn rules_4_open_interest_asks_for_depth_up_to_a_million() {
        // One lot at a mark of 1 000 is 1 000 USDC.
        let mut market = market(0, 10, 1_000, 1_000_000);
        for (open_interest, mark, funding) in [
            (0, 10_000, 6_000),
            (1_000, 10_000, 6_000),
            (1_201, 12_010, 6_005),
            (50_000, 500_000, 250_000),
            (100_000, 1_000_000, 500_000),
            (10_000_000, 1_000_000, 1_000_000),
        ] {
            market.open_interest_lots = Lots::new(open_interest);
            assert_eq!(market.mark_impact_notional_atoms(), usdc(mark), "{open_interest}");
            assert_eq!(market.funding_impact_notional_atoms(), usdc(funding), "{open_interest}");
        }
        market.params.mark_impact_notional_atoms = usdc(2_000_000);
        assert_eq!(market.mark_impact_notional_atoms(), usdc(2_000_000), "the market's own");
        (market.mark_ticks, market.params.mark_impact_notional_atoms) = (None, usdc(10_000));
        assert_eq!(market.mark_impact_notional_atoms(), Atoms::from_usdc(10_000), "no mark");
    }
}
