//! Checks of a batch before any part of it is carried out
//! ([ADR 10](../../../../../docs/adr/0010-batches-checked-whole.md)).
//!
//! Cancels are carried out first, so the orders of a batch are checked against the books without
//! the orders that it cancels. An order whose acceptance depends on another of the batch is refused
//! as `BATCH_DEPENDENT`; then the order in which they run does not matter, and margin for all of
//! them together covers each in turn (the reserve lemma, rules §3.7).

use std::collections::BTreeMap;

use tidemark_matching::OrderView;
use tidemark_proto::types::gas::NAMED;
use tidemark_proto::types::{CancelBy, NewLots, Operation, Place, PostOnly, Scale};
use tidemark_proto::units::{AccountId, Atoms, ClientId, Lots, MarketId, OrderId, Side};

use crate::exec::account::health::OrderChange;
use crate::exec::account::{cost, health, lookup};
use crate::exec::collateral::isolated;
use crate::exec::later::LaterOrders;
use crate::exec::meter::Meter;
use crate::exec::operation::cancel_schedule;
use crate::exec::operation::market_plan::{BestPrices, FailedOperation, MarketPlan, PlannedOrder};
use crate::exec::operation::purse::Purse;
use crate::exec::operation::taker;
use crate::exec::order::conditional::enter;
use crate::exec::order::find::LiveOrder;
use crate::exec::order::replace::Replacement;
use crate::exec::order::{admission, checks, ended, find};
use crate::refusal::{Dependence, Refusal};
use crate::state::conditional::Conditional;
use crate::state::State;

/// The orders of a batch, before any is placed.
pub(crate) struct Plan<'a> {
    pub markets: BTreeMap<MarketId, MarketPlan>,
    /// Orders that the batch may not name.
    later: &'a LaterOrders,
}

impl<'a> Plan<'a> {
    /// A plan of nothing yet.
    pub(crate) const fn new(later: &'a LaterOrders) -> Self {
        Self { markets: BTreeMap::new(), later }
    }

    /// Checks all operations of a batch.
    ///
    /// # Errors
    /// The first operation that would be refused, with its refusal.
    pub(crate) fn of(
        state: &mut State,
        later: &'a LaterOrders,
        purse: &mut Purse,
        (account, operations): (AccountId, &[Operation]),
    ) -> Result<(), FailedOperation> {
        let mut plan = Self::new(later);
        for (at, operation) in operations.iter().enumerate() {
            let elsewhere =
                operation.market().filter(|market| !isolated::is_cross(state, account, *market));
            if let Some(market) = elsewhere {
                return Err((at, Refusal::BatchDependent(Dependence::Isolated(market))));
            }
            plan.free(state, purse, account, operation).map_err(|refusal| (at, refusal))?;
        }
        for (at, operation) in operations.iter().enumerate() {
            plan.place(state, account, at, operation)?;
        }
        plan.check(state, purse, account)
    }

