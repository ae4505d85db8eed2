//! Governed parameters: what a market or the chain is set to, checked at listing.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use crate::codes::{Code, Refusal};
use crate::units::{Atoms, Lots, MarketId, Ppm, ATOMS_PER_USDC};

/// What a market takes (rules §2.19).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum MarketStatus {
    /// Everything.
    Active = 0,
    /// Cancels only; no liquidation, no funding.
    Paused = 1,
    /// Cancels and orders that reduce.
    ReduceOnly = 2,
    /// Nothing.
    Closed = 3,
}

/// Whose opposite positions deleveraging takes first, among those in profit (rules §7.5).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum AdlOrder {
    /// All, pro rata to unrealised profit.
    #[default]
    ProRata = 0,
    /// One after the other, the highest `(uPnL/notional)·(account notional/equity)` first.
    Ranked = 1,
}

/// One margin tier: up to and including `upper_notional_atoms`, `initial_margin_ppm` applies to the
/// part above the tier below.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct MarginTier {
    /// Upper end of the tier, in atoms of notional. The last tier has no end: `i128::MAX`, in JSON
    /// `null`.
    #[serde(with = "no_end")]
    pub upper_notional_atoms: Atoms,
    /// `10⁶ / max_leverage`, rounded up; 1 to 10⁶.
    pub initial_margin_ppm: Ppm,
}

/// In JSON, no end is `null`: `i128::MAX` passes what JSON readers take for a number.
mod no_end {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::units::Atoms;

    pub(super) fn serialize<S: Serializer>(
        atoms: &Atoms,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        (*atoms != Atoms::MAX).then_some(*atoms).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Atoms, D::Error> {
        Ok(Option::<Atoms>::deserialize(deserializer)?.unwrap_or(Atoms::MAX))
    }
}

/// A market's parameters. Defaults are those of the exchange rules.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct MarketParams {
    /// Assigned at listing.
    pub id: MarketId,
    /// Name, e.g. `BTC-USD`: 3 to 16 characters of `A-Z`, `0-9`, `-`.
    pub symbol: String,
    /// One tick, in 10⁻⁹ USDC per base unit.
    pub tick_size_e9: u64,
    /// One lot, in 10⁻⁹ base units.
    pub lot_size_e9: u64,
    /// What the market takes.
    pub status: MarketStatus,
    /// Margin tiers, ascending in notional and in rate; 1 to 8 of them.
    pub tiers: Vec<MarginTier>,
    /// Maintenance margin as a part of initial margin; default 500 000 (a half).
    pub maintenance_fraction_ppm: Ppm,
    /// Open interest (atoms of notional) from which the initial rate rises linearly; 0 with
    /// `oi_upper_atoms` 0 is off.
    pub oi_lower_atoms: Atoms,
    /// Open interest (atoms of notional) at which the initial rate is 100 %; 0 is off.
    pub oi_upper_atoms: Atoms,
    /// Largest order.
    pub max_order_lots: Lots,
    /// Largest open interest, in lots of one side.
    pub max_open_interest_lots: Lots,
    /// Most open orders of one account in this market; at most 1 000.
    pub max_open_orders: u32,
    /// Most makers that one order trades with.
    pub max_fills: u32,
    /// Limit prices lie within `index ± price_band_ppm`.
    pub price_band_ppm: Ppm,
    /// A market order's protection price is `mark ± market_slippage_ppm`.
    pub market_slippage_ppm: Ppm,
    /// The mark is clamped to `index ± mark_band_ppm`.
    pub mark_band_ppm: Ppm,
    /// Age from which the index is stale.
    pub max_oracle_age_ms: u64,
    /// Notional whose average fill is the impact price.
    pub impact_notional_atoms: Atoms,
    /// Interest per 8 hours.
    pub interest_ppm: Ppm,
    /// Bound on `interest − premium` per 8 hours.
    pub funding_clamp_ppm: Ppm,
    /// Bound on the hour's rate.
    pub funding_cap_ppm: Ppm,
    /// σ of the zero price: 10⁶ is the bankruptcy-proportional price.
    pub zero_price_sigma_ppm: Ppm,
    /// Positions above this notional are closed in parts.
    pub partial_liquidation_atoms: Atoms,
    /// The part closed in one block above `partial_liquidation_atoms`.
    pub partial_liquidation_ppm: Ppm,
    /// Most that a liquidation pays the insurance fund, of notional.
    pub liquidation_fee_ppm: Ppm,
    /// How far beyond the mark the insurance fund buys or sells.
    pub fund_slippage_ppm: Ppm,
    /// Most that the insurance fund pays for this market in one block.
    pub fund_block_cap_atoms: Atoms,
    /// Below this part of maintenance margin the backstop stage starts; default 666 667 (⅔).
    pub backstop_ppm: Ppm,
    /// Positions here have collateral of their own, for every account, and the market has an
    /// insurance fund of its own.
    #[serde(default)]
    pub isolated_only: bool,
    /// Whom deleveraging takes first.
    #[serde(default)]
    pub adl_order: AdlOrder,
    /// Most that one keeper sets aside to take over positions of this market.
    #[serde(default = "max_set_aside_atoms")]
    pub max_set_aside_atoms: Atoms,
    /// How far the index may move in one block, as a part of itself, unless `index_move_quorum_ppm`
    /// of power reports; 0 is off, the default.
    #[serde(default)]
    pub index_move_bound_ppm: Ppm,
    /// The part of all power from which on a report's index moves without `index_move_bound_ppm`;
    /// above ⅔ where the bound is on.
    #[serde(default)]
    pub index_move_quorum_ppm: Ppm,
    /// Most orders that a mark triggers, and most TWAP slices, that one block carries out; 1 to 10
    /// 000.
    #[serde(default = "max_triggers")]
    pub max_triggers: u32,
}

