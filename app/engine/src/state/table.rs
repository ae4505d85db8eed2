//! Tables of copy-on-write pages: cloning one is cheap, and the clone is an immutable view.

use std::ops::Deref;
use std::sync::Arc;

use borsh::BorshSerialize;

use super::merkle::{encode, leaf_hash, Hash, MerkleTree};

const PAGE_SLOTS: usize = 64;

/// The rows of a table: slots 0, 1, 2, …, in pages that clones share until one of them writes.
#[derive(Clone, Debug)]
pub struct TableView<T> {
    pages: Vec<Arc<Vec<T>>>,
    len: u32,
}

impl<T> Default for TableView<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0 }
    }
}

impl<T> TableView<T> {
    /// Number of slots.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Returns true if there is no slot.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The row of a slot.
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<&T> {
        let (page, at) = place(slot);
        self.pages.get(page)?.get(at)
    }

    /// Rows in order of slot.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..).zip(self.pages.iter().flat_map(|page| page.iter()))
    }
}

/// An append-only table with a Merkle root over its rows.
#[derive(Clone, Debug)]
pub struct Table<T> {
    rows: TableView<T>,
    /// Slots written since the last root, unsorted, with repeats.
    dirty: Vec<u32>,
    tree: MerkleTree,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: TableView::default(), dirty: Vec::new(), tree: MerkleTree::default() }
    }
}

impl<T> Deref for Table<T> {
    type Target = TableView<T>;

    fn deref(&self) -> &TableView<T> {
        &self.rows
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE_SLOTS, slot as usize % PAGE_SLOTS)
}

impl<T: Clone + BorshSerialize> Table<T> {
    /// The row of a slot, to be changed: it counts as written.
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (page, at) = place(slot);
        let row = Arc::make_mut(self.rows.pages.get_mut(page)?).get_mut(at)?;
        if self.dirty.last() != Some(&slot) {
            self.dirty.push(slot);
        }
        Some(row)
    }

    /// Counts a row as written, though it stays: something that belongs to it has changed
    /// elsewhere.
    pub fn touch(&mut self, slot: u32) {
        if slot < self.rows.len && self.dirty.last() != Some(&slot) {
            self.dirty.push(slot);
        }
    }

    /// Appends a row; `None` when all 2³² − 1 slots are taken.
    #[expect(clippy::indexing_slicing, reason = "the page was added above")]
    pub fn push(&mut self, row: T) -> Option<u32> {
        let slot = self.rows.len;
        self.rows.len = slot.checked_add(1)?;
        let (page, _) = place(slot);
        if page == self.rows.pages.len() {
            self.rows.pages.push(Arc::new(Vec::with_capacity(PAGE_SLOTS)));
        }
        Arc::make_mut(&mut self.rows.pages[page]).push(row);
        self.dirty.push(slot);
        Some(slot)
    }

    /// Slots written since the last [`Table::root`], ascending, without repeats.
    pub fn dirty(&mut self) -> &[u32] {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        &self.dirty
    }

    /// The Merkle root; rehashes what was written.
    pub fn root(&mut self) -> Hash {
        self.dirty();
        let hash = |slot: &u32| {
            let row = self.rows.get(*slot)?;
            Some((*slot, leaf_hash(&encode(row))))
        };
        let leaves: Vec<(u32, Hash)> = self.dirty.iter().filter_map(hash).collect();
        self.tree.update(&leaves);
        self.dirty.clear();
        self.tree.root()
    }

    /// The rows as they are now; later writes copy the pages they touch.
    #[must_use]
    pub fn view(&self) -> TableView<T> {
        self.rows.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_what_it_saw() {
        let mut table = Table::default();
        for value in 0..200_u64 {
            table.push(value);
        }
        let view = table.view();
        *table.get_mut(130).unwrap() = 7;
        assert_eq!(view.get(130), Some(&130));
        assert_eq!(table.get(130), Some(&7));
        assert_eq!(view.get(200), None);
    }

    #[test]
    fn the_root_depends_on_rows_only_not_on_the_order_of_writes() {
        let (mut one, mut other) = (Table::default(), Table::default());
        for value in 0..100_u64 {
            one.push(value);
            other.push(0);
        }
        one.root();
        for slot in (0..100).rev() {
            *other.get_mut(slot).unwrap() = u64::from(slot);
        }
        assert_eq!(one.root(), other.root());
        *other.get_mut(3).unwrap() = 4;
        assert_ne!(one.root(), other.root());
    }
}
