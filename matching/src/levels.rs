//! The price levels of both sides, by number: an order names its level, so that finding it asks
//! neither for the order's side nor for its price.

use tidemark_proto::units::Lots;

use crate::arena::NONE;
use crate::bounded;
use crate::digest::Digest;

/// One price level: a queue of orders.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Level {
    pub(crate) key: u64,
    /// Sum of its orders' lots.
    pub(crate) lots: Lots,
    /// First order in the queue; in a free level, the next free one.
    pub(crate) head: u32,
    pub(crate) tail: u32,
    pub(crate) count: u32,
    /// Its page and, in the highest bit, [`DIRTY`].
    page: u32,
}

const _: () = assert!(size_of::<Level>() == 32, "two levels are one cache line");

/// A level's key is noted as stale and as changed in its page: a touch has nothing more to note.
const DIRTY: u32 = 1 << 31;

impl Level {
    /// A level without orders.
    pub(crate) const fn new(key: u64, page: u32) -> Self {
        Self { key, lots: 0, head: NONE, tail: NONE, count: 0, page }
    }
    /// Its page in its side's ladder.
    pub(crate) const fn page(&self) -> u32 {
        self.page & !DIRTY
    }
    #[inline]
    pub(crate) const fn is_dirty(&self) -> bool {
        self.page & DIRTY != 0
    }
    /// Its change was noted.
    pub(crate) const fn mark_dirty(&mut self) {
        self.page |= DIRTY;
    }
    /// Its digests were computed, or its change was reported: the next touch is to be noted.
    pub(crate) const fn mark_clean(&mut self) {
        self.page &= !DIRTY;
    }
}

/// `new` where `link` is `old`, else what it is. Which it is cannot be foreseen: as the value is
/// compared itself, this compiles to a conditional move and not to a branch.
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
    /// By level; as long as `levels` once a root was asked for.
    pub(crate) digests: Vec<Digest>,
}

impl Levels {
    pub(crate) fn new() -> Self {
        Self { levels: vec![Level::new(0, 0)], free: NONE, digests: Vec::new() }
    }

    #[inline]
    pub(crate) fn get(&self, level: u32) -> &Level {
        &self.levels[level as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, level: u32) -> &mut Level {
        &mut self.levels[level as usize]
    }

    /// All levels, free ones too.
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

    /// Puts an order at the back of a level. Returns the one that was last, and whether a note of
    /// the change is to follow.
    #[inline(always)]
    pub(crate) fn push_back(&mut self, level: u32, slot: u32, lots: Lots) -> (u32, bool) {
        let level = self.get_mut(level);
        level.lots = bounded::add(level.lots, lots);
        level.count = bounded::increment(level.count);
        let last = std::mem::replace(&mut level.tail, slot);
        level.head = relink(level.head, NONE, slot);
        (last, !level.is_dirty())
    }

    /// Takes an order between these two, with `lots` shown, off a level. Returns whether the
    /// level's ladder is to tidy it.
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
        self.levels.capacity() * size_of::<Level>() + self.digests.capacity() * size_of::<Digest>()
    }
}
