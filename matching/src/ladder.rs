//! The price levels of one side, ordered by key: the price for bids, its complement for asks, so that for both the
//! highest key is the best. Memory grows with occupied pages of prices, not with the range.

use std::collections::BTreeMap;

use tidemark_proto::units::{Lots, Side, Ticks};

use crate::arena::NONE;
use crate::commit::Digest;
use crate::memory::map_bytes;
use crate::page::{page_number, page_offset, Page};
use crate::sums;

/// The key of a price on a side. Its own inverse.
#[inline]
pub(crate) const fn key_of(side: Side, price_ticks: Ticks) -> u64 {
    // All ones for a sell: the complement without a branch.
    price_ticks ^ (side as u64).wrapping_neg()
}

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
    /// Its page and, in the highest bit, [`NOTED`].
    page: u32,
}

const _: () = assert!(size_of::<Level>() == 32, "two levels are one cache line");

/// A level's key is noted as stale and as changed in its page: a touch has nothing more to note.
const NOTED: u32 = 1 << 31;

impl Level {
    /// A level without orders.
    const fn new(key: u64, page: u32) -> Self {
        Self { key, lots: 0, head: NONE, tail: NONE, count: 0, page }
    }
    const fn page(&self) -> u32 {
        self.page & !NOTED
    }
    /// Its digests were computed, or its change was reported: the next touch is to be noted.
    pub(crate) const fn forget(&mut self) {
        self.page &= !NOTED;
    }
}

/// `new` where `link` is `old`, else what it is. Which it is cannot be foreseen: as the value is compared itself, this compiles to
/// a conditional move and not to a branch.
#[inline(always)]
pub(crate) const fn relink(link: u32, old: u32, new: u32) -> u32 {
    if link == old {
        new
    } else {
        link
    }
}

/// No page. There are at most 2²⁵: each holds 4 096 keys, and a level at least one of 2³² orders.
const NO_PAGE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    /// Level 0, [`NONE`], is no level.
    levels: Vec<Level>,
    free_level: u32,
    /// By level; as long as `levels` once a root was asked for.
    pub(crate) level_digests: Vec<Digest>,
    pub(crate) pages: Vec<Box<Page>>,
    free_pages: Vec<u32>,
    /// Pages with a level, by number.
    pub(crate) index: BTreeMap<u64, u32>,
    /// Pages without one whose last changes were not yet taken. Apart, so that finding the next level skips none.
    limbo: BTreeMap<u64, u32>,
    /// The page last used to find a level.
    recent: u32,
    /// The highest level.
    best: u32,
    /// Pages with a stale level.
    pub(crate) stale: Vec<u32>,
    /// Pages with a changed level.
    changed: Vec<u32>,
}

impl Ladder {
    pub(crate) fn new() -> Self {
        Self {
            levels: vec![Level::new(0, 0)],
            free_level: NONE,
            level_digests: Vec::new(),
            pages: Vec::new(),
            free_pages: Vec::new(),
            index: BTreeMap::new(),
            limbo: BTreeMap::new(),
            recent: NO_PAGE,
            best: NONE,
            stale: Vec::new(),
            changed: Vec::new(),
        }
    }

    #[inline]
    pub(crate) fn level(&self, level: u32) -> &Level {
        &self.levels[level as usize]
    }
    #[inline]
    pub(crate) fn level_mut(&mut self, level: u32) -> &mut Level {
        &mut self.levels[level as usize]
    }
    pub(crate) fn capacity(&self) -> usize {
        self.levels.len()
    }

    /// The best level.
    #[inline]
    pub(crate) const fn best(&self) -> Option<u32> {
        if self.best == NONE {
            None
        } else {
            Some(self.best)
        }
    }

    #[inline]
    fn page_of(&self, number: u64) -> Option<u32> {
        if self.pages.get(self.recent as usize).is_some_and(|page| page.number == number) {
            return Some(self.recent);
        }
        self.search(number)
    }

    #[inline(never)]
    fn search(&self, number: u64) -> Option<u32> {
        self.index.get(&number).copied()
    }

    /// Whether the best level is at this key or above.
    #[inline]
    pub(crate) fn crosses(&self, limit_key: u64) -> bool {
        self.best != NONE && self.level(self.best).key >= limit_key
    }

    /// The level of a key; [`NONE`] if it has none.
    #[inline]
    pub(crate) fn find(&self, key: u64) -> u32 {
        let Some(page) = self.page_of(page_number(key)) else { return NONE };
        self.pages[page as usize].levels[page_offset(key)]
    }

    /// The same, for orders that come: those that follow are likely to be near.
    #[inline]
    pub(crate) fn locate(&mut self, key: u64) -> u32 {
        let Some(page) = self.page_of(page_number(key)) else { return NONE };
        self.recent = page;
        self.pages[page as usize].levels[page_offset(key)]
    }

    /// Makes the level of a key that has none. The caller adds an order to it at once.
    #[inline(never)]
    pub(crate) fn open(&mut self, key: u64) -> u32 {
        let number = page_number(key);
        let index = self.page_of(number).unwrap_or_else(|| self.add_page(number));
        self.recent = index;
        let offset = page_offset(key);
        let level = self.add_level(Level::new(key, index));
        let page = &mut self.pages[index as usize];
        page.levels[offset] = level;
        page.occupied.insert(offset);
        if self.best == NONE || self.levels[self.best as usize].key < key {
            self.best = level;
        }
        level
    }

