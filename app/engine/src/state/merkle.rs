//! A binary SHA-256 tree of fixed depth over the slots of a table.
//!
//! Leaf: `SHA-256(0x00 ‖ borsh(value))`; inner node: `SHA-256(0x01 ‖ left ‖ right)`; an empty slot:
//! 32 zero bytes. The depth is fixed, so a slot's path never changes; the part to the right of the
//! last slot is known in advance.

use borsh::BorshSerialize;
use sha2::{Digest, Sha256};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Depth of every tree: room for 2³² slots.
pub const DEPTH: usize = 32;

/// The leaf of a slot without a row.
pub(super) const EMPTY: Hash = [0; 32];

/// The bytes of a value as the app hash covers them.
pub(super) fn encode(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).expect("borsh writes into memory")
}

/// Hash of a leaf's bytes.
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(bytes).finalize().into()
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The tree's nodes, level by level from the leaves; each level ends with its last non-empty node.
#[derive(Clone, Debug)]
pub struct MerkleTree {
    levels: Vec<Vec<Hash>>,
    /// Root of an empty subtree, by height.
    empty: Vec<Hash>,
}

impl Default for MerkleTree {
    #[expect(clippy::indexing_slicing, reason = "heights are below the depth, indices below 2³²")]
    fn default() -> Self {
        let mut empty = vec![EMPTY];
        for height in 0..DEPTH {
            let below = empty[height];
            empty.push(node_hash(&below, &below));
        }
        Self { levels: vec![Vec::new(); DEPTH + 1], empty }
    }
}

impl MerkleTree {
    /// Sets leaves, given by ascending slot, and rehashes their paths: each inner node once.
    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "heights are below the depth, indices below 2³²"
    )]
    pub fn update(&mut self, leaves: &[(u32, Hash)]) {
        let mut dirty: Vec<usize> = Vec::with_capacity(leaves.len());
        for (slot, hash) in leaves {
            let slot = *slot as usize;
            Self::set(&mut self.levels[0], slot, *hash, EMPTY);
            dirty.push(slot);
        }
        for height in 0..DEPTH {
            dirty.iter_mut().for_each(|index| *index /= 2);
            dirty.dedup();
            for &index in &dirty {
                let child = |at: usize| self.levels[height].get(at).unwrap_or(&self.empty[height]);
                let hash = node_hash(child(index * 2), child(index * 2 + 1));
                let empty = self.empty[height + 1];
                Self::set(&mut self.levels[height + 1], index, hash, empty);
            }
        }
    }

    #[expect(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "heights are below the depth, indices below 2³²"
    )]
    fn set(level: &mut Vec<Hash>, index: usize, hash: Hash, empty: Hash) {
        if index >= level.len() {
            level.resize(index + 1, empty);
        }
        level[index] = hash;
    }

    /// The other child of each node from a slot's leaf to the root, the lowest first: with the
    /// leaf, they prove the slot's row. The tree is as the last [`MerkleTree::update`] left it.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "heights are below the depth")]
    pub fn path(&self, slot: u32) -> Vec<Hash> {
        let other = |height: usize| {
            let index = (slot >> height) as usize ^ 1;
            self.levels[height].get(index).copied().unwrap_or(self.empty[height])
        };
        (0..DEPTH).map(other).collect()
    }

    /// The root.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "heights are below the depth, indices below 2³²")]
    pub fn root(&self) -> Hash {
        self.levels[DEPTH].first().copied().unwrap_or(self.empty[DEPTH])
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;

    use super::*;

    fn naive_root(leaves: &[Hash]) -> Hash {
        let mut level = leaves.to_vec();
        let mut empty = EMPTY;
        for _ in 0..DEPTH {
            if level.len() % 2 == 1 {
                level.push(empty);
            }
            level = level.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            empty = node_hash(&empty, &empty);
        }
        level.first().copied().unwrap_or(empty)
    }

    proptest! {
        /// Rows, and slots without one.
        #[test]
        fn each_slot_is_proven_by_its_path(leaves in vec(any::<[u8; 32]>(), 1..40)) {
            let mut tree = MerkleTree::default();
            tree.update(&(0..).zip(leaves.iter().copied()).collect::<Vec<_>>());
            for slot in (0..50).chain([u32::MAX]) {
                let mut hash = leaves.get(slot as usize).copied().unwrap_or(EMPTY);
                for (height, other) in tree.path(slot).iter().enumerate() {
                    hash = match (slot >> height) % 2 {
                        0 => node_hash(&hash, other),
                        _ => node_hash(other, &hash),
                    };
                }
                prop_assert_eq!(hash, tree.root());
            }
        }

        #[test]
        fn incremental_updates_give_the_root_of_a_rebuilt_tree(
            batches in vec(btree_map(0_u32..70, any::<[u8; 32]>(), 0..12), 0..6)
        ) {
            let mut tree = MerkleTree::default();
            let mut leaves: Vec<Hash> = Vec::new();
            for batch in batches {
                let batch: Vec<(u32, Hash)> = batch.into_iter().collect();
                for (slot, hash) in &batch {
                    let slot = *slot as usize;
                    if slot >= leaves.len() {
                        leaves.resize(slot + 1, EMPTY);
                    }
                    leaves[slot] = *hash;
                }
                tree.update(&batch);
                prop_assert_eq!(tree.root(), naive_root(&leaves));
            }
        }
    }
}
