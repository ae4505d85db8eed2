//! Live orders of each account: their list, newest first, their number, and the reduce-only ones.
//! Accounts are in pages by account id; a page is freed when none of its
//! accounts has an order.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "accounts with orders have a page, and orders have links, as long as the tables"
)]

use tidemark_proto::units::{AccountId, Lots, OrderId, Side};

use crate::arena::NONE;
use crate::bounded;
use crate::cache::prefetch;
use crate::levels::relink;
use crate::reduce_only::{ReduceOnly, ReduceOnlyOrder};

const PAGE_BITS: u32 = 8;
const PAGE_OWNERS: usize = 1 << PAGE_BITS;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    /// Slot of the account's newest order; [`NONE`] if it has none.
    pub(crate) newest: u32,
    pub(crate) count: u32,
    /// Number of reduce-only orders, by side.
    pub(crate) reduce_only: [u32; 2],
}

/// Neighbours of an order in its owner's list, as slots; [`NONE`] at the ends.
#[derive(Clone, Copy, Debug)]
struct OwnerLinks {
    older: u32,
    newer: u32,
}

impl OwnerLinks {
    const EMPTY: Self = Self { older: NONE, newer: NONE };
}

const NO_ORDERS: Owner = Owner { newest: NONE, count: 0, reduce_only: [0; 2] };

#[derive(Clone, Debug)]
pub(crate) struct Owners {
    /// Page of each block of account ids; page 0, which stays empty, if a block has none.
    directory: Vec<u32>,
    /// Entries of all pages, one page after the other.
    owners: Vec<Owner>,
    /// Indexed by slot. As in the arena, slot 0 holds no order and absorbs meaningless writes.
    links: Vec<OwnerLinks>,
    /// Number of accounts with orders, by page.
    active: Vec<u32>,
    reduce_only: ReduceOnly,
    spare: Vec<u32>,
}

const fn block(owner: AccountId) -> usize {
    owner.index() >> PAGE_BITS
}

const fn entry_index(page: u32, owner: AccountId) -> usize {
    (page as usize) << PAGE_BITS | (owner.index() & (PAGE_OWNERS - 1))
}

impl Owners {
    pub(crate) fn new() -> Self {
        Self {
            directory: Vec::new(),
            owners: vec![NO_ORDERS; PAGE_OWNERS],
            links: vec![OwnerLinks::EMPTY],
            active: vec![0],
            reduce_only: ReduceOnly::new(),
            spare: Vec::new(),
        }
    }

    /// Returns the account's entry; an empty one if the account has no order.
    #[inline]
    pub(crate) fn get(&self, owner: AccountId) -> Owner {
        let page = self.directory.get(block(owner)).copied().unwrap_or(0);
        self.owners[entry_index(page, owner)]
    }

    /// Returns true if any account has reduce-only orders.
    #[inline]
    pub(crate) fn any_reduce_only(&self) -> bool {
        !self.reduce_only.is_empty(Side::Buy) | !self.reduce_only.is_empty(Side::Sell)
    }

    /// Returns true if the account has reduce-only orders on a side.
    #[inline(always)]
    pub(crate) fn has_reduce_only(&self, owner: AccountId, side: Side) -> bool {
        !self.reduce_only.is_empty(side) && self.count_reduce_only(owner, side) > 0
    }

    /// Returns the number of the account's reduce-only orders on a side.
    #[inline(never)]
    pub(crate) fn count_reduce_only(&self, owner: AccountId, side: Side) -> u32 {
        self.get(owner).reduce_only[side as usize]
    }