    fn add_page(&mut self, number: u64) -> u32 {
        let index = self.limbo.remove(&number).unwrap_or_else(|| match self.free_pages.pop() {
            // An unused page has empty bitmaps and no levels; its digests have no meaning then.
            Some(index) => {
                self.pages[index as usize].number = number;
                index
            }
            None => {
                self.pages.push(Box::new(Page::new(number)));
                (self.pages.len() - 1) as u32
            }
        });
        self.index.insert(number, index);
        index
    }

    fn add_level(&mut self, level: Level) -> u32 {
        let slot = self.free_level;
        if slot == NONE {
            self.levels.push(level);
            return (self.levels.len() - 1) as u32;
        }
        self.free_level = self.levels[slot as usize].head;
        self.levels[slot as usize] = level;
        slot
    }

    /// Notes that a level's orders changed.
    #[inline]
    pub(crate) fn touch(&mut self, level: u32) {
        if self.level(level).page & NOTED == 0 {
            self.note(level);
        }
    }

    /// Puts an order at the back of a level. Returns the one that was last, and whether [`Ladder::note`] is to follow.
    #[inline(always)]
    pub(crate) fn put_on(&mut self, level: u32, slot: u32, lots: Lots) -> (u32, bool) {
        let level = self.level_mut(level);
        level.lots = sums::add(level.lots, lots);
        level.count = sums::up(level.count);
        let last = std::mem::replace(&mut level.tail, slot);
        level.head = relink(level.head, NONE, slot);
        (last, level.page & NOTED == 0)
    }

    /// Takes an order between these two, with `lots` shown, off a level. Returns whether [`Ladder::tidy`] is to follow.
    #[inline(always)]
    #[must_use]
    pub(crate) fn take_off(&mut self, level: u32, slot: u32, lots: Lots, prev: u32, next: u32) -> bool {
        let level = self.level_mut(level);
        level.lots = sums::sub(level.lots, lots);
        level.count = sums::down(level.count);
        level.head = relink(level.head, slot, next);
        level.tail = relink(level.tail, slot, prev);
        (level.count == 0) | (level.page & NOTED == 0)
    }

    /// What seldom follows an order's leave: the level's first change since its last root is noted; an empty level goes.
    #[inline(never)]
    pub(crate) fn tidy(&mut self, level: u32) {
        self.touch(level);
        if self.level(level).count == 0 {
            self.release(level);
        }
    }

    /// Notes a level's first change since its digests were computed and its change was reported.
    #[cold]
    #[inline(never)]
    pub(crate) fn note(&mut self, level: u32) {
        let level = &mut self.levels[level as usize];
        let (key, index) = (level.key, level.page());
        level.page |= NOTED;
        let page = &mut self.pages[index as usize];
        let offset = page_offset(key);
        if page.stale.insert(offset) {
            self.stale.push(index);
        }
        if page.changed.insert(offset) {
            self.changed.push(index);
        }
    }

    /// Drops a level that has lost its last order.
    fn release(&mut self, level: u32) {
        let (key, index) = (self.levels[level as usize].key, self.levels[level as usize].page());
        if self.best == level {
            self.best = self.below(level).unwrap_or(NONE);
        }
        self.levels[level as usize].head = self.free_level;
        self.free_level = level;
        let page = &mut self.pages[index as usize];
        page.levels[page_offset(key)] = NONE;
        page.occupied.remove(page_offset(key));
        if page.occupied.is_empty() {
            self.index.remove(&page.number);
            self.limbo.insert(page.number, index);
            self.recent = NO_PAGE;
        }
    }

    /// The next worse level.
    pub(crate) fn below(&self, level: u32) -> Option<u32> {
        let Level { key, .. } = self.levels[level as usize];
        let page = &self.pages[self.levels[level as usize].page() as usize];
        if let Some(offset) = page.occupied.before(page_offset(key)) {
            return Some(page.levels[offset]);
        }
        let (_, index) = self.index.range(..page.number).next_back()?;
        let page = &self.pages[*index as usize];
        page.occupied.last().map(|offset| page.levels[offset])
    }

    /// Hands every key changed since the last call to `report`, in no particular order.
    pub(crate) fn take_changed(&mut self, mut report: impl FnMut(u64)) {
        let mut pages = std::mem::take(&mut self.changed);
        for index in pages.drain(..) {
            let page = &mut self.pages[index as usize];
            let changed = std::mem::replace(&mut page.changed, crate::page::Bits::EMPTY);
            for offset in changed.groups().flat_map(|group| changed.group(group)) {
                report(page.key(offset));
                self.levels[page.levels[offset] as usize].forget();
            }
            self.free_if_unused(index);
        }
        self.changed = pages;
    }

    /// Gives a page back once it has no level and nobody waits for its changes.
    pub(crate) fn free_if_unused(&mut self, index: u32) {
        let page = &self.pages[index as usize];
        if page.is_unused() {
            self.limbo.remove(&page.number);
            self.free_pages.push(index);
        }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.levels.capacity() * size_of::<Level>()
            + self.level_digests.capacity() * size_of::<Digest>()
            + self.pages.capacity() * size_of::<Box<Page>>()
            + self.pages.len() * size_of::<Page>()
            + (self.free_pages.capacity() + self.stale.capacity() + self.changed.capacity())
                * size_of::<u32>()
            + map_bytes(self.index.len() + self.limbo.len(), size_of::<(u64, u32)>())
    }
}
