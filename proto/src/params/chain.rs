//! Parameters of the whole chain.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::{invalid, within, MAX_ATOMS};
use crate::codes::Refusal;
use crate::units::{Atoms, Ppm, TimeMs};

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
    /// True if cancels run before the other orders of a block (rules §8.3).
    pub cancels_first: bool,
    /// Pause of blocks, in block time, after which withdrawals are gated.
    pub halt_ms: TimeMs,
    /// For how many blocks withdrawals are gated after a halt or large losses.
    pub withdrawal_gate_blocks: u64,
    /// Gas of the work that a block does for nobody's transaction: the sweep, and what falls due
    /// (rules §7.12).
    #[serde(default = "sweep_gas")]
    pub sweep_gas: u64,
    /// Withdrawals of an hour, unless 1 % of deposits is more (rules §3.15); at least
    /// [`MIN_OUTFLOW_ATOMS`].
    #[serde(default = "hour_outflow_atoms")]
    pub hour_outflow_atoms: Atoms,
    /// Withdrawals of a day, unless 10 % of deposits is more; at least [`MIN_OUTFLOW_ATOMS`].
    #[serde(default = "day_outflow_atoms")]
    pub day_outflow_atoms: Atoms,
    /// The least sum of minted credits that makes an address an owner (rules §1.7).
    #[serde(default = "first_credit_min_atoms")]
    pub first_credit_min_atoms: Atoms,
    /// Part of an owner's first credit that goes to the insurance fund; at most the least of it.
    #[serde(default = "owner_fee_atoms")]
    pub owner_fee_atoms: Atoms,
    /// Subaccounts of an owner that cost nothing (rules §1.8).
    #[serde(default = "free_subaccounts")]
    pub free_subaccounts: u32,
    /// The price of each further one, to the insurance fund.
    #[serde(default = "subaccount_fee_atoms")]
    pub subaccount_fee_atoms: Atoms,
    /// Orders, and cancels, that every owner's buckets hold beside what deposits and trades add
    /// (rules §10.13).
    #[serde(default = "allowance_base")]
    pub allowance_base: u64,
    /// The price of one operation beyond the allowance, where a transaction says that it pays.
    #[serde(default = "flat_fee_atoms")]
    pub flat_fee_atoms: Atoms,
}

/// The least of [`ChainParams::hour_outflow_atoms`] and of the day's: a turn of the queue of
/// withdrawals fits into a full bucket.
pub const MIN_OUTFLOW_ATOMS: Atoms = Atoms::from_usdc(10_000);

const fn hour_outflow_atoms() -> Atoms {
    Atoms::from_usdc(1_000_000)
}

const fn day_outflow_atoms() -> Atoms {
    Atoms::from_usdc(10_000_000)
}

const fn first_credit_min_atoms() -> Atoms {
    Atoms::from_usdc(10)
}

const fn owner_fee_atoms() -> Atoms {
    Atoms::USDC
}

const fn free_subaccounts() -> u32 {
    8
}

const fn subaccount_fee_atoms() -> Atoms {
    Atoms::USDC
}

const fn allowance_base() -> u64 {
    1_000
}

const fn flat_fee_atoms() -> Atoms {
    Atoms::new(1_000)
}

/// The most of [`ChainParams::allowance_base`]: no limit that anybody meets.
pub const MAX_ALLOWANCE_BASE: u64 = 1_000_000_000_000;

/// Most subaccounts of one owner.
pub const MAX_SUBACCOUNTS: u32 = 128;

/// The most that a first credit must be, or a subaccount may cost: 1 000 USDC.
const MAX_ENTRY_ATOMS: Atoms = Atoms::from_usdc(1_000);

/// Least and most gas of the sweep: at most half a second of one core.
const SWEEP_GAS: (i64, i64) = (1_000, 100_000_000);

