//! An order before its admission.

use tidemark_matching::OrderView;
use tidemark_proto::units::{MarketId, OrderId, SignedLots};
use tidemark_risk::orders::OpenOrder;

use crate::exec::account::health::{self, OrderChange};
use crate::exec::order::checks;
use crate::refusal::Refusal;
use crate::state::State;

/// An order that is to be admitted.
#[derive(Clone, Copy)]
pub(crate) struct Incoming<'a> {
    pub market: MarketId,
    /// As margin sees it.
    pub order: OpenOrder,
    /// The resting order whose place it takes.
    pub replaced: Option<&'a OrderView>,
    /// True if it trades where it meets a maker.
    pub may_take: bool,
    /// True if it may come to rest.
    pub rests: bool,
}

impl Incoming<'_> {
    /// Returns true if the order may trade at once: it is immediate, or crosses the best opposite
    /// price, be it that of an order which does not trade.
    pub(crate) fn takes(&self, state: &State) -> bool {
        let crosses = || {
            let best = state.markets.slot(self.market).book.best(self.order.side.opposite());
            self.order.crosses(best.map(|level| level.price_ticks))
        };
        self.may_take && (!self.rests || crosses())
    }

    /// The change of the account's orders once all of it rests, or nothing of it.
    pub(crate) fn change(&self, add: Option<OpenOrder>) -> OrderChange {
        let remove = self.replaced.map(health::open_order);
        OrderChange { add, remove, ..OrderChange::none(self.market) }
    }

    /// The order whose place it takes, by name.
    pub(crate) fn replaced_id(&self) -> Option<(MarketId, OrderId)> {
        self.replaced.map(|order| (self.market, order.order_id))
    }

    /// True if nothing of it can increase exposure: it is marked so, or it trades at once or never,
    /// and is no larger than the position.
    pub(crate) fn only_reduces(&self, held: SignedLots) -> bool {
        only_reduces(&self.order, self.rests, held)
    }
}

/// As [`Incoming::only_reduces`], of an order by itself.
pub(crate) fn only_reduces(order: &OpenOrder, rests: bool, held: SignedLots) -> bool {
    let within =
        checks::check_reduces(held, order.side).is_ok() && order.lots <= held.unsigned_abs();
    order.reduce_only || (!rests && within)
}

/// How an order was admitted.
pub(crate) enum Admission {
    /// Free collateral covers it whole at its limit: its fills need no check.
    Whole,
    /// It does not, for this reason: each fill is to be admitted when it comes.
    ByFill(Refusal),
}
