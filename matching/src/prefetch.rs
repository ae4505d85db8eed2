//! Brings orders into the cache before they are asked for.

use tidemark_proto::units::{AccountId, OrderId, Side, Ticks};

use crate::arena::{Order, NONE};
use crate::book::Book;
use crate::ladder::key_of;

/// Live orders from which prefetching does anything: below, the book is in the cache anyhow. Beside the model, from the first on.
const WORTH_IT: u32 = if cfg!(any(test, feature = "model")) { 1 } else { 100_000 };
/// Orders looked up together; more would push each other out of the first cache before they are used.
const AT_ONCE: usize = 64;

/// What is known beforehand of an order to come.
#[derive(Clone, Copy, Debug)]
pub struct Upcoming {
    /// Whose it will be.
    pub owner: AccountId,
    /// Buy or sell.
    pub side: Side,
    /// Limit.
    pub price_ticks: Ticks,
    /// The owner's id for it; 0 is none.
    pub client_id: u64,
}

// Each pass is plain loads that do not wait for one another, only for those of the pass before.
impl Book {
    /// Whether the book is so large that telling it of operations to come gains anything; below, doing so costs time.
    #[must_use]
    #[inline]
    pub const fn is_large(&self) -> bool {
        self.live_orders() >= WORTH_IT
    }

    /// To be told which orders the next operations will cancel or replace, up to a few hundred: a large book reads them and their
    /// neighbours in the queues, so that it waits for memory once for many orders and not for each.
    /// Changes nothing; ids that are not live are passed over.
    pub fn prefetch(&self, order_ids: impl IntoIterator<Item = OrderId>) {
        if self.is_large() {
            self.read(order_ids.into_iter().map(|id| self.ids.get(id)));
        }
    }

    /// The same, of orders that are named by their client ids.
    pub fn prefetch_named(&self, owner: AccountId, client_ids: impl IntoIterator<Item = u64>) {
        if self.is_large() {
            self.read(client_ids.into_iter().map(|id| self.client_ids.get(owner, id)));
        }
    }

    /// To be told which orders will come next: reads what they will be queued behind, and where their client ids will be.
    /// Otherwise as [`Book::prefetch`].
    pub fn prefetch_new(&self, orders: impl IntoIterator<Item = Upcoming>) {
        if !self.is_large() {
            return;
        }
        let behind = |order: Upcoming| {
            let Upcoming { owner, side, price_ticks, client_id } = order;
            let ladder = &self.ladders[side as usize];
            let last = ladder.level(ladder.find(key_of(side, price_ticks))).tail;
            let named = if client_id == 0 { 0 } else { self.client_ids.touch(owner, client_id) };
            let newest = self.owners.get(owner).newest;
            named ^ self.orders.get(last).lots ^ self.orders.get(newest).lots
        };
        std::hint::black_box(orders.into_iter().map(behind).fold(0, |sum, word| sum ^ word));
    }

    /// Reads orders, those around them, and where their client ids are.
    fn read(&self, found: impl Iterator<Item = Option<u32>>) {
        let mut found = found.fuse();
        loop {
            let mut slots = [NONE; AT_ONCE];
            let mut count = 0;
            for (slot, found) in slots.iter_mut().zip(&mut found) {
                *slot = found.unwrap_or(NONE);
                count += 1;
            }
            let slots = &slots[..count];
            let touch = |slot: &u32| self.orders.get(*slot).lots;
            std::hint::black_box(slots.iter().map(touch).fold(0, |sum, word| sum ^ word));
            let neighbours = |slot: &u32| {
                let Order { next, prev, older, newer, .. } = *self.orders.get(*slot);
                let queue = self.orders.get(prev).lots ^ self.orders.get(next).lots;
                queue ^ self.orders.get(older).lots ^ self.orders.get(newer).lots
            };
            std::hint::black_box(slots.iter().map(neighbours).fold(0, |sum, word| sum ^ word));
            let named = |slot: &u32| {
                let order = self.orders.get(*slot);
                match order.client_id {
                    0 => 0,
                    client_id => self.client_ids.touch(order.owner, client_id),
                }
            };
            std::hint::black_box(slots.iter().map(named).fold(0, |sum, word| sum ^ word));
            if count < AT_ONCE {
                return;
            }
        }
    }
}
