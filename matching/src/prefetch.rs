//! Brings what operations to come will need into the cache before they are carried out.

use tidemark_proto::units::{AccountId, OrderId};

use crate::arena::NONE;
use crate::book::Book;

/// Live orders from which prefetching does anything: below, the book is in the cache anyhow. Beside
/// the model, from the first on.
const WORTH_IT: u32 = if cfg!(any(test, feature = "model")) { 1 } else { 30_000 };

/// The steps in which an order is brought into the cache, each of which needs what the one before
/// it has brought. All orders that are about to be needed take a step before one takes the next, so
/// that memory answers many at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefetch {
    /// Where its id, or its client id, leads to it.
    Index,
    /// The order.
    Order,
    /// What else changes when it leaves: its neighbours in its queue and among its owner's orders.
    Around,
}

impl Prefetch {
    /// The steps in order.
    pub const STEPS: [Self; 3] = [Self::Index, Self::Order, Self::Around];

    /// How many operations before the one that names it an order of a large book takes this step:
    /// time enough for memory, and not so many that what they bring pushes each other out.
    const fn ahead(self) -> usize {
        match self {
            Self::Index => 24,
            Self::Order => 16,
            Self::Around => 8,
        }
    }
}

impl Book {
    /// Whether the book is so large that telling it of operations to come gains anything; below,
    /// doing so costs time.
    #[must_use]
    #[inline]
    pub const fn is_large(&self) -> bool {
        self.live_orders() >= WORTH_IT
    }

    /// To be told, before each operation, which orders those after it name, or make: `id_at(n)` is
    /// that of the operation `n` places later. Changes nothing; ids that are not live are passed
    /// over.
    #[inline(always)]
    pub fn look_ahead(&self, id_at: impl Fn(usize) -> Option<OrderId>) {
        if self.is_large() {
            for step in Prefetch::STEPS {
                if let Some(id) = id_at(step.ahead()) {
                    self.take_step(step, id);
                }
            }
        } else if let Some(id) = id_at(1) {
            // It is in the second cache: one operation is time enough, and more steps cost more
            // than they save.
            self.orders.prefetch(self.ids.get_recent(id));
        }
    }

    /// To be told of an order that an operation to come will cancel or replace. Changes nothing; an
    /// id that is not live is passed over.
    #[inline]
    pub fn prefetch(&self, step: Prefetch, order_id: OrderId) {
        if self.is_large() {
            self.take_step(step, order_id);
        }
    }

    /// The same of an order that will be named by its client id; of one that will be given it, the
    /// first step alone is of use.
    #[inline]
    pub fn prefetch_named(&self, step: Prefetch, owner: AccountId, client_id: u64) {
        if !self.is_large() {
            return;
        }
        let slot = || self.client_ids.get(owner, client_id).unwrap_or(NONE);
        match step {
            Prefetch::Index => self.client_ids.prefetch(owner, client_id),
            Prefetch::Order => self.prefetch_order(slot()),
            Prefetch::Around => self.prefetch_neighbours(slot()),
        }
    }

    #[inline(always)]
    fn take_step(&self, step: Prefetch, id: OrderId) {
        match step {
            Prefetch::Index => self.ids.prefetch(id),
            Prefetch::Order => self.prefetch_order(self.ids.get_recent(id)),
            Prefetch::Around => self.prefetch_neighbours(self.ids.get_recent(id)),
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
