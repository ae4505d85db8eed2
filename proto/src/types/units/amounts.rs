//! Prices, quantities, amounts, rates and times, with the products that have a meaning.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::family::{additive, signed, unit};
use super::{div_rem, mul_div_ceil, mul_div_floor, mul_div_trunc, Side};

unit! {
    /// Price in ticks: one tick is `tick_size` USDC per base unit. Any `u64`; a live order's is at
    /// least 1.
    Ticks(u64);
    /// Price in 10⁻⁹ ticks: an average of several trades, which seldom is a whole tick.
    NanoTicks(i128);
    /// Quantity in lots: one lot is `lot_size` base units. Any `u64`; an order's is at most
    /// `i64::MAX`, so that a position can hold it.
    Lots(u64);
    /// Position in lots: positive is long, negative is short.
    SignedLots(i64);
    /// Quote amount in atoms, 10⁻⁶ USDC. Amounts that a message or a parameter names are at most
    /// 10¹⁸ atoms; sums and products have 127 bits.
    Atoms(i128);
    /// Quote atoms that one lot is worth per tick of price: `k = tick_size·lot_size·10⁶` (rules
    /// §1.2). Fixed with a market's tick and lot sizes.
    AtomsPerTickLot(u64);
    /// Rate in parts per million.
    Ppm(i64);
    /// Rate in parts per 10⁹: premiums over the index.
    Ppb(i64);
    /// Block time in milliseconds since the Unix epoch, or a span between two block times.
    TimeMs(u64);
}

additive! { Ticks NanoTicks Lots SignedLots Atoms Ppm Ppb TimeMs }

signed! { SignedLots Atoms Ppm Ppb }

impl Ticks {
    /// One tick.
    pub const ONE: Self = Self(1);

    /// Returns the distance between two prices.
    #[must_use]
    #[inline]
    pub const fn abs_diff(self, other: Self) -> Self {
        Self(self.0.abs_diff(other.0))
    }

    /// Returns the exact value of `lots` at this price, `p·q·k` atoms (rules §1.2), with `k` atoms
    /// per tick and lot. `None` beyond 127 bits.
    #[must_use]
    #[inline]
    pub fn notional_atoms(self, lots: Lots, k: AtomsPerTickLot) -> Option<Atoms> {
        if let Some(per_lot) = self.0.checked_mul(k.0) {
            // Two numbers of 64 bits: below 2¹²⁸, and nearly always below 2¹²⁷.
            return i128::try_from(u128::from(per_lot) * u128::from(lots.0)).ok().map(Atoms);
        }
        let per_lot = u128::from(self.0) * u128::from(k.0);
        i128::try_from(per_lot.checked_mul(u128::from(lots.0))?).ok().map(Atoms)
    }

    /// Returns the exact value of a position at this price: negative for a short one. `None`
    /// beyond 127 bits.
    #[must_use]
    #[inline]
    pub fn position_atoms(self, lots: SignedLots, k: AtomsPerTickLot) -> Option<Atoms> {
        let size = self.notional_atoms(lots.unsigned_abs(), k)?;
        Some(if lots.is_negative() { -size } else { size })
    }
}

impl Lots {
    /// One lot.
    pub const ONE: Self = Self(1);

    /// Returns the change of position of a trade on `side`: positive for a buy. `None` above
    /// `i64::MAX` lots.
    #[must_use]
    #[inline]
    pub fn signed(self, side: Side) -> Option<SignedLots> {
        let size = i64::try_from(self.0).ok()?;
        Some(SignedLots(match side {
            Side::Buy => size,
            Side::Sell => -size,
        }))
    }
}

impl SignedLots {
    /// Returns the position's size.
    #[must_use]
    #[inline]
    pub const fn unsigned_abs(self) -> Lots {
        Lots(self.0.unsigned_abs())
    }

    /// Returns 1 for a long position, −1 for a short one, 0 for none.
    #[must_use]
    #[inline]
    pub const fn signum(self) -> i64 {
        self.0.signum()
    }

    /// Returns the side that built the position; `None` for none.
    #[must_use]
    #[inline]
    pub const fn side(self) -> Option<Side> {
        match self.0 {
            1.. => Some(Side::Buy),
            0 => None,
            _ => Some(Side::Sell),
        }
    }
}

impl Atoms {
    /// One USDC.
    pub const USDC: Self = Self(1_000_000);

    /// Returns whole USDC as atoms; always fits.
    #[must_use]
    pub const fn from_usdc(usdc: i64) -> Self {
        Self(usdc as i128 * Self::USDC.0)
    }

    /// Returns an amount of 64 bits, as messages carry it.
    #[must_use]
    #[inline]
    pub const fn from_u64(atoms: u64) -> Self {
        Self(atoms as i128)
    }

    /// Returns the size of the amount; `None` for the least that the integer holds.
    #[must_use]
    #[inline]
    pub const fn checked_abs(self) -> Option<Self> {
        match self.0.checked_abs() {
            Some(size) => Some(Self(size)),
            None => None,
        }
    }

