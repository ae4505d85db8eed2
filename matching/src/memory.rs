//! An estimate of the memory of sorted maps.

/// Bytes of a `BTreeMap` at its emptiest: a node has room for 11 entries and is at least 5 full;
/// links and head add half of an entry of 16 bytes or more.
pub(crate) const fn map_bytes(entries: usize, entry_bytes: usize) -> usize {
    entries * (entry_bytes * 11 / 5 + 16)
}
