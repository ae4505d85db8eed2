//! Order ids to slots: a directly indexed window over recent ids, in pages that are freed when
//! empty, and a sorted map for the few orders that outlive the window. Live orders plus the window
//! bound the memory, however many ids were used.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "page numbers of the window are base..end; the ring has a page for each of them"
)]

use std::collections::BTreeMap;

use tidemark_proto::units::OrderId;

use crate::arena::NONE;
use crate::bounded;
use crate::cache::prefetch;
use crate::memory::map_bytes;

const PAGE_BITS: u32 = 10;
const PAGE_IDS: usize = 1 << PAGE_BITS;
/// Pages in the window: the last 4 194 304 ids.
const WINDOW_PAGES: u64 = 4_096;

/// Index in the ring of an id's page, or [`OUTSIDE_WINDOW`]. Valid until the next id is inserted.
pub(crate) type RingIndex = usize;
/// The id is in the sorted map.
const OUTSIDE_WINDOW: RingIndex = usize::MAX;

type Slots = Box<[u32; PAGE_IDS]>;

#[derive(Clone, Debug, Default)]
struct IdPage {
    /// Absent while no id of the page is live.
    slots: Option<Slots>,
    live: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct IdTable {
    /// Page numbers of the window: `base..end`.
    base: u64,
    end: u64,
    /// Pages of the window, and empty pages, by page number modulo the length, which is 0 or a
    /// power of two.
    ring: Vec<IdPage>,
    /// Free pages; every entry is [`NONE`].
    spare: Vec<Slots>,
    old: BTreeMap<OrderId, u32>,
}

#[inline]
const fn offset(id: OrderId) -> usize {
    (id.get() & (PAGE_IDS as u64 - 1)) as usize
}

#[inline]
const fn page_number(id: OrderId) -> u64 {
    id.get() >> PAGE_BITS
}

impl IdTable {
    /// Returns an empty table whose window ends at `next`, for ids that are not inserted in
    /// ascending order.
    pub(crate) fn ending_at(next: OrderId) -> Self {
        let base = page_number(next).saturating_sub(WINDOW_PAGES - 1);
        Self { base, end: base, ..Self::default() }
    }

    #[inline]
    fn ring_index(&self, number: u64) -> usize {
        number as usize & self.ring.len().wrapping_sub(1)
    }

    /// Returns the ring index of an id's page, or `None` if the id is outside of the window.
    #[inline]
    fn page_index(&self, id: OrderId) -> Option<usize> {
        let number = page_number(id);
        // One comparison suffices: page numbers before the window wrap to numbers beyond it.
        let within = number.wrapping_sub(self.base) < self.end.wrapping_sub(self.base);
        within.then(|| self.ring_index(number))
    }

    /// Returns the slot of an id and the ring index for [`IdTable::remove`].
    #[inline(always)]
    pub(crate) fn find(&self, id: OrderId) -> Option<(u32, RingIndex)> {
        let Some(index) = self.page_index(id) else {
            return self.get_old(id).map(|slot| (slot, OUTSIDE_WINDOW));
        };
        let slot = self.ring[index].slots.as_ref()?[offset(id)];
        (slot != NONE).then_some((slot, index))
    }

    /// Returns the page of an id, if the id is in the window and the page has a live id.
    #[inline(always)]
    fn page(&self, id: OrderId) -> Option<&Slots> {
        self.page_index(id).and_then(|index| self.ring[index].slots.as_ref())
    }

    /// Returns the slot of an id in the window, else [`NONE`].
    #[inline(always)]
    pub(crate) fn get_recent(&self, id: OrderId) -> u32 {
        self.page(id).map_or(NONE, |slots| slots[offset(id)])
    }

    /// Prefetches the entry of an id in the window.
    #[inline(always)]
    pub(crate) fn prefetch(&self, id: OrderId) {
        if let Some(slots) = self.page(id) {
            prefetch(&slots[offset(id)]);
        }
    }

    /// Returns the ring index of an id for [`IdTable::remove`].
    #[inline(always)]
    pub(crate) fn locate(&self, id: OrderId) -> RingIndex {
        self.page_index(id).unwrap_or(OUTSIDE_WINDOW)
    }

    #[inline]
    pub(crate) fn get(&self, id: OrderId) -> Option<u32> {
        self.find(id).map(|(slot, _)| slot)
    }

    /// Inserts an id that is not in the table.
    #[inline(always)]
    pub(crate) fn insert(&mut self, id: OrderId, slot: u32) {
        let Some(index) = self.page_index(id) else { return self.insert_beyond(id, slot) };
        let page = &mut self.ring[index];
        let Some(slots) = &mut page.slots else { return self.insert_first(index, id, slot) };
        slots[offset(id)] = slot;
        page.live = bounded::increment(page.live);
    }

    /// Inserts an id after the window, which is extended to contain it, or before the window.
    #[cold]
    #[inline(never)]
    fn insert_beyond(&mut self, id: OrderId, slot: u32) {
        let number = page_number(id);
        if number < self.base {
            self.old.insert(id, slot);
            return;
        }
        self.extend_to(number);
        let index = self.ring_index(number);
        if self.ring[index].slots.is_none() {
            return self.insert_first(index, id, slot);
        }
        self.insert(id, slot);
    }

