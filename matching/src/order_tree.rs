//! A tree of digests over the orders of a book by id. A root costs what has changed since the last,
//! however many orders rest beside it.
//!
//! Up to [`WIDTH`] orders are one group. More are a node: its children are the ids with one digit
//! at the highest place at which their ids differ, in base [`WIDTH`]. So the tree follows from the
//! ids alone, whatever came and went before, and has fewer nodes than orders, however far apart the
//! ids are.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "groups and nodes come from their pools, digits and groups' lengths are at most WIDTH"
)]

use sha2::{Digest as _, Sha256};
use tidemark_proto::units::OrderId;

use crate::arena::Arena;
use crate::cache::prefetch;
use crate::digest::Digest;
use crate::ids::IdTable;
use crate::order_node::{Group, Node, Part, Pool, EMPTY, NODE_BYTES, WIDTH};

/// Orders whose places in the tree are searched side by side.
const SEARCHED_TOGETHER: usize = 16;
/// Entries of a list of changes for which room is kept after a root: a block's, as blocks come.
const KEPT_CHANGES: usize = 1 << 14;

/// An order that came, changed or left, with the slot that it has or had.
type Changed = (OrderId, u32);

#[derive(Clone, Debug)]
pub(crate) struct OrderTree {
    /// Ids from this one on were given since the last root: their orders are not in the tree.
    known: OrderId,
    /// Other orders that came or changed since the last root, some of them repeatedly, some of them
    /// gone by now, and those that left: 16 bytes for each change of a block.
    changed: Vec<Changed>,
    left: Vec<Changed>,
    groups: Pool<Group>,
    nodes: Pool<Node>,
    top: Part,
    /// The digest of all orders, as it was set last.
    digest: Digest,
}

impl OrderTree {
    /// Returns the tree of a book whose next order gets the id `next`; all orders with lower ids
    /// are yet to come.
    pub(crate) const fn ending_at(next: OrderId) -> Self {
        Self {
            known: next,
            changed: Vec::new(),
            left: Vec::new(),
            groups: Pool::new(),
            nodes: Pool::new(),
            top: Part::Nothing,
            digest: EMPTY,
        }
    }

    /// Records that an order came, or changed, or has another order ahead. No order has the id 0,
    /// which is as good as none.
    #[inline(always)]
    pub(crate) fn touch(&mut self, id: OrderId, slot: u32) {
        if id < self.known {
            self.note_changed(id, slot);
        }
    }

    /// Records that an order has left the book, and which was behind it at its price.
    #[inline(always)]
    pub(crate) fn leave(&mut self, gone: Changed, behind: Changed) {
        let is_known = |id: OrderId| id.get().wrapping_sub(1) < self.known.get().wrapping_sub(1);
        if is_known(gone.0) | is_known(behind.0) {
            self.note_left(gone, behind);
        }
    }

    // These two are not inlined: the growth of a list would take registers from the paths of every
    // operation.
    #[inline(never)]
    fn note_changed(&mut self, id: OrderId, slot: u32) {
        self.changed.push((id, slot));
    }

    #[inline(never)]
    fn note_left(&mut self, gone: Changed, behind: Changed) {
        if gone.0 < self.known {
            self.left.push(gone);
        }
        if behind.0 < self.known {
            self.changed.push(behind);
        }
    }

    /// Returns true if an order, of those with ids below `next`, has changed since the last root.
    pub(crate) fn has_changes(&self, next: OrderId) -> bool {
        self.known != next || !self.changed.is_empty() || !self.left.is_empty()
    }

