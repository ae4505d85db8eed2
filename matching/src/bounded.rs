//! Sums that cannot wrap, without the check that would stop the node: those checks cost 8 % of the
//! time of an operation.
//!
//! Counts are of live orders, of which there are below 2³²: `check_room` asks before one is added.
//! A level's lots, the hidden ones included, were added with a check by `check_room` when the order
//! was admitted. What is outcome off was added before. Debug builds check all the same, and the model
//! tests and the fuzz target compare every sum with one made anew.

/// A sum of which `part` becomes a part.
#[inline(always)]
pub(crate) const fn add(sum: u64, part: u64) -> u64 {
    debug_assert!(sum <= u64::MAX - part);
    sum.wrapping_add(part)
}

/// A sum of which `part` is a part no more.
#[inline(always)]
pub(crate) const fn sub(sum: u64, part: u64) -> u64 {
    debug_assert!(part <= sum);
    sum.wrapping_sub(part)
}

/// A count of orders and one more.
#[inline(always)]
pub(crate) const fn increment(count: u32) -> u32 {
    debug_assert!(count < u32::MAX);
    count.wrapping_add(1)
}

/// A count of orders and one less.
#[inline(always)]
pub(crate) const fn decrement(count: u32) -> u32 {
    debug_assert!(count > 0);
    count.wrapping_sub(1)
}