const fn sweep_gas() -> u64 {
    60_000_000
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
        if !(1..=16).contains(&tiers.len()) || !tiers[0].min_volume_atoms.is_zero() || !ascending {
            return Err(invalid(format!(
                "{} fee_tiers: must be 1 to 16, ascending in volume from 0",
                tiers.len()
            )));
        }
        let maker =
            tiers.iter().map(|tier| ("maker_ppm", tier.maker_ppm.get(), -1_000_000, 1_000_000));
        let taker = tiers.iter().map(|tier| ("taker_ppm", tier.taker_ppm.get(), 0, 1_000_000));
        let others = [
            ("insurance_fee_ppm", self.insurance_fee_ppm.get(), 0, 1_000_000),
            ("max_tx_bytes", i64::from(self.max_tx_bytes), 1_024, 1 << 20),
            ("max_block_gas", i64::try_from(self.max_block_gas).unwrap_or(-1), 1, 1 << 40),
            ("halt_ms", i64::try_from(self.halt_ms.get()).unwrap_or(-1), 1, 86_400_000),
            (
                "withdrawal_gate_blocks",
                i64::try_from(self.withdrawal_gate_blocks).unwrap_or(-1),
                0,
                1_000_000,
            ),
            ("sweep_gas", i64::try_from(self.sweep_gas).unwrap_or(-1), SWEEP_GAS.0, SWEEP_GAS.1),
            ("free_subaccounts", self.free_subaccounts.into(), 1, MAX_SUBACCOUNTS.into()),
            (
                "allowance_base",
                i64::try_from(self.allowance_base).unwrap_or(-1),
                1,
                i64::try_from(MAX_ALLOWANCE_BASE).unwrap_or(i64::MAX),
            ),
        ];
        within(maker.chain(taker).chain(others))?;
        self.check_amounts()
    }

    fn check_amounts(&self) -> Result<(), Refusal> {
        let first_atoms = self.first_credit_min_atoms;
        for (name, value, least, most) in [
            ("hour_outflow_atoms", self.hour_outflow_atoms, MIN_OUTFLOW_ATOMS, MAX_ATOMS),
            ("day_outflow_atoms", self.day_outflow_atoms, MIN_OUTFLOW_ATOMS, MAX_ATOMS),
            ("first_credit_min_atoms", first_atoms, Atoms::ZERO, MAX_ENTRY_ATOMS),
            ("owner_fee_atoms", self.owner_fee_atoms, Atoms::ZERO, first_atoms),
            ("subaccount_fee_atoms", self.subaccount_fee_atoms, Atoms::ZERO, MAX_ENTRY_ATOMS),
            ("flat_fee_atoms", self.flat_fee_atoms, Atoms::ZERO, Atoms::USDC),
        ] {
            if !(least..=most).contains(&value) {
                return Err(invalid(format!("{name} is {value}, must be {least} to {most}")));
            }
        }
        Ok(())
    }
}

impl Default for ChainParams {
    fn default() -> Self {
        let tier = |min_volume_usdc, maker_ppm, taker_ppm| FeeTier {
            min_volume_atoms: Atoms::from_usdc(min_volume_usdc),
            maker_ppm: Ppm::new(maker_ppm),
            taker_ppm: Ppm::new(taker_ppm),
        };
        Self {
            fee_tiers: vec![
                tier(0, 150, 450),
                tier(5_000_000, 120, 400),
                tier(25_000_000, 80, 350),
                tier(100_000_000, 40, 300),
                tier(500_000_000, 0, 280),
                tier(2_000_000_000, -30, 240),
            ],
            insurance_fee_ppm: Ppm::new(500_000),
            max_block_gas: 100_000_000,
            max_tx_bytes: 64 * 1024,
            cancels_first: true,
            halt_ms: TimeMs::new(300_000),
            withdrawal_gate_blocks: 50,
            sweep_gas: sweep_gas(),
            hour_outflow_atoms: hour_outflow_atoms(),
            day_outflow_atoms: day_outflow_atoms(),
            first_credit_min_atoms: first_credit_min_atoms(),
            owner_fee_atoms: owner_fee_atoms(),
            free_subaccounts: free_subaccounts(),
            subaccount_fee_atoms: subaccount_fee_atoms(),
            allowance_base: allowance_base(),
            flat_fee_atoms: flat_fee_atoms(),
        }
    }
}
