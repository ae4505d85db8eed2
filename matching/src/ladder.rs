//! Price levels of one side, sorted by key. A bid's key is its price, an ask's key is the
//! complement of its price, so the highest key is the best on both sides. Memory grows with the
//! occupied pages of prices, not with the price range.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "pages are in the table that allots them, offsets are below 4096"
)]

use std::collections::BTreeMap;

use tidemark_proto::units::{Side, Ticks};

use crate::arena::NONE;
use crate::levels::{Level, Levels};
use crate::memory::map_bytes;
use crate::page::{page_number, page_offset, Page};

/// Returns the key of a price on a side.
#[inline]
pub(crate) const fn key_of(side: Side, price_ticks: Ticks) -> u64 {
    price_ticks.get() ^ complement(side)
}

/// Returns the price of a key on a side.
#[inline]
pub(crate) const fn price_of(side: Side, key: u64) -> Ticks {
    Ticks::new(key ^ complement(side))
}

/// All ones for a sell: complements without a branch.
#[inline]
const fn complement(side: Side) -> u64 {
    (side as u64).wrapping_neg()
}

/// No page. There are at most 2²⁵: each holds 4 096 keys, and a level at least one of 2³² orders.
const NO_PAGE: u32 = u32::MAX;

#[derive(Clone, Debug)]
pub(crate) struct PriceLadder {
    pub(crate) pages: Vec<Box<Page>>,
    free_pages: Vec<u32>,
    /// Pages that have a level, by page number.
    pub(crate) index: BTreeMap<u64, u32>,
    /// Pages without a level, kept until their last changes are hashed and reported. They are
    /// outside of `index` so that the search for the next level skips none.
    pending: BTreeMap<u64, u32>,
    /// Page of the last search for an incoming order's level.
    recent: u32,
    /// Level with the highest key; [`NONE`] if the side is empty.
    best: u32,
    /// Pages with a stale level.
    pub(crate) stale: Vec<u32>,
    /// Pages with a changed level.
    changed: Vec<u32>,
}

