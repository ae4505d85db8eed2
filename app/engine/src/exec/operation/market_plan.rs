//! The part of a batch in one market.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_matching::{Fillable, NewOrder, OrderView};
use tidemark_proto::types::{Place, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, Atoms, ClientId, Lots, MarketId, OrderId, Side, Ticks};
use tidemark_proto::Code;
use tidemark_risk::orders::OpenOrder;
use tidemark_risk::{Account, Market};

use crate::exec::account::health::OrderChange;
use crate::exec::account::{health, lookup};
use crate::exec::ctx::Ctx;
use crate::exec::meter::Meter;
use crate::exec::operation::purse::Purse;
use crate::exec::order::book_host::BookHost;
use crate::exec::order::checks::OrderTerms;
use crate::exec::order::conditional::enter;
use crate::exec::order::{admission, checks, incoming, live_orders};
use crate::refusal::{Dependence, Refusal};
use crate::state::State;

/// A refusal with the operation that it is of.
pub(crate) type FailedOperation = (usize, Refusal);

/// The orders of a batch in one market.
#[derive(Default)]
pub(crate) struct MarketPlan {
    /// Resting orders that it cancels.
    pub leaving: BTreeMap<OrderId, OrderView>,
    /// Every order that it names.
    pub named: BTreeSet<OrderId>,
    /// Orders that wait which it cancels.
    pub dropped: Waits,
    /// Those of them whose entry is on the book.
    pub dropped_beside: u32,
    /// Orders for the book.
    pub placed: Vec<PlannedOrder>,
    /// Orders that will wait, and the operations of the first, and of the first that only reduces.
    pub waits: Waits,
    pub first_wait: Option<usize>,
    pub first_exit: Option<usize>,
    pub client_ids: BTreeSet<ClientId>,
}

/// Counts of orders that wait.
#[derive(Clone, Copy, Default)]
pub(crate) struct Waits {
    pub all: u32,
    /// Those that only reduce.
    pub exits: u32,
}

impl Waits {
    /// Counts one more.
    pub(crate) fn add(&mut self, is_exit: bool) {
        self.all = self.all.saturating_add(1);
        self.exits = self.exits.saturating_add(is_exit.into());
    }

    /// Those that could increase.
    pub(crate) const fn increasing(self) -> u32 {
        self.all.saturating_sub(self.exits)
    }
}

/// An order for the book.
pub(crate) struct PlannedOrder {
    /// Its operation.
    pub at: usize,
    pub order: Place,
    pub ready: OrderTerms,
}

/// Best prices of a book.
pub(crate) struct BestPrices {
    bid_ticks: Option<Ticks>,
    ask_ticks: Option<Ticks>,
}

impl BestPrices {
    /// The best price of the side with which an order would trade.
    pub(crate) const fn opposite(&self, side: Side) -> Option<Ticks> {
        match side {
            Side::Buy => self.ask_ticks,
            Side::Sell => self.bid_ticks,
        }
    }
}

impl PlannedOrder {
    fn is_fill_or_kill(&self) -> bool {
        self.ready.time_in_force == TimeInForce::Fok
    }

    /// Returns true if its acceptance depends on position or book.
    fn depends(&self) -> bool {
        let order = &self.order;
        self.is_fill_or_kill() || order.reduce_only || order.post_only == PostOnly::Slide
    }
}

impl MarketPlan {
    /// The best price of each side without the orders that leave, and without dead ones; none where
    /// no order asks for it.
    ///
    /// # Errors
    /// `OUT_OF_GAS`.
    pub(crate) fn best(
        &self,
        state: &State,
        meter: &mut Meter,
        market: MarketId,
    ) -> Result<BestPrices, Refusal> {
        if self.placed.is_empty() {
            return Ok(BestPrices { bid_ticks: None, ask_ticks: None });
        }
        let leaves = |order_id| self.leaving.contains_key(&order_id);
        let mut best = |side| live_orders::best_live(meter, state, (market, side), leaves);
        Ok(BestPrices { bid_ticks: best(Side::Buy)?, ask_ticks: best(Side::Sell)? })
    }

    /// The first operation that places an order, or waits.
    pub(crate) fn first(&self) -> usize {
        self.placed.first().map(|intended| intended.at).or(self.first_wait).unwrap_or(0)
    }