    /// Returns the size of the amount as a bare number.
    #[must_use]
    #[inline]
    pub const fn unsigned_abs(self) -> u128 {
        self.0.unsigned_abs()
    }

    /// Returns 1 above 0, −1 below 0, 0 for 0.
    #[must_use]
    #[inline]
    pub const fn signum(self) -> i128 {
        self.0.signum()
    }

    /// Returns `count` times the amount; `None` on overflow.
    #[must_use]
    #[inline]
    pub const fn checked_mul(self, count: i128) -> Option<Self> {
        match self.0.checked_mul(count) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// Returns `self·numerator/denominator`, rounded as [`mul_div_floor`], and `None` where it is.
    #[must_use]
    #[inline]
    pub fn mul_div_floor(self, numerator: i128, denominator: i128) -> Option<Self> {
        mul_div_floor(self.0, numerator, denominator).map(Self)
    }

    /// Returns `self·numerator/denominator`, rounded as [`mul_div_ceil`], and `None` where it is.
    #[must_use]
    #[inline]
    pub fn mul_div_ceil(self, numerator: i128, denominator: i128) -> Option<Self> {
        mul_div_ceil(self.0, numerator, denominator).map(Self)
    }

    /// Returns `self·numerator/denominator`, rounded as [`mul_div_trunc`], and `None` where it is.
    #[must_use]
    #[inline]
    pub fn mul_div_trunc(self, numerator: i128, denominator: i128) -> Option<Self> {
        mul_div_trunc(self.0, numerator, denominator).map(Self)
    }

    /// Returns the part of the amount that a rate gives, rounded toward minus infinity; `None`
    /// beyond 127 bits.
    #[must_use]
    #[inline]
    pub fn mul_ppm_floor(self, rate: Ppm) -> Option<Self> {
        match self.small_micro(rate) {
            Some(micro) => Some(Self(i128::from(micro / MILLION))),
            None => self.mul_div_floor(i128::from(rate.0), i128::from(Ppm::ONE.0)),
        }
    }

    /// Returns the part of the amount that a rate gives, rounded toward plus infinity; `None`
    /// beyond 127 bits.
    #[must_use]
    #[inline]
    pub fn mul_ppm_ceil(self, rate: Ppm) -> Option<Self> {
        match self.small_micro(rate) {
            Some(micro) => Some(Self(i128::from(micro.div_ceil(MILLION)))),
            None => self.mul_div_ceil(i128::from(rate.0), i128::from(Ppm::ONE.0)),
        }
    }

    /// Returns the amount times a rate, in 10⁻⁶ atoms, where neither is negative and the product
    /// fits 64 bits: nearly always, and a third of the time that 128 bits take.
    #[inline]
    fn small_micro(self, rate: Ppm) -> Option<u64> {
        u64::try_from(self.0).ok()?.checked_mul(u64::try_from(rate.0).ok()?)
    }

    /// Returns 10⁻⁶ atoms as atoms, rounded toward plus infinity.
    #[must_use]
    #[inline]
    pub fn from_micro_ceil(micro_atoms: i128) -> Self {
        if let Ok(micro) = u64::try_from(micro_atoms) {
            return Self(i128::from(micro.div_ceil(MILLION)));
        }
        let (atoms, rest) = div_rem(micro_atoms, i128::from(MILLION));
        // A millionth of 127 bits, and one.
        Self(atoms.saturating_add(i128::from(rest != 0)))
    }
}

/// One, in millionths.
const MILLION: u64 = 1_000_000;

impl Ppm {
    /// One: all of it.
    pub const ONE: Self = Self(1_000_000);

    /// Returns the rate as a factor of 127-bit arithmetic.
    #[must_use]
    #[inline]
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }
}

impl Ppb {
    /// One: all of it.
    pub const ONE: Self = Self(1_000_000_000);

    /// Returns the rate as a factor of 127-bit arithmetic.
    #[must_use]
    #[inline]
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }
}

impl NanoTicks {
    /// So many are one tick.
    pub const PER_TICK: i128 = 1_000_000_000;

    /// Returns a whole price; always fits.
    #[must_use]
    #[inline]
    pub const fn of(price_ticks: Ticks) -> Self {
        Self(price_ticks.0 as i128 * Self::PER_TICK)
    }
}

impl SignedLots {
    /// Returns the position as a factor of 127-bit arithmetic.
    #[must_use]
    #[inline]
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }
}

impl Lots {
    /// Returns the quantity as a factor of 127-bit arithmetic.
    #[must_use]
    #[inline]
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }
}

impl AtomsPerTickLot {
    /// Returns the value as a factor of 127-bit arithmetic.
    #[must_use]
    #[inline]
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }
}

impl Ticks {
    /// Returns the price as a factor of 127-bit arithmetic.
    #[must_use]
    #[inline]
    pub const fn wide(self) -> i128 {
        self.0 as i128
    }
}
