//! Storage of live orders: half a cache line each, with the fields that every order needs and no
//! others. Freed slots are reused last in, first out.
//!
//! The `slab` crate does not fit: here links are half as wide, a free slot costs no tag, and slot 0
//! is never allocated. Slot 0 stands for "no order", and writes to the links of slot 0 are
//! harmless, so linking and unlinking need no branches.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "slots come from the arena, which never shrinks, and number at most 2^32"
)]

use tidemark_proto::types::PostOnly;
use tidemark_proto::units::{AccountId, Lots, OrderId, Side};

use crate::bounded;
use crate::cache::prefetch;

/// No slot; no level.
pub(crate) const NONE: u32 = 0;

/// Side, policies and attribute marks of an order in one byte. The byte is part of the commitment.
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

    /// Returns these flags with the iceberg mark set to `iceberg`.
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
        // A table load is cheaper than the branches of a `match`.
        const KINDS: [PostOnly; 4] =
            [PostOnly::Off, PostOnly::Reject, PostOnly::Slide, PostOnly::Slide];
        KINDS[(self.0 >> Self::POST_SHIFT) as usize & 3]
    }
    pub(crate) const fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }
    pub(crate) const fn has_client_id(self) -> bool {
        self.0 & Self::HAS_CLIENT_ID != 0
    }
    /// Returns true if the order is reduce-only, an iceberg order, or has a client id or an expiry:
    /// such an order is also in secondary indexes.
    #[inline]
    pub(crate) const fn is_special(self) -> bool {
        self.0 & (Self::REDUCE_ONLY | Self::EXPIRES | Self::HAS_CLIENT_ID | Self::ICEBERG) != 0
    }
    pub(crate) const fn iceberg(self) -> bool {
        self.0 & Self::ICEBERG != 0
    }
    /// Returns true if the order has a client id or an expiry.
    #[inline]
    pub(crate) const fn has_attributes(self) -> bool {
        self.0 & (Self::EXPIRES | Self::HAS_CLIENT_ID) != 0
    }
}

/// Highest order id, 2⁵⁶ − 1: id and flags share a word.
pub(crate) const MAX_ORDER_ID: OrderId = OrderId::new(u64::MAX >> Flags::BITS);

/// An order. Links are slots, [`NONE`] at the ends.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Order {
    /// Order id and, in the low byte, flags.
    tagged_id: u64,
    /// Unfilled lots that the level shows, never 0 while the order is in a level. The hidden lots
    /// of an iceberg order come on top.
    pub(crate) lots: Lots,
    pub(crate) owner: AccountId,
    /// Level of the order; [`NONE`] while a replacement of the order is matched.
    pub(crate) level: u32,
    /// Order behind this order in the level; in a free slot, the next free slot.
    pub(crate) next: u32,
    /// Order ahead of this order in the level.
    pub(crate) prev: u32,
}

const _: () = assert!(size_of::<Order>() == 32, "two orders are one cache line");

impl Order {
    /// Content of slot 0, except for its links.
    const EMPTY: Self = Self::new(OrderId::NONE, AccountId::ZERO, Lots::ZERO, Flags(0));

    /// An order in no level. `id` is at most [`MAX_ORDER_ID`].
    #[inline(always)]
    pub(crate) const fn new(id: OrderId, owner: AccountId, lots: Lots, flags: Flags) -> Self {
        Self {
            tagged_id: id.get() << Flags::BITS | flags.0 as u64,
            lots,
            owner,
            level: NONE,
            next: NONE,
            prev: NONE,
        }
    }
    #[inline]
    pub(crate) const fn id(&self) -> OrderId {
        OrderId::new(self.tagged_id >> Flags::BITS)
    }
    #[inline]
    pub(crate) const fn flags(&self) -> Flags {
        Flags(self.tagged_id as u8)
    }
}

/// All live orders of a book.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    /// Indexed by slot; slot 0 holds no order.
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

    /// Allocates a slot, which the caller fills. The caller has checked that the arena is not full.
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
        // The arena was not full and no slot is free, so the length fits in a `u32`.
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

    /// Prefetches an order.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        prefetch(self.get(slot));
    }

    /// Writes an order into a slot, and links the order ahead of it in its level to it.
    #[inline(always)]
    pub(crate) fn write(&mut self, slot: u32, order: Order) {
        let orders = &mut self.orders[..];
        orders[order.prev as usize].next = slot;
        orders[slot as usize] = order;
    }

    /// Links the orders ahead of and behind a leaving order to each other.
    #[inline(always)]
    pub(crate) fn close_gap(&mut self, prev: u32, next: u32) {
        let orders = &mut self.orders[..];
        orders[prev as usize].next = next;
        orders[next as usize].prev = prev;
    }

    /// Unlinks an order from its level and frees its slot. The slot's other fields stay as they are
    /// until the slot is allocated again. Returns the order.
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
