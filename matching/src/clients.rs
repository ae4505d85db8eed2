//! Client ids to slots: a set-associative table, one cache line a set. Entries beyond a full set go
//! to a sorted map, so ids chosen to collide cost a search in that map and no more. Only a full set
//! has entries in the map, so a set with a free entry answers alone. No result depends on the
//! position of an entry.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a set index is masked by the number of sets, a way is below 4"
)]

use std::collections::BTreeMap;

use tidemark_proto::units::{AccountId, ClientId};

use crate::arena::NONE;
use crate::cache::prefetch;
use crate::memory::map_bytes;

const WAYS: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Entry {
    client_id: ClientId,
    owner: AccountId,
    /// [`NONE`] in a free entry.
    slot: u32,
}

const FREE: Entry = Entry { client_id: ClientId::NONE, owner: AccountId::ZERO, slot: NONE };

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Set([Entry; WAYS]);

impl Set {
    /// Returns a bit for each way whose entry satisfies `holds`. Reads all ways: which of them
    /// matches is unpredictable.
    #[inline(always)]
    fn ways(&self, holds: impl Fn(&Entry) -> bool) -> u32 {
        self.0.iter().rev().fold(0, |ways, entry| (ways << 1) | u32::from(holds(entry)))
    }

    #[inline(always)]
    fn free_ways(&self) -> u32 {
        self.ways(|entry| entry.slot == NONE)
    }

    #[inline(always)]
    fn find(&self, owner: AccountId, client_id: ClientId) -> Option<usize> {
        // Client ids of different accounts are seldom equal; free entries have client id 0.
        let mut ways = self.ways(|entry| entry.client_id == client_id);
        while ways != 0 {
            let way = ways.trailing_zeros() as usize;
            let entry = &self.0[way];
            if (entry.owner == owner) & (entry.slot != NONE) {
                return Some(way);
            }
            ways &= ways - 1;
        }
        None
    }
}

/// Position at which a client id that no live order has may be inserted. Valid until the table
/// changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InsertPosition {
    set: usize,
    /// [`WAYS`] or more if the set is full.
    way: usize,
}

impl InsertPosition {
    /// Stands for no position: the order has no client id.
    pub(crate) const NONE: Self = Self { set: usize::MAX, way: WAYS };
}

#[derive(Clone, Debug, Default)]
pub(crate) struct ClientIds {
    /// Empty, or a power of two of sets: at least one for each entry, so that few sets are full.
    sets: Vec<Set>,
    /// Entries of full sets, by set, owner and client id.
    overflow: BTreeMap<(usize, AccountId, ClientId), u32>,
    live: usize,
}

