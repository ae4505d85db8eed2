//! The tree of orders by id against its documentation, with ids as far apart as an old book has.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use tidemark_proto::types::PostOnly;
use tidemark_proto::units::{AccountId, Lots, OrderId, Side};

use super::roots::orders_digest;
use crate::arena::{Arena, Flags, Order, MAX_ORDER_ID, NONE};
use crate::digest::Digest;
use crate::ids::IdTable;
use crate::order_tree::OrderTree;

/// Orders that are no more than an id, with the tree over them.
struct Orders {
    arena: Arena,
    tree: OrderTree,
    live: BTreeMap<u64, u32>,
}

impl Orders {
    fn new() -> Self {
        Self { arena: Arena::new(), tree: OrderTree::ending_at(END), live: BTreeMap::new() }
    }

    fn come(&mut self, id: u64) {
        let flags = Flags::new(Side::Buy, false, PostOnly::Off, false, false);
        let slot = self.arena.allocate();
        let order = Order::new(OrderId::new(id), AccountId::ZERO, Lots::ONE, flags);
        self.arena.write(slot, order);
        self.tree.touch(order.id(), slot);
        self.live.insert(id, slot);
    }

    fn leave(&mut self, id: u64, slot: u32) {
        let id = OrderId::new(id);
        self.arena.remove(slot);
        self.tree.leave((id, slot), (OrderId::NONE, NONE));
        self.live.remove(&id.get());
    }

    fn toggle(&mut self, id: u64) {
        match self.live.get(&id) {
            Some(slot) => self.leave(id, *slot),
            None => self.come(id),
        }
    }

    /// The digest of all orders, and how many groups were hashed for it.
    fn digest(&mut self) -> (Digest, usize) {
        let groups = self.tree.follow(&self.arena, &IdTable::default(), END);
        let digests: Vec<Digest> = groups.iter().map(|slots| self.group_digest(slots)).collect();
        let hashed = digests.len();
        self.tree.set_digests(digests);
        (*self.tree.digest(), hashed)
    }

    fn group_digest(&self, slots: &[u32]) -> Digest {
        let mut hash = Sha256::new_with_prefix([0x05]);
        for slot in slots.iter().filter(|slot| **slot != NONE) {
            hash.update(self.arena.get(*slot).id().get().to_le_bytes());
        }
        hash.finalize().into()
    }

    fn naive_digest(&self) -> Digest {
        let orders = self.live.keys().map(|id| (*id, id.to_le_bytes().to_vec()));
        orders_digest(&orders.collect::<Vec<_>>())
    }
}

/// Ids that meet in groups, and ids that are far from all others.
fn id() -> impl Strategy<Value = u64> {
    prop_oneof![1_u64..80, 500_u64..530, (1_u64..60).prop_map(|id| 1 << id.min(55)), Just(MAX)]
}

const MAX: u64 = MAX_ORDER_ID.get();
/// The next id of a book that has given all: its orders come from bytes.
const END: OrderId = OrderId::new(MAX + 1);

proptest! {
    #[test]
    fn the_digest_follows_from_the_orders_whatever_came_and_went(
        blocks in vec(vec(id(), 0..40), 0..8)
    ) {
        let mut orders = Orders::new();
        for block in blocks {
            // A book gives no id twice: one that has left in this block stays away.
            let mut seen = BTreeSet::new();
            block.into_iter().filter(|id| seen.insert(*id)).for_each(|id| orders.toggle(id));
            prop_assert_eq!(orders.digest().0, orders.naive_digest());
        }
        let left: Vec<_> = orders.live.clone().into_iter().collect();
        left.into_iter().for_each(|(id, slot)| orders.leave(id, slot));
        prop_assert_eq!(orders.digest(), ([0; 32], 0));
        prop_assert_eq!(orders.tree.parts(), (0, 0));
    }

    #[test]
    fn orders_far_apart_take_fewer_nodes_than_there_are_orders(ids in vec(id(), 0..200)) {
        let mut orders = Orders::new();
        for id in ids.into_iter().filter(|id| *id % 2 == 0) {
            if !orders.live.contains_key(&id) {
                orders.come(id);
            }
        }
        orders.digest();
        let (groups, nodes) = orders.tree.parts();
        prop_assert!(groups <= orders.live.len() && nodes <= groups.saturating_sub(1));
    }
}

#[test]
fn an_order_that_changes_costs_one_group_however_many_rest() {
    let mut orders = Orders::new();
    (1..10_000).for_each(|id| orders.come(id));
    let (_, all) = orders.digest();
    assert!((1_250..1_300).contains(&all), "{all} groups of eight");
    orders.tree.touch(OrderId::new(5_000), orders.live[&5_000]);
    assert_eq!(orders.digest().1, 1);
}
