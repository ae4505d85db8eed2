//! Products of two 127-bit numbers over a third, exact through 256 bits.
//!
//! One overflow rule holds for all of them: the result must fit in 127 bits, the product need not.

use std::cmp::Ordering;

use ethnum::I256;

/// Returns `a·b`; 256 bits hold every product.
fn product(a: i128, b: i128) -> I256 {
    I256::from(a) * I256::from(b)
}

/// Returns `a/d` rounded toward minus infinity, and the remainder in `0..d`; `d` must be positive.
///
/// Divides in 64 bits where both fit: almost every amount does, and a 128-bit division takes
/// several times as long.
///
/// # Panics
/// If `d` is 0.
#[must_use]
pub fn div_rem(a: i128, d: i128) -> (i128, i128) {
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

/// Returns `a·b/d` rounded toward minus infinity, and the remainder in `0..d`. `None` if the
/// quotient passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_rem(a: i128, b: i128, d: i128) -> Option<(i128, i128)> {
    if d <= 0 {
        return None;
    }
    if let Some(product) = a.checked_mul(b) {
        return Some(div_rem(product, d));
    }
    let (product, d) = (product(a, b), I256::from(d));
    let quotient = i128::try_from(product.div_euclid(d)).ok()?;
    let remainder = i128::try_from(product.rem_euclid(d)).ok()?;
    Some((quotient, remainder))
}

/// Returns `a·b/d` rounded toward minus infinity. `None` if the result passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_floor(a: i128, b: i128, d: i128) -> Option<i128> {
    mul_div_rem(a, b, d).map(|(quotient, _)| quotient)
}

/// Returns `a·b/d` rounded toward plus infinity. `None` if the result passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_ceil(a: i128, b: i128, d: i128) -> Option<i128> {
    let (quotient, remainder) = mul_div_rem(a, b, d)?;
    quotient.checked_add(i128::from(remainder != 0))
}

/// Returns `a·b/d` rounded toward zero. `None` if the result passes 127 bits or `d ≤ 0`.
#[must_use]
pub fn mul_div_trunc(a: i128, b: i128, d: i128) -> Option<i128> {
    if (a < 0) == (b < 0) {
        mul_div_floor(a, b, d)
    } else {
        mul_div_ceil(a, b, d)
    }
}

/// Compares `a·b` with `c·d`.
#[must_use]
pub fn cmp_products(a: i128, b: i128, c: i128, d: i128) -> Ordering {
    match (a.checked_mul(b), c.checked_mul(d)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => product(a, b).cmp(&product(c, d)),
    }
}
