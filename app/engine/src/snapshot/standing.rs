//! The orders of a state as events tell them: what a watcher that begins with a snapshot learns.

use tidemark_proto::units::Side;

use crate::events::Event;
use crate::state::conditional::shown;
use crate::state::MarketSlot;

/// Tells each order of a market: those on the book as [`Event::Rested`], bids first, each level
/// best first and in the order of its queue; then those that wait, as [`Event::Conditional`].
pub fn tell_orders(slot: &MarketSlot, mut tell: impl FnMut(&Event)) {
    let market = slot.cell.market.params.id;
    for side in [Side::Buy, Side::Sell] {
        let levels = slot.book.levels(side);
        for order in levels.flat_map(|level| slot.book.queue(side, level.price_ticks)) {
            let pegged = slot.conditional.pegged(order.order_id);
            tell(&Event::rested(market, &order, pegged));
        }
    }
    for order in slot.conditional.iter().filter(|order| order.waits()) {
        tell(&Event::Conditional { account: order.account, order: shown(market, order) });
    }
}
