//! Sums that cannot wrap, without run-time checks: those checks cost 8 % of an operation's time.
//!
//! Counts are of live orders, fewer than 2³²: `check_room` checks that before an order is added.
//! `check_room` also checks the sum of a level's lots, hidden lots included, when it admits an
//! order. Only lots that were added before are subtracted. Debug builds check every operation, and
//! the model tests and the fuzz target compare every sum with a recomputed one.

#![expect(
    clippy::arithmetic_side_effects,
    reason = "the difference from the largest number cannot wrap"
)]

/// Adds `part` to a sum that `check_room` has bounded.
#[inline(always)]
pub(crate) const fn add(sum: u64, part: u64) -> u64 {
    debug_assert!(sum <= u64::MAX - part);
    sum.wrapping_add(part)
}

/// Subtracts `part`, which was added before.
#[inline(always)]
pub(crate) const fn sub(sum: u64, part: u64) -> u64 {
    debug_assert!(part <= sum);
    sum.wrapping_sub(part)
}

/// Increments a count of live orders.
#[inline(always)]
pub(crate) const fn increment(count: u32) -> u32 {
    debug_assert!(count < u32::MAX);
    count.wrapping_add(1)
}

/// Decrements a count of live orders.
#[inline(always)]
pub(crate) const fn decrement(count: u32) -> u32 {
    debug_assert!(count > 0);
    count.wrapping_sub(1)
}

/// Sums off the hottest path, with checks in every build: an overflow is a defect, and
/// stops the process before a wrapped amount can be traded.
pub(crate) mod checked {
    /// Adds `part`.
    pub(crate) const fn add(sum: u64, part: u64) -> u64 {
        sum.checked_add(part).expect("sums of live lots are below 2^64")
    }

    /// Subtracts `part`, which was added before.
    pub(crate) const fn sub(sum: u64, part: u64) -> u64 {
        sum.checked_sub(part).expect("only lots that were added are subtracted")
    }

    /// Increments a count of live orders.
    pub(crate) const fn increment(count: u32) -> u32 {
        count.checked_add(1).expect("counts of live orders are below 2^32")
    }

    /// Decrements a count of live orders.
    pub(crate) const fn decrement(count: u32) -> u32 {
        count.checked_sub(1).expect("only orders that were counted leave")
    }
}