    pub(crate) fn check(
        &self,
        state: &mut State,
        purse: &mut Purse,
        account: AccountId,
        (market, best): (MarketId, &BestPrices),
    ) -> Result<(), FailedOperation> {
        let at = self.first();
        self.check_room(state, account, market).map_err(|refusal| (at, refusal))?;
        self.check_interest(state, account, market).map_err(|refusal| (at, refusal))?;
        self.check_meeting()?;
        let takes = |intended: &&PlannedOrder| {
            let opposite = best.opposite(intended.order.side);
            let crosses = |price: Ticks| match intended.order.side {
                Side::Buy => intended.ready.price_ticks >= price,
                Side::Sell => intended.ready.price_ticks <= price,
            };
            !checks::rests(intended.ready.time_in_force) || opposite.is_some_and(crosses)
        };
        let dependent = self.dependent();
        for intended in self.placed.iter().filter(takes) {
            match intended.order.post_only {
                PostOnly::Reject => {
                    let best = best.opposite(intended.order.side).unwrap_or(Ticks::ZERO);
                    return Err((
                        intended.at,
                        Refusal::WouldCross {
                            price_ticks: intended.ready.price_ticks,
                            best_ticks: best,
                        },
                    ));
                }
                PostOnly::Slide => {}
                PostOnly::Off => {
                    self.check_taker(intended, dependent, state, purse, account, market)?;
                }
            }
        }
        Ok(())
    }

    /// The first two orders whose acceptance depends on position or book: of every other order, the
    /// first of them that is not itself is the first beside it.
    fn dependent(&self) -> [Option<&PlannedOrder>; 2] {
        let mut dependent = self.placed.iter().filter(|intended| intended.depends());
        [dependent.next(), dependent.next()]
    }

