//! A live order by the id that an operation names.

use tidemark_matching::OrderView;
use tidemark_proto::types::CancelBy;
use tidemark_proto::units::{AccountId, MarketId, OrderId};

use crate::exec::later::LaterOrders;
use crate::refusal::Refusal;
use crate::state::State;

/// A live order that an operation names.
pub(crate) enum LiveOrder {
    /// An order on the book.
    Resting(OrderView),
    /// A conditional order, which is off the book.
    Waiting(OrderId),
}

impl LiveOrder {
    /// Its id.
    pub(crate) const fn id(&self) -> OrderId {
        match self {
            Self::Resting(order) => order.order_id,
            Self::Waiting(order_id) => *order_id,
        }
    }
}

/// Returns the live order of an account that an operation names by its id or client id; not one of
/// those that the account has placed `later`.
pub(crate) fn find(
    state: &State,
    later: &LaterOrders,
    account: AccountId,
    market: MarketId,
    order: CancelBy,
) -> Result<LiveOrder, Refusal> {
    state.market(market)?;
    let (book, waiting) =
        (&state.markets.slot(market).book, &state.markets.slot(market).conditional);
    let (resting, waits) = match order {
        CancelBy::Order(id) => (book.order(id), waiting.get(id)),
        CancelBy::Client(id) => {
            (book.order_by_client_id(account, id), waiting.by_client_id(account, id))
        }
    };
    let resting = resting.filter(|order| order.owner == account).map(LiveOrder::Resting);
    let waits = waits.filter(|order| order.account == account && order.waits());
    resting
        .or(waits.map(|order| LiveOrder::Waiting(order.order_id)))
        .filter(|order| !later.contains(market, order.id()))
        .ok_or(Refusal::UnknownOrder { order, market })
}

pub(crate) fn is_pegged(state: &State, market: MarketId, order: &OrderView) -> bool {
    state.markets.slot(market).conditional.pegged(order.order_id).is_some()
}
