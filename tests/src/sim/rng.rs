//! Seeded choices: a history is a function of its seed, on every machine.

use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::SplitMix64;

/// A sequence of choices. The golden histories are made of this generator's values.
#[derive(Clone, Debug)]
pub struct Rng(SplitMix64);

impl Rng {
    /// The sequence of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(SplitMix64::seed_from_u64(seed))
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from `low` to `high`, both included.
    pub fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.bits() % (high.max(low) - low).saturating_add(1).max(1)
    }

    /// A signed number within `± most`.
    pub fn around(&mut self, most: u64) -> i64 {
        let width = 2 * most + 1;
        (self.bits() % width) as i64 - most as i64
    }

    /// True `percent` times in a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.bits() % 100 < percent
    }

    /// One of several, which must not be empty.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[(self.bits() % of.len() as u64) as usize]
    }

    /// `value` moved by a part per million.
    pub fn moved(value: u64, ppm: i64) -> u64 {
        let moved = i128::from(value) + i128::from(value) * i128::from(ppm) / 1_000_000;
        u64::try_from(moved.max(1)).unwrap_or(u64::MAX)
    }
}
