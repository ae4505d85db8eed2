//! Orders that trade: those that are not dead (rules §7.13), and the best prices of them.

use tidemark_matching::{Event as BookEvent, Host, DEPTH_VISITS};
use tidemark_proto::defence::Defence;
use tidemark_proto::types::gas::LOOK;
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side, Ticks, TimeMs};
use tidemark_proto::Code;
use tidemark_risk::Account;

use crate::exec::meter::Meter;
use crate::refusal::Refusal;
use crate::state::table::TableView;
use crate::state::{Danger, State};

/// The book's orders as they count for prices: without the dead ones (rules §7.13).
pub(crate) struct LiveOrders<'a> {
    pub danger: &'a Danger,
    pub accounts: &'a TableView<AccountId, Account>,
    pub now_ms: TimeMs,
}

impl<'a> LiveOrders<'a> {
    pub(crate) fn of(state: &'a State) -> Self {
        Self { danger: &state.danger, accounts: &state.accounts, now_ms: state.chain.time_ms }
    }
}

impl Host for LiveOrders<'_> {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::ZERO
    }

    fn event(&mut self, _: BookEvent) {}

    fn any_dead(&self) -> bool {
        self.danger.any_frozen()
    }

    fn why_dead(&self, owner: AccountId, reduce_only: bool) -> Option<Code> {
        why_dead(self.danger, self.accounts, owner, reduce_only)
    }

    fn now_ms(&self) -> TimeMs {
        time_of_expiry(self.now_ms)
    }
}

/// The time by which orders are past theirs.
pub(crate) fn time_of_expiry(now_ms: TimeMs) -> TimeMs {
    if Defence::Expiry.stands() {
        now_ms
    } else {
        TimeMs::ZERO
    }
}

/// Returns why an order is dead: its account is frozen, and it may increase exposure.
pub(crate) fn why_dead(
    danger: &Danger,
    accounts: &TableView<AccountId, Account>,
    owner: AccountId,
    reduce_only: bool,
) -> Option<Code> {
    (!reduce_only && danger.is_frozen(owner, accounts)).then_some(Code::AccountFrozen)
}

/// A side's best price of a market, of orders that trade and do not leave. Looks past the others
/// are paid for.
///
/// # Errors
/// `OUT_OF_GAS`.
pub(crate) fn best_live(
    meter: &mut Meter,
    state: &State,
    (market, side): (MarketId, Side),
    leaves: impl Fn(OrderId) -> bool,
) -> Result<Option<Ticks>, Refusal> {
    let live = LiveOrders::of(state);
    let affordable = meter.affords(LOOK);
    let book = &state.markets.slot(market).book;
    let best = book.best_live(side, &live, affordable.min(DEPTH_VISITS), leaves);
    meter.pay(best.visits, LOOK);
    if best.is_cut && best.visits == affordable {
        return Err(Refusal::OutOfGas { needed: LOOK, left: meter.left() });
    }
    Ok(best.price_ticks)
}
