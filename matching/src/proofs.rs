//! Proofs of single orders and levels: what is hashed on the way from one to its root.

#![expect(clippy::indexing_slicing, reason = "levels and pages come from their tables")]

use tidemark_proto::units::{OrderId, Side, Ticks};

use crate::arena::NONE;
use crate::book::Book;
use crate::commit::{put_group, put_page, GROUP_BYTES};
use crate::ladder::key_of;
use crate::page::{page_offset, GROUP_BITS};

impl Book {
    /// Returns what is hashed from a live order to [`Book::l3_root`]: its group, the nodes above,
    /// the root. The SHA-256 of each stands in the next, that of the last is the root. `None` if
    /// there is no such order.
    pub fn order_proof(&mut self, order_id: OrderId) -> Option<Vec<Vec<u8>>> {
        self.ids.get(order_id)?;
        self.l3_root();
        let (slots, nodes) = self.order_tree.path(order_id);
        let mut group = [0; GROUP_BYTES];
        let end = self.write_orders(&slots, &mut group);
        let mut steps = vec![group[..end].to_vec()];
        steps.extend(nodes);
        steps.push(self.l3_root_bytes().to_vec());
        Some(steps)
    }

    /// Returns what is hashed from a level to [`Book::l2_root`]: its group, its page, the root,
    /// each as for [`Book::order_proof`]. `None` if the level has no order.
    pub fn level_proof(&mut self, side: Side, price_ticks: Ticks) -> Option<Vec<Vec<u8>>> {
        self.l2_root();
        let (ladder, key) = (self.ladders.get(side), key_of(side, price_ticks));
        let level = ladder.find(key);
        if level == NONE {
            return None;
        }
        let page = &ladder.pages[self.levels.get(level).page() as usize];
        let mut steps = vec![Vec::new(); 3];
        let group = page_offset(key) >> GROUP_BITS;
        put_group(page, &self.levels, group, |bytes| steps[0].extend_from_slice(bytes));
        put_page(page, |bytes| steps[1].extend_from_slice(bytes));
        self.put_l2_root(|bytes| steps[2].extend_from_slice(bytes));
        Some(steps)
    }
}