/// The default of [`MarketParams::max_set_aside_atoms`]: 1 000 000 USDC.
fn max_set_aside_atoms() -> Atoms {
    1_000_000 * ATOMS_PER_USDC
}

/// The least `index_move_quorum_ppm` beside a bound: more than the two thirds that every index
/// needs.
pub const MIN_INDEX_MOVE_QUORUM_PPM: Ppm = 666_667;

/// The default of [`MarketParams::max_triggers`].
fn max_triggers() -> u32 {
    1_000
}

/// Largest tick and lot size that a market may have, in 10⁻⁹ units: 10⁹ whole units.
pub const MAX_SIZE_E9: u64 = 1_000_000_000_000_000_000;

impl MarketParams {
    /// A market of the rules' defaults with three tiers from `max_leverage`.
    #[must_use]
    pub fn with_defaults(
        symbol: &str,
        tick_size_e9: u64,
        lot_size_e9: u64,
        max_leverage: u32,
    ) -> Self {
        let usdc = |n: Atoms| n * ATOMS_PER_USDC;
        let rate = |leverage: u32| {
            let leverage = i64::from(leverage.max(1));
            (1_000_000 + leverage - 1) / leverage
        };
        Self {
            id: 0,
            symbol: symbol.to_owned(),
            tick_size_e9,
            lot_size_e9,
            status: MarketStatus::Active,
            tiers: vec![
                MarginTier {
                    upper_notional_atoms: usdc(1_000_000),
                    initial_margin_ppm: rate(max_leverage),
                },
                MarginTier {
                    upper_notional_atoms: usdc(10_000_000),
                    initial_margin_ppm: rate(max_leverage / 2),
                },
                MarginTier {
                    upper_notional_atoms: Atoms::MAX,
                    initial_margin_ppm: rate(max_leverage / 4),
                },
            ],
            maintenance_fraction_ppm: 500_000,
            oi_lower_atoms: 0,
            oi_upper_atoms: 0,
            max_order_lots: 1_000_000_000,
            max_open_interest_lots: 1_000_000_000_000,
            max_open_orders: 200,
            max_fills: 500,
            price_band_ppm: 200_000,
            market_slippage_ppm: 50_000,
            mark_band_ppm: 50_000,
            max_oracle_age_ms: 30_000,
            impact_notional_atoms: usdc(6_000),
            interest_ppm: 100,
            funding_clamp_ppm: 500,
            funding_cap_ppm: 40_000,
            zero_price_sigma_ppm: 1_000_000,
            partial_liquidation_atoms: usdc(100_000),
            partial_liquidation_ppm: 200_000,
            liquidation_fee_ppm: 10_000,
            fund_slippage_ppm: 50_000,
            fund_block_cap_atoms: usdc(1_000_000),
            backstop_ppm: 666_667,
            isolated_only: false,
            adl_order: AdlOrder::ProRata,
            max_set_aside_atoms: max_set_aside_atoms(),
            index_move_bound_ppm: 0,
            index_move_quorum_ppm: 900_000,
            max_triggers: max_triggers(),
        }
    }

