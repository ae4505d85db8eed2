//! Prefetching: orders of upcoming operations come into the cache before the operations are carried
//! out.

use tidemark_proto::units::{AccountId, ClientId, OrderId};

use crate::arena::NONE;
use crate::book::Book;

/// Books smaller than this are not prefetched: they fit in the cache. In tests and fuzzing every
/// book is prefetched.
const WORTH_IT: u32 = if cfg!(any(test, feature = "model")) { 1 } else { 30_000 };

/// A step in prefetching an order. Each step reads data that the step before it brought into the
/// cache. All upcoming orders take a step before any order takes the next, so that many loads are
/// in flight at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefetch {
    /// The index entry of the order's id or client id.
    Index,
    /// The order.
    Order,
    /// The data that the order's removal changes: the neighbours in the queue and in the owner's
    /// list.
    Neighbours,
}

impl Prefetch {
    /// All steps, in order.
    pub const STEPS: [Self; 3] = [Self::Index, Self::Order, Self::Neighbours];

    /// Returns how many operations ahead an order of a large book takes this step: early enough for
    /// memory, late enough that prefetched lines do not evict each other.
    const fn ahead(self) -> usize {
        match self {
            Self::Index => 24,
            Self::Order => 16,
            Self::Neighbours => 8,
        }
    }
}

impl Book {
    /// Returns true if the book is so large that prefetching pays; in smaller books prefetching
    /// costs time.
    #[must_use]
    #[inline]
    pub const fn is_large(&self) -> bool {
        self.live_orders() >= WORTH_IT
    }

    /// Prefetches the orders of upcoming operations; call this before each operation. `id_at(n)` is
    /// the order id of the operation `n` places later. Changes nothing; ids that are not live are
    /// skipped.
    ///
    /// The benchmark of the book calls this, on a stream without transactions. The chain calls
    /// [`Book::prefetch`], with all operations of a transaction at once.
    #[inline(always)]
    pub fn look_ahead(&self, id_at: impl Fn(usize) -> Option<OrderId>) {
        if self.is_large() {
            for step in Prefetch::STEPS {
                if let Some(id) = id_at(step.ahead()) {
                    self.take_step(step, id);
                }
            }
        } else if let Some(id) = id_at(1) {
            // A small book is in the second-level cache: one operation is time enough, and more
            // steps cost more than they save.
            self.orders.prefetch(self.ids.get_recent(id));
        }
    }

    /// Carries out one prefetching step for an order that an upcoming operation cancels or
    /// replaces. Changes nothing; an id that is not live is skipped.
    #[inline]
    pub fn prefetch(&self, step: Prefetch, order_id: OrderId) {
        if self.is_large() {
            self.take_step(step, order_id);
        }
    }

    /// Carries out one prefetching step for an order that an upcoming operation names by client id.
    /// For a new order with this client id only the first step is of use.
    #[inline]
    pub fn prefetch_named(&self, step: Prefetch, owner: AccountId, client_id: ClientId) {
        if !self.is_large() {
            return;
        }
        let slot = || self.client_ids.get(owner, client_id).unwrap_or(NONE);
        match step {
            Prefetch::Index => self.client_ids.prefetch(owner, client_id),
            Prefetch::Order => self.prefetch_order(slot()),
            Prefetch::Neighbours => self.prefetch_neighbours(slot()),
        }
    }

    #[inline(always)]
    fn take_step(&self, step: Prefetch, id: OrderId) {
        match step {
            Prefetch::Index => self.ids.prefetch(id),
            Prefetch::Order => self.prefetch_order(self.ids.get_recent(id)),
            Prefetch::Neighbours => self.prefetch_neighbours(self.ids.get_recent(id)),
        }
    }

    #[inline]
    fn prefetch_order(&self, slot: u32) {
        self.orders.prefetch(slot);
        self.owners.prefetch(slot);
    }

    #[inline]
    fn prefetch_neighbours(&self, slot: u32) {
        let order = self.orders.get(slot);
        self.orders.prefetch(order.prev);
        self.orders.prefetch(order.next);
        self.owners.prefetch_neighbours(slot);
        if order.flags().has_attributes() {
            self.attributes.prefetch(slot);
        }
    }
}
