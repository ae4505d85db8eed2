use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

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
            let sum = mod_prime(q, d) + r.rem_euclid(PRIME);
            prop_assert_eq!(sum.rem_euclid(PRIME), mod_prime(a, b));
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
    fn the_short_ways_in_64_bits_are_the_long_ones(
        amount in amount(),
        rate: i64,
        lots: u64,
        k: u64,
    ) {
        let of = Atoms::new(amount);
        let (rate, wide) = (Ppm::new(rate), i128::from(rate));
        prop_assert_eq!(of.mul_ppm_floor(rate), of.mul_div_floor(wide, 1_000_000));
        prop_assert_eq!(of.mul_ppm_ceil(rate), of.mul_div_ceil(wide, 1_000_000));
        prop_assert_eq!(Some(Atoms::from_micro_ceil(amount)), of.mul_div_ceil(1, 1_000_000));
        let ticks = Ticks::new(amount.unsigned_abs() as u64);
        let by_hand = i128::from(ticks.get())
            .checked_mul(lots.into())
            .and_then(|product| product.checked_mul(k.into()));
        let notional = ticks.notional_atoms(Lots::new(lots), AtomsPerTickLot::new(k));
        prop_assert_eq!(notional, by_hand.map(Atoms::new));
    }

    #[test]
    fn products_compare_as_their_64_bit_values_do(a: i64, b: i64, c: i64, d: i64, up in 0_u32..60) {
        let [a, b, c, d] = [a, b, c, d].map(i128::from);
        let wide = cmp_products(a << up, b, c << up, d);
        prop_assert_eq!(wide, (a * b).cmp(&(c * d)));
        prop_assert_eq!(cmp_products(a, b, b, a), Ordering::Equal);
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

/// Checks that a unit has the Borsh bytes, the JSON and the text of its integer.
macro_rules! looks_like_its_integer {
    ($($name:ident($raw:literal);)*) => {$(
        let (unit, bytes) = ($name::new($raw), borsh::to_vec(&$raw).unwrap());
        assert_eq!(borsh::to_vec(&unit).unwrap(), bytes);
        assert_eq!(borsh::from_slice::<$name>(&bytes).unwrap(), unit);
        assert_eq!(unit.to_string(), $raw.to_string());
        assert_eq!(unit.get(), $raw);
        assert_eq!(size_of_val(&unit), size_of_val(&$raw));
    )*};
}

#[test]
fn a_unit_looks_like_its_integer() {
    looks_like_its_integer! {
        Ticks(1_u64);
        Lots(18_446_744_073_709_551_615_u64);
        SignedLots(-3_i64);
        Atoms(-170_141_183_460_469_231_731_i128);
        Ppm(-30_i64);
        TimeMs(7_u64);
        MarketId(65_535_u16);
        AccountId(9_u32);
        OwnerId(9_u32);
        OrderId(9_u64);
        ClientId(9_u64);
    }
}

#[test]
fn overflow_is_none_or_the_nearest_as_asked() {
    assert_eq!(Ticks::MAX.checked_add(Ticks::ONE), None);
    assert_eq!(Ticks::ZERO.checked_sub(Ticks::ONE), None);
    assert_eq!(Lots::ZERO.saturating_sub(Lots::ONE), Lots::ZERO);
    assert_eq!(Atoms::MAX.saturating_add(Atoms::USDC), Atoms::MAX);
    assert_eq!(Atoms::MIN.checked_neg(), None);
    assert_eq!(Atoms::MIN.checked_abs(), None);
    assert_eq!(Atoms::MAX.checked_mul(2), None);
    assert_eq!(SignedLots::MIN.checked_neg(), None);
    assert_eq!(MarketId::MAX.checked_next(), None);
    assert_eq!(MarketId::from_index(65_536), None);
    assert_eq!(ClientId::MAX.checked_add(1), None);
    assert_eq!(OrderId::MAX.checked_next(), None);
}

#[test]
#[should_panic(expected = "overflow")]
fn the_operators_panic_on_overflow() {
    let _ = Lots::ZERO - Lots::ONE;
}

#[test]
fn products_have_the_unit_of_their_meaning() {
    let k = AtomsPerTickLot::new;
    assert_eq!(Ticks::new(5).notional_atoms(Lots::new(3), k(10)), Some(Atoms::new(150)));
    assert_eq!(Ticks::MAX.notional_atoms(Lots::MAX, AtomsPerTickLot::MAX), None);
    assert_eq!(Ticks::MAX.notional_atoms(Lots::ONE, k(1)), Some(Atoms::from_u64(u64::MAX)));
    assert_eq!(Ticks::new(5).position_atoms(SignedLots::new(-3), k(10)), Some(Atoms::new(-150)));
    assert_eq!(Lots::new(3).signed(Side::Sell), Some(SignedLots::new(-3)));
    assert_eq!(Lots::MAX.signed(Side::Buy), None);
    assert_eq!(SignedLots::MIN.unsigned_abs(), Lots::new(1 << 63));
    assert_eq!(SignedLots::new(-1).side(), Some(Side::Sell));
    assert_eq!(SignedLots::ZERO.side(), None);
    assert_eq!(Side::reducing(SignedLots::new(-1)), Side::Buy);
    let (amount, rate) = (Atoms::new(-7), Ppm::new(500_000));
    assert_eq!(amount.mul_ppm_floor(rate), Some(Atoms::new(-4)));
    assert_eq!(amount.mul_ppm_ceil(rate), Some(Atoms::new(-3)));
    assert_eq!(Atoms::from_usdc(2), Atoms::new(2_000_000));
    let sum: Lots = [Lots::ONE, Lots::new(2)].into_iter().sum();
    assert_eq!(sum, Lots::new(3));
}