    /// Atoms per tick·lot, `tick_size·lot_size·10⁶`: a whole number of at least 1 (rules §1.2).
    ///
    /// # Errors
    /// `INVALID_PARAMS` when it is not, naming the sizes.
    pub fn k(&self) -> Result<u64, Refusal> {
        let product = u128::from(self.tick_size_e9) * u128::from(self.lot_size_e9);
        const E12: u128 = 1_000_000_000_000;
        let whole = product != 0 && product % E12 == 0;
        u64::try_from(product / E12).ok().filter(|_| whole).ok_or_else(|| {
            invalid(format!(
                "tick_size_e9 {} times lot_size_e9 {} is not a whole number of atoms (a multiple \
                 of 10^12, below 2^64 of them)",
                self.tick_size_e9, self.lot_size_e9
            ))
        })
    }

    /// Checks that the parameters fit together.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the name, the bound and the value of the first that does not.
    pub fn check(&self) -> Result<(), Refusal> {
        self.k()?;
        let name_ok = (3..=16).contains(&self.symbol.len())
            && self
                .symbol
                .bytes()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-');
        if !name_ok {
            return Err(invalid(format!(
                "symbol {:?} is not 3 to 16 characters of A-Z, 0-9 and '-'",
                self.symbol.chars().take(32).collect::<String>()
            )));
        }
        self.check_tiers()?;
        // Where the bound is off its quorum is not looked at: a file that knows of neither stays
        // right.
        let least_move_quorum =
            if self.index_move_bound_ppm == 0 { 0 } else { MIN_INDEX_MOVE_QUORUM_PPM };
        for (name, value, low, high) in [
            ("maintenance_fraction_ppm", self.maintenance_fraction_ppm, 1, 1_000_000),
            ("price_band_ppm", self.price_band_ppm, 1, 999_999),
            ("market_slippage_ppm", self.market_slippage_ppm, 0, 999_999),
            ("mark_band_ppm", self.mark_band_ppm, 0, 999_999),
            ("interest_ppm", self.interest_ppm, -1_000_000, 1_000_000),
            ("funding_clamp_ppm", self.funding_clamp_ppm, 0, 1_000_000),
            ("funding_cap_ppm", self.funding_cap_ppm, 0, 1_000_000),
            ("zero_price_sigma_ppm", self.zero_price_sigma_ppm, 1, 1_000_000),
            ("partial_liquidation_ppm", self.partial_liquidation_ppm, 1, 1_000_000),
            ("liquidation_fee_ppm", self.liquidation_fee_ppm, 0, 1_000_000),
            ("fund_slippage_ppm", self.fund_slippage_ppm, 0, 999_999),
            ("backstop_ppm", self.backstop_ppm, 0, 1_000_000),
            ("index_move_bound_ppm", self.index_move_bound_ppm, 0, 999_999),
            ("index_move_quorum_ppm", self.index_move_quorum_ppm, least_move_quorum, 1_000_000),
            ("max_open_orders", i64::from(self.max_open_orders), 1, 1_000),
            ("max_fills", i64::from(self.max_fills), 1, 10_000),
            ("max_triggers", i64::from(self.max_triggers), 1, 10_000),
            ("max_order_lots", i64::try_from(self.max_order_lots).unwrap_or(-1), 1, 1 << 40),
            (
                "max_open_interest_lots",
                i64::try_from(self.max_open_interest_lots).unwrap_or(-1),
                1,
                1 << 50,
            ),
            (
                "max_oracle_age_ms",
                i64::try_from(self.max_oracle_age_ms).unwrap_or(-1),
                1,
                86_400_000,
            ),
        ] {
            if !(low..=high).contains(&value) {
                return Err(invalid(format!("{name} is {value}, must be {low} to {high}")));
            }
        }
        for (name, value) in [
            ("oi_lower_atoms", self.oi_lower_atoms),
            ("oi_upper_atoms", self.oi_upper_atoms),
            ("impact_notional_atoms", self.impact_notional_atoms),
            ("partial_liquidation_atoms", self.partial_liquidation_atoms),
            ("fund_block_cap_atoms", self.fund_block_cap_atoms),
            ("max_set_aside_atoms", self.max_set_aside_atoms),
        ] {
            if !(0..=MAX_ATOMS).contains(&value) {
                return Err(invalid(format!("{name} is {value}, must be 0 to {MAX_ATOMS}")));
            }
        }
        if self.oi_upper_atoms != 0 && self.oi_upper_atoms <= self.oi_lower_atoms {
            return Err(invalid(format!(
                "oi_upper_atoms {} must be 0 or above oi_lower_atoms {}",
                self.oi_upper_atoms, self.oi_lower_atoms
            )));
        }
        Ok(())
    }

