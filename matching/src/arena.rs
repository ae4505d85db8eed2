//! Where orders are stored: slots of fixed size, linked by `u32`, freed ones reused last in, first out.
//!
//! Not the `slab` crate: orders are split into hot and cold fields under one slot number, links are half as wide, and
//! a free slot costs no tag.

use tidemark_proto::units::{AccountId, Lots, OrderId, Side, TimeMs};

use crate::types::PostOnly;

/// No slot.
pub(crate) const NONE: u32 = u32::MAX;

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

/// What matching and cancelling touch. Links are slots, [`NONE`] at the ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    pub(crate) id: OrderId,
    /// Unfilled lots shown in its level; never 0 while in one. An iceberg order has hidden ones besides.
    pub(crate) lots: Lots,
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

/// What only some orders have.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cold {
    pub(crate) client_id: u64,
    pub(crate) expires_ms: TimeMs,
}

/// All live orders of a book.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    hot: Vec<Order>,
    cold: Vec<Cold>,
    free: u32,
    live: u32,
}

impl Arena {
    /// Most live orders: `NONE` is not a slot.
    pub(crate) const CAPACITY: u32 = NONE;

    pub(crate) const fn new() -> Self {
        Self { hot: Vec::new(), cold: Vec::new(), free: NONE, live: 0 }
    }

    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.live == Self::CAPACITY
    }

    /// Stores an order; the caller has seen that it is not full.
    pub(crate) fn insert(&mut self, order: Order, cold: Cold) -> u32 {
        self.live += 1;
        let slot = self.free;
        if slot == NONE {
            // It was not full and no slot is free, so the length fits.
            let slot = self.hot.len() as u32;
            self.hot.push(order);
            self.cold.push(cold);
            return slot;
        }
        self.free = self.hot[slot as usize].next;
        self.hot[slot as usize] = order;
        self.cold[slot as usize] = cold;
        slot
    }

    pub(crate) fn remove(&mut self, slot: u32) {
        self.hot[slot as usize].next = self.free;
        self.free = slot;
        self.live -= 1;
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> &Order {
        &self.hot[slot as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut Order {
        &mut self.hot[slot as usize]
    }

    /// The cold fields; read only for orders whose flags say that they have any.
    pub(crate) fn cold(&self, slot: u32) -> &Cold {
        &self.cold[slot as usize]
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.hot.capacity() * size_of::<Order>() + self.cold.capacity() * size_of::<Cold>()
    }

    pub(crate) fn client_id(&self, slot: u32) -> u64 {
        if self.get(slot).flags.has_client_id() {
            self.cold(slot).client_id
        } else {
            0
        }
    }
}