    /// Takes an operation that frees: cancels, reductions.
    fn free(
        &mut self,
        state: &State,
        purse: &mut Purse,
        account: AccountId,
        operation: &Operation,
    ) -> Result<(), Refusal> {
        match operation {
            Operation::Cancel { market, order } => self.cancel(state, account, *market, *order),
            Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks } => {
                let changes = Replacement {
                    price_ticks: *price_ticks,
                    lots: *lots,
                    trigger_price_ticks: *trigger_price_ticks,
                };
                self.reduce(state, account, *market, *order, changes)
            }
            Operation::CancelAll { market, side } => {
                self.cancel_all(state, purse, account, *market, *side)
            }
            _ => Ok(()),
        }
    }

    fn cancel_all(
        &mut self,
        state: &State,
        purse: &mut Purse,
        account: AccountId,
        market: Option<MarketId>,
        side: Option<Side>,
    ) -> Result<(), Refusal> {
        let markets = match market {
            Some(market) => vec![market],
            None => {
                cost::positions(&mut purse.meter, state, account)?;
                let positions = &lookup::account(state, account)?.positions;
                positions.iter().map(|entry| entry.market).collect()
            }
        };
        let is_meant = |order_side: Side| side.is_none_or(|side| side == order_side);
        for market in markets {
            let slot = state.market(market)?;
            for order in slot.book.orders_of(account) {
                // Once for the look, once for its end.
                purse.meter.charge(2 * NAMED)?;
                if is_meant(order.side) && !self.later.contains(market, order.order_id) {
                    self.leave(state, market, order)?;
                }
            }
            for order_id in slot.conditional.of(account) {
                purse.meter.charge(2 * NAMED)?;
                let side = slot.conditional.get(order_id).and_then(Conditional::side);
                if side.is_some_and(is_meant) && !self.later.contains(market, order_id) {
                    self.drop_with_pair(state, market, order_id)?;
                }
            }
        }
        Ok(())
    }

    fn cancel(
        &mut self,
        state: &State,
        account: AccountId,
        market: MarketId,
        order: CancelBy,
    ) -> Result<(), Refusal> {
        match find::find(state, self.later, account, market, order)? {
            LiveOrder::Resting(order) => self.leave(state, market, order),
            LiveOrder::Waiting(order_id) => self.drop_waiting(state, market, order_id),
        }
    }

    /// Names an order of the batch; a second operation on it depends on the first, and so does one
    /// on its partner.
    fn name(&mut self, state: &State, market: MarketId, order_id: OrderId) -> Result<(), Refusal> {
        let in_market = self.markets.entry(market).or_default();
        let goes_along = goes_along(state, market, order_id, in_market);
        if !in_market.named.insert(order_id) || goes_along {
            return Err(Refusal::BatchDependent(Dependence::NamedTwice(order_id)));
        }
        Ok(())
    }

    fn leave(&mut self, state: &State, market: MarketId, order: OrderView) -> Result<(), Refusal> {
        self.name(state, market, order.order_id)?;
        self.markets.entry(market).or_default().leaving.insert(order.order_id, order);
        Ok(())
    }

    fn drop_waiting(
        &mut self,
        state: &State,
        market: MarketId,
        order_id: OrderId,
    ) -> Result<(), Refusal> {
        self.name(state, market, order_id)?;
        self.drop_named(state, market, order_id);
        Ok(())
    }

    fn drop_named(&mut self, state: &State, market: MarketId, order_id: OrderId) {
        let order = state.markets.slot(market).conditional.get(order_id);
        let in_market = self.markets.entry(market).or_default();
        in_market.dropped.add(order.is_some_and(Conditional::only_reduces));
        if order.is_some_and(|order| order.entry != OrderId::NONE) {
            in_market.dropped_beside = in_market.dropped_beside.saturating_add(1);
        }
    }

    /// As part of a cancel-all, which takes both of a pair.
    fn drop_with_pair(
        &mut self,
        state: &State,
        market: MarketId,
        order_id: OrderId,
    ) -> Result<(), Refusal> {
        let in_market = self.markets.entry(market).or_default();
        if goes_along(state, market, order_id, in_market) {
            self.drop_named(state, market, order_id);
            return Ok(());
        }
        self.drop_waiting(state, market, order_id)
    }

    /// A replacement may only lower a resting order's quantity: any other is a cancel and a new
    /// order, which a batch can say.
    fn reduce(
        &mut self,
        state: &State,
        account: AccountId,
        market: MarketId,
        order: CancelBy,
        changes: Replacement<NewLots>,
    ) -> Result<(), Refusal> {
        let found = find::find(state, self.later, account, market, order)?;
        let Replacement { price_ticks, lots, trigger_price_ticks } =
            changes.of(state, market, &found);
        if lots == Some(Lots::ZERO) {
            return self.cancel(state, account, market, order);
        }
        let LiveOrder::Resting(order) = found else {
            return Err(Refusal::BatchDependent(Dependence::ReplacesWaiting));
        };
        let same_price = price_ticks.is_none_or(|price| price == order.price_ticks);
        if !same_price || lots.is_none_or(|lots| lots > order.lots) || trigger_price_ticks.is_some()
        {
            return Err(Refusal::BatchDependent(Dependence::ReplacesMore { lots: order.lots }));
        }
        self.name(state, market, order.order_id)
    }

    /// Takes an operation that places, with all that can be said of it alone.
    fn place(
        &mut self,
        state: &State,
        account: AccountId,
        at: usize,
        operation: &Operation,
    ) -> Result<(), FailedOperation> {
        let alone = |refusal| (at, refusal);
        match operation {
            Operation::Place(order) if order.trigger.is_some() => {
                enter::check(state, account, order).map_err(alone)?;
                self.claim_client_id(state, account, order.market, order.client_id)
                    .map_err(alone)?;
                self.wait(order.market, at, order.reduce_only);
                Ok(())
            }
            Operation::Place(order) if order.peg.is_some() => {
                Err(alone(Refusal::BatchDependent(Dependence::Pegged)))
            }
            Operation::Place(order) => self.intend(state, account, at, order).map_err(alone),
            Operation::Scale(scale) => self.ladder(state, account, at, scale),
            Operation::Twap(twap) => {
                enter::check_twap(state, account, twap).map_err(alone)?;
                self.claim_client_id(state, account, twap.market, twap.client_id).map_err(alone)?;
                self.wait(twap.market, at, twap.reduce_only);
                Ok(())
            }
            Operation::Oco(_) => Err(alone(Refusal::BatchDependent(Dependence::Pair))),
            Operation::Bracket(_) => Err(alone(Refusal::BatchDependent(Dependence::Bracket))),
            Operation::ScheduleCancelAll { at_ms } => {
                cancel_schedule::check(state, *at_ms).map_err(alone)
            }
            Operation::Cancel { .. } | Operation::Replace { .. } | Operation::CancelAll { .. } => {
                Ok(())
            }
        }
    }

    pub(crate) fn ladder(
        &mut self,
        state: &State,
        account: AccountId,
        at: usize,
        scale: &Scale,
    ) -> Result<(), FailedOperation> {
        for (number, rung) in scale.rungs().enumerate() {
            self.intend(state, account, at, &rung)
                .map_err(|refusal| (at, Refusal::Rung { number, refusal: Box::new(refusal) }))?;
        }
        Ok(())
    }

    fn intend(
        &mut self,
        state: &State,
        account: AccountId,
        at: usize,
        order: &Place,
    ) -> Result<(), Refusal> {
        let ready = checks::terms(state, order)?;
        checks::check_worth(state, account, order)?;
        self.claim_client_id(state, account, order.market, order.client_id)?;
        // Whether a frozen account's order reduces at its zero price or better is for an order by
        // itself to ask.
        lookup::check_not_frozen(state, account)?;
        if order.reduce_only {
            checks::check_reduces(lookup::held(state, account, order.market), order.side)?;
        } else {
            checks::check_reviewed(state, account, order.market)?;
            checks::check_fresh(state, order.market)?;
        }
        self.markets.entry(order.market).or_default().placed.push(PlannedOrder {
            at,
            order: *order,
            ready,
        });
        Ok(())
    }

    fn wait(&mut self, market: MarketId, at: usize, is_exit: bool) {
        let in_market = self.markets.entry(market).or_default();
        in_market.waits.add(is_exit);
        in_market.first_wait.get_or_insert(at);
        if is_exit {
            in_market.first_exit.get_or_insert(at);
        }
    }

    /// A client id is of one new order only, and of none that lives or has ended lately: neither of
    /// one that the batch cancels.
    fn claim_client_id(
        &mut self,
        state: &State,
        account: AccountId,
        market: MarketId,
        client_id: ClientId,
    ) -> Result<(), Refusal> {
        if client_id == ClientId::NONE {
            return Ok(());
        }
        let in_market = self.markets.entry(market).or_default();
        let slot = state.market(market)?;
        let resting = slot.book.order_by_client_id(account, client_id).map(|order| order.order_id);
        let waiting = slot.conditional.by_client_id(account, client_id).map(|order| order.order_id);
        if let Some(live) = resting.or(waiting) {
            return Err(checks::duplicate_client_id(client_id, live));
        }
        ended::check(state, account, market, client_id)?;
        if in_market.client_ids.insert(client_id) {
            return Ok(());
        }
        Err(Refusal::ClientIdTwice(client_id))
    }

    /// Checks the operations together.
    pub(crate) fn check(
        &self,
        state: &mut State,
        purse: &mut Purse,
        account: AccountId,
    ) -> Result<(), FailedOperation> {
        let mut best = Vec::with_capacity(self.markets.len());
        for (market, in_market) in &self.markets {
            let prices = in_market.best(state, &mut purse.meter, *market);
            let prices = prices.map_err(|refusal| (in_market.first(), refusal))?;
            in_market.check(state, purse, account, (*market, &prices))?;
            best.push(prices);
        }
        self.check_margin(state, purse, account, &best)
    }

    /// Pays for the check of all orders together, and for that of each when it is placed.
    fn pay_for_margin(
        &self,
        state: &State,
        purse: &mut Purse,
        account: AccountId,
    ) -> Result<(), Refusal> {
        let of = |plan: &MarketPlan| {
            (plan.placed.len() as u64).saturating_add(plan.waits.increasing().into())
        };
        let placed: u64 = self.markets.values().map(of).sum();
        let mut once = Meter::default();
        cost::margin(&mut once, state, account)?;
        purse.meter.charge(once.spent().saturating_mul(placed).saturating_add(once.spent()))
    }

    /// Returns true if a walk can say what one order of a market costs. It knows the rate that open
    /// interest raises for its own order, not what the others ask for once it has traded; and it
    /// would meet the account's own orders that the batch takes out, or lowers.
    fn walk_decides(&self, state: &State, market: MarketId, raise: Atoms) -> bool {
        let book = &state.markets.slot(market).book;
        let mut named = self.markets.get(&market).into_iter().flat_map(|plan| &plan.named);
        raise.is_zero() && named.all(|order_id| book.order(*order_id).is_none())
    }

    /// Checks that free collateral covers all orders together, without those that leave. `best` are
    /// the best prices by market.
    fn check_margin(
        &self,
        state: &mut State,
        purse: &mut Purse,
        account: AccountId,
        best: &[BestPrices],
    ) -> Result<(), FailedOperation> {
        let of = |plan: &MarketPlan| {
            let waits = plan.first_wait.filter(|_| plan.waits.increasing() > 0);
            plan.placed.iter().map(|intended| intended.at).chain(waits).min()
        };
        let Some(at) = self.markets.values().filter_map(of).min() else { return Ok(()) };
        let failed = |refusal| (at, refusal);
        self.pay_for_margin(state, purse, account).map_err(failed)?;
        let mut row = lookup::account(state, account).map_err(failed)?.clone();
        let (mut changes, mut takers) = (Vec::new(), Vec::new());
        for ((market, plan), best) in self.markets.iter().zip(best) {
            row.position_mut(*market);
            let none = OrderChange::none(*market);
            let change = |add, remove| OrderChange { add, remove, ..none };
            let waits = i64::from(plan.waits.increasing());
            let dropped = i64::from(plan.dropped.increasing()).saturating_neg();
            changes.extend([waits, dropped].map(|waits| OrderChange { waits, ..none }));
            let held = lookup::held(state, account, *market);
            for planned in &plan.placed {
                let PlannedOrder { order, ready, .. } = planned;
                let best_ticks = best.opposite(order.side);
                let open = admission::open_order(order, ready.price_ticks, || Ok(best_ticks));
                let open = admission::part(open.map_err(failed)?, held);
                let rests = checks::rests(ready.time_in_force);
                if order.post_only == PostOnly::Off && (!rests || open.crosses(best_ticks)) {
                    takers.push((changes.len(), planned, open));
                }
                changes.push(change(Some(open), None));
            }
            changes.extend(
                plan.leaving.values().map(|order| change(None, Some(health::open_order(order)))),
            );
        }
        let health = health::health_with(state, &row, account, &changes).map_err(failed)?;
        let raise = MarketPlan::raise_all(&self.markets, state, (account, &row), &changes);
        let raise = raise.map_err(failed)?;
        let free = health.free_atoms().saturating_sub(raise);
        if !free.is_negative() {
            return Ok(());
        }
        let covered = isolated::cover(state, account, free.saturating_neg());
        let Err(refusal) = covered else { return Ok(()) };
        // The cost of one order that takes is known from a walk; of two it depends on both.
        let [(index, planned, order)] = takers[..] else { return Err(failed(refusal)) };
        if !self.walk_decides(state, planned.order.market, raise) {
            return Err((planned.at, refusal));
        }
        changes.remove(index);
        taker::check(state, purse, (account, &row), &changes, (planned, order), &refusal)
            .map_err(|refusal| (planned.at, refusal))
    }
}

/// Returns true if a batch names the pair or the entry of an order, which may take it along.
fn goes_along(state: &State, market: MarketId, order_id: OrderId, plan: &MarketPlan) -> bool {
    let order = state.markets.slot(market).conditional.get(order_id);
    let named = |other: OrderId| plan.named.contains(&other);
    order.is_some_and(|order| named(order.partner) || named(order.entry))
}