    /// Returns the digest of all orders, as it was set last.
    pub(crate) const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Gives each order, of those with ids below `next`, its place, and returns the slots of each
    /// group that must be hashed, by ascending id. [`OrderTree::set_digests`] must follow.
    pub(crate) fn follow(
        &mut self,
        orders: &Arena,
        ids: &IdTable,
        next: OrderId,
    ) -> Vec<[u32; WIDTH]> {
        let (mut left, mut changed) =
            (std::mem::take(&mut self.left), std::mem::take(&mut self.changed));
        // Sorted, changes of one part of the tree meet it in the cache.
        left.sort_unstable();
        changed.sort_unstable();
        changed.dedup();
        // First all that left: then each slot in the tree is that of a live order.
        for together in left.chunks(SEARCHED_TOGETHER) {
            together.iter().for_each(|(id, _)| self.approach(*id));
            together.iter().for_each(|order| self.top = self.remove(self.top, *order));
        }
        let mut dead = left.iter().map(|(id, _)| *id).peekable();
        changed.retain(|(id, _)| {
            while dead.next_if(|dead| dead < id).is_some() {}
            dead.peek() != Some(id) && *id != OrderId::NONE
        });
        for together in changed.chunks(SEARCHED_TOGETHER) {
            together.iter().for_each(|(id, _)| self.approach(*id));
            for (id, slot) in together {
                self.top = self.insert(self.top, *id, *slot, orders);
            }
        }
        for id in (self.known.get()..next.get()).map(OrderId::new) {
            if let Some(slot) = ids.get(id) {
                self.top = self.insert(self.top, id, slot, orders);
            }
        }
        self.known = next;
        left.clear();
        changed.clear();
        left.shrink_to(KEPT_CHANGES);
        changed.shrink_to(KEPT_CHANGES);
        (self.left, self.changed) = (left, changed);
        let mut stale = Vec::new();
        self.collect_stale(self.top, &mut stale);
        stale
    }

    /// Walks to an order's group, so that its place is on the way from memory.
    fn approach(&self, id: OrderId) {
        let mut part = self.top;
        while let Part::Node(number) = part {
            let node = self.nodes.get(number);
            part = node.child(node.any_digit(id));
        }
        if let Part::Group(number) = part {
            prefetch(self.groups.get(number));
        }
    }

    /// Sets the digests of the groups that [`OrderTree::follow`] returned, in the same order.
    pub(crate) fn set_digests(&mut self, digests: Vec<Digest>) {
        self.digest = self.rehash(self.top, &mut digests.into_iter());
    }

    fn insert(&mut self, part: Part, id: OrderId, slot: u32, orders: &Arena) -> Part {
        match part {
            Part::Nothing => Part::Group(self.groups.add(Group::of(slot))),
            Part::Group(number) => {
                if self.groups.get_mut(number).insert(id, slot, orders) {
                    return part;
                }
                self.split(number, id, slot, orders)
            }
            Part::Node(number) => {
                let Some(digit) = self.nodes.get(number).digit(id) else {
                    return self.add_above(number, id, slot);
                };
                let child = self.nodes.get(number).child(digit);
                let child = self.insert(child, id, slot, orders);
                self.nodes.get_mut(number).set(digit, child);
                part
            }
        }
    }

    /// Makes a full group and one order more a node.
    fn split(&mut self, group: u32, id: OrderId, slot: u32, orders: &Arena) -> Part {
        let full = *self.groups.get(group);
        self.groups.release(group);
        let id_of = |slot: &u32| orders.get(*slot).id();
        let (first, last) = (id_of(&full.0[0]), id_of(&full.0[WIDTH - 1]));
        let (first, last) = (first.min(id), last.max(id));
        let mut part = Part::Node(self.nodes.add(Node::over(first, last)));
        for slot in full.0 {
            part = self.insert(part, id_of(&slot), slot, orders);
        }
        self.insert(part, id, slot, orders)
    }

    /// Adds a node over a node and an order outside of it.
    fn add_above(&mut self, below: u32, id: OrderId, slot: u32) -> Part {
        let first = self.nodes.get(below).first_id();
        let mut above = Node::over(first.min(id), first.max(id));
        let group = self.groups.add(Group::of(slot));
        for (id, part) in [(first, Part::Node(below)), (id, Part::Group(group))] {
            if let Some(digit) = above.digit(id) {
                above.set(digit, part);
            }
        }
        Part::Node(self.nodes.add(above))
    }

