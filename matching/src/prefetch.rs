//! Brings orders into the cache before they are asked for.

use tidemark_proto::units::OrderId;

use crate::arena::{Order, NONE};
use crate::book::Book;
use crate::ladder::key_of;
use crate::types::NewOrder;

/// Live orders from which prefetching does anything: below, the book is in the cache anyhow.
const WORTH_IT: u32 = 100_000;
/// Orders looked up together; more would push each other out of the first cache before they are used.
const AT_ONCE: usize = 64;

// Each pass is plain loads that do not wait for one another, only for those of the pass before.
impl Book {
    /// To be told which orders the next operations will cancel or replace, up to a few hundred: it reads them and their
    /// neighbours in the queues, so that a large book waits for memory once for many orders and not for each.
    /// Changes nothing; ids that are not live are passed over.
    pub fn prefetch(&self, order_ids: impl IntoIterator<Item = OrderId>) {
        if self.live_orders() < WORTH_IT {
            return;
        }
        let mut ids = order_ids.into_iter().fuse();
        loop {
            let mut slots = [NONE; AT_ONCE];
            let mut count = 0;
            for (slot, id) in slots.iter_mut().zip(&mut ids) {
                *slot = self.ids.get(id).unwrap_or(NONE);
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

    /// To be told which orders will come next: reads what they will be queued behind, and where their client ids will be.
    /// Otherwise as [`Book::prefetch`].
    pub fn prefetch_new(&self, orders: impl IntoIterator<Item = NewOrder>) {
        if self.live_orders() < WORTH_IT {
            return;
        }
        let behind = |order: NewOrder| {
            let NewOrder { owner, side, price_ticks, client_id, .. } = order;
            let ladder = &self.ladders[side as usize];
            let last = ladder.level(ladder.find(key_of(side, price_ticks))).tail;
            let named = if client_id == 0 { 0 } else { self.client_ids.touch(owner, client_id) };
            let newest = self.owners.get(owner).newest;
            named ^ self.orders.get(last).lots ^ self.orders.get(newest).lots
        };
        std::hint::black_box(orders.into_iter().map(behind).fold(0, |sum, word| sum ^ word));
    }
}
