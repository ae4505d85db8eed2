//! Sums that cannot wrap, without run-time checks: those checks cost 8 % of an operation's time.
//!
//! Counts are of live orders, fewer than 2³²: `check_room` checks that before an order is added.
//! `check_room` also checks the sum of a level's lots, hidden lots included, when it admits an
//! order. Only lots that were added before are subtracted. Debug builds check every operation, and
//! the model tests and the fuzz target compare every sum with a recomputed one.

use tidemark_proto::units::{Lots, OrderId};

/// Adds `part` to a sum that `check_room` has bounded.
#[inline(always)]
pub(crate) const fn add(sum: Lots, part: Lots) -> Lots {
    debug_assert!(sum.checked_add(part).is_some());
    Lots::new(sum.get().wrapping_add(part.get()))
}

/// Subtracts `part`, which was added before.
#[inline(always)]
pub(crate) const fn sub(sum: Lots, part: Lots) -> Lots {
    debug_assert!(sum.checked_sub(part).is_some());
    Lots::new(sum.get().wrapping_sub(part.get()))
}

/// Returns the id after `id`, which is at most [`MAX_ORDER_ID`](crate::arena::MAX_ORDER_ID).
#[inline(always)]
pub(crate) const fn next_id(id: OrderId) -> OrderId {
    debug_assert!(id.checked_next().is_some());
    OrderId::new(id.get().wrapping_add(1))
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
    use tidemark_proto::units::Lots;

    /// Adds `part`.
    pub(crate) const fn add(sum: Lots, part: Lots) -> Lots {
        sum.checked_add(part).expect("sums of live lots are below 2^64")
    }

    /// Subtracts `part`, which was added before.
    pub(crate) const fn sub(sum: Lots, part: Lots) -> Lots {
        sum.checked_sub(part).expect("only lots that were added are subtracted")
    }

    /// Increments a count of live orders.
    pub(crate) const fn increment(count: u32) -> u32 {
        count.checked_add(1).expect("counts of live orders are below 2^32")
    }
}