    /// Returns the slots of the account's orders, newest first.
    pub(crate) fn orders_of(&self, owner: AccountId) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| Some(slot).filter(|slot| *slot != NONE);
        std::iter::successors(some(self.get(owner).newest), move |slot| some(self.older(*slot)))
    }

    /// Returns the account's next older order; [`NONE`] after its oldest.
    #[inline]
    pub(crate) fn older(&self, slot: u32) -> u32 {
        self.links[slot as usize].older
    }

    /// Prefetches the links of an order.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        if let Some(links) = self.links.get(slot as usize) {
            prefetch(links);
        }
    }

    /// Prefetches the links of an order's neighbours.
    #[inline]
    pub(crate) fn prefetch_neighbours(&self, slot: u32) {
        let OwnerLinks { older, newer } = self.links[slot as usize];
        prefetch(&self.links[older as usize]);
        prefetch(&self.links[newer as usize]);
    }

    /// Links `slot` as the account's newest order.
    #[inline(always)]
    pub(crate) fn push(&mut self, owner: AccountId, slot: u32) {
        let mut page = self.directory.get(block(owner)).copied().unwrap_or(0);
        if page == 0 {
            page = self.add_page(owner);
        }
        let entry = &mut self.owners[entry_index(page, owner)];
        if entry.count == 0 {
            self.active[page as usize] += 1;
        }
        entry.count = bounded::increment(entry.count);
        let older = std::mem::replace(&mut entry.newest, slot);
        if slot as usize >= self.links.len() {
            self.make_room(slot);
        }
        let links = &mut self.links[..];
        links[older as usize].newer = slot;
        links[slot as usize] = OwnerLinks { older, newer: NONE };
    }

    #[cold]
    #[inline(never)]
    fn make_room(&mut self, slot: u32) {
        self.links.resize(slot as usize + 1, OwnerLinks::EMPTY);
    }

    /// Enters a reduce-only order, with `lots` unfilled, of an account that has orders.
    pub(crate) fn add_reduce_only(
        &mut self,
        owner: AccountId,
        side: Side,
        id: OrderId,
        slot: u32,
        lots: Lots,
    ) {
        let count = &mut self.entry(owner).reduce_only[side as usize];
        *count = bounded::increment(*count);
        self.reduce_only.add(owner, side, id, slot, lots);
    }

    /// Takes out a reduce-only order that leaves with `lots` unfilled, if it has not left before.
    pub(crate) fn remove_reduce_only(
        &mut self,
        owner: AccountId,
        side: Side,
        id: OrderId,
        lots: Lots,
    ) {
        if self.reduce_only.remove(owner, side, id, lots) {
            let count = &mut self.entry(owner).reduce_only[side as usize];
            *count = bounded::decrement(*count);
        }
    }

    /// Takes lots off a reduce-only order that stays.
    pub(crate) fn shrink_reduce_only(&mut self, owner: AccountId, side: Side, by_lots: Lots) {
        self.reduce_only.less(owner, side, by_lots);
    }

    /// Notes that a reduce-only order has moved to the back of its level.
    pub(crate) fn requeue_reduce_only(&mut self, owner: AccountId, side: Side, id: OrderId) {
        self.reduce_only.requeued(owner, side, id);
    }

    /// Returns the sum of the unfilled lots of an account's reduce-only orders on a side.
    pub(crate) fn reduce_only_lots(&self, owner: AccountId, side: Side) -> u128 {
        self.reduce_only.lots(owner, side)
    }

    /// Returns an account's reduce-only orders on a side, oldest first.
    pub(crate) fn reduce_only_of(
        &self,
        owner: AccountId,
        side: Side,
    ) -> impl Iterator<Item = ReduceOnlyOrder> + '_ {
        self.reduce_only.of(owner, side)
    }

    /// Returns the entry of an account that has orders.
    #[inline(always)]
    fn entry(&mut self, owner: AccountId) -> &mut Owner {
        let page = self.directory[block(owner)];
        &mut self.owners[entry_index(page, owner)]
    }

    #[cold]
    #[inline(never)]
    fn add_page(&mut self, owner: AccountId) -> u32 {
        let page = self.spare.pop().unwrap_or_else(|| {
            self.owners.resize(self.owners.len() + PAGE_OWNERS, NO_ORDERS);
            self.active.push(0);
            (self.active.len() - 1) as u32
        });
        if self.directory.len() <= block(owner) {
            self.directory.resize(block(owner) + 1, 0);
        }
        self.directory[block(owner)] = page;
        page
    }

    /// Unlinks one order of the account. Returns true if it was the last: [`Owners::clean_up`] must
    /// follow.
    #[inline(always)]
    #[must_use]
    pub(crate) fn remove(&mut self, owner: AccountId, slot: u32) -> bool {
        let links = &mut self.links[..];
        let OwnerLinks { older, newer } = links[slot as usize];
        links[older as usize].newer = newer;
        links[newer as usize].older = older;
        let entry = self.entry(owner);
        entry.count = bounded::decrement(entry.count);
        entry.newest = relink(entry.newest, slot, older);
        entry.count == 0
    }

    /// Frees the page of an account without orders if no account of the page has orders.
    #[cold]
    #[inline(never)]
    pub(crate) fn clean_up(&mut self, owner: AccountId) {
        let page = self.directory[block(owner)];
        self.active[page as usize] -= 1;
        if self.active[page as usize] == 0 {
            self.spare.push(page);
            self.directory[block(owner)] = 0;
        }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.directory.capacity() + self.active.capacity() + self.spare.capacity())
            * size_of::<u32>()
            + self.owners.capacity() * size_of::<Owner>()
            + self.links.capacity() * size_of::<OwnerLinks>()
            + self.reduce_only.memory_bytes()
    }
}
