//! Randomness that a seed repeats.

use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use rand_xoshiro::SplitMix64;

/// A source of numbers, good enough for demo traders.
#[derive(Clone, Debug)]
pub struct Random {
    source: SplitMix64,
}

impl Random {
    /// A source of its own for each seed and name.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mixed = name
            .bytes()
            .fold(seed, |seed, byte| SplitMix64::seed_from_u64(seed ^ u64::from(byte)).next_u64());
        Self { source: SplitMix64::seed_from_u64(mixed) }
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        // The bias of the remainder is below 2⁻³² for the spans of traders.
        low + (u128::from(self.source.next_u64()) % span) as u64
    }

    /// True in `percent` of cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_names_differ() {
        let draws = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..8).map(|_| random.between(10, 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(draws(1, "a"), draws(1, "a"));
        assert_ne!(draws(1, "a"), draws(1, "b"));
        assert_ne!(draws(1, "a"), draws(2, "a"));
        assert!(draws(3, "c").iter().all(|draw| (10..=1_000_000).contains(draw)));
        assert_eq!(Random::new(1, "x").between(u64::MAX, u64::MAX), u64::MAX);
    }
}
