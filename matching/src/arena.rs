//! Where orders are stored: one cache line each, linked by `u32` slots, freed ones reused last in, first out.
//!
//! Not the `slab` crate: links are half as wide, a free slot costs no tag, and slot 0 is never given out. It stands for "no
//! order", and writes to its links are harmless, so that linking and unlinking need no branches.

use tidemark_proto::units::{AccountId, Lots, OrderId, Side, TimeMs};

use crate::types::PostOnly;

/// No slot; no level.
pub(crate) const NONE: u32 = 0;

/// What every order has besides quantity and place, in one byte: part of the commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
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
        let mut bits = (post_only as u8) << Self::POST_SHIFT;
        if matches!(side, Side::Sell) {
            bits |= Self::SELL;
        }
        if reduce_only {
            bits |= Self::REDUCE_ONLY;
        }
        if expires {
            bits |= Self::EXPIRES;
        }
        if client {
            bits |= Self::HAS_CLIENT_ID;
        }
        Self(bits)
    }

    /// The same, of an iceberg order or not.
    pub(crate) const fn with_iceberg(self, iceberg: bool) -> Self {
        Self(if iceberg { self.0 | Self::ICEBERG } else { self.0 })
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
        match (self.0 >> Self::POST_SHIFT) & 3 {
            0 => PostOnly::No,
            1 => PostOnly::Reject,
            _ => PostOnly::Slide,
        }
    }
    pub(crate) const fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }
    pub(crate) const fn has_client_id(self) -> bool {
        self.0 & Self::HAS_CLIENT_ID != 0
    }
    pub(crate) const fn iceberg(self) -> bool {
        self.0 & Self::ICEBERG != 0
    }
}

/// A live order. Links are slots, [`NONE`] at the ends.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// Unfilled lots shown in its level; never 0 while in one. An iceberg order has hidden ones besides.
    pub(crate) lots: Lots,
    /// 0 without one.
    pub(crate) client_id: u64,
    /// 0 without one.
    pub(crate) expires_ms: TimeMs,
    pub(crate) owner: AccountId,
    /// Its level in its side's ladder; [`NONE`] while a replacement takes.
    pub(crate) level: u32,
    /// Behind it in the level; in a free slot, the next free one.
    pub(crate) next: u32,
    /// Ahead of it in the level.
    pub(crate) prev: u32,
    /// The owner's next older order.
    pub(crate) older: u32,
    /// The owner's next newer order.
    pub(crate) newer: u32,
    pub(crate) flags: Flags,
}

const _: () = assert!(size_of::<Order>() == 64, "an order is one cache line");

impl Order {
    /// An order in no list.
    pub(crate) const fn unlinked(id: OrderId, owner: AccountId, lots: Lots, flags: Flags) -> Self {
        Self {
            id,
            lots,
            client_id: 0,
            expires_ms: 0,
            owner,
            level: NONE,
            next: NONE,
            prev: NONE,
            older: NONE,
            newer: NONE,
            flags,
        }
    }
}

/// All live orders of a book.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    /// Slot 0 is nobody's.
    orders: Vec<Order>,
    /// The first free slot.
    free: u32,
    live: u32,
}

impl Arena {
    /// Most live orders: all slots but 0.
    pub(crate) const CAPACITY: u32 = u32::MAX;

    pub(crate) fn new() -> Self {
        let nobody = Order::unlinked(0, 0, 0, Flags(0));
        Self { orders: vec![nobody], free: NONE, live: 0 }
    }

    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.live == Self::CAPACITY
    }

    /// Stores an order; the caller has seen that it is not full.
    #[inline]
    pub(crate) fn insert(&mut self, order: Order) -> u32 {
        self.live += 1;
        let slot = self.free;
        if slot == NONE {
            // It was not full and no slot is free, so the length fits.
            let slot = self.orders.len() as u32;
            self.orders.push(order);
            return slot;
        }
        let place = &mut self.orders[slot as usize];
        self.free = place.next;
        *place = order;
        slot
    }

    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        self.orders[slot as usize].next = self.free;
        self.free = slot;
        self.live -= 1;
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Order {
        &self.orders[slot as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.orders[slot as usize]
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.orders.capacity() * size_of::<Order>()
    }
}