    fn remove(&mut self, part: Part, order: Changed) -> Part {
        match part {
            Part::Nothing => part,
            Part::Group(number) => {
                let group = self.groups.get_mut(number);
                group.remove(order.1);
                if group.len() > 0 {
                    return part;
                }
                self.groups.release(number);
                Part::Nothing
            }
            Part::Node(number) => {
                let node = self.nodes.get(number);
                let Some(digit) = node.digit(order.0) else { return part };
                let child = node.child(digit);
                if child == Part::Nothing {
                    return part;
                }
                let child = self.remove(child, order);
                self.nodes.get_mut(number).set(digit, child);
                self.settle(number)
            }
        }
    }

    /// Replaces a node that has too few orders, or a single child. Returns what is at its place.
    fn settle(&mut self, number: u32) -> Part {
        let (mut held, mut present, mut last) = (0, 0, Part::Nothing);
        for child in self.nodes.get(number).children() {
            held += match child {
                Part::Nothing => continue,
                Part::Group(group) => self.groups.get(group).len(),
                Part::Node(_) => WIDTH + 1,
            };
            (present, last) = (present + 1, child);
            if held > WIDTH && present > 1 {
                return Part::Node(number);
            }
        }
        if held <= WIDTH {
            last = self.merge(number);
        }
        self.nodes.release(number);
        last
    }

    /// Makes the groups of a node, which fit, one group.
    fn merge(&mut self, number: u32) -> Part {
        let (mut merged, mut len) = (Group::default(), 0);
        for child in self.nodes.get(number).children() {
            if let Part::Group(group) = child {
                let slots = self.groups.get(group).slots();
                merged.0[len..len + slots.len()].copy_from_slice(slots);
                len += slots.len();
                self.groups.release(group);
            }
        }
        Part::Group(self.groups.add(merged))
    }

    fn collect_stale(&self, part: Part, to: &mut Vec<[u32; WIDTH]>) {
        match part {
            Part::Nothing => {}
            Part::Group(number) => to.push(self.groups.get(number).0),
            Part::Node(number) => {
                let node = self.nodes.get(number);
                node.digests.iter().step_by(2).for_each(prefetch);
                node.stale_digits().for_each(|digit| self.collect_stale(node.child(digit), to));
            }
        }
    }

    fn rehash(&mut self, part: Part, groups: &mut impl Iterator<Item = Digest>) -> Digest {
        match part {
            Part::Nothing => EMPTY,
            Part::Group(_) => groups.next().unwrap_or(EMPTY),
            Part::Node(number) => {
                for digit in self.nodes.get(number).stale_digits() {
                    let digest = self.rehash(self.nodes.get(number).child(digit), groups);
                    self.nodes.get_mut(number).digests[digit] = digest;
                }
                let node = self.nodes.get_mut(number);
                node.stale = 0;
                Sha256::digest(node.bytes(&mut [0; NODE_BYTES])).into()
            }
        }
    }

    /// Returns the slots of the group of a live order, and what the nodes above it hash, the lowest
    /// first. The tree is as the last root left it.
    pub(crate) fn path(&self, id: OrderId) -> (Vec<u32>, Vec<Vec<u8>>) {
        let (mut part, mut path) = (self.top, Vec::new());
        while let Part::Node(number) = part {
            let node = self.nodes.get(number);
            path.push(node.bytes(&mut [0; NODE_BYTES]).to_vec());
            part = node.digit(id).map_or(Part::Nothing, |digit| node.child(digit));
        }
        path.reverse();
        let group = match part {
            Part::Group(number) => self.groups.get(number).slots().to_vec(),
            _ => Vec::new(),
        };
        (group, path)
    }

    /// Returns how many groups and how many nodes there are.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (usize, usize) {
        (self.groups.used(), self.nodes.used())
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        (self.changed.capacity() + self.left.capacity()) * size_of::<Changed>()
            + self.groups.memory_bytes()
            + self.nodes.memory_bytes()
    }
}
