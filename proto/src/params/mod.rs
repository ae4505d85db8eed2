//! Governed parameters of a market and of the chain, checked when they are set.

mod chain;
mod check;
mod market;

pub use chain::{ChainParams, FeeTier, MAX_ALLOWANCE_BASE, MAX_SUBACCOUNTS, MIN_OUTFLOW_ATOMS};
pub use market::{
    AdlOrder, MarginTier, MarketParams, MarketStatus, MAX_SIZE_E9, MIN_IMPACT_NOTIONAL,
    MIN_INDEX_MOVE_QUORUM_PPM, MIN_MARK_IMPACT_NOTIONAL,
};

use crate::codes::{Code, Refusal};
use crate::units::Atoms;

/// Largest amount that a message or parameter may name: 10¹⁸ atoms, a million million USDC.
pub const MAX_ATOMS: Atoms = Atoms::new(1_000_000_000_000_000_000);

/// The least that a keeper sets aside for a market (rules §7.10): a place costs something to hold.
pub const MIN_SET_ASIDE_ATOMS: Atoms = Atoms::from_usdc(1_000);

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidParams, message)
}

/// Checks named values against their lower and upper bounds.
fn within(values: impl IntoIterator<Item = (&'static str, i64, i64, i64)>) -> Result<(), Refusal> {
    for (name, value, low, high) in values {
        if !(low..=high).contains(&value) {
            return Err(invalid(format!("{name} is {value}, must be {low} to {high}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{AtomsPerTickLot, Ppm};

    #[test]
    fn a_market_whose_k_is_not_whole_is_refused() {
        let mut params = MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50);
        assert_eq!(params.k(), Ok(AtomsPerTickLot::new(10)));
        assert_eq!(params.check(), Ok(()));
        params.lot_size_e9 = 1_234;
        assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
        params.lot_size_e9 = 0;
        assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
    }

    #[test]
    fn fee_rates_beyond_what_margin_reserves_are_refused() {
        let mut params = ChainParams::default();
        assert_eq!(params.check(), Ok(()));
        params.fee_tiers[0].taker_ppm = Ppm::new(1_000_001);
        assert_eq!(
            params.check().unwrap_err().message,
            "taker_ppm is 1000001, must be 0 to 1000000"
        );
        params.fee_tiers.clear();
        assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
    }

    #[test]
    fn rules_1_what_an_owner_costs_is_at_most_its_first_credit() {
        let usdc = Atoms::from_usdc;
        let of = |first, owner, free, subaccount| ChainParams {
            first_credit_min_atoms: usdc(first),
            owner_fee_atoms: usdc(owner),
            free_subaccounts: free,
            subaccount_fee_atoms: usdc(subaccount),
            ..ChainParams::default()
        };
        assert_eq!(ChainParams::default(), of(10, 1, 8, 1));
        for allowed in [of(0, 0, 1, 0), of(7, 7, 128, 1_000), of(1_000, 0, 8, 1)] {
            assert_eq!(allowed.check(), Ok(()));
        }
        for refused in [
            of(-1, 0, 8, 1),
            of(1_001, 0, 8, 1),
            of(7, 8, 8, 1),
            of(7, -1, 8, 1),
            of(7, 1, 0, 1),
            of(7, 1, 129, 1),
            of(7, 1, 8, -1),
            of(7, 1, 8, 1_001),
        ] {
            assert_eq!(refused.check().unwrap_err().code, Code::InvalidParams, "{refused:?}");
        }
    }

    #[test]
    fn rules_4_the_mark_band_is_at_most_half_of_the_first_tiers_maintenance_rate() {
        for (leverage, fraction, most) in [
            (50, 500_000, 5_000),
            (20, 500_000, 12_500),
            (3, 500_000, 83_333),
            (50, 250_000, 2_500),
            (7, 333_333, 23_809),
        ] {
            let mut params =
                MarketParams::with_defaults("ETH-USD", 10_000_000, 1_000_000, leverage);
            params.maintenance_fraction_ppm = Ppm::new(fraction);
            assert_eq!(params.max_mark_band_ppm(), Ppm::new(most), "{leverage}x");
            params.mark_band_ppm = Ppm::new(most);
            assert_eq!(params.check(), Ok(()));
            params.mark_band_ppm = Ppm::new(most + 1);
            assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
            // A change of the tiers or of the fraction is held to the band as well.
            params.mark_band_ppm = Ppm::new(most);
            params.maintenance_fraction_ppm = Ppm::new(fraction / 2);
            assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
        }
        let of = |leverage| {
            MarketParams::with_defaults("ETH-USD", 10_000_000, 1_000_000, leverage).mark_band_ppm
        };
        assert_eq!([of(50), of(20), of(3)], [5_000, 12_500, 50_000].map(Ppm::new));
    }

    #[test]
    fn rules_7_the_funds_slippage_is_at_most_half_of_the_first_tiers_maintenance_rate() {
        for (leverage, most) in [(50, 5_000), (20, 12_500), (3, 83_333)] {
            let mut params =
                MarketParams::with_defaults("ETH-USD", 10_000_000, 1_000_000, leverage);
            assert_eq!(params.fund_slippage_ppm, Ppm::ZERO);
            params.fund_slippage_ppm = Ppm::new(most);
            assert_eq!(params.check(), Ok(()), "{leverage}x");
            params.fund_slippage_ppm = Ppm::new(most + 1);
            assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
        }
    }

    #[test]
    fn the_default_slippage_is_three_times_maintenance_and_a_tenth_at_most() {
        for (leverage, slippage_ppm) in [(1, 100_000), (15, 100_000), (20, 75_000), (50, 30_000)] {
            let params = MarketParams::with_defaults("ETH-USD", 10_000_000, 1_000_000, leverage);
            assert_eq!(params.market_slippage_ppm, Ppm::new(slippage_ppm), "{leverage}x");
        }
    }

    #[test]
    fn a_bound_and_its_offender_are_named() {
        let mut params = MarketParams::with_defaults("ETH-USD", 10_000_000, 1_000_000, 25);
        params.mark_band_ppm = Ppm::new(2_000_000);
        let refusal = params.check().unwrap_err();
        assert_eq!(refusal.message, "mark_band_ppm is 2000000, must be 0 to 10000");
        params.mark_band_ppm = Ppm::new(1);
        (params.index_move_bound_ppm, params.index_move_quorum_ppm) = (Ppm::ZERO, Ppm::ZERO);
        assert_eq!(params.check(), Ok(()));
        params.index_move_bound_ppm = Ppm::new(10_000);
        let refusal = params.check().unwrap_err();
        assert_eq!(refusal.message, "index_move_quorum_ppm is 0, must be 666667 to 1000000");
        params.index_move_quorum_ppm = Ppm::new(666_667);
        params.tiers[1].upper_notional_atoms = Atoms::new(1);
        assert!(params.check().unwrap_err().message.contains("tiers"));
    }
}
