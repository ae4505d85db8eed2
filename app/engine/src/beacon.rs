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

    /// Blocks that are drawn.
    const BLOCKS: u64 = 400;

    fn draw(block: u64, owner: u64) -> Draw {
        let beacon = Beacon(Sha256::digest(block.to_le_bytes()).into());
        let mut address = [0; 20];
        address[..8].copy_from_slice(&owner.to_le_bytes());
        beacon.draw(&Address(address))
    }

    /// Returns which part of the others stands before the best of `k` owners, on average, and in
    /// which part of the blocks none does, both in thousandths.
    fn place_of_the_best(k: u64) -> (f64, f64) {
        let (mut before, mut first) = (0, 0);
        for block in 0..BLOCKS {
            let best = (OTHERS..OTHERS + k).map(|owner| draw(block, owner)).min().unwrap();
            let ahead = (0..OTHERS).filter(|owner| draw(block, *owner) < best).count() as u64;
            before += ahead;
            first += u64::from(ahead == 0);
        }
        let per_mille = |count: u64, of: u64| count as f64 * 1e3 / of as f64;
        (per_mille(before, BLOCKS * OTHERS), per_mille(first, BLOCKS))
    }

    /// The figures of docs/threats.md: who knows the beacon and has `k` owners to choose from
    /// stands behind 1 of `k + 1` others, as nobody who does not know the beacon does.
    #[test]
    fn choosing_the_best_of_k_owners_moves_the_mean_place_to_one_in_k_plus_one() {
        for (k, mean, first) in
            [(1, 500.0, 9.9), (2, 333.3, 19.6), (16, 58.8, 137.9), (128, 7.8, 561.4)]
        {
            let (place, wins) = place_of_the_best(k);
            assert!((place - mean).abs() < 45.0, "{k} owners: {place:.1} of 1 000 stand before");
            assert!((wins - first).abs() < 75.0, "{k} owners: first in {wins:.1} of 1 000");
        }
    }
}
