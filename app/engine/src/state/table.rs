//! Tables of copy-on-write pages: cloning one is cheap, and the clone is an immutable view.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use borsh::BorshSerialize;
use tidemark_proto::units::{AccountId, AgentId, OwnerId};

use super::merkle::{encode, leaf_hash, Hash, MerkleTree, EMPTY};

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

impl RowId for AgentId {
    fn from_slot(slot: u32) -> Self {
        Self::new(slot)
    }

    fn slot(self) -> u32 {
        self.get()
    }
}

/// The rows of a table: slots 0, 1, 2, …, each with a row or without, in pages that clones share
/// until one of them writes.
#[derive(Clone, Debug)]
pub struct TableView<K, T> {
    pages: Vec<Arc<Vec<Option<T>>>>,
    /// Slots.
    len: u32,
    /// Slots with a row.
    rows: u32,
    ids: PhantomData<K>,
}

impl<K, T> Default for TableView<K, T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0, rows: 0, ids: PhantomData }
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

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// The id of every slot, ascending.
    pub fn ids(&self) -> impl Iterator<Item = K> + 'static {
        (0..self.len).map(K::from_slot)
    }

    /// The row of an id.
    #[must_use]
    pub fn get(&self, id: K) -> Option<&T> {
        let (page, at) = place(id.slot());
        self.pages.get(page)?.get(at)?.as_ref()
    }

    /// Returns true if an id has a row.
    #[must_use]
    pub fn has(&self, id: K) -> bool {
        self.get(id).is_some()
    }

    /// Rows in order of id.
    pub fn iter(&self) -> impl Iterator<Item = (K, &T)> {
        let slots = (0..).map(K::from_slot).zip(self.pages.iter().flat_map(|page| page.iter()));
        slots.filter_map(|(id, row)| Some((id, row.as_ref()?)))
    }
}

/// A table with a Merkle root over its slots. Slots are never given up: one whose row is gone may
/// get another.
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
        // Without a row nothing is copied.
        self.rows.get(id)?;
        let row = Arc::make_mut(self.rows.pages.get_mut(page)?).get_mut(at)?.as_mut()?;
        if self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
        Some(row)
    }

    /// Takes the row of an id out; its slot stays, empty.
    pub fn remove(&mut self, id: K) -> Option<T> {
        self.rows.get(id)?;
        self.replace(id, None)
    }

    /// Puts a row into the slot of an id, over the one that it has. Returns false if the slot was
    /// never made.
    pub fn put(&mut self, id: K, row: T) -> bool {
        let is_slot = id.slot() < self.rows.len;
        if is_slot {
            self.replace(id, Some(row));
        }
        is_slot
    }

    fn replace(&mut self, id: K, row: Option<T>) -> Option<T> {
        let (page, at) = place(id.slot());
        let place = Arc::make_mut(self.rows.pages.get_mut(page)?).get_mut(at)?;
        let (before, is) = (std::mem::replace(place, row), place.is_some());
        let rows = self.rows.rows.saturating_sub(u32::from(before.is_some()));
        self.rows.rows = rows.saturating_add(u32::from(is));
        self.touch(id);
        before
    }

    /// Counts a row as written, though it stays: something that belongs to it has changed
    /// elsewhere.
    pub fn touch(&mut self, id: K) {
        if id.slot() < self.rows.len && self.dirty.last() != Some(&id) {
            self.dirty.push(id);
        }
    }

    /// Appends a row; `None` when all 2³² − 1 slots are taken.
    pub fn push(&mut self, row: T) -> Option<K> {
        self.push_slot(Some(row))
    }

    /// Appends a slot, with a row or without; `None` when all 2³² − 1 are taken.
    #[expect(clippy::indexing_slicing, reason = "the page was added above")]
    pub fn push_slot(&mut self, row: Option<T>) -> Option<K> {
        let slot = self.rows.len;
        self.rows.len = slot.checked_add(1)?;
        let (page, _) = place(slot);
        if page == self.rows.pages.len() {
            self.rows.pages.push(Arc::new(Vec::with_capacity(PAGE_SLOTS)));
        }
        self.rows.rows = self.rows.rows.saturating_add(u32::from(row.is_some()));
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
            let hash = self.rows.get(*id).map_or(EMPTY, |row| leaf_hash(&encode(row)));
            (id.slot(), hash)
        };
        let leaves: Vec<(u32, Hash)> = self.dirty.iter().map(hash).collect();
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
    use proptest::prelude::*;

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

    proptest! {
        /// Against a list of what is in each slot.
        #[test]
        fn rows_that_go_leave_their_slots_and_come_again(
            steps in prop::collection::vec((0_u8..4, 0_u32..150, any::<u64>()), 0..300),
        ) {
            let (mut table, mut model) = (Table::<u32, u64>::default(), Vec::new());
            for (step, slot, value) in steps {
                let known = model.get(slot as usize).copied();
                match step {
                    0 | 1 => {
                        prop_assert_eq!(table.push(value), Some(model.len() as u32));
                        model.push(Some(value));
                    }
                    2 => {
                        prop_assert_eq!(table.remove(slot), known.flatten());
                        if let Some(place) = model.get_mut(slot as usize) { *place = None; }
                    }
                    _ => {
                        prop_assert_eq!(table.put(slot, value), known.is_some());
                        if let Some(place) = model.get_mut(slot as usize) { *place = Some(value); }
                    }
                }
                let expected = model.get(slot as usize).copied().flatten();
                prop_assert_eq!(table.get_mut(slot).copied(), expected);
            }
            let rows: Vec<(u32, u64)> =
                (0..).zip(&model).filter_map(|(slot, row)| Some((slot, (*row)?))).collect();
            let found: Vec<(u32, u64)> = table.iter().map(|(id, row)| (id, *row)).collect();
            prop_assert_eq!(&found, &rows);
            let counts = (table.rows() as usize, table.len() as usize);
            prop_assert_eq!(counts, (rows.len(), model.len()));
            let mut tree = MerkleTree::default();
            let leaf = |(slot, row): (u32, u64)| (slot, leaf_hash(&encode(&row)));
            tree.update(&rows.into_iter().map(leaf).collect::<Vec<_>>());
            prop_assert_eq!(table.root(), tree.root());
            let mut again = Table::<u32, u64>::default();
            model.iter().for_each(|row| assert!(again.push_slot(*row).is_some()));
            prop_assert_eq!((again.rows(), again.root()), (table.rows(), table.root()));
        }
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
