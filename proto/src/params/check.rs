//! The check of a market's parameters: each within its bounds, and all of them together.

use super::market::{MIN_IMPACT_NOTIONAL, MIN_INDEX_MOVE_QUORUM_PPM, MIN_MARK_IMPACT_NOTIONAL};
use super::{invalid, within, MarketParams, MAX_ATOMS};
use crate::codes::Refusal;
use crate::units::{Atoms, Ppm};

impl MarketParams {
    /// Checks that the parameters fit together.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the name, the bound and the value of the first that does not.
    pub fn check(&self) -> Result<(), Refusal> {
        self.k()?;
        self.check_symbol()?;
        self.check_tiers()?;
        self.check_rates()?;
        self.check_counts()?;
        self.check_amounts()
    }

    fn check_symbol(&self) -> Result<(), Refusal> {
        let is_ours = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        if (3..=16).contains(&self.symbol.len()) && self.symbol.bytes().all(is_ours) {
            return Ok(());
        }
        Err(invalid(format!(
            "symbol {:?} is not 3 to 16 characters of A-Z, 0-9 and '-'",
            self.symbol.chars().take(32).collect::<String>()
        )))
    }

    fn check_tiers(&self) -> Result<(), Refusal> {
        let ascending = self.tiers.windows(2).all(|pair| {
            pair[0].upper_notional_atoms < pair[1].upper_notional_atoms
                && pair[0].initial_margin_ppm <= pair[1].initial_margin_ppm
        });
        let rates_ok = self.tiers.iter().all(|tier| {
            (1..=1_000_000).contains(&tier.initial_margin_ppm.get())
                && tier.upper_notional_atoms.is_positive()
        });
        let open_ended =
            self.tiers.last().is_some_and(|tier| tier.upper_notional_atoms == Atoms::MAX);
        if (1..=8).contains(&self.tiers.len()) && ascending && rates_ok && open_ended {
            return Ok(());
        }
        Err(invalid(format!(
            "{} tiers: must be 1 to 8, ascending in notional and rate, rates of 1 to 1000000 ppm, \
             the last without end",
            self.tiers.len()
        )))
    }

    fn check_rates(&self) -> Result<(), Refusal> {
        // Without a bound its quorum is not checked: a file that names neither stays valid.
        let least_move_quorum =
            if self.index_move_bound_ppm.is_zero() { Ppm::ZERO } else { MIN_INDEX_MOVE_QUORUM_PPM };
        within([
            ("maintenance_fraction_ppm", self.maintenance_fraction_ppm.get(), 1, 1_000_000),
            ("price_band_ppm", self.price_band_ppm.get(), 1, 999_999),
            ("market_slippage_ppm", self.market_slippage_ppm.get(), 0, 999_999),
            ("mark_band_ppm", self.mark_band_ppm.get(), 0, self.max_mark_band_ppm().get()),
            ("interest_ppm", self.interest_ppm.get(), -1_000_000, 1_000_000),
            ("funding_clamp_ppm", self.funding_clamp_ppm.get(), 0, 1_000_000),
            ("funding_cap_ppm", self.funding_cap_ppm.get(), 0, 1_000_000),
            ("zero_price_sigma_ppm", self.zero_price_sigma_ppm.get(), 1, 1_000_000),
            ("partial_liquidation_ppm", self.partial_liquidation_ppm.get(), 1, 1_000_000),
            ("liquidation_fee_ppm", self.liquidation_fee_ppm.get(), 0, 1_000_000),
            (
                "fund_slippage_ppm",
                self.fund_slippage_ppm.get(),
                0,
                self.max_fund_slippage_ppm().get(),
            ),
            ("backstop_ppm", self.backstop_ppm.get(), 0, 1_000_000),
            ("index_move_bound_ppm", self.index_move_bound_ppm.get(), 0, 999_999),
            (
                "index_move_quorum_ppm",
                self.index_move_quorum_ppm.get(),
                least_move_quorum.get(),
                1_000_000,
            ),
        ])
    }

    fn check_counts(&self) -> Result<(), Refusal> {
        within([
            ("max_open_orders", i64::from(self.max_open_orders), 1, 1_000),
            ("max_fills", i64::from(self.max_fills), 1, 10_000),
            ("max_triggers", i64::from(self.max_triggers), 1, 10_000),
            ("max_order_lots", i64::try_from(self.max_order_lots.get()).unwrap_or(-1), 1, 1 << 40),
            (
                "max_open_interest_lots",
                i64::try_from(self.max_open_interest_lots.get()).unwrap_or(-1),
                1,
                1 << 50,
            ),
            (
                "max_oracle_age_ms",
                i64::try_from(self.max_oracle_age_ms.get()).unwrap_or(-1),
                1,
                86_400_000,
            ),
        ])
    }

    fn check_amounts(&self) -> Result<(), Refusal> {
        for (name, value) in [
            ("oi_lower_atoms", self.oi_lower_atoms),
            ("oi_upper_atoms", self.oi_upper_atoms),
            ("partial_liquidation_atoms", self.partial_liquidation_atoms),
            ("fund_block_cap_atoms", self.fund_block_cap_atoms),
            ("max_set_aside_atoms", self.max_set_aside_atoms),
            ("min_order_atoms", self.min_order_atoms),
            ("max_open_interest_atoms", self.max_open_interest_atoms),
        ] {
            if !(Atoms::ZERO..=MAX_ATOMS).contains(&value) {
                return Err(invalid(format!("{name} is {value}, must be 0 to {MAX_ATOMS}")));
            }
        }
        for (name, value, least) in [
            ("impact_notional_atoms", self.impact_notional_atoms, MIN_IMPACT_NOTIONAL),
            (
                "mark_impact_notional_atoms",
                self.mark_impact_notional_atoms,
                MIN_MARK_IMPACT_NOTIONAL,
            ),
        ] {
            if !(least..=MAX_ATOMS).contains(&value) {
                return Err(invalid(format!("{name} is {value}, must be {least} to {MAX_ATOMS}")));
            }
        }
        if !self.oi_upper_atoms.is_zero() && self.oi_upper_atoms <= self.oi_lower_atoms {
            return Err(invalid(format!(
                "oi_upper_atoms {} must be 0 or above oi_lower_atoms {}",
                self.oi_upper_atoms, self.oi_lower_atoms
            )));
        }
        Ok(())
    }
}
