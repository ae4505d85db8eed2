//! What few orders have: a client id, an expiry. By slot, and as long as the highest slot of an
//! order that has any, so that books without them, and operations on other orders, do not touch it.

use tidemark_proto::units::TimeMs;

use crate::arena::Flags;
use crate::cache::prefetch;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes {
    /// 0 without one.
    pub(crate) client_id: u64,
    /// 0 without one.
    expires_ms: TimeMs,
    /// Its place among those that expire, if it does.
    pub(crate) heap_index: u32,
}

impl Attributes {
    pub(crate) const NONE: Self = Self::new(0, None);

    pub(crate) const fn new(client_id: u64, expires_ms: Option<TimeMs>) -> Self {
        let expires_ms = match expires_ms {
            Some(expires_ms) => expires_ms,
            None => 0,
        };
        Self { client_id, expires_ms, heap_index: 0 }
    }

    /// First block time at which an order with these flags is gone, if any.
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
    /// What the order in a slot, which has these flags, has.
    #[inline]
    pub(crate) fn get(&self, slot: u32, flags: Flags) -> Attributes {
        if flags.has_attributes() {
            self.by_slot[slot as usize]
        } else {
            Attributes::NONE
        }
    }

    /// Notes what the order in a slot has. What was noted of one that was there before has no
    /// meaning.
    pub(crate) fn set(&mut self, slot: u32, attributes: Attributes) {
        let index = slot as usize;
        if index >= self.by_slot.len() {
            self.by_slot.resize(index + 1, Attributes::NONE);
        }
        self.by_slot[index] = attributes;
    }

    /// Notes an order's place among those that expire.
    #[inline]
    pub(crate) fn set_heap_index(&mut self, slot: u32, index: u32) {
        self.by_slot[slot as usize].heap_index = index;
    }

    /// Has what the order in a slot has, or would have, brought into the cache.
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