    fn check_tiers(&self) -> Result<(), Refusal> {
        let ascending = self.tiers.windows(2).all(|pair| {
            pair[0].upper_notional_atoms < pair[1].upper_notional_atoms
                && pair[0].initial_margin_ppm <= pair[1].initial_margin_ppm
        });
        let rates_ok = self.tiers.iter().all(|tier| {
            (1..=1_000_000).contains(&tier.initial_margin_ppm) && tier.upper_notional_atoms > 0
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
}

/// Largest amount that a message or parameter may name: 10¹⁸ atoms, a million million USDC.
pub const MAX_ATOMS: Atoms = 1_000_000_000_000_000_000;

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidParams, message)
}

/// One fee tier: from `min_volume_atoms` of 30-day volume on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
pub struct FeeTier {
    /// Traded notional of the last 30 days from which the tier applies.
    pub min_volume_atoms: Atoms,
    /// Maker rate; negative is a rebate paid out of the same trade's taker fee.
    pub maker_ppm: Ppm,
    /// Taker rate.
    pub taker_ppm: Ppm,
}

/// Parameters of the whole chain.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct ChainParams {
    /// Fee tiers, ascending in volume; the first starts at 0.
    pub fee_tiers: Vec<FeeTier>,
    /// Part of net fees that goes to the insurance fund; the rest is the validators' pool.
    pub insurance_fee_ppm: Ppm,
    /// Most gas in one block.
    pub max_block_gas: u64,
    /// Most bytes in one transaction.
    pub max_tx_bytes: u32,
    /// Whether cancels run before the other orders of a block (rules §8.3).
    pub cancels_first: bool,
    /// Pause of blocks, in block time, after which withdrawals are gated.
    pub halt_ms: u64,
    /// For how many blocks withdrawals are gated after a halt or negative equity.
    pub withdrawal_gate_blocks: u64,
}

