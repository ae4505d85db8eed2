//! Phase 7: last trades, best prices, and the books' changes.

use tidemark_oracle::mark::LastTrade;
use tidemark_proto::units::Side;

use crate::events::{BlockEvents, BookDelta, Event};
use crate::exec::order::live_orders::LiveOrders;
use crate::state::State;

/// Phase 7: records last trades and best prices, and reports the books' changes.
pub(crate) fn statistics(state: &mut State, out: &mut BlockEvents) {
    for event in &out.events {
        if let Event::Fill(fill) = event {
            let last = LastTrade { price_ticks: fill.price_ticks, time_ms: state.chain.time_ms };
            state.markets.slot_mut(fill.market).cell.last_trade = Some(last);
        }
    }
    let live = LiveOrders {
        danger: &state.danger,
        accounts: &state.accounts,
        now_ms: state.chain.time_ms,
    };
    for slot in state.markets.iter_mut() {
        let (cell, book) = (&mut slot.cell, &mut slot.book);
        cell.top = (
            book.live_levels(Side::Buy, &live).next().map(|level| level.price_ticks),
            book.live_levels(Side::Sell, &live).next().map(|level| level.price_ticks),
        );
        let dirty = book.take_dirty_levels();
        if dirty.is_empty() {
            continue;
        }
        cell.book_sequence = cell.book_sequence.saturating_add(1);
        let mut delta = BookDelta {
            market: cell.market.params.id,
            l2_root: book.l2_root(),
            l3_root: book.l3_root(),
            next_order_id: book.next_order_id(),
            ..BookDelta::default()
        };
        for level in dirty {
            let side = match level.side {
                Side::Buy => &mut delta.bids,
                Side::Sell => &mut delta.asks,
            };
            side.push((level.price_ticks, level.lots, level.count));
        }
        out.books.push(delta);
    }
}