    /// Checks that the account has room for its new open orders.
    fn check_room(
        &self,
        state: &State,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Refusal> {
        let rest = self
            .placed
            .iter()
            .filter(|intended| checks::rests(intended.ready.time_in_force))
            .count();
        let more = u32::try_from(rest).unwrap_or(u32::MAX).saturating_add(self.waits.all);
        if more == 0 {
            return Ok(());
        }
        let leaving =
            u32::try_from(self.leaving.len()).unwrap_or(u32::MAX).saturating_add(self.dropped.all);
        let gone = self.dropped.exits.saturating_sub(self.dropped_beside);
        enter::check_exits(state, account, market, self.waits.exits, gone)?;
        checks::check_open_orders_without(state, account, market, more, leaving)?;
        [Side::Buy, Side::Sell].into_iter().try_for_each(|side| {
            let (more, gone) = self.reduce_only_orders(side);
            match more {
                0 => Ok(()),
                more => checks::check_reduce_only_room(state, account, (market, side), more, gone),
            }
        })
    }

    /// Reduce-only orders of a side that may come to rest, and those that leave.
    fn reduce_only_orders(&self, side: Side) -> (u32, u32) {
        let rest = self.placed.iter().filter(|intended| {
            let order = &intended.order;
            order.reduce_only && order.side == side && checks::rests(intended.ready.time_in_force)
        });
        let leave = self.leaving.values().filter(|order| order.reduce_only && order.side == side);
        let all = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (all(rest.count()), all(leave.count()))
    }

    /// The rise of the reserves of all markets of a batch by open interest.
    pub(crate) fn raise_all(
        markets: &BTreeMap<MarketId, Self>,
        state: &State,
        account: (AccountId, &Account),
        changes: &[OrderChange],
    ) -> Result<Atoms, Refusal> {
        markets.iter().try_fold(Atoms::ZERO, |sum, (market, plan)| {
            Ok(sum.saturating_add(plan.raise(state, account, *market, changes)?))
        })
    }

    /// The rise of the reserve by open interest once all orders are placed (rules §3.4).
    fn raise(
        &self,
        state: &State,
        (account, row): (AccountId, &Account),
        market: MarketId,
        changes: &[OrderChange],
    ) -> Result<Atoms, Refusal> {
        let held = lookup::held(state, account, market);
        // Each order asks for it by itself when it is placed: one that may rest could increase.
        let only_reduces = |planned: &PlannedOrder| {
            let Place { side, lots, reduce_only, .. } = planned.order;
            let order =
                OpenOrder { side, price_ticks: planned.ready.price_ticks, lots, reduce_only };
            incoming::only_reduces(&order, checks::rests(planned.ready.time_in_force), held)
        };
        if self.placed.iter().all(only_reduces) {
            return Ok(Atoms::ZERO);
        }
        let added = u64::try_from(self.added_interest(state, account, market));
        let added = added.map_or(Lots::MAX, Lots::new);
        let interest = |of: &Market| of.open_interest_lots.saturating_add(added);
        health::raise(state, row, account, (market, changes), interest)
    }

    /// The most that all orders together may add to open interest.
    fn added_interest(&self, state: &State, account: AccountId, market: MarketId) -> u128 {
        let held = lookup::held(state, account, market);
        let mut increase = 0_u128;
        for side in [Side::Buy, Side::Sell] {
            let of_side = self.placed.iter().map(|intended| &intended.order);
            let of_side = of_side.filter(|order| order.side == side && !order.reduce_only);
            let lots: u128 = of_side.map(|order| u128::from(order.lots.get())).sum();
            if lots > 0 {
                increase = increase.saturating_add(checks::added_interest(held, side, lots));
            }
        }
        increase
    }

    /// Checks that open interest may grow by all orders together.
    fn check_interest(
        &self,
        state: &State,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Refusal> {
        let increase = self.added_interest(state, account, market);
        if increase == 0 {
            return Ok(());
        }
        checks::check_open_interest(state, market, increase)
    }

    /// Checks that no two orders of the batch would meet.
    fn check_meeting(&self) -> Result<(), FailedOperation> {
        let of_side = |side| self.placed.iter().filter(move |intended| intended.order.side == side);
        let price = |intended: &&PlannedOrder| intended.ready.price_ticks;
        let (buy, sell) =
            (of_side(Side::Buy).max_by_key(price), of_side(Side::Sell).min_by_key(price));
        match (buy, sell) {
            (Some(buy), Some(sell)) if buy.ready.price_ticks >= sell.ready.price_ticks => Err((
                buy.at.max(sell.at),
                Refusal::BatchDependent(Dependence::Meeting {
                    buy_ticks: buy.ready.price_ticks,
                    sell_ticks: sell.ready.price_ticks,
                }),
            )),
            _ => Ok(()),
        }
    }

    /// An order that may trade at once changes the position and the other side: beside it only
    /// orders whose acceptance depends on neither may be placed.
    fn check_taker(
        &self,
        taker: &PlannedOrder,
        dependent: [Option<&PlannedOrder>; 2],
        state: &mut State,
        purse: &mut Purse,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), FailedOperation> {
        let mut others = dependent.into_iter().flatten().filter(|one| !std::ptr::eq(*one, taker));
        let alone = self.placed.len() == 1;
        let touched =
            others.next().map(|other| other.at).or((!alone && taker.depends()).then_some(taker.at));
        if let Some(at) = touched.or(self.first_exit) {
            return Err((
                at,
                Refusal::BatchDependent(Dependence::BesideTaker {
                    price_ticks: taker.ready.price_ticks,
                    market,
                }),
            ));
        }
        if !taker.is_fill_or_kill() {
            return Ok(());
        }
        if !self.leaving.is_empty() {
            return Err((taker.at, Refusal::BatchDependent(Dependence::FillOrKillBesideCancel)));
        }
        self.check_fillable(taker, state, purse, account, market)
            .map_err(|refusal| (taker.at, refusal))
    }

    fn check_fillable(
        &self,
        taker: &PlannedOrder,
        state: &mut State,
        purse: &mut Purse,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Refusal> {
        let order = admission::new_order(state, &purse.meter, account, &taker.order, taker.ready)?;
        let mut ctx = Ctx::new(state);
        let (book, mut host) = BookHost::split(&mut ctx, market);
        let request = NewOrder { max_visits: purse.makers(taker.at), ..order };
        let Fillable { lots: fillable_lots, visits, stop } =
            book.fillable_lots(&request, &mut host);
        purse.meter.pay_for_makers(visits);
        if fillable_lots >= order.lots {
            return Ok(());
        }
        Err(match stop {
            Some(Code::OutOfGas) => Refusal::FillOrKillOutOfGas { lots: order.lots, visits },
            _ => Refusal::NotFillable { lots: order.lots, fillable_lots },
        })
    }
}
