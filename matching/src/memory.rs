//! An estimate of the memory of sorted maps.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "memory that exists has fewer bytes than an address can name"
)]

/// Returns an upper bound of the bytes of a `BTreeMap`: a node has room for 11 entries and holds at
/// least 5; links and header add half of an entry of 16 bytes or more.
pub(crate) const fn map_bytes(entries: usize, entry_bytes: usize) -> usize {
    entries * (entry_bytes * 11 / 5 + 16)
}
