//! Integer units of everything that consensus computes (rules §1.1).
//!
//! | quantity | type | unit |
//! |---|---|---|
//! | price | [`Ticks`], [`NanoTicks`] for averages | one tick = `tick_size` USDC per base unit |
//! | quantity | [`Lots`], [`SignedLots`] for positions | one lot = `lot_size` base units |
//! | quote | [`Atoms`] | 10⁻⁶ USDC |
//! | value of a lot per tick | [`AtomsPerTickLot`] | 10⁻⁶ USDC |
//! | rate | [`Ppm`], [`Ppb`] for premiums | parts per million, or per 10⁹, signed |
//! | time | [`TimeMs`] | block time, milliseconds since the Unix epoch |
//!
//! Each is a type of its own over one integer, so that a price cannot be added to a quantity. It
//! has the integer's layout and bytes, and only the operations that have a meaning: amounts of one
//! unit add up, price by quantity is quote ([`Ticks::notional_atoms`]), quote by rate is quote
//! ([`Atoms::mul_ppm_floor`]). Formulas that no unit describes take the bare integer by `get` and
//! give the result its unit by `new`.

mod amounts;
mod family;
mod ids;
mod mul_div;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

pub use amounts::{Atoms, AtomsPerTickLot, Lots, NanoTicks, Ppb, Ppm, SignedLots, Ticks, TimeMs};
pub use ids::{AccountId, AgentId, ClientId, MarketId, OrderId, OwnerId};
pub use mul_div::{cmp_products, div_rem, mul_div_ceil, mul_div_floor, mul_div_rem, mul_div_trunc};

/// The side of an order.
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
        if position_lots.is_positive() {
            Self::Sell
        } else {
            Self::Buy
        }
    }
}

/// Treatment of an order that would trade against another of the same account (rules §2.6).
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
