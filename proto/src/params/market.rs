//! A market's parameters.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{invalid, MAX_ATOMS};
use crate::codes::Refusal;
use crate::units::{Atoms, AtomsPerTickLot, Lots, MarketId, Ppm, TimeMs};

/// Operations that a market accepts (rules §2.19).
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

/// Order in which deleveraging takes opposite positions in profit (rules §7.5).
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
    /// Operations that the market accepts.
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
    /// The book moves the mark by half of this part of the index at most; at most half of
    /// [`MarketParams::maintenance_ppm`].
    pub mark_band_ppm: Ppm,
    /// Age from which the index is stale.
    pub max_oracle_age_ms: TimeMs,
    /// Least notional whose average fill is an impact price of funding; at least
    /// [`MIN_IMPACT_NOTIONAL`].
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
    /// How far beyond the mark the insurance fund buys or sells; at most half of
    /// [`MarketParams::maintenance_ppm`].
    pub fund_slippage_ppm: Ppm,
    /// Most that the insurance fund pays for this market in one block.
    pub fund_block_cap_atoms: Atoms,
    /// Below this part of maintenance margin the backstop stage starts; default 666 667 (⅔).
    pub backstop_ppm: Ppm,
    /// Positions here have collateral of their own, for every account, and the market has an
    /// insurance fund of its own.
    #[serde(default)]
    pub isolated_only: bool,
    /// Order in which deleveraging takes opposite positions.
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
    /// Most orders that a mark triggers, and most TWAP slices, that one block carries out; 1 to
    /// 10 000.
    #[serde(default = "max_triggers")]
    pub max_triggers: u32,
    /// Least notional whose average fill is an impact price of the mark; at least
    /// [`MIN_MARK_IMPACT_NOTIONAL`].
    #[serde(default = "mark_impact_notional_atoms")]
    pub mark_impact_notional_atoms: Atoms,
    /// Least notional of an order, and of an iceberg's display; 0 is off.
    #[serde(default = "min_order_atoms")]
    pub min_order_atoms: Atoms,
    /// Largest open interest at the mark, in notional of one side; 0 is off.
    #[serde(default)]
    pub max_open_interest_atoms: Atoms,
}

/// The least [`MarketParams::mark_impact_notional_atoms`], and its default: less depth than that
/// has no say in any market's mark.
pub const MIN_MARK_IMPACT_NOTIONAL: Atoms = Atoms::from_usdc(10_000);

/// The least [`MarketParams::impact_notional_atoms`], and its default.
pub const MIN_IMPACT_NOTIONAL: Atoms = Atoms::from_usdc(6_000);

/// The default of [`MarketParams::mark_band_ppm`], where margin allows it.
const MARK_BAND_PPM: Ppm = Ppm::new(50_000);

const fn mark_impact_notional_atoms() -> Atoms {
    MIN_MARK_IMPACT_NOTIONAL
}

/// The default of [`MarketParams::min_order_atoms`]: 10 USDC.
const fn min_order_atoms() -> Atoms {
    Atoms::from_usdc(10)
}

/// The cap of open interest of a market that a message lists, unless it says otherwise.
const LISTED_OPEN_INTEREST: Atoms = Atoms::from_usdc(1_000_000);

/// The default of [`MarketParams::max_set_aside_atoms`]: 1 000 000 USDC.
const fn max_set_aside_atoms() -> Atoms {
    Atoms::from_usdc(1_000_000)
}

/// The least `index_move_quorum_ppm` beside a bound: more than the two thirds that every index
/// needs.
pub const MIN_INDEX_MOVE_QUORUM_PPM: Ppm = Ppm::new(666_667);

/// The default of [`MarketParams::max_triggers`].
const fn max_triggers() -> u32 {
    1_000
}

/// Largest tick and lot size that a market may have, in 10⁻⁹ units: 10⁹ whole units.
pub const MAX_SIZE_E9: u64 = 1_000_000_000_000_000_000;

/// Three tiers from `max_leverage` on, halving it.
fn default_tiers(max_leverage: u32) -> Vec<MarginTier> {
    let rate = |leverage: u32| {
        let leverage = i64::from(leverage.max(1));
        Ppm::new((Ppm::ONE.get() + leverage - 1) / leverage)
    };
    let tier = |upper_notional_atoms, leverage| MarginTier {
        upper_notional_atoms,
        initial_margin_ppm: rate(leverage),
    };
    vec![
        tier(Atoms::from_usdc(1_000_000), max_leverage),
        tier(Atoms::from_usdc(10_000_000), max_leverage / 2),
        tier(Atoms::MAX, max_leverage / 4),
    ]
}

/// Three times the first tier's maintenance rate, at most 10 %: what a market order may cost beyond
/// the mark is of the size of what keeps its position.
fn default_slippage(max_leverage: u32) -> Ppm {
    Ppm::new((1_500_000 / i64::from(max_leverage.max(1))).min(100_000))
}

