//! The state as bytes: all that the app hash covers, and nothing else.
//!
//! A state is frozen at a block's end, which copies lists of pages and the orders of the books.
//! Another thread writes the frozen one while blocks go on. What is read back has the same app hash
//! and the same future: indexes and sums are made anew from what was read (docs/snapshots.md).

mod frozen;
mod restore;
mod standing;
mod table;
#[cfg(test)]
mod tests;

pub use frozen::Frozen;
pub use restore::read;
pub use standing::tell_orders;

/// Version of the layout.
pub const FORMAT: u16 = 1;

/// Each part of the bytes begins with its mark, so that a reader that has lost its place says
/// where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Part {
    Chain = 1,
    Owners = 2,
    Allowances = 3,
    Agents = 4,
    Accounts = 5,
    Market = 6,
    Danger = 7,
}
