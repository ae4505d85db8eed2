//! The beacon: what decides whose turn comes first in a block.

use sha2::{Digest, Sha256};
use tidemark_proto::types::Address;

use crate::state::Chain;

/// A number of 256 bits for one block, the same on every node.
///
/// It is the hash of the block before, which is known before orders for the block are sent: whoever
/// has several owners can choose the one with the best draw (docs/threats.md says what that gains).
/// A number that nobody knows so early would come in here, and nothing else would change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon([u8; 32]);

/// An owner's place among the owners of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draw([u8; 32]);

impl Beacon {
    /// The beacon of the block that is carried out next, or is being carried out.
    #[must_use]
    pub const fn of(chain: &Chain) -> Self {
        Self(chain.block_hash)
    }

    /// An owner's draw: `SHA-256(beacon ‖ owner)`.
    #[must_use]
    pub fn draw(&self, owner: &Address) -> Draw {
        Draw(Sha256::new().chain_update(self.0).chain_update(owner.0).finalize().into())
    }
}

#[cfg(test)]
#[allow(clippy::float_arithmetic)] // a figure for people
mod tests {
    use super::*;

    /// Owners of others who trade in a block.
    const OTHERS: u64 = 100;

    /// Blocks that are drawn in the test command.
    const BLOCKS: u64 = 400;

    fn draw(block: u64, owner: u64) -> Draw {
        let beacon = Beacon(Sha256::digest(block.to_le_bytes()).into());
        let mut address = [0; 20];
        address[..8].copy_from_slice(&owner.to_le_bytes());
        beacon.draw(&Address(address))
    }

    /// Places among the others, in thousandths.
    struct Places {
        /// The part of the others that stands before the best of the owners.
        best: f64,
        /// The part of the others that stands before one of the owners, whichever.
        any: f64,
        /// The part of the blocks in which none of the others stands before the best.
        first: f64,
    }

    /// Places of `k` owners in so many blocks, on average. The best is where somebody stands who
    /// sends from the owner with the best draw, and the first order of somebody who sends from all.
    fn places(k: u64, blocks: u64) -> Places {
        let (mut before_best, mut before_any, mut first) = (0, 0, 0);
        for block in 0..blocks {
            let mut others: Vec<Draw> = (0..OTHERS).map(|owner| draw(block, owner)).collect();
            others.sort_unstable();
            let ahead = |owner| {
                let own = draw(block, owner);
                others.partition_point(|other| *other < own) as u64
            };
            let own: Vec<u64> = (OTHERS..OTHERS + k).map(ahead).collect();
            let best = own.iter().copied().min().unwrap();
            before_best += best;
            before_any += own.iter().sum::<u64>();
            first += u64::from(best == 0);
        }
        let per_mille = |count: u64, of: u64| count as f64 * 1e3 / of as f64;
        Places {
            best: per_mille(before_best, blocks * OTHERS),
            any: per_mille(before_any, blocks * OTHERS * k),
            first: per_mille(first, blocks),
        }
    }

    /// The calculated figures of docs/threats.md: who knows the beacon and has `k` owners to choose
    /// from stands behind 1 of `k + 1` others, as nobody who does not know the beacon does.
    const CALCULATED: [(u64, f64, f64); 4] =
        [(1, 500.0, 9.9), (2, 333.3, 19.6), (16, 58.8, 137.9), (128, 7.8, 561.4)];

    #[test]
    fn choosing_the_best_of_k_owners_moves_the_mean_place_to_one_in_k_plus_one() {
        for (k, mean, first) in CALCULATED {
            let Places { best, first: wins, .. } = places(k, BLOCKS);
            assert!((best - mean).abs() < 45.0, "{k} owners: {best:.1} of 1 000 stand before");
            assert!((wins - first).abs() < 75.0, "{k} owners: first in {wins:.1} of 1 000");
        }
    }

    /// The simulated figures of docs/threats.md:
    /// `cargo test --release -p tidemark-engine beacon -- --ignored --nocapture`.
    #[test]
    #[ignore = "a hundred thousand blocks take a minute"]
    fn places_of_k_owners_in_a_hundred_thousand_blocks() {
        println!("| owners | before the best | before any | the best is first |");
        for (k, mean, first) in CALCULATED {
            let places = places(k, 100_000);
            let [best, any, wins] = [places.best, places.any, places.first].map(|part| part / 10.0);
            println!("| {k} | {best:.2} % | {any:.2} % | {wins:.2} % |");
            assert!((places.best - mean).abs() < 5.0 && (places.first - first).abs() < 6.0);
        }
    }
}
