//! Products of two 127-bit amounts over a third, exact through 256 bits.

use std::cmp::Ordering;

/// An unsigned 256-bit number, most significant half first, so that the derived order is that of
/// the numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wide {
    high: u128,
    low: u128,
}

impl Wide {
    /// `a·b`, which always fits.
    fn product(a: u128, b: u128) -> Self {
        const HALF: u128 = u64::MAX as u128;
        let (a1, a0) = (a >> 64, a & HALF);
        let (b1, b0) = (b >> 64, b & HALF);
        let low = a0 * b0;
        // Each sum is at most (2⁶⁴−1)² + 2·(2⁶⁴−1) = 2¹²⁸ − 1.
        let middle = a1 * b0 + (low >> 64);
        let other = a0 * b1 + (middle & HALF);
        Self { high: a1 * b1 + (middle >> 64) + (other >> 64), low: (other << 64) | (low & HALF) }
    }

    /// Quotient and remainder; `None` when the quotient passes 128 bits or `d` is 0.
    fn div_rem(self, d: u128) -> Option<(u128, u128)> {
        if self.high >= d {
            return None;
        }
        if self.high == 0 {
            return Some((self.low / d, self.low % d));
        }
        let (mut quotient, mut remainder) = (0_u128, self.high);
        for bit in (0..128).rev() {
            let carry = remainder >> 127;
            remainder = (remainder << 1) | ((self.low >> bit) & 1);
            quotient <<= 1;
            // With the carry the true remainder is 2¹²⁸ + remainder: more than d, and less than
            // 2·d.
            if carry == 1 || remainder >= d {
                remainder = remainder.wrapping_sub(d);
                quotient |= 1;
            }
        }
        Some((quotient, remainder))
    }
}

/// `a/d` rounded toward minus infinity, and the remainder in `0..d`; `d` must be positive. In 64
/// bits where they do: almost every amount fits, and 128-bit division takes several times as long.
#[must_use]
pub(crate) fn div_rem(a: i128, d: i128) -> (i128, i128) {
    let (Ok(size), Ok(divisor)) = (u64::try_from(a.unsigned_abs()), u64::try_from(d)) else {
        return (a.div_euclid(d), a.rem_euclid(d));
    };
    let (quotient, remainder) = (i128::from(size / divisor), i128::from(size % divisor));
    match (a < 0, remainder) {
        (false, _) => (quotient, remainder),
        (true, 0) => (-quotient, 0),
        (true, _) => (-quotient - 1, d - remainder),
    }
}

/// `a·b/d` rounded toward minus infinity, and the remainder in `0..d`. `None` when the result
/// passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_rem(a: i128, b: i128, d: i128) -> Option<(i128, i128)> {
    if d <= 0 {
        return None;
    }
    if let Some(product) = a.checked_mul(b) {
        return Some(div_rem(product, d));
    }
    let (quotient, remainder) =
        Wide::product(a.unsigned_abs(), b.unsigned_abs()).div_rem(d.unsigned_abs())?;
    let (quotient, remainder) = (i128::try_from(quotient).ok()?, i128::try_from(remainder).ok()?);
    if (a < 0) == (b < 0) {
        Some((quotient, remainder))
    } else if remainder == 0 {
        Some((-quotient, 0))
    } else {
        Some((-quotient - 1, d - remainder))
    }
}

/// `a·b/d` rounded toward minus infinity. `None` when the result passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_floor(a: i128, b: i128, d: i128) -> Option<i128> {
    mul_div_rem(a, b, d).map(|(quotient, _)| quotient)
}

/// `a·b/d` rounded toward plus infinity. `None` when the result passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_ceil(a: i128, b: i128, d: i128) -> Option<i128> {
    let (quotient, remainder) = mul_div_rem(a, b, d)?;
    quotient.checked_add(i128::from(remainder != 0))
}

/// `a·b/d` rounded toward zero. `None` when the result passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_trunc(a: i128, b: i128, d: i128) -> Option<i128> {
    if (a < 0) == (b < 0) {
        mul_div_floor(a, b, d)
    } else {
        mul_div_ceil(a, b, d)
    }
}

/// Compares `a·b` with `c·d`, exactly.
#[must_use]
pub fn cmp_products(a: i128, b: i128, c: i128, d: i128) -> Ordering {
    let sign = |a: i128, b: i128| a.signum() * b.signum();
    let size = |a: i128, b: i128| Wide::product(a.unsigned_abs(), b.unsigned_abs());
    sign(a, b).cmp(&sign(c, d)).then_with(|| {
        let sizes = size(a, b).cmp(&size(c, d));
        if sign(a, b) < 0 {
            sizes.reverse()
        } else {
            sizes
        }
    })
}
