//! Groups and nodes of the tree of orders by id, and the pools that hold them.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "numbers come from their pool, digits and groups' lengths are at most WIDTH"
)]

use tidemark_proto::units::OrderId;

use crate::arena::{Arena, NONE};
use crate::digest::Digest;

/// Binary logarithm of a node's children.
const DIGIT_BITS: u32 = 3;
/// Most orders of a group, and most children of a node.
pub(crate) const WIDTH: usize = 1 << DIGIT_BITS;
/// The first byte that a node hashes.
const NODE: u8 = 0x06;
/// Bytes that a node hashes before its children.
const HEAD_BYTES: usize = 10;
/// Bytes that a node hashes for each child: its digit and digest.
const CHILD_BYTES: usize = 33;
/// Bytes that a node with all children hashes.
pub(crate) const NODE_BYTES: usize = HEAD_BYTES + WIDTH * CHILD_BYTES;
/// The digest of no orders.
pub(crate) const EMPTY: Digest = [0; 32];

/// A place in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Part {
    #[default]
    Nothing,
    Group(u32),
    Node(u32),
}

/// Slots of up to [`WIDTH`] orders, by ascending id; then [`NONE`].
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(32))]
pub(crate) struct Group(pub(crate) [u32; WIDTH]);

const _: () = assert!(size_of::<Group>() == 32, "two groups are one cache line");

/// The orders whose ids agree above the digit at `height`. A search reads one cache line of it.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Node {
    /// Their ids, less the digits up to `height`.
    number: u64,
    height: u8,
    /// A bit for each digit that has a child, whose child is a node, whose digest is to be computed
    /// anew.
    present: u8,
    inner: u8,
    pub(crate) stale: u8,
    children: [u32; WIDTH],
    pub(crate) digests: [Digest; WIDTH],
}

const _: () = assert!(size_of::<Node>() == 64 + WIDTH * size_of::<Digest>());

/// Values by number, where the numbers of released ones are given anew.
#[derive(Clone, Debug)]
pub(crate) struct Pool<T> {
    values: Vec<T>,
    free: Vec<u32>,
}

impl Group {
    pub(crate) const fn of(slot: u32) -> Self {
        let mut slots = [NONE; WIDTH];
        slots[0] = slot;
        Self(slots)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().filter(|slot| **slot != NONE).count()
    }

    pub(crate) fn slots(&self) -> &[u32] {
        &self.0[..self.len()]
    }

    /// Inserts an order, if the group does not have it. Returns false if the group is full.
    pub(crate) fn insert(&mut self, id: OrderId, slot: u32, orders: &Arena) -> bool {
        if self.0.contains(&slot) {
            return true;
        }
        let len = self.len();
        if len == WIDTH {
            return false;
        }
        let at = self.slots().iter().take_while(|slot| orders.get(**slot).id() < id).count();
        self.0.copy_within(at..len, at + 1);
        self.0[at] = slot;
        true
    }

    /// Removes an order, if the group has it.
    pub(crate) fn remove(&mut self, slot: u32) {
        if let Some(at) = self.0.iter().position(|other| *other == slot) {
            self.0.copy_within(at + 1.., at);
            self.0[WIDTH - 1] = NONE;
        }
    }
}

impl Node {
    /// Returns a node without children for orders from the id `first` to the id `last`, a higher
    /// one.
    pub(crate) fn over(first: OrderId, last: OrderId) -> Self {
        let height = (first.get() ^ last.get()).ilog2() / DIGIT_BITS;
        Self {
            number: first.get() >> (DIGIT_BITS * (height + 1)),
            height: height as u8,
            present: 0,
            inner: 0,
            stale: 0,
            children: [0; WIDTH],
            digests: [EMPTY; WIDTH],
        }
    }

    pub(crate) const fn digit_shift(&self) -> u32 {
        DIGIT_BITS * self.height as u32
    }

    pub(crate) const fn first_id(&self) -> OrderId {
        OrderId::new(self.number << (self.digit_shift() + DIGIT_BITS))
    }

    /// Returns the child of an id of this node, or any other for an id outside of it.
    pub(crate) const fn any_digit(&self, id: OrderId) -> usize {
        (id.get() >> self.digit_shift()) as usize % WIDTH
    }

    /// Returns the child of an id; `None` for an id outside of the node.
    pub(crate) const fn digit(&self, id: OrderId) -> Option<usize> {
        if id.get() >> self.digit_shift() >> DIGIT_BITS == self.number {
            Some(self.any_digit(id))
        } else {
            None
        }
    }

    pub(crate) const fn child(&self, digit: usize) -> Part {
        let (bit, number) = (1 << digit, self.children[digit]);
        match (self.present & bit != 0, self.inner & bit != 0) {
            (false, _) => Part::Nothing,
            (true, false) => Part::Group(number),
            (true, true) => Part::Node(number),
        }
    }

    pub(crate) fn children(&self) -> [Part; WIDTH] {
        std::array::from_fn(|digit| self.child(digit))
    }

    pub(crate) fn set(&mut self, digit: usize, child: Part) {
        let bit = 1 << digit;
        let (number, present, inner) = match child {
            Part::Nothing => (0, 0, 0),
            Part::Group(number) => (number, bit, 0),
            Part::Node(number) => (number, bit, bit),
        };
        self.children[digit] = number;
        self.present = self.present & !bit | present;
        self.inner = self.inner & !bit | inner;
        self.stale |= bit;
    }

    pub(crate) fn stale_digits(&self) -> impl Iterator<Item = usize> {
        let stale = self.stale;
        (0..WIDTH).filter(move |digit| stale & (1 << digit) != 0)
    }

    /// Writes what the node hashes.
    pub(crate) fn bytes<'a>(&self, to: &'a mut [u8; NODE_BYTES]) -> &'a [u8] {
        to[0] = NODE;
        to[1] = self.height;
        to[2..HEAD_BYTES].copy_from_slice(&self.number.to_le_bytes());
        let mut end = HEAD_BYTES;
        for digit in (0..WIDTH).filter(|digit| self.present & (1 << digit) != 0) {
            to[end] = digit as u8;
            to[end + 1..end + CHILD_BYTES].copy_from_slice(&self.digests[digit]);
            end += CHILD_BYTES;
        }
        &to[..end]
    }
}

impl<T> Pool<T> {
    pub(crate) const fn new() -> Self {
        Self { values: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn add(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.values[number as usize] = value;
            return number;
        }
        self.values.push(value);
        (self.values.len() - 1) as u32
    }

    pub(crate) fn release(&mut self, number: u32) {
        self.free.push(number);
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.values.len() - self.free.len()
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> &mut T {
        &mut self.values[number as usize]
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.free.capacity() * size_of::<u32>()
    }
}
