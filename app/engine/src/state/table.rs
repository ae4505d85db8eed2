//! Tables of copy-on-write pages: cloning one is cheap, and the clone is an immutable view.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use borsh::BorshSerialize;
use tidemark_proto::units::{AccountId, OwnerId};

use super::merkle::{encode, leaf_hash, Hash, MerkleTree};

const PAGE_SLOTS: usize = 64;

/// Names a row of a table: the id is the row's slot.
pub trait RowId: Copy + Ord + 'static {
    /// The id of a slot.
    fn from_slot(slot: u32) -> Self;

    /// The slot of an id.
    fn slot(self) -> u32;
}

impl RowId for u32 {
    fn from_slot(slot: u32) -> Self {
        slot
    }

    fn slot(self) -> u32 {
        self
    }
}

impl RowId for AccountId {
    fn from_slot(slot: u32) -> Self {
        Self::new(slot)
    }

    fn slot(self) -> u32 {
        self.get()
    }
}

impl RowId for OwnerId {
    fn from_slot(slot: u32) -> Self {
        Self::new(slot)
    }

    fn slot(self) -> u32 {
        self.get()
    }
}

/// The rows of a table: slots 0, 1, 2, …, in pages that clones share until one of them writes.
#[derive(Clone, Debug)]
pub struct TableView<K, T> {
    pages: Vec<Arc<Vec<T>>>,
    len: u32,
    ids: PhantomData<K>,
}

impl<K, T> Default for TableView<K, T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0, ids: PhantomData }
    }
}

impl<K: RowId, T> TableView<K, T> {
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

    /// Every id, ascending.
    pub fn ids(&self) -> impl Iterator<Item = K> + 'static {
        (0..self.len).map(K::from_slot)
    }

    /// The row of an id.
    #[must_use]
    pub fn get(&self, id: K) -> Option<&T> {
        let (page, at) = place(id.slot());
        self.pages.get(page)?.get(at)
    }

    /// Rows in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        (0..).map(K::from_slot).zip(self.pages.iter().flat_map(|page| page.iter()))
    }
}

/// An append-only table with a Merkle root over its rows.
#[derive(Clone, Debug)]
pub struct Table<K, T> {
    rows: TableView<K, T>,
    /// Ids of rows written since the last root, unsorted, with repeats.
    dirty: Vec<K>,
    tree: MerkleTree,
}

impl<K, T> Default for Table<K, T> {
    fn default() -> Self {
        Self { rows: TableView::default(), dirty: Vec::new(), tree: MerkleTree::default() }
    }
}

impl<K, T> Deref for Table<K, T> {
    type Target = TableView<K, T>;

    fn deref(&self) -> &TableView<K, T> {
        &self.rows
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE_SLOTS, slot as usize % PAGE_SLOTS)
}

impl<K: RowId, T: Clone + BorshSerialize> Table<K, T> {
    /// The row of an id, to be changed: it counts as written.
    pub fn get_mut(&mut self, id: K) -> Option<&mut T> {
        let (page, at) = place(id.slot());
        let row = Arc::make_mut(self.rows.pages.get_mut(page)?).get_mut(at)?;
        if self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
        Some(row)
    }

    /// Counts a row as written, though it stays: something that belongs to it has changed
    /// elsewhere.
    pub fn touch(&mut self, id: K) {
        if id.slot() < self.rows.len && self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
    }

    /// Appends a row; `None` when all 2³² − 1 slots are taken.
    #[expect(clippy::indexing_slicing, reason = "the page was added above")]
    pub fn push(&mut self, row: T) -> Option<K> {
        let slot = self.rows.len;
        self.rows.len = slot.checked_add(1)?;
        let (page, _) = place(slot);
        if page == self.rows.pages.len() {
            self.rows.pages.push(Arc::new(Vec::with_capacity(PAGE_SLOTS)));
        }
        Arc::make_mut(&mut self.rows.pages[page]).push(row);
        let id = K::from_slot(slot);
        self.dirty.push(id);
        Some(id)
    }

    /// Ids of rows written since the last [`Table::root`], ascending, without repeats.
    pub fn dirty(&mut self) -> &[K] {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        &self.dirty
    }

    /// The Merkle root; rehashes what was written.
    pub fn root(&mut self) -> Hash {
        self.dirty();
        let hash = |id: &K| {
            let row = self.rows.get(*id)?;
            Some((id.slot(), leaf_hash(&encode(row))))
        };
        let leaves: Vec<(u32, Hash)> = self.dirty.iter().filter_map(hash).collect();
        self.tree.update(&leaves);
        self.dirty.clear();
        self.tree.root()
    }

    /// The rows as they are now; later writes copy the pages they touch.
    #[must_use]
    pub fn view(&self) -> TableView<K, T> {
        self.rows.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_what_it_saw() {
        let mut table = Table::<u32, u64>::default();
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
        let (mut one, mut other) = (Table::<u32, u64>::default(), Table::<u32, u64>::default());
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
