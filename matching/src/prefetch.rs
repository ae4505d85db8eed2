//! Brings orders into the cache before they are asked for.

use tidemark_proto::units::OrderId;

use crate::arena::{Kin, Order, NONE};
use crate::book::Book;

/// Live orders from which [`Book::prefetch`] does anything: below, the book is in the cache anyhow.
const WORTH_IT: u32 = 100_000;
/// Orders looked up together; more would push each other out of the first cache before they are used.
const AT_ONCE: usize = 64;

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
            // Each pass is plain loads that do not wait for one another.
            let mut slots = [NONE; AT_ONCE];
            let mut count = 0;
            for (slot, id) in slots.iter_mut().zip(&mut ids) {
                *slot = self.ids.get(id).unwrap_or(NONE);
                count += 1;
            }
            let mut sum = 0_u64;
            let mut neighbours = [[NONE; 4]; AT_ONCE];
            for (neighbours, slot) in neighbours.iter_mut().zip(&slots[..count]) {
                let (Order { prev, next, .. }, Kin { older, newer }) =
                    (*self.orders.get(*slot), self.orders.kin(*slot));
                *neighbours = [prev, next, older, newer];
            }
            for [prev, next, older, newer] in &neighbours[..count] {
                let queue = self.orders.get(*prev).lots ^ self.orders.get(*next).lots;
                let kin = self.orders.kin(*older).older ^ self.orders.kin(*newer).newer;
                sum = sum.wrapping_add(queue ^ u64::from(kin));
            }
            std::hint::black_box(sum);
            if count < AT_ONCE {
                return;
            }
        }
    }
}
