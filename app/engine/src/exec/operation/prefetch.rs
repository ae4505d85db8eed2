//! Prefetching for large books: a transaction waits for memory once and not for each order.

use tidemark_matching::Prefetch;
use tidemark_proto::types::{CancelBy, Operation};
use tidemark_proto::units::{AccountId, MarketId};

use crate::state::State;

/// Prefetches into the cache the memory of the large books that those of the operations will touch
/// which come now. Changes no state; if no such book is large, returns after a check of each
/// operation.
pub(crate) fn prefetch(
    state: &State,
    account: AccountId,
    operations: &[Operation],
    comes_now: impl Fn(&Operation) -> bool,
) {
    let is_large = |market: MarketId| {
        state.markets.get(market.index()).is_some_and(|slot| slot.book.is_large())
    };
    // Only markets that the operations name are looked at: a chain may have a thousand.
    if !operations.iter().filter_map(Operation::market).any(is_large) {
        return;
    }
    for step in Prefetch::STEPS {
        for operation in operations.iter().filter(|operation| comes_now(operation)) {
            let (market, named) = match operation {
                Operation::Cancel { market, order } | Operation::Replace { market, order, .. } => {
                    (*market, *order)
                }
                // Whether its client id is free is the first thing asked of a new order.
                Operation::Place(order) if step == Prefetch::Index => {
                    (order.market, CancelBy::Client(order.client_id))
                }
                _ => continue,
            };
            let Some(slot) = state.markets.get(market.index()) else { continue };
            match named {
                CancelBy::Order(id) => slot.book.prefetch(step, id),
                CancelBy::Client(id) => slot.book.prefetch_named(step, account, id),
            }
        }
    }
}
