//! What a book holds in memory.

use crate::book::Book;

impl Book {
    /// Bytes that the book holds, spare capacity included. Exact for all that has a fixed place;
    /// for the sorted maps (icebergs, pages of prices, orders older than the id window) an upper
    /// bound.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.orders.memory_bytes()
            + self.ids.memory_bytes()
            + self.owners.memory_bytes()
            + self.icebergs.memory_bytes()
            + self.levels.memory_bytes()
            + self.ladders.iter().map(crate::ladder::Ladder::memory_bytes).sum::<usize>()
            + self.extras.memory_bytes()
            + self.client_ids.memory_bytes()
            + self.expiries.memory_bytes()
    }
}

/// Bytes of a `BTreeMap` at its emptiest: a node has room for 11 entries and is at least 5 full;
/// links and head add half of an entry of 16 bytes or more.
pub(crate) const fn map_bytes(entries: usize, entry_bytes: usize) -> usize {
    entries * (entry_bytes * 11 / 5 + 16)
}