impl MarketParams {
    /// A market of the rules' defaults with three tiers from `max_leverage`.
    #[must_use]
    pub fn with_defaults(
        symbol: &str,
        tick_size_e9: u64,
        lot_size_e9: u64,
        max_leverage: u32,
    ) -> Self {
        let mut params = Self {
            id: MarketId::ZERO,
            symbol: symbol.to_owned(),
            tick_size_e9,
            lot_size_e9,
            status: MarketStatus::Active,
            tiers: default_tiers(max_leverage),
            maintenance_fraction_ppm: Ppm::new(500_000),
            oi_lower_atoms: Atoms::ZERO,
            oi_upper_atoms: Atoms::ZERO,
            max_order_lots: Lots::new(1_000_000_000),
            max_open_interest_lots: Lots::new(1_000_000_000_000),
            max_open_orders: 200,
            max_fills: 500,
            price_band_ppm: Ppm::new(200_000),
            market_slippage_ppm: default_slippage(max_leverage),
            mark_band_ppm: MARK_BAND_PPM,
            max_oracle_age_ms: TimeMs::new(30_000),
            impact_notional_atoms: MIN_IMPACT_NOTIONAL,
            interest_ppm: Ppm::new(100),
            funding_clamp_ppm: Ppm::new(500),
            funding_cap_ppm: Ppm::new(40_000),
            zero_price_sigma_ppm: Ppm::ONE,
            partial_liquidation_atoms: Atoms::from_usdc(100_000),
            partial_liquidation_ppm: Ppm::new(200_000),
            liquidation_fee_ppm: Ppm::new(10_000),
            fund_slippage_ppm: Ppm::ZERO,
            fund_block_cap_atoms: Atoms::from_usdc(1_000_000),
            backstop_ppm: Ppm::new(666_667),
            isolated_only: false,
            adl_order: AdlOrder::ProRata,
            max_set_aside_atoms: max_set_aside_atoms(),
            index_move_bound_ppm: Ppm::ZERO,
            index_move_quorum_ppm: Ppm::new(900_000),
            max_triggers: max_triggers(),
            mark_impact_notional_atoms: mark_impact_notional_atoms(),
            min_order_atoms: min_order_atoms(),
            max_open_interest_atoms: Atoms::ZERO,
        };
        params.mark_band_ppm = MARK_BAND_PPM.min(params.max_mark_band_ppm());
        params
    }

    /// The parameters of a market that a message lists (rules §10.8): isolated for every account
    /// unless it is to share the accounts' collateral; with a cap of open interest of 1 000 000
    /// USDC where none is given; and with an initial rate that rises from half of the cap on where
    /// the parameters do not say.
    #[must_use]
    pub fn as_listed(mut self, shares_collateral: bool) -> Self {
        self.isolated_only |= !shares_collateral;
        if self.max_open_interest_atoms.is_zero() {
            self.max_open_interest_atoms = LISTED_OPEN_INTEREST;
        }
        let cap_atoms = self.max_open_interest_atoms;
        if self.oi_upper_atoms.is_zero() && cap_atoms < MAX_ATOMS {
            self.oi_lower_atoms = Atoms::new(cap_atoms.get() / 2);
            self.oi_upper_atoms = cap_atoms;
        }
        self
    }

    /// The maintenance rate of the first tier, rounded down: what the smallest position needs.
    #[must_use]
    pub fn maintenance_ppm(&self) -> Ppm {
        let initial = self.tiers.first().map_or(Ppm::ZERO, |tier| tier.initial_margin_ppm);
        let product = initial.wide().saturating_mul(self.maintenance_fraction_ppm.wide());
        let rate = product.checked_div(Ppm::ONE.wide()).map(i64::try_from);
        rate.and_then(Result::ok).map_or(Ppm::ZERO, Ppm::new)
    }

    /// The largest [`MarketParams::mark_band_ppm`]: half of the first tier's maintenance rate, so
    /// that a book that moves the mark from one end of what it may say to the other takes half of
    /// the least maintenance margin at most.
    #[must_use]
    pub fn max_mark_band_ppm(&self) -> Ppm {
        Ppm::new(self.maintenance_ppm().get() / 2)
    }

    /// The largest [`MarketParams::fund_slippage_ppm`]: half of the first tier's maintenance rate,
    /// so that a friend's order beyond the mark takes less from the fund than the account that is
    /// closed has paid in margin.
    #[must_use]
    pub fn max_fund_slippage_ppm(&self) -> Ppm {
        Ppm::new(self.maintenance_ppm().get() / 2)
    }

    /// Atoms per tick·lot, `tick_size·lot_size·10⁶`: a whole number of at least 1 (rules §1.2).
    ///
    /// # Errors
    /// `INVALID_PARAMS` when it is not, naming the sizes.
    pub fn k(&self) -> Result<AtomsPerTickLot, Refusal> {
        let product = u128::from(self.tick_size_e9) * u128::from(self.lot_size_e9);
        const E12: u128 = 1_000_000_000_000;
        let whole = product != 0 && product % E12 == 0;
        let k = u64::try_from(product / E12).ok().filter(|_| whole);
        k.map(AtomsPerTickLot::new).ok_or_else(|| {
            invalid(format!(
                "tick_size_e9 {} times lot_size_e9 {} is not a whole number of atoms (a multiple \
                 of 10^12, below 2^64 of them)",
                self.tick_size_e9, self.lot_size_e9
            ))
        })
    }
}