    /// Inserts the first id of a page.
    #[cold]
    #[inline(never)]
    fn insert_first(&mut self, index: usize, id: OrderId, slot: u32) {
        let mut slots = self.spare.pop().unwrap_or_else(|| Box::new([NONE; PAGE_IDS]));
        slots[offset(id)] = slot;
        self.ring[index] = IdPage { slots: Some(slots), live: 1 };
    }

    /// Extends the window to end with page `number`, in at most `WINDOW_PAGES` steps.
    fn extend_to(&mut self, number: u64) {
        if self.base == self.end {
            (self.base, self.end) = (number, number);
        }
        while self.base < self.end && number - self.base >= WINDOW_PAGES {
            self.retire_oldest_page();
            self.base += 1;
        }
        if self.base == self.end {
            self.base = number;
        }
        self.end = number + 1;
        let pages = (self.end - self.base).next_power_of_two() as usize;
        if pages > self.ring.len() {
            let mut old = std::mem::take(&mut self.ring);
            self.ring.resize_with(pages, IdPage::default);
            for number in self.base..number {
                let index = self.ring_index(number);
                let from = number as usize & old.len().wrapping_sub(1);
                self.ring[index] = std::mem::take(&mut old[from]);
            }
        }
    }

    /// Moves the ids of the window's first page, `base`, to the sorted map.
    fn retire_oldest_page(&mut self) {
        let index = self.ring_index(self.base);
        let Some(mut slots) = std::mem::take(&mut self.ring[index]).slots else { return };
        for (offset, slot) in slots.iter_mut().enumerate().filter(|(_, slot)| **slot != NONE) {
            let id = OrderId::new((self.base << PAGE_BITS) + offset as u64);
            self.old.insert(id, *slot);
            *slot = NONE;
        }
        self.spare.push(slots);
    }

    /// Removes an id that is in the table, at its ring index. Returns true if [`IdTable::clean_up`]
    /// must follow.
    #[inline(always)]
    #[must_use]
    pub(crate) fn remove(&mut self, id: OrderId, ring_index: RingIndex) -> bool {
        let Some(page) = self.ring.get_mut(ring_index) else { return true };
        let Some(slots) = page.slots.as_mut() else {
            debug_assert!(false, "the page of a live id has slots");
            return false;
        };
        debug_assert!(slots[offset(id)] != NONE, "only a live id is removed");
        slots[offset(id)] = NONE;
        page.live = bounded::decrement(page.live);
        page.live == 0
    }

    /// Rare clean-up after a removal: the id was older than the window, or its page has no other
    /// id.
    #[cold]
    #[inline(never)]
    pub(crate) fn clean_up(&mut self, id: OrderId) {
        match self.page_index(id) {
            None => {
                let slot = self.old.remove(&id);
                debug_assert!(slot.is_some(), "a live id outside of the window is in the map");
            }
            Some(index) => {
                self.spare.extend(self.ring[index].slots.take());
                self.drop_empty_front();
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn get_old(&self, id: OrderId) -> Option<u32> {
        self.old.get(&id).copied()
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pages = self.ring.iter().filter(|page| page.slots.is_some()).count() + self.spare.len();
        self.ring.capacity() * size_of::<IdPage>()
            + pages * size_of::<[u32; PAGE_IDS]>()
            + self.spare.capacity() * size_of::<Slots>()
            + map_bytes(self.old.len(), size_of::<(OrderId, u32)>())
    }

    /// The last page stays, because the next ids belong to it.
    fn drop_empty_front(&mut self) {
        while self.base + 1 < self.end && self.ring[self.ring_index(self.base)].live == 0 {
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn recent_ids_stay_in_the_window() {
        let mut table = IdTable::default();
        for id in (1..10_000).map(OrderId::new) {
            table.insert(id, 1);
            if table.remove(id, table.locate(id)) {
                table.clean_up(id);
            }
        }
        assert!(table.old.is_empty() && table.ring.len() <= 2 && table.spare.len() <= 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against a map, with jumps that pass pages and whole windows.
        #[test]
        fn behaves_like_a_map(steps in prop::collection::vec((0_u8..8, 0_usize..64), 1..2_000)) {
            let (mut table, mut model, mut next) = (IdTable::default(), BTreeMap::new(), 1);
            for (step, (kind, pick)) in steps.into_iter().enumerate() {
                match kind {
                    0..=3 => {
                        table.insert(OrderId::new(next), step as u32 + 1);
                        model.insert(OrderId::new(next), step as u32 + 1);
                        next += 1;
                    }
                    4 => {
                        let page = 1 << PAGE_BITS;
                        next += [1, 700, page, 3 * page, WINDOW_PAGES * page][pick % 5];
                    }
                    _ => {
                        let live = model.len().max(1);
                        let Some(id) = model.keys().nth(pick % live).copied() else { continue };
                        model.remove(&id);
                        if table.remove(id, table.locate(id)) {
                            table.clean_up(id);
                        }
                        prop_assert_eq!(table.get(id), None);
                    }
                }
                prop_assert_eq!(table.get(OrderId::new(next)), None);
                prop_assert!(table.end - table.base <= WINDOW_PAGES);
                prop_assert!(table.ring.len() as u64 <= WINDOW_PAGES);
            }
            for (id, slot) in &model {
                prop_assert_eq!(table.get(*id), Some(*slot));
            }
        }
    }
}
