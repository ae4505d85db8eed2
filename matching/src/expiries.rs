//! When orders expire: a heap, earliest first and then by id, in which each order's place is known, so that an order that
//! leaves early is taken out at once. Entering and leaving move a few entries, at most two for each doubling of the number.

use tidemark_proto::units::{OrderId, TimeMs};

use crate::arena::Arena;

/// Children of an entry: with four, a heap is half as deep as with two.
const WAYS: usize = 4;

/// An order that expires. Compares by time, then id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Expiry {
    pub(crate) expires_ms: TimeMs,
    pub(crate) id: OrderId,
    pub(crate) slot: u32,
    /// Where the order's extra is, in which its place here is kept.
    pub(crate) extra: u32,
}

/// The places are in the arena, with the orders.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expiries {
    heap: Vec<Expiry>,
}

impl Expiries {
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn entries(&self) -> &[Expiry] {
        &self.heap
    }

    /// The next to expire.
    #[inline]
    pub(crate) fn first(&self) -> Option<&Expiry> {
        self.heap.first()
    }

    /// Enters an order of `orders`.
    pub(crate) fn insert(&mut self, entry: Expiry, orders: &mut Arena) {
        self.heap.push(entry);
        self.rise(self.heap.len() - 1, entry, orders);
    }

    /// Takes out the order at a place.
    pub(crate) fn remove(&mut self, place: u32, orders: &mut Arena) {
        let place = place as usize;
        let Some(last) = self.heap.pop() else { return };
        let Some(gone) = self.heap.get(place).copied() else { return };
        if last < gone {
            self.rise(place, last, orders);
        } else {
            self.sink(place, last, orders);
        }
    }

    /// Puts an entry at a place, or nearer to the first as far as it comes before those there.
    fn rise(&mut self, mut place: usize, entry: Expiry, orders: &mut Arena) {
        while place > 0 {
            let parent = self.heap[(place - 1) / WAYS];
            if parent < entry {
                break;
            }
            self.put(place, parent, orders);
            place = (place - 1) / WAYS;
        }
        self.put(place, entry, orders);
    }

    /// Puts an entry at a place, or farther from the first as far as those there come before it.
    fn sink(&mut self, mut place: usize, entry: Expiry, orders: &mut Arena) {
        loop {
            let first = place * WAYS + 1;
            let children = self.heap.iter().enumerate().skip(first).take(WAYS);
            let Some((least, child)) = children.min_by_key(|(_, child)| **child) else { break };
            let child = *child;
            if entry < child {
                break;
            }
            self.put(place, child, orders);
            place = least;
        }
        self.put(place, entry, orders);
    }

    fn put(&mut self, place: usize, entry: Expiry, orders: &mut Arena) {
        self.heap[place] = entry;
        // No more entries than slots, so it fits.
        orders.extra_at(entry.extra).expiry = place as u32;
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.heap.capacity() * size_of::<Expiry>()
    }
}
