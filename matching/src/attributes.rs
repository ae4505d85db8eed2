//! Attributes that few orders have: a client id, an expiry. Indexed by slot, and as long as the
//! highest slot of an order with attributes, so books without attributes and operations on other
//! orders never touch this table.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "the table is as long as the highest slot of an order with attributes"
)]

use tidemark_proto::units::{ClientId, TimeMs};

use crate::arena::Flags;
use crate::cache::prefetch;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes {
    /// Client id; 0 means none.
    pub(crate) client_id: ClientId,
    /// Expiry; 0 means none.
    expires_ms: TimeMs,
    /// Index in the heap of expiries, if the order expires.
    pub(crate) heap_index: u32,
}

impl Attributes {
    pub(crate) const NONE: Self = Self::new(ClientId::NONE, None);

    pub(crate) const fn new(client_id: ClientId, expires_ms: Option<TimeMs>) -> Self {
        let expires_ms = match expires_ms {
            Some(expires_ms) => expires_ms,
            None => TimeMs::ZERO,
        };
        Self { client_id, expires_ms, heap_index: 0 }
    }

    /// Returns the first block time at which an order with these flags has expired, if the order
    /// expires.
    #[inline(always)]
    pub(crate) const fn expires_ms(&self, flags: Flags) -> Option<TimeMs> {
        if flags.expires() {
            Some(self.expires_ms)
        } else {
            None
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AttributeTable {
    by_slot: Vec<Attributes>,
}

impl AttributeTable {
    /// Returns the attributes of the order in a slot, which has these flags.
    #[inline]
    pub(crate) fn get(&self, slot: u32, flags: Flags) -> Attributes {
        if flags.has_attributes() {
            self.by_slot[slot as usize]
        } else {
            Attributes::NONE
        }
    }

    /// Stores the attributes of the order in a slot, replacing those of the slot's previous order.
    pub(crate) fn set(&mut self, slot: u32, attributes: Attributes) {
        let index = slot as usize;
        if index >= self.by_slot.len() {
            self.by_slot.resize(index + 1, Attributes::NONE);
        }
        self.by_slot[index] = attributes;
    }

    /// Stores the heap index of an order that expires.
    #[inline]
    pub(crate) fn set_heap_index(&mut self, slot: u32, index: u32) {
        self.by_slot[slot as usize].heap_index = index;
    }

    /// Prefetches the attributes of the order in a slot.
    #[inline]
    pub(crate) fn prefetch(&self, slot: u32) {
        if let Some(attributes) = self.by_slot.get(slot as usize) {
            prefetch(attributes);
        }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.by_slot.capacity() * size_of::<Attributes>()
    }
}
