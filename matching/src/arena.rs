//! Where orders are stored: half a cache line each for what matching and cancelling touch, the links of its owner's orders apart
//! under the same slot number, and what few orders have in a table of those few; freed slots are reused last in, first out.
//!
//! Not the `slab` crate: links are half as wide, a free slot costs no tag, and slot 0 is never given out. It stands for "no
//! order", and writes to its links are harmless, so that linking and unlinking need no branches.

use tidemark_proto::units::{AccountId, Lots, OrderId, Side, TimeMs};

use crate::sums;
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
        const KINDS: [PostOnly; 4] = [PostOnly::No, PostOnly::Reject, PostOnly::Slide, PostOnly::Slide];
        KINDS[(self.0 >> Self::POST_SHIFT) as usize & 3]
    }
    pub(crate) const fn expires(self) -> bool {
        self.0 & Self::EXPIRES != 0
    }
    pub(crate) const fn has_client_id(self) -> bool {
        self.0 & Self::HAS_CLIENT_ID != 0
    }
    /// Whether the order has a client id or an expiry.
    #[inline]
    pub(crate) const fn has_extra(self) -> bool {
        self.0 & (Self::EXPIRES | Self::HAS_CLIENT_ID) != 0
    }
    /// Whether the order is more than its owner, side, price and lots, and stands in indexes of its own for that.
    #[inline]
    pub(crate) const fn is_special(self) -> bool {
        self.0 & (Self::EXPIRES | Self::HAS_CLIENT_ID | Self::ICEBERG) != 0
    }
    pub(crate) const fn iceberg(self) -> bool {
        self.0 & Self::ICEBERG != 0
    }
}

/// Highest order id, 2⁵⁶ − 1: an id and its order's flags share a word.
pub(crate) const MAX_ORDER_ID: OrderId = u64::MAX >> Flags::BITS;

/// What matching and cancelling touch. Links are slots, [`NONE`] at the ends.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(crate) struct Order {
    /// Id and, in the low byte, flags.
    tagged_id: u64,
    /// Unfilled lots shown in its level; never 0 while in one. An iceberg order has hidden ones besides.
    pub(crate) lots: Lots,
    pub(crate) owner: AccountId,
    /// Its level in its side's ladder; [`NONE`] while a replacement takes.
    pub(crate) level: u32,
    /// Behind it in the level; in a free slot, the next free one.
    pub(crate) next: u32,
    /// Ahead of it in the level.
    pub(crate) prev: u32,
}

const _: () = assert!(size_of::<Order>() == 32, "two orders are one cache line");

impl Order {
    /// An order in no level. `id` is at most [`MAX_ORDER_ID`].
    #[inline]
    pub(crate) const fn new(id: OrderId, owner: AccountId, lots: Lots, flags: Flags) -> Self {
        let tagged_id = id << Flags::BITS | flags.0 as u64;
        Self { tagged_id, lots, owner, level: NONE, next: NONE, prev: NONE }
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

/// Its place among its owner's orders, and among those with more. Links are slots, [`NONE`] at the ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kin {
    /// The owner's next older order.
    pub(crate) older: u32,
    /// The owner's next newer order.
    pub(crate) newer: u32,
    /// Where its [`Extra`] is, if it has one by its flags.
    extra: u32,
}

/// What only some orders have; written and read only where the flags say so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    /// 0 without one.
    pub(crate) client_id: u64,
    /// 0 without one.
    pub(crate) expires_ms: TimeMs,
    /// Its place among those that expire.
    pub(crate) expiry: u32,
}

/// What is in slot 0, but for its links.
const NOBODY: Order = Order::new(0, 0, 0, Flags(0));

/// All live orders of a book.
#[derive(Clone, Debug)]
pub(crate) struct Arena {
    /// By slot; slot 0 is nobody's. The two are equally long.
    orders: Vec<Order>,
    kin: Vec<Kin>,
    /// Apart, for those that have one.
    extras: Vec<Extra>,
    /// Places among the extras that are free.
    free_extras: Vec<u32>,
    /// The first free slot.
    free: u32,
    live: u32,
}

impl Arena {
    /// Most live orders: all slots but 0.
    pub(crate) const CAPACITY: u32 = u32::MAX;

    pub(crate) fn new() -> Self {
        Self {
            orders: vec![NOBODY],
            kin: vec![Kin::default()],
            extras: Vec::new(),
            free_extras: Vec::new(),
            free: NONE,
            live: 0,
        }
    }

    pub(crate) const fn live(&self) -> u32 {
        self.live
    }

    #[inline]
    pub(crate) const fn is_full(&self) -> bool {
        self.live == Self::CAPACITY
    }

    /// A slot for an order, to be filled by the caller, who has seen that not all are used.
    #[inline]
    pub(crate) fn allot(&mut self) -> u32 {
        self.live = sums::up(self.live);
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
        self.orders.push(NOBODY);
        self.kin.push(Kin::default());
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

    /// Writes an order into a slot and links the one before it to it.
    #[inline(always)]
    pub(crate) fn put_behind(&mut self, slot: u32, order: Order) {
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

    /// Takes an order that leaves out of its owner's list, returns the owner's next older one, and frees the slot. What else
    /// is in it stays until it is filled again.
    #[inline(always)]
    pub(crate) fn remove(&mut self, slot: u32) -> u32 {
        self.orders[slot as usize].next = self.free;
        self.free = slot;
        self.live = sums::down(self.live);
        let kin = &mut self.kin[..];
        let Kin { older, newer, .. } = kin[slot as usize];
        kin[older as usize].newer = newer;
        kin[newer as usize].older = older;
        older
    }

    #[inline]
    pub(crate) fn kin(&self, slot: u32) -> Kin {
        self.kin[slot as usize]
    }

    /// Client id and expiry of an order with these flags.
    #[inline]
    pub(crate) fn extra(&self, slot: u32, flags: Flags) -> Extra {
        if flags.has_extra() {
            self.extras[self.kin(slot).extra as usize]
        } else {
            Extra::default()
        }
    }

    /// Where the extra of an order that has one is.
    #[cfg(any(test, feature = "model"))]
    pub(crate) fn extra_place(&self, slot: u32) -> u32 {
        self.kin(slot).extra
    }

    #[inline]
    pub(crate) fn extra_at(&mut self, place: u32) -> &mut Extra {
        &mut self.extras[place as usize]
    }

    /// Gives an order its extra and returns where that is.
    pub(crate) fn add_extra(&mut self, slot: u32, extra: Extra) -> u32 {
        let place = match self.free_extras.pop() {
            Some(place) => {
                self.extras[place as usize] = extra;
                place
            }
            None => {
                self.extras.push(extra);
                // No more of them than slots, so it fits.
                (self.extras.len() - 1) as u32
            }
        };
        self.kin[slot as usize].extra = place;
        place
    }

    /// Frees the extra of an order that has one.
    pub(crate) fn drop_extra(&mut self, slot: u32) {
        self.free_extras.push(self.kin(slot).extra);
    }

    /// Makes an order the newest of its owner, before whom `older` was.
    #[inline(always)]
    pub(crate) fn lead_kin(&mut self, slot: u32, older: u32) {
        let kin = &mut self.kin[..];
        kin[older as usize].newer = slot;
        let own = &mut kin[slot as usize];
        own.older = older;
        own.newer = NONE;
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.orders.capacity() * size_of::<Order>()
            + self.kin.capacity() * size_of::<Kin>()
            + self.extras.capacity() * size_of::<Extra>()
            + self.free_extras.capacity() * size_of::<u32>()
    }
}
