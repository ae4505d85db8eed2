//! Exponential moving averages by block time, in fixed point (rules §4.6).
//!
//! `v ← v + (1 − exp(−Δt/τ))·(x − v)`: an average begins at 0 **with full weight**, so that no
//! first sample is the average, and a sample of 0 makes it fade. One sample speaks for 10 s at
//! most; of a longer gap the time before that only fades.

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{Ppb, TimeMs};

/// Fraction bits of a decay.
pub const DECAY_BITS: u32 = 63;
/// A decay of one.
pub const DECAY_ONE: u64 = 1 << DECAY_BITS;
/// Bound on `|decay − exp(−Δt/τ)·2⁶³|`, in units of 2⁻⁶³: 7·10⁻¹⁸ of one.
pub const DECAY_ERROR: u64 = 64;

/// Fraction bits of an average, beside those of its samples.
const VALUE_BITS: u32 = 32;
/// Largest sample magnitude, so that an average with its fraction stays within 63 bits.
const MAX_SAMPLE: i64 = 1 << 30;

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

/// An average of rates over block time.
///
/// Rounding: each step rounds toward the average that it comes from, so an average that leaves 0
/// never passes what exact numbers would give. It stays at most `τ/Δt` units of 2⁻³² behind: less
/// than `10⁻⁴` of a unit of its samples at blocks 1 ms apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Ema {
    /// The average times 2³².
    value: i64,
}

impl Ema {
    /// Lets `dt_ms` pass, of which `sample` speaks for the last [`MAX_STEP_MS`] at most. A sample
    /// of magnitude above 2³⁰ is taken as that.
    #[expect(clippy::arithmetic_side_effects, reason = "values of 63 bits in 128, bits below 63")]
    pub fn update(&mut self, sample: Ppb, dt_ms: TimeMs, tau_ms: TimeMs) {
        let gap_ms = dt_ms.saturating_sub(MAX_STEP_MS);
        let faded = scale(self.value.into(), decay(gap_ms, tau_ms));
        let sample = sample.get().clamp(-MAX_SAMPLE, MAX_SAMPLE);
        let target = i128::from(sample) << VALUE_BITS;
        let taken = DECAY_ONE.saturating_sub(decay(dt_ms.min(MAX_STEP_MS), tau_ms));
        let value = faded + scale(target - faded, taken);
        // Between an old value of 64 bits and a sample of 63: only a forged state is cut here.
        self.value = i64::try_from(value).unwrap_or_default();
    }

    /// The average to the nearest whole number, halves up.
    #[must_use]
    pub fn average(&self) -> Ppb {
        Ppb::new(self.value.saturating_add(1 << (VALUE_BITS - 1)) >> VALUE_BITS)
    }
}

/// `value·factor/2⁶³` rounded toward 0, of a value within 65 bits and a factor within 64.
#[expect(clippy::arithmetic_side_effects, reason = "a factor of at most 2⁶³, of one at most")]
fn scale(value: i128, factor: u64) -> i128 {
    value.saturating_mul(factor.into()) / i128::from(DECAY_ONE)
}

#[cfg(test)]
mod tests;
