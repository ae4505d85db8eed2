//! Lots that resting orders have traded (rules §2.9), counted again from the events of every block.

use std::collections::BTreeMap;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::state::State;
use tidemark_proto::units::{Lots, MarketId, OrderId};

use super::audit::{ensure, Finding};

/// Of each order on the book the lots of its fills are known, and of no other.
///
/// # Errors
/// A sentence naming the market where they are not.
pub fn known(before: &State, after: &State, events: &BlockEvents) -> Finding {
    let mut filled: BTreeMap<(MarketId, OrderId), Lots> = BTreeMap::new();
    for market in before.markets.ids() {
        let known = &before.markets.slot(market).filled;
        filled.extend(known.ids().map(|id| ((market, id), known.get(id))));
    }
    for event in &events.events {
        let Event::Fill(fill) = event else { continue };
        for order in [fill.maker_order_id, fill.taker_order_id] {
            *filled.entry((fill.market, order)).or_default() += fill.lots;
        }
    }
    for market in after.markets.ids() {
        let slot = after.markets.slot(market);
        let of_market = filled.range((market, OrderId::MIN)..=(market, OrderId::MAX));
        let lots = of_market.map(|((_, id), lots)| (*id, *lots));
        let expected: Vec<_> = lots.filter(|(id, _)| slot.book.order(*id).is_some()).collect();
        let known: Vec<_> = slot.filled.ids().map(|id| (id, slot.filled.get(id))).collect();
        ensure(known == expected, || {
            format!("market {market}: orders have traded {expected:?}, known is {known:?}")
        })?;
    }
    Ok(())
}
