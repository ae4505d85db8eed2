//! Tells large books what a transaction is about before it is carried out, so that they wait for memory once and not for each
//! order.

use tidemark_matching::Upcoming;
use tidemark_proto::tx::{CancelBy, Operation};
use tidemark_proto::units::{AccountId, MarketId};

use crate::state::State;

/// Changes nothing; without large books it costs a look at each market.
pub(super) fn foresee(state: &State, account: AccountId, operations: &[Operation]) {
    for (market, book) in state.books.iter().enumerate().filter(|(_, book)| book.is_large()) {
        let here = |other: MarketId| usize::from(other) == market;
        let changed = operations.iter().filter_map(|operation| match operation {
            Operation::Cancel { market, order } | Operation::Replace { market, order, .. } => {
                here(*market).then_some(*order)
            }
            _ => None,
        });
        book.prefetch(changed.clone().filter_map(|order| match order {
            CancelBy::Order(id) => Some(id),
            CancelBy::Client(_) => None,
        }));
        book.prefetch_named(
            account,
            changed.filter_map(|order| match order {
                CancelBy::Client(id) => Some(id),
                CancelBy::Order(_) => None,
            }),
        );
        book.prefetch_new(operations.iter().filter_map(|operation| match operation {
            Operation::Place(order) if here(order.market) => Some(Upcoming {
                owner: account,
                side: order.side,
                price_ticks: order.price_ticks,
                client_id: order.client_id,
            }),
            _ => None,
        }));
    }
}