impl ClientIds {
    #[cfg(any(test, feature = "model"))]
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    /// Returns the set of a key. The quality of this multiplicative hash affects speed only.
    #[inline]
    fn set_of(&self, owner: AccountId, client_id: ClientId) -> usize {
        let owner = u64::from(owner.get()) << 32;
        let key = client_id.get() ^ owner.wrapping_mul(0xd6e8_feb8_6659_fd93);
        let mixed = (key ^ (key >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & self.sets.len().wrapping_sub(1)
    }

    /// Returns the slot of the order to which the account gave this client id.
    #[inline]
    pub(crate) fn get(&self, owner: AccountId, client_id: ClientId) -> Option<u32> {
        let index = self.set_of(owner, client_id);
        let set = self.sets.get(index)?;
        match set.find(owner, client_id) {
            Some(way) => Some(set.0[way].slot),
            None if set.free_ways() != 0 => None,
            None => self.get_overflow(index, owner, client_id),
        }
    }

    /// Returns the position at which a client id may be inserted.
    ///
    /// # Errors
    /// The slot of the live order that already has the client id.
    #[inline]
    pub(crate) fn insert_position(
        &mut self,
        owner: AccountId,
        client_id: ClientId,
    ) -> Result<InsertPosition, u32> {
        if self.live >= self.sets.len() {
            self.grow();
        }
        let index = self.set_of(owner, client_id);
        let set = &self.sets[index];
        if let Some(way) = set.find(owner, client_id) {
            return Err(set.0[way].slot);
        }
        let free = set.free_ways();
        if free == 0 {
            if let Some(slot) = self.get_overflow(index, owner, client_id) {
                return Err(slot);
            }
        }
        Ok(InsertPosition { set: index, way: free.trailing_zeros() as usize })
    }

    /// Inserts a client id at a position from [`ClientIds::insert_position`].
    #[inline]
    pub(crate) fn insert_at(
        &mut self,
        insert_position: InsertPosition,
        owner: AccountId,
        client_id: ClientId,
        slot: u32,
    ) {
        self.live += 1;
        match self.sets[insert_position.set].0.get_mut(insert_position.way) {
            Some(entry) => *entry = Entry { client_id, owner, slot },
            None => self.insert_overflow(insert_position.set, owner, client_id, slot),
        }
    }

    #[cold]
    #[inline(never)]
    fn insert_overflow(&mut self, set: usize, owner: AccountId, client_id: ClientId, slot: u32) {
        self.overflow.insert((set, owner, client_id), slot);
    }

    #[cold]
    #[inline(never)]
    fn get_overflow(&self, set: usize, owner: AccountId, client_id: ClientId) -> Option<u32> {
        self.overflow.get(&(set, owner, client_id)).copied()
    }

    /// Prefetches the set of a key.
    #[inline]
    pub(crate) fn prefetch(&self, owner: AccountId, client_id: ClientId) {
        if let Some(set) = self.sets.get(self.set_of(owner, client_id)) {
            prefetch(set);
        }
    }

    fn put(&mut self, entry: Entry) {
        let set = self.set_of(entry.owner, entry.client_id);
        let way = self.sets[set].free_ways().trailing_zeros() as usize;
        match self.sets[set].0.get_mut(way) {
            Some(free) => *free = entry,
            None => self.insert_overflow(set, entry.owner, entry.client_id, entry.slot),
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let sets = (2 * self.sets.len()).max(1);
        let old = std::mem::replace(&mut self.sets, vec![Set([FREE; WAYS]); sets]);
        let overflow = std::mem::take(&mut self.overflow);
        for entry in old.iter().flat_map(|set| &set.0).filter(|entry| entry.slot != NONE) {
            self.put(*entry);
        }
        for ((_, owner, client_id), slot) in overflow {
            self.put(Entry { client_id, owner, slot });
        }
    }

    /// Removes a key that is in the table.
    pub(crate) fn remove(&mut self, owner: AccountId, client_id: ClientId) {
        let set = self.set_of(owner, client_id);
        self.live -= 1;
        match self.sets[set].find(owner, client_id) {
            Some(way) => {
                let overflow = !self.overflow.is_empty() && self.sets[set].free_ways() == 0;
                self.sets[set].0[way] = if overflow { self.pop_overflow(set) } else { FREE };
            }
            None => {
                let slot = self.overflow.remove(&(set, owner, client_id));
                debug_assert!(slot.is_some(), "a live client id is in its set or in the map");
            }
        }
    }

    /// Removes and returns an entry of a set from the map, or a free entry if the map has none.
    #[cold]
    #[inline(never)]
    fn pop_overflow(&mut self, set: usize) -> Entry {
        let (first, last) =
            ((set, AccountId::MIN, ClientId::MIN), (set, AccountId::MAX, ClientId::MAX));
        let Some((key, slot)) = self.overflow.range(first..=last).next() else { return FREE };
        let (key, slot) = (*key, *slot);
        self.overflow.remove(&key);
        Entry { client_id: key.2, owner: key.1, slot }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.sets.capacity() * size_of::<Set>()
            + map_bytes(self.overflow.len(), size_of::<((usize, AccountId, ClientId), u32)>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Against a map; keys of one owner whose low halves are equal crowd few sets.
        #[test]
        fn behaves_like_a_map(
            steps in prop::collection::vec(
                (any::<bool>(), 0_u32..3, 0_u64..40, any::<bool>()),
                1..600,
            ),
        ) {
            let (mut table, mut model) = (ClientIds::default(), BTreeMap::new());
            for (step, (insert, owner, id, crowd)) in steps.into_iter().enumerate() {
                let owner = AccountId::new(owner);
                let client_id = ClientId::new(if crowd { id << 58 } else { id } + 1);
                let key = (owner, client_id);
                if insert && !model.contains_key(&key) {
                    model.insert(key, step as u32 + 1);
                    let position = table.insert_position(owner, client_id);
                    let position = position.expect("no order has it");
                    table.insert_at(position, owner, client_id, step as u32 + 1);
                } else if !insert && model.remove(&key).is_some() {
                    table.remove(owner, client_id);
                }
                let expected = model.get(&key).copied();
                prop_assert_eq!(table.insert_position(owner, client_id).err(), expected);
                prop_assert_eq!(table.get(owner, client_id), expected);
                prop_assert_eq!(table.len(), model.len());
                for (set, ..) in table.overflow.keys() {
                    prop_assert!(table.sets[*set].0.iter().all(|entry| entry.slot != NONE));
                }
            }
            for ((owner, client_id), slot) in &model {
                prop_assert_eq!(table.get(*owner, *client_id), Some(*slot));
            }
        }
    }
}
