use proptest::prelude::*;

use crate::math::{cmp_products, div_rem, mul_div_ceil, mul_div_floor, mul_div_rem, mul_div_trunc};

/// Amounts of every magnitude.
fn amount() -> impl Strategy<Value = i128> {
    (any::<i128>(), 0_u32..127).prop_map(|(value, shift)| value >> shift)
}

const PRIME: i128 = (1 << 61) - 1;

/// `a·b mod 2⁶¹−1`, in 127 bits.
fn mod_prime(a: i128, b: i128) -> i128 {
    (a.rem_euclid(PRIME) * b.rem_euclid(PRIME)).rem_euclid(PRIME)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// `q·d + r = a·b` modulo 2¹²⁸ and modulo a prime, with `0 ≤ r < d`: no other pair has that,
    /// below 2¹⁸⁸.
    #[test]
    fn quotient_and_remainder_make_up_the_product(a in amount(), b in amount(), d in amount()) {
        if let Some((q, r)) = mul_div_rem(a, b, d) {
            prop_assert!((0..d).contains(&r));
            prop_assert_eq!(q.wrapping_mul(d).wrapping_add(r), a.wrapping_mul(b));
            prop_assert_eq!((mod_prime(q, d) + r.rem_euclid(PRIME)).rem_euclid(PRIME), mod_prime(a, b));
            prop_assert_eq!(mul_div_floor(a, b, d), Some(q));
            prop_assert_eq!(mul_div_ceil(a, b, d), q.checked_add(i128::from(r != 0)));
        } else {
            // No result: a bad divisor, or one beyond 127 bits.
            let bits = |n: i128| 128 - n.unsigned_abs().leading_zeros();
            prop_assert!(d <= 0 || bits(a) + bits(b) >= 127 + bits(d) - 1);
        }
    }

    /// Whatever width it is done in.
    #[test]
    fn division_is_the_standard_librarys(a in amount(), d in amount()) {
        let d = d.saturating_abs().max(1);
        prop_assert_eq!(div_rem(a, d), (a.div_euclid(d), a.rem_euclid(d)));
    }

    #[test]
    fn products_compare_as_their_64_bit_values_do(a: i64, b: i64, c: i64, d: i64, up in 0_u32..60) {
        let [a, b, c, d] = [a, b, c, d].map(i128::from);
        let wide = cmp_products(a << up, b, c << up, d);
        prop_assert_eq!(wide, (a * b).cmp(&(c * d)));
        prop_assert_eq!(cmp_products(a, b, b, a), std::cmp::Ordering::Equal);
    }
}

#[test]
fn rounding_is_directed_through_256_bits() {
    let big = i128::MAX;
    assert_eq!(mul_div_rem(big, big, big), Some((big, 0)));
    assert_eq!(mul_div_floor(big, big - 1, big), Some(big - 1));
    assert_eq!(
        mul_div_floor(-big, 3, 4),
        Some(-(big / 4 * 3) - 3),
        "−(2¹²⁷−1)·3/4 = −x.25 goes down"
    );
    assert_eq!(mul_div_ceil(-big, 3, 4), Some(-(big / 4 * 3) - 2));
    assert_eq!(mul_div_trunc(-7, 1, 2), Some(-3));
    assert_eq!(mul_div_trunc(7, 1, 2), Some(3));
    assert_eq!(mul_div_floor(big, big, 1), None);
    assert_eq!(mul_div_floor(1, 1, 0), None);
}
