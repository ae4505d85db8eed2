//! Where orders are stored: half a cache line each, what is needed of every order and nothing else;
//! freed slots are reused last in, first out.
//!
//! Not the `slab` crate: links are half as wide, a free slot costs no tag, and slot 0 is never
//! given out. It stands for "no order", and writes to its links are harmless, so that linking and
//! unlinking need no branches.

use tidemark_proto::units::{AccountId, Lots, OrderId, Side};

use crate::bounded;
use crate::cache::prefetch;
use crate::types::PostOnly;

/// No slot; no level.
pub(crate) const NONE: u32 = 0;

/// What every order has besides quantity and place, in one byte: part of the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    const BITS: u32 = u8::BITS;
    const SELL: u8 = 1;
    const REDUCE_ONLY: u8 = 1 << 1;
    const POST_SHIFT: u8 = 2;
    const EXPIRES: u8 = 1 << 4;
    const HAS_CLIENT_ID: u8 = 1 << 5;
    const ICEBERG: u8 = 1 << 6;

    pub(crate) const fn new(
        side: Side,
        reduce_only: bool,
        post_only: PostOnly,
        expires: bool,
        client: bool,
    ) -> Self {
        let marks = (side as u8) * Self::SELL + (reduce_only as u8) * Self::REDUCE_ONLY;
        let indexes = (expires as u8) * Self::EXPIRES + (client as u8) * Self::HAS_CLIENT_ID;
        Self(marks | ((post_only as u8) << Self::POST_SHIFT) | indexes)
    }

    /// The same, of an iceberg order or not.
    pub(crate) const fn with_iceberg(self, iceberg: bool) -> Self {
        Self(self.0 | ((iceberg as u8) * Self::ICEBERG))
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }
    pub(crate) const fn side(self) -> Side {
        if self.0 & Self::SELL == 0 {
            Side::Buy
        } else {
            Side::Sell
        }
    }
    pub(crate) const fn reduce_only(self) -> bool {
        self.0 & Self::REDUCE_ONLY != 0
    }
    pub(crate) const fn post_only(self) -> PostOnly {
        // A load, cheaper than the choices of a match.
        const KINDS: [PostOnly; 4] =
            [PostOnly::No, PostOnly::Reject, PostOnly::Slide, PostOnly::Slide];
        KINDS[(self.0 >> Self::POST_SHIFT) as usize & 3]
    }
    pub(crate) const fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }
    pub(crate) const fn has_client_id(self) -> bool {
        self.0 & Self::HAS_CLIENT_ID != 0
    }
    /// Whether the order is more than its owner, side, price and lots, and stands in indexes of its
    /// own for that.
    #[inline]
    pub(crate) const fn is_special(self) -> bool {
        self.0 & (Self::REDUCE_ONLY | Self::EXPIRES | Self::HAS_CLIENT_ID | Self::ICEBERG) != 0
    }
    pub(crate) const fn iceberg(self) -> bool {
        self.0 & Self::ICEBERG != 0
    }
    /// Whether the order has a client id or an expiry.
    #[inline]
    pub(crate) const fn has_attributes(self) -> bool {
        self.0 & (Self::EXPIRES | Self::HAS_CLIENT_ID) != 0
    }
}

/// Highest order id, 2⁵⁶ − 1: an id and its order's flags share a word.
pub(crate) const MAX_ORDER_ID: OrderId = u64::MAX >> Flags::BITS;

/// An order. Links are slots, [`NONE`] at the ends.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Order {
    /// Id and, in the low byte, flags.
    tagged_id: u64,
    /// Unfilled lots shown in its level; never 0 while in one. An iceberg order has hidden ones
    /// besides.
    pub(crate) lots: Lots,
    pub(crate) owner: AccountId,
    /// Its level; [`NONE`] while a replacement takes.
    pub(crate) level: u32,
    /// Behind it in the level; in a free slot, the next free one.
    pub(crate) next: u32,
    /// Ahead of it in the level.
    pub(crate) prev: u32,
}

const _: () = assert!(size_of::<Order>() == 32, "two orders are one cache line");

impl Order {
    /// What is in slot 0, but for its links.
    const EMPTY: Self = Self::new(0, 0, 0, Flags(0));

    /// An order in no level. `id` is at most [`MAX_ORDER_ID`].
    #[inline(always)]
    pub(crate) const fn new(id: OrderId, owner: AccountId, lots: Lots, flags: Flags) -> Self {
        Self {
            tagged_id: id << Flags::BITS | flags.0 as u64,
            lots,
            owner,
            level: NONE,
            next: NONE,
            prev: NONE,
        }
    }
    #[inline]
    pub(crate) const fn id(&self) -> OrderId {
        self.tagged_id >> Flags::BITS
    }
    #[inline]
    pub(crate) const fn flags(&self) -> Flags {
        Flags(self.tagged_id as u8)
    }
}

/// All live orders of a book.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    /// By slot; slot 0 is nobody's.
    orders: Vec<Order>,
    /// The first free slot.
    free: u32,
    live: u32,
}

impl Arena {
    /// Most live orders: all slots but 0.
    pub(crate) const CAPACITY: u32 = u32::MAX;

    pub(crate) fn new() -> Self {
        Self { orders: vec![Order::EMPTY], free: NONE, live: 0 }
    }

    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.live == Self::CAPACITY
    }

    /// A slot for an order, to be filled by the caller, who has seen that not all are used.
    #[inline(always)]
    pub(crate) fn allocate(&mut self) -> u32 {
        self.live = bounded::increment(self.live);
        let slot = self.free;
        if slot == NONE {
            return self.push();
        }
        self.free = self.orders[slot as usize].next;
        slot
    }

    #[cold]
    #[inline(never)]
    fn push(&mut self) -> u32 {
        // It was not full and no slot is free, so the length fits.
        let slot = self.orders.len() as u32;
        self.orders.push(Order::EMPTY);
        slot
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Order {
        &self.orders[slot as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.orders[slot as usize]
    }

    /// Has an order brought into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        prefetch(self.get(slot));
    }

    /// Writes an order into a slot, and links the one before it in its level to it.
    #[inline(always)]
    pub(crate) fn write(&mut self, slot: u32, order: Order) {
        let orders = &mut self.orders[..];
        orders[order.prev as usize].next = slot;
        orders[slot as usize] = order;
    }

    /// Links the orders before and behind one that leaves its level to each other.
    #[inline(always)]
    pub(crate) fn close_gap(&mut self, prev: u32, next: u32) {
        let orders = &mut self.orders[..];
        orders[prev as usize].next = next;
        orders[next as usize].prev = prev;
    }

    /// Takes an order out of its level and frees its slot. What else is in it stays until it is
    /// filled again. Returns what the order was.
    #[inline(always)]
    pub(crate) fn remove(&mut self, slot: u32) -> Order {
        let orders = &mut self.orders[..];
        let order = orders[slot as usize];
        orders[slot as usize].next = self.free;
        self.free = slot;
        self.live = bounded::decrement(self.live);
        self.close_gap(order.prev, order.next);
        order
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.orders.capacity() * size_of::<Order>()
    }
}
