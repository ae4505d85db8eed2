//! Integer units of everything that consensus computes (rules §1.1).
//!
//! | quantity | type | meaning |
//! |---|---|---|
//! | price | [`Ticks`] | one tick = `tick_size` USDC per base unit |
//! | quantity | [`Lots`], signed for positions | one lot = `lot_size` base units |
//! | quote | [`Atoms`] | 10⁻⁶ USDC |
//! | rate | [`Ppm`] | parts per million, signed |
//! | time | [`TimeMs`] | block time, milliseconds since the Unix epoch |

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Price in ticks.
pub type Ticks = u64;
/// Quantity in lots.
pub type Lots = u64;
/// Position in lots: positive is long, negative is short.
pub type SignedLots = i64;
/// Quote amount in atoms, 10⁻⁶ USDC.
pub type Atoms = i128;
/// Rate in parts per million.
pub type Ppm = i64;
/// Block time in milliseconds since the Unix epoch.
pub type TimeMs = u64;

/// Atoms in one USDC.
pub const ATOMS_PER_USDC: Atoms = 1_000_000;
/// One, as a rate.
pub const PPM: i128 = 1_000_000;

/// Identifies a market; assigned in order of listing, from 0.
pub type MarketId = u16;
/// Identifies a subaccount: its slot in the account table.
pub type AccountId = u32;
/// Identifies an owner (a Cosmos address): its slot in the owner table.
pub type OwnerId = u32;
/// Identifies an order within its market; assigned in order of acceptance, from 1.
pub type OrderId = u64;

/// Which way an order trades.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Side {
    /// Increases the position.
    Buy = 0,
    /// Decreases the position.
    Sell = 1,
}

impl Side {
    /// The other side.
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// The side that reduces a position: sell for a long, buy for a short.
    #[must_use]
    pub const fn reducing(position_lots: SignedLots) -> Self {
        if position_lots > 0 {
            Self::Sell
        } else {
            Self::Buy
        }
    }
}

/// What to do when an order would trade against another of the same account (rules §2.6).
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SelfTradePrevention {
    /// The incoming rest is cancelled; the resting order stays.
    #[default]
    CancelTaker = 0,
    /// The resting order is cancelled; matching goes on.
    CancelMaker = 1,
    /// Both are cancelled.
    CancelBoth = 2,
    /// Both lose the smaller of the two quantities without a trade; matching goes on.
    Decrement = 3,
}

/// The exact value of `lots` at `price_ticks`: `p·q·k` atoms (rules §1.2). `None` on overflow of
/// 127 bits.
#[must_use]
pub fn notional_atoms(price_ticks: Ticks, lots: Lots, k: u64) -> Option<Atoms> {
    let per_lot = u128::from(price_ticks) * u128::from(k);
    i128::try_from(per_lot.checked_mul(u128::from(lots))?).ok()
}

/// `a·b/d` rounded toward minus infinity. `None` on overflow of the 127-bit product, or when
/// `d ≤ 0`.
#[must_use]
pub fn mul_div_floor(a: i128, b: i128, d: i128) -> Option<i128> {
    (d > 0).then(|| a.checked_mul(b).map(|product| product.div_euclid(d)))?
}

/// `a·b/d` rounded toward plus infinity. `None` on overflow of the 127-bit product, or when
/// `d ≤ 0`.
#[must_use]
pub fn mul_div_ceil(a: i128, b: i128, d: i128) -> Option<i128> {
    (d > 0).then(|| {
        let product = a.checked_mul(b)?;
        let floor = product.div_euclid(d);
        floor.checked_add(i128::from(product.rem_euclid(d) != 0))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_directed_for_both_signs() {
        assert_eq!(mul_div_floor(7, 1, 2), Some(3));
        assert_eq!(mul_div_ceil(7, 1, 2), Some(4));
        assert_eq!(mul_div_floor(-7, 1, 2), Some(-4));
        assert_eq!(mul_div_ceil(-7, 1, 2), Some(-3));
        assert_eq!(mul_div_ceil(-8, 1, 2), Some(-4));
    }

    #[test]
    fn overflow_and_bad_divisors_are_none() {
        assert_eq!(mul_div_floor(i128::MAX, 2, 1), None);
        assert_eq!(mul_div_ceil(1, 1, 0), None);
        assert_eq!(notional_atoms(u64::MAX, u64::MAX, u64::MAX), None);
        assert_eq!(notional_atoms(u64::MAX, 1, 1), Some(i128::from(u64::MAX)));
    }
}