impl PriceLadder {
    pub(crate) fn new() -> Self {
        Self {
            pages: Vec::new(),
            free_pages: Vec::new(),
            index: BTreeMap::new(),
            pending: BTreeMap::new(),
            recent: NO_PAGE,
            best: NONE,
            stale: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// Returns the best level.
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
        self.search_index(number)
    }

    #[inline(never)]
    fn search_index(&self, number: u64) -> Option<u32> {
        self.index.get(&number).copied()
    }

    /// Returns true if the best level's key is `limit_key` or higher.
    #[inline]
    pub(crate) fn crosses(&self, levels: &Levels, limit_key: u64) -> bool {
        self.best != NONE && levels.get(self.best).key >= limit_key
    }

    /// Returns the level of a key, or [`NONE`].
    #[inline]
    pub(crate) fn find(&self, key: u64) -> u32 {
        let Some(page) = self.page_of(page_number(key)) else { return NONE };
        self.pages[page as usize].levels[page_offset(key)]
    }

    /// Returns the level of an incoming order's key, or [`NONE`], and remembers its page: the next
    /// orders are likely to be near.
    #[inline]
    pub(crate) fn find_for_insert(&mut self, key: u64) -> u32 {
        let Some(page) = self.page_of(page_number(key)) else { return NONE };
        self.recent = page;
        self.pages[page as usize].levels[page_offset(key)]
    }

    /// Creates the level of a key that has none. The caller adds an order to the level at once.
    #[inline(never)]
    pub(crate) fn open(&mut self, levels: &mut Levels, key: u64) -> u32 {
        let number = page_number(key);
        let index = self.page_of(number).unwrap_or_else(|| self.add_page(number));
        self.recent = index;
        let offset = page_offset(key);
        let level = levels.add(Level::new(key, index));
        let page = &mut self.pages[index as usize];
        page.levels[offset] = level;
        page.occupied.insert(offset);
        if self.best == NONE || levels.get(self.best).key < key {
            self.best = level;
        }
        level
    }

    fn add_page(&mut self, number: u64) -> u32 {
        let index = self.pending.remove(&number).unwrap_or_else(|| match self.free_pages.pop() {
            // An unused page has empty bitmaps and no levels; its digests have no meaning.
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

    /// Records that a level's orders changed.
    #[inline]
    pub(crate) fn touch(&mut self, levels: &mut Levels, level: u32) {
        if !levels.get(level).is_dirty() {
            self.mark_dirty(levels, level);
        }
    }

    /// Rare clean-up after a removal: records the level's first change since its last root, and
    /// releases an empty level.
    #[inline(never)]
    pub(crate) fn clean_up(&mut self, levels: &mut Levels, level: u32) {
        self.touch(levels, level);
        if levels.get(level).count == 0 {
            self.release(levels, level);
        }
    }

    /// Records a level's first change since its digest was computed or its change was reported.
    #[cold]
    #[inline(never)]
    pub(crate) fn mark_dirty(&mut self, levels: &mut Levels, level: u32) {
        let level = levels.get_mut(level);
        let (key, index) = (level.key, level.page());
        level.mark_dirty();
        let page = &mut self.pages[index as usize];
        let offset = page_offset(key);
        if page.stale.insert(offset) {
            self.stale.push(index);
        }
        if page.changed.insert(offset) {
            self.changed.push(index);
        }
    }

    /// Releases a level that has lost its last order.
    fn release(&mut self, levels: &mut Levels, level: u32) {
        let (key, index) = (levels.get(level).key, levels.get(level).page());
        if self.best == level {
            self.best = self.next_worse(levels, level).unwrap_or(NONE);
        }
        levels.release(level);
        let page = &mut self.pages[index as usize];
        page.levels[page_offset(key)] = NONE;
        page.occupied.remove(page_offset(key));
        if page.occupied.is_empty() {
            self.index.remove(&page.number);
            self.pending.insert(page.number, index);
            self.recent = NO_PAGE;
        }
    }

    /// Returns the next worse level.
    pub(crate) fn next_worse(&self, levels: &Levels, level: u32) -> Option<u32> {
        let level = levels.get(level);
        let page = &self.pages[level.page() as usize];
        if let Some(offset) = page.occupied.before(page_offset(level.key)) {
            return Some(page.levels[offset]);
        }
        let (_, index) = self.index.range(..page.number).next_back()?;
        let page = &self.pages[*index as usize];
        page.occupied.last().map(|offset| page.levels[offset])
    }

    /// Passes every key changed since the last call to `report`, in no particular order.
    pub(crate) fn take_changed(&mut self, levels: &mut Levels, mut report: impl FnMut(u64)) {
        let mut pages = std::mem::take(&mut self.changed);
        for index in pages.drain(..) {
            let page = &mut self.pages[index as usize];
            let changed = std::mem::replace(&mut page.changed, crate::page::Bits::EMPTY);
            for offset in changed.groups().flat_map(|group| changed.group(group)) {
                report(page.key(offset));
                levels.get_mut(page.levels[offset]).mark_clean();
            }
            self.free_if_unused(index);
        }
        self.changed = pages;
    }

    /// Frees a page that has no level and no change left to hash or report.
    pub(crate) fn free_if_unused(&mut self, index: u32) {
        let page = &self.pages[index as usize];
        if page.is_unused() {
            self.pending.remove(&page.number);
            self.free_pages.push(index);
        }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.pages.capacity() * size_of::<Box<Page>>()
            + self.pages.len() * size_of::<Page>()
            + (self.free_pages.capacity() + self.stale.capacity() + self.changed.capacity())
                * size_of::<u32>()
            + map_bytes(self.index.len() + self.pending.len(), size_of::<(u64, u32)>())
    }
}
