//! What few orders have: a client id, an expiry. By slot, and as long as the highest slot of an
//! order that has any, so that books without them, and operations on other orders, do not touch it.

use tidemark_proto::units::TimeMs;

use crate::arena::Flags;
use crate::hint::fetch;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extra {
    /// 0 without one.
    pub(crate) client_id: u64,
    /// 0 without one.
    expires_ms: TimeMs,
    /// Its place among those that expire, if it does.
    pub(crate) expiry: u32,
}

impl Extra {
    pub(crate) const NONE: Self = Self::new(0, None);

    pub(crate) const fn new(client_id: u64, expires_ms: Option<TimeMs>) -> Self {
        let expires_ms = match expires_ms {
            Some(expires_ms) => expires_ms,
            None => 0,
        };
        Self { client_id, expires_ms, expiry: 0 }
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
pub(crate) struct Extras {
    by_slot: Vec<Extra>,
}

impl Extras {
    /// What the order in a slot, which has these flags, has.
    #[inline]
    pub(crate) fn get(&self, slot: u32, flags: Flags) -> Extra {
        if flags.has_extra() {
            self.by_slot[slot as usize]
        } else {
            Extra::NONE
        }
    }

    /// Notes what the order in a slot has. What was noted of one that was there before has no
    /// meaning.
    pub(crate) fn set(&mut self, slot: u32, extra: Extra) {
        let index = slot as usize;
        if index >= self.by_slot.len() {
            self.by_slot.resize(index + 1, Extra::NONE);
        }
        self.by_slot[index] = extra;
    }

    /// Notes an order's place among those that expire.
    #[inline]
    pub(crate) fn set_expiry(&mut self, slot: u32, place: u32) {
        self.by_slot[slot as usize].expiry = place;
    }

    /// Has what the order in a slot has, or would have, brought into the cache.
    #[inline]
    pub(crate) fn fetch(&self, slot: u32) {
        if let Some(extra) = self.by_slot.get(slot as usize) {
            fetch(extra);
        }
    }

    /// Bytes held, spare capacity included.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.by_slot.capacity() * size_of::<Extra>()
    }
}
