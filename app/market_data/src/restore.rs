//! The replica of a state that was read from a snapshot.

use std::sync::{Arc, PoisonError};

use tidemark_engine::snapshot::tell_orders;
use tidemark_engine::state::{MarketSlot, State};
use tidemark_proto::units::{Side, TimeMs};
use tidemark_proto::v1;

use super::book::L2Book;
use super::order_book::L3Book;
use super::{MarketData, Replica};

impl MarketData {
    /// Begins with a state instead of the first block: the next block to be applied is the one
    /// after it. What lies before it is in the event log, as far as that reaches.
    pub fn restore(self: &Arc<Self>, state: &mut State) {
        let height = state.chain.height;
        {
            let mut guard = self.replica.write().unwrap_or_else(PoisonError::into_inner);
            let replica = &mut *guard;
            *replica = Replica { height, ..Replica::default() };
            for slot in state.markets.iter_mut() {
                replica.books.push(levels(slot));
                replica.order_books.push(orders(slot));
                tell_orders(slot, |event| replica.orders.apply(event));
            }
        }
        if let Some(log) = &self.log {
            log.state.reached(height.saturating_add(1));
        }
        self.height.send_replace(height);
    }
}

fn levels(slot: &mut MarketSlot) -> L2Book {
    let root = slot.book.l2_root();
    let of = |side| {
        let levels = slot.book.levels(side);
        levels.map(|level| (level.price_ticks, (level.lots, level.count))).collect()
    };
    L2Book::restored([of(Side::Buy), of(Side::Sell)], slot.cell.book_sequence, root)
}

fn orders(slot: &mut MarketSlot) -> L3Book {
    let (root, next_order_id) = (slot.book.l3_root(), slot.book.next_order_id());
    let book = &slot.book;
    let of = |side| {
        let levels = book.levels(side);
        levels.flat_map(move |level| book.queue(side, level.price_ticks))
    };
    let mut replica = L3Book::restored(root, next_order_id);
    for order in of(Side::Buy).chain(of(Side::Sell)) {
        replica.restore_order(v1::RestingOrder {
            order_id: order.order_id.get(),
            account: order.owner.get(),
            side: v1::Side::from(order.side).into(),
            price_ticks: order.price_ticks.get(),
            shown_lots: order.shown_lots().get(),
            hidden_lots: order.hidden_lots.get(),
            display_lots: order.display_lots.get(),
            reduce_only: order.reduce_only,
            post_only: v1::PostOnly::from(order.post_only).into(),
            client_id: order.client_id.get(),
            expires_ms: order.expires_ms.map_or(0, TimeMs::get),
        });
    }
    replica
}