impl ChainParams {
    /// Checks that the parameters fit together. Margin reserves the highest fee of an order, which
    /// holds for rates up to 100 % only.
    ///
    /// # Errors
    /// `INVALID_PARAMS` with the name, the bound and the value of the first that does not.
    pub fn check(&self) -> Result<(), Refusal> {
        let tiers = &self.fee_tiers;
        let ascending =
            tiers.windows(2).all(|pair| pair[0].min_volume_atoms < pair[1].min_volume_atoms);
        if !(1..=16).contains(&tiers.len()) || tiers[0].min_volume_atoms != 0 || !ascending {
            return Err(invalid(format!(
                "{} fee_tiers: must be 1 to 16, ascending in volume from 0",
                tiers.len()
            )));
        }
        let maker = tiers.iter().map(|tier| ("maker_ppm", tier.maker_ppm, -1_000_000, 1_000_000));
        let taker = tiers.iter().map(|tier| ("taker_ppm", tier.taker_ppm, 0, 1_000_000));
        let others = [
            ("insurance_fee_ppm", self.insurance_fee_ppm, 0, 1_000_000),
            ("max_tx_bytes", i64::from(self.max_tx_bytes), 1_024, 1 << 20),
            ("max_block_gas", i64::try_from(self.max_block_gas).unwrap_or(-1), 1, 1 << 40),
            ("halt_ms", i64::try_from(self.halt_ms).unwrap_or(-1), 1, 86_400_000),
            (
                "withdrawal_gate_blocks",
                i64::try_from(self.withdrawal_gate_blocks).unwrap_or(-1),
                0,
                1_000_000,
            ),
        ];
        for (name, value, low, high) in maker.chain(taker).chain(others) {
            if !(low..=high).contains(&value) {
                return Err(invalid(format!("{name} is {value}, must be {low} to {high}")));
            }
        }
        Ok(())
    }
}

impl Default for ChainParams {
    fn default() -> Self {
        let usdc = |n: Atoms| n * ATOMS_PER_USDC;
        Self {
            fee_tiers: vec![
                FeeTier { min_volume_atoms: 0, maker_ppm: 150, taker_ppm: 450 },
                FeeTier { min_volume_atoms: usdc(5_000_000), maker_ppm: 120, taker_ppm: 400 },
                FeeTier { min_volume_atoms: usdc(25_000_000), maker_ppm: 80, taker_ppm: 350 },
                FeeTier { min_volume_atoms: usdc(100_000_000), maker_ppm: 40, taker_ppm: 300 },
                FeeTier { min_volume_atoms: usdc(500_000_000), maker_ppm: 0, taker_ppm: 280 },
                FeeTier { min_volume_atoms: usdc(2_000_000_000), maker_ppm: -30, taker_ppm: 240 },
            ],
            insurance_fee_ppm: 500_000,
            max_block_gas: 100_000_000,
            max_tx_bytes: 64 * 1024,
            cancels_first: true,
            halt_ms: 300_000,
            withdrawal_gate_blocks: 50,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_market_whose_k_is_not_whole_is_refused() {
        let mut params = MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50);
        assert_eq!(params.k(), Ok(10));
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
        params.fee_tiers[0].taker_ppm = 1_000_001;
        assert_eq!(
            params.check().unwrap_err().message,
            "taker_ppm is 1000001, must be 0 to 1000000"
        );
        params.fee_tiers.clear();
        assert_eq!(params.check().unwrap_err().code, Code::InvalidParams);
    }

    #[test]
    fn a_bound_and_its_offender_are_named() {
        let mut params = MarketParams::with_defaults("ETH-USD", 10_000_000, 1_000_000, 25);
        params.mark_band_ppm = 2_000_000;
        let refusal = params.check().unwrap_err();
        assert_eq!(refusal.message, "mark_band_ppm is 2000000, must be 0 to 999999");
        params.mark_band_ppm = 1;
        (params.index_move_bound_ppm, params.index_move_quorum_ppm) = (0, 0);
        assert_eq!(params.check(), Ok(()));
        params.index_move_bound_ppm = 10_000;
        let refusal = params.check().unwrap_err();
        assert_eq!(refusal.message, "index_move_quorum_ppm is 0, must be 666667 to 1000000");
        params.index_move_quorum_ppm = 666_667;
        params.tiers[1].upper_notional_atoms = 1;
        assert!(params.check().unwrap_err().message.contains("tiers"));
    }
}
