//! Expiries of orders: a heap, earliest first, then by id. Each order knows its index in the heap,
//! so an order that leaves early is removed at once. Inserting and removing move at most one entry
//! for each fourfold of the heap's length.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "heap indexes are below the length of the heap, which is at most 2^32"
)]

use tidemark_proto::units::{OrderId, TimeMs};

use crate::attributes::AttributeTable;

/// Children of an entry: with four, a heap is half as deep as with two.
const WAYS: usize = 4;

/// An order that expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expiry {
    pub(crate) expires_ms: TimeMs,
    pub(crate) id: OrderId,
    pub(crate) slot: u32,
}

impl Expiry {
    /// Returns the sort key: time, then id.
    const fn key(&self) -> u128 {
        ((self.expires_ms.get() as u128) << 64) | self.id.get() as u128
    }
}

/// Heap of expiries. The orders' heap indexes are in their
/// [`Attributes`](crate::attributes::Attributes).
#[derive(Clone, Debug, Default)]
pub(crate) struct Expiries {
    heap: Vec<Expiry>,
}

impl Expiries {
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn entries(&self) -> &[Expiry] {
        &self.heap
    }

    /// Returns the order that expires next.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Expiry> {
        self.heap.first()
    }

    /// Inserts an order that has attributes.
    pub(crate) fn insert(&mut self, entry: Expiry, attributes: &mut AttributeTable) {
        self.heap.push(entry);
        self.rise(self.heap.len() - 1, entry, attributes);
    }

    /// Removes the order at a heap index.
    pub(crate) fn remove(&mut self, index: u32, attributes: &mut AttributeTable) {
        let index = index as usize;
        debug_assert!(index < self.heap.len(), "an order that expires has an entry in the heap");
        let Some(last) = self.heap.pop() else { return };
        // The removed entry was the last one: nothing is left to move.
        let Some(gone) = self.heap.get(index).copied() else { return };
        if last.key() < gone.key() {
            self.rise(index, last, attributes);
        } else {
            self.sink(index, last, attributes);
        }
    }

    /// Writes an entry at `index`, or nearer to the root while the entry is earlier than its
    /// parent.
    fn rise(&mut self, mut index: usize, entry: Expiry, attributes: &mut AttributeTable) {
        while index > 0 {
            let parent = self.heap[(index - 1) / WAYS];
            if parent.key() < entry.key() {
                break;
            }
            self.put(index, parent, attributes);
            index = (index - 1) / WAYS;
        }
        self.put(index, entry, attributes);
    }

    /// Writes an entry at `index`, or farther from the root while a child is earlier than the
    /// entry.
    fn sink(&mut self, mut index: usize, entry: Expiry, attributes: &mut AttributeTable) {
        loop {
            let first = (index * WAYS + 1).min(self.heap.len());
            let children = &self.heap[first..self.heap.len().min(first + WAYS)];
            let Some((least, child)) =
                children.iter().enumerate().min_by_key(|(_, child)| child.key())
            else {
                break;
            };
            let child = *child;
            if entry.key() < child.key() {
                break;
            }
            self.put(index, child, attributes);
            index = first + least;
        }
        self.put(index, entry, attributes);
    }

    fn put(&mut self, index: usize, entry: Expiry, attributes: &mut AttributeTable) {
        self.heap[index] = entry;
        // The heap has at most as many entries as there are slots, so the index fits in a `u32`.
        attributes.set_heap_index(entry.slot, index as u32);
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Expiry>()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use tidemark_proto::types::PostOnly;
    use tidemark_proto::units::{ClientId, Side};

    use super::*;
    use crate::arena::Flags;
    use crate::attributes::Attributes;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against a sorted set: the same is first, and every index leads to its own entry.
        #[test]
        fn behaves_like_a_sorted_set(
            steps in prop::collection::vec((0_u8..5, 0_u64..40, 0_usize..1_000), 1..800),
        ) {
            let (mut heap, mut model) = (Expiries::default(), BTreeSet::new());
            let mut attributes = AttributeTable::default();
            let expires = Flags::new(Side::Buy, false, PostOnly::Off, true, false);
            for (slot, (kind, expires_ms, pick)) in (1..).zip(steps) {
                if kind < 3 {
                    let expires_ms = TimeMs::new(expires_ms);
                    let entry = Expiry { expires_ms, id: OrderId::new(u64::from(slot)), slot };
                    attributes.set(slot, Attributes::new(ClientId::NONE, Some(expires_ms)));
                    heap.insert(entry, &mut attributes);
                    model.insert(entry);
                } else if let Some(entry) = model.iter().nth(pick % model.len().max(1)).copied() {
                    model.remove(&entry);
                    let index = attributes.get(entry.slot, expires).heap_index;
                    prop_assert_eq!(heap.entries()[index as usize], entry);
                    heap.remove(index, &mut attributes);
                }
                prop_assert_eq!(heap.first(), model.first());
                prop_assert_eq!(heap.entries().len(), model.len());
            }
        }
    }
}
