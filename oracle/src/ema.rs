//! Exponential moving averages by block time, in fixed point (rules §4.6).
//!
//! `num ← num·decay + x·w`, `den ← den·decay + w`, `decay = exp(−Δt/τ)`, average `num/den`. The
//! weight `w` is `Δt`, but at most 10 s and at most `τ`: over a longer gap old samples fade, and
//! the one sample after the gap counts as 10 s of samples, not as the whole gap. `den` stays below
//! `1.6·τ`.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::TimeMs;

/// Fraction bits of a decay.
pub const DECAY_BITS: u32 = 63;
/// A decay of one.
pub const DECAY_ONE: u64 = 1 << DECAY_BITS;
/// Bound on `|decay − exp(−Δt/τ)·2⁶³|`, in units of 2⁻⁶³: 7·10⁻¹⁸ of one.
pub const DECAY_ERROR: u64 = 64;

/// Fraction bits of an average's numerator and denominator.
const SUM_BITS: u32 = 40;
/// Half a millisecond of weight: less than that is forgotten.
const LEAST_WEIGHT: i128 = 1 << (SUM_BITS - 1);
/// Largest sample magnitude: the sum of two 64-bit prices, signed.
const MAX_SAMPLE: u128 = 1 << 65;
/// Largest time constant, so that `sample·weight·2⁴⁰` stays within 2¹²⁴.
const MAX_TAU_MS: TimeMs = TimeMs::new(1 << 18);

/// Most time that one sample speaks for.
pub const MAX_STEP_MS: TimeMs = TimeMs::new(10_000);

/// `exp(−dt_ms/tau_ms)` with [`DECAY_BITS`] fraction bits, within [`DECAY_ERROR`]. Total: 0 for a
/// `dt_ms` beyond 44 `tau_ms`, and for `tau_ms` 0 at any `dt_ms` but 0.
///
/// Of `dt = n·τ + r` it takes the Taylor series of `exp(−r/τ)`, `r/τ < 1`, and multiplies `n` times
/// by that of `exp(−1)`. Every quotient is floored, so the 22 terms err by less than two units
/// each, and a product by what its factors do and one unit.
#[must_use]
#[expect(
    clippy::arithmetic_side_effects,
    reason = "factors of one at most are at most 2⁶³, and tau_ms is above 0 where it divides"
)]
pub fn decay(dt_ms: TimeMs, tau_ms: TimeMs) -> u64 {
    let (dt_ms, tau_ms) = (dt_ms.get(), tau_ms.get());
    if dt_ms == 0 {
        return DECAY_ONE;
    }
    let Some(whole) = dt_ms.checked_div(tau_ms).filter(|whole| *whole <= 44) else { return 0 };
    let rest = (u128::from(dt_ms % tau_ms) << DECAY_BITS) / u128::from(tau_ms);
    let inverse_e = exp_minus(u128::from(DECAY_ONE));
    // The series of r/τ near 0 may end a unit above one.
    let first = exp_minus(rest).min(DECAY_ONE.into());
    let decay = (0..whole).fold(first, |product, _| (product * inverse_e) >> DECAY_BITS);
    u64::try_from(decay).unwrap_or(DECAY_ONE)
}

/// `exp(−fraction)` for a fraction of one to one, both with [`DECAY_BITS`] fraction bits.
#[expect(clippy::arithmetic_side_effects, reason = "22 terms of at most 2⁶³ each")]
fn exp_minus(fraction: u128) -> u128 {
    let mut term = u128::from(DECAY_ONE);
    let (mut plus, mut minus) = (term, 0);
    for k in 1..=22_u128 {
        term = ((term * fraction) >> DECAY_BITS) / k;
        if k % 2 == 0 {
            plus += term;
        } else {
            minus += term;
        }
    }
    plus.saturating_sub(minus)
}

/// An average over block time.
///
/// Rounding: a step floors numerator and denominator to 2⁻⁴⁰ ms of weight. The average is then
/// within `2⁻²¹·max|x|` of the exact one at blocks 1 ms apart, and within `2⁻²¹·max|x|/Δt` at
/// blocks `Δt` ms apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ema {
    /// `Σ x·w`, decayed, times 2⁴⁰.
    num: i128,
    /// `Σ w` in milliseconds, decayed, times 2⁴⁰. 0, or half a millisecond and more.
    den: i128,
}

impl Ema {
    /// Lets `dt_ms` pass and adds `sample`, if there is one, with the weight of that time, of
    /// [`MAX_STEP_MS`] at most; the first sample weighs 1 ms at least. Without a sample the old
    /// ones only fade; with less than 0.5 ms of weight left they are forgotten. A sample of
    /// magnitude above 2⁶⁵ is taken as none; `tau_ms` is at most 2¹⁸ (262 s), more is taken as
    /// that.
    pub fn update(&mut self, sample: Option<i128>, dt_ms: TimeMs, tau_ms: TimeMs) {
        let tau_ms = tau_ms.min(MAX_TAU_MS);
        let factor = decay(dt_ms, tau_ms);
        self.num = scale(self.num, factor);
        self.den = scale(self.den, factor);
        if self.den < LEAST_WEIGHT {
            *self = Self::default();
        }
        let Some(x) = sample.filter(|x| x.unsigned_abs() <= MAX_SAMPLE) else { return };
        let step_ms = dt_ms.min(tau_ms).min(MAX_STEP_MS);
        let weight_ms = step_ms.get().max(u64::from(self.den == 0));
        let weight = i128::from(weight_ms) << SUM_BITS;
        // |x| ≤ 2⁶⁵ and Σ w ≤ 1.6·2¹⁸ ms, so the sum is below 2¹²⁴; only a forged state could fail
        // here.
        let sums = x
            .checked_mul(weight)
            .and_then(|xw| self.num.checked_add(xw))
            .zip(self.den.checked_add(weight));
        *self = sums.map_or_else(Self::default, |(num, den)| Self { num, den });
    }

    /// The average divided by `divisor`, rounded to the nearest whole number, halves up. `None`
    /// before the first sample, and for `divisor` below 1.
    #[must_use]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "den is above 0, and the remainder below it"
    )]
    pub fn average(&self, divisor: i128) -> Option<i128> {
        let den = self.den.checked_mul(divisor).filter(|den| *den > 0)?;
        // floor(n/d + 1/2) without doubling n: the remainder decides.
        let (floor, rest) = (self.num.div_euclid(den), self.num.rem_euclid(den));
        floor.checked_add(i128::from(rest >= den - rest))
    }
}

/// `floor(value·factor/2⁶³)`: the halves are multiplied apart, so nothing overflows.
#[expect(clippy::arithmetic_side_effects, reason = "a half below 2⁶³ times at most 2⁶³")]
fn scale(value: i128, factor: u64) -> i128 {
    let (high, low) = (value >> DECAY_BITS, value & (i128::from(DECAY_ONE) - 1));
    let low = (low.unsigned_abs() * u128::from(factor)) >> DECAY_BITS;
    // |high| ≤ 2⁶⁴ and factor ≤ 2⁶³ give at most 2¹²⁷; a state of ours has |high| below 2⁶¹.
    high.saturating_mul(factor.into()).saturating_add_unsigned(low)
}

#[cfg(test)]
mod tests;
