//! Price levels of both sides, by number. An order stores the number of its level, so finding the
//! level needs neither the order's side nor its price.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "levels come from the table, which never shrinks, and number at most 2^32"
)]

use tidemark_proto::units::Lots;

use crate::arena::NONE;
use crate::bounded;

/// One price level: a queue of orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) key: u64,
    /// Sum of the lots that the level's orders show.
    pub(crate) lots: Lots,
    /// First order in the queue; in a free level, the next free one.
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) count: u32,
    /// Page of the level and, in the highest bit, [`DIRTY`].
    page: u32,
}

const _: () = assert!(size_of::<Level>() == 32, "two levels are one cache line");

/// Mark of a level that its page already lists as stale and as changed: a further change has
/// nothing to record.
const DIRTY: u32 = 1 << 31;

impl Level {
    /// A level without orders.
    pub(crate) const fn new(key: u64, page: u32) -> Self {
        Self { key, lots: Lots::ZERO, head: NONE, tail: NONE, count: 0, page }
    }
    /// Returns the level's page in the ladder of its side.
    pub(crate) const fn page(&self) -> u32 {
        self.page & !DIRTY
    }
    #[inline]
    pub(crate) const fn is_dirty(&self) -> bool {
        self.page & DIRTY != 0
    }
    /// Records that the page lists the level as changed.
    pub(crate) const fn mark_dirty(&mut self) {
        self.page |= DIRTY;
    }
    /// Clears the mark, after the level's digest was computed or its change reported: the next
    /// change must be recorded again.
    pub(crate) const fn mark_clean(&mut self) {
        self.page &= !DIRTY;
    }
}

/// Returns `new` if `link == old`, else `link`. Branchless, because the outcome is unpredictable:
/// comparing the value itself compiles to a conditional move.
#[inline(always)]
pub(crate) const fn relink(link: u32, old: u32, new: u32) -> u32 {
    if link == old {
        new
    } else {
        link
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Levels {
    /// Level 0, [`NONE`], is no level.
    levels: Vec<Level>,
    free: u32,
}

impl Levels {
    pub(crate) fn new() -> Self {
        Self { levels: vec![Level::new(0, 0)], free: NONE }
    }

    #[inline]
    pub(crate) fn get(&self, level: u32) -> &Level {
        &self.levels[level as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, level: u32) -> &mut Level {
        &mut self.levels[level as usize]
    }

    /// Returns the number of levels, free ones included.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.levels.len()
    }

    pub(crate) fn add(&mut self, level: Level) -> u32 {
        let slot = self.free;
        if slot == NONE {
            self.levels.push(level);
            return (self.levels.len() - 1) as u32;
        }
        self.free = self.levels[slot as usize].head;
        self.levels[slot as usize] = level;
        slot
    }

    pub(crate) fn release(&mut self, level: u32) {
        self.levels[level as usize].head = self.free;
        self.free = level;
    }

    /// Appends an order to a level's queue. Returns the order that was last, and true if the caller
    /// must mark the level dirty.
    #[inline(always)]
    pub(crate) fn push_back(&mut self, level: u32, slot: u32, lots: Lots) -> (u32, bool) {
        let level = self.get_mut(level);
        level.lots = bounded::add(level.lots, lots);
        level.count = bounded::increment(level.count);
        let last = std::mem::replace(&mut level.tail, slot);
        level.head = relink(level.head, NONE, slot);
        (last, !level.is_dirty())
    }

    /// Unlinks an order, which shows `lots` and stands between `prev` and `next`, from a level.
    /// Returns true if the ladder must clean the level up.
    #[inline(always)]
    #[must_use]
    pub(crate) fn unlink(
        &mut self,
        level: u32,
        slot: u32,
        lots: Lots,
        prev: u32,
        next: u32,
    ) -> bool {
        let level = self.get_mut(level);
        level.lots = bounded::sub(level.lots, lots);
        level.count = bounded::decrement(level.count);
        level.head = relink(level.head, slot, next);
        level.tail = relink(level.tail, slot, prev);
        (level.count == 0) | !level.is_dirty()
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.levels.capacity() * size_of::<Level>()
    }
}
