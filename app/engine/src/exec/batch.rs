//! Operations that are accepted together or not at all: everything is checked before anything is
//! carried out ([ADR 10](../../../docs/adr/0010-batches-checked-whole.md)).
//!
//! Cancels are carried out first, so the orders of a batch are checked against the books without
//! what it cancels. Whatever one order may do to another's acceptance is refused as
//! `BATCH_DEPENDENT`; then the order in which they run does not matter, and margin for all of them
//! together covers each in turn (the reserve lemma, rules §3).

use crate::exec::ctx::Ctx;
use std::collections::{BTreeMap, BTreeSet};

use tidemark_matching::{Book, OrderView};
use tidemark_proto::types::{
    CancelBy, Operation, OperationResult, Place, PostOnly, Scale, TimeInForce,
};
use tidemark_proto::units::{AccountId, MarketId, OrderId, Side, Ticks};
use tidemark_proto::{Code, Refusal};

use super::conditional::{self, Changes};
use super::isolated;
use super::margin::{self, Change};
use super::orders::{self, Found, Ready};
use super::venue::BookHost;
use crate::state::State;

/// Places a ladder, all rungs or none.
///
/// # Errors
/// The refusal of the first rung that would not be accepted.
pub(super) fn scale(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    scale: &Scale,
) -> Result<OperationResult, Refusal> {
    let mut plan = Plan::default();
    plan.ladder(ctx.exchange, account, 0, scale)
        .and_then(|()| plan.check(ctx.exchange, account))
        .map_err(|(_, refusal)| refusal)?;
    place_rungs(ctx, account, scale)
}

fn place_rungs(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    scale: &Scale,
) -> Result<OperationResult, Refusal> {
    let mut sum = OperationResult::default();
    for rung in scale.rungs() {
        let placed = orders::place(ctx, account, &rung)?;
        if sum.placed == 0 {
            sum.order_id = placed.order_id;
        }
        sum.placed = sum.placed.saturating_add(1);
        sum.filled_lots = sum.filled_lots.saturating_add(placed.filled_lots);
        sum.resting_lots = sum.resting_lots.saturating_add(placed.resting_lots);
        sum.rest_code = sum.rest_code.or(placed.rest_code);
    }
    Ok(sum)
}

/// Carries out a batch whose operations are all accepted, or refuses each: the one that fails with
/// its code, the others with `BATCH_REFUSED`. Cancels and reductions run first, then the rest in
/// its order.
pub(super) fn all(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    operations: &[Operation],
) -> Vec<OperationResult> {
    if let Err((failed, refusal)) = Plan::of(ctx.exchange, account, operations) {
        let refused = |(at, _): (usize, &Operation)| match at == failed {
            true => orders::refused(refusal.clone()),
            false => orders::refused(Refusal::new(
                Code::BatchRefused,
                format!("operation {failed} of the batch was refused: {refusal}"),
            )),
        };
        return operations.iter().enumerate().map(refused).collect();
    }
    let mut results = vec![OperationResult::default(); operations.len()];
    for first in [true, false] {
        for (operation, result) in operations.iter().zip(&mut results) {
            if frees(operation) == first {
                *result = match operation {
                    Operation::Scale(scale) => {
                        place_rungs(ctx, account, scale).unwrap_or_else(orders::refused)
                    }
                    _ => isolated::run(ctx, account, operation),
                };
            }
        }
    }
    results
}

/// Whether an operation can only free margin and room.
const fn frees(operation: &Operation) -> bool {
    matches!(
        operation,
        Operation::Cancel { .. }
            | Operation::CancelAll { .. }
            | Operation::Replace { .. }
            | Operation::ScheduleCancelAll { .. }
    )
}

/// A refusal with the operation that it is of.
type Failed = (usize, Refusal);

/// What a batch does, before it is done.
#[derive(Default)]
struct Plan {
    markets: BTreeMap<MarketId, InMarket>,
}

/// What it does in one market.
#[derive(Default)]
struct InMarket {
    /// Resting orders that it cancels.
    leaving: BTreeMap<OrderId, OrderView>,
    /// Every order that it names.
    named: BTreeSet<OrderId>,
    /// Orders that wait which it cancels.
    dropped: u32,
    /// Orders for the book.
    placed: Vec<Intended>,
    /// Orders that will wait, and the operation of the first that closes a whole position.
    waits: u32,
    whole: Option<usize>,
    client_ids: BTreeSet<u64>,
}

/// An order for the book.
struct Intended {
    /// Its operation.
    at: usize,
    order: Place,
    ready: Ready,
}

impl Plan {
    /// What the operations would do.
    ///
    /// # Errors
    /// The first operation that would be refused, with its refusal.
    fn of(state: &mut State, account: AccountId, operations: &[Operation]) -> Result<(), Failed> {
        let mut plan = Self::default();
        for (at, operation) in operations.iter().enumerate() {
            let elsewhere =
                operation.market().filter(|market| !isolated::is_cross(state, account, *market));
            if let Some(market) = elsewhere {
                let sentence =
                    format!("market {market} is isolated: an order there may move collateral");
                return Err((at, dependent(sentence)));
            }
            plan.free(state, account, operation).map_err(|refusal| (at, refusal))?;
        }
        for (at, operation) in operations.iter().enumerate() {
            plan.place(state, account, at, operation)?;
        }
        plan.check(state, account)
    }

    /// Takes an operation that frees: cancels, reductions.
    fn free(
        &mut self,
        state: &State,
        account: AccountId,
        operation: &Operation,
    ) -> Result<(), Refusal> {
        match operation {
            Operation::Cancel { market, order } => self.cancel(state, account, *market, *order),
            Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks } => {
                let changes = Changes {
                    price_ticks: *price_ticks,
                    lots: *lots,
                    trigger_price_ticks: *trigger_price_ticks,
                };
                self.reduce(state, account, *market, *order, changes)
            }
            Operation::CancelAll { market, side } => {
                let markets = match market {
                    Some(market) => vec![*market],
                    None => margin::account(state, account)?
                        .positions
                        .iter()
                        .map(|entry| entry.market)
                        .collect(),
                };
                for market in markets {
                    state.market(market)?;
                    let is_meant = |of: Side| side.is_none_or(|side| side == of);
                    let book = &state.markets.slot(market).book;
                    for order in book.orders_of(account).filter(|order| is_meant(order.side)) {
                        self.leave(state, market, order)?;
                    }
                    let waiting = &state.markets.slot(market).conditional;
                    let meant = |id: &OrderId| {
                        waiting.get(*id).and_then(|order| order.side()).is_some_and(is_meant)
                    };
                    for order_id in waiting.of(account).filter(meant) {
                        self.drop_with_pair(state, market, order_id)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn cancel(
        &mut self,
        state: &State,
        account: AccountId,
        market: MarketId,
        order: CancelBy,
    ) -> Result<(), Refusal> {
        match orders::find(state, account, market, order)? {
            Found::Resting(order) => self.leave(state, market, order),
            Found::Waiting(order_id) => self.drop_waiting(state, market, order_id),
        }
    }

    /// Names an order of the batch; a second operation on it depends on the first, and so does one
    /// on its partner.
    fn name(&mut self, state: &State, market: MarketId, order_id: OrderId) -> Result<(), Refusal> {
        let in_market = self.markets.entry(market).or_default();
        let partner =
            state.markets.slot(market).conditional.get(order_id).map_or(0, |order| order.partner);
        if !in_market.named.insert(order_id) || in_market.named.contains(&partner) {
            return Err(dependent(format!("order {order_id}, or its pair, is named twice")));
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
        let in_market = self.markets.entry(market).or_default();
        in_market.dropped = in_market.dropped.saturating_add(1);
        Ok(())
    }

    /// As part of a cancel-all, which takes both of a pair.
    fn drop_with_pair(
        &mut self,
        state: &State,
        market: MarketId,
        order_id: OrderId,
    ) -> Result<(), Refusal> {
        let partner =
            state.markets.slot(market).conditional.get(order_id).map_or(0, |order| order.partner);
        let in_market = self.markets.entry(market).or_default();
        if in_market.named.contains(&partner) {
            in_market.dropped = in_market.dropped.saturating_add(1);
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
        changes: Changes,
    ) -> Result<(), Refusal> {
        let Found::Resting(order) = orders::find(state, account, market, order)? else {
            return Err(dependent(
                "an order that waits cannot be replaced in a batch of all or none".into(),
            ));
        };
        let Changes { price_ticks, lots, trigger_price_ticks } = changes;
        let same_price = price_ticks.is_none_or(|price| price == order.price_ticks);
        if !same_price || lots.is_none_or(|lots| lots > order.lots) || trigger_price_ticks.is_some()
        {
            return Err(dependent(format!(
                "in a batch of all or none a replacement may only lower the quantity, {} lots: \
                 cancel the order and place another",
                order.lots
            )));
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
    ) -> Result<(), Failed> {
        let alone = |refusal| (at, refusal);
        match operation {
            Operation::Place(order) if order.trigger.is_some() => {
                conditional::check(state, account, order).map_err(alone)?;
                self.wait(state, account, order.market, order.client_id).map_err(alone)?;
                if order.whole_position {
                    self.markets.entry(order.market).or_default().whole.get_or_insert(at);
                }
                Ok(())
            }
            Operation::Place(order) if order.peg.is_some() => Err(alone(dependent(
                "a pegged order cannot be placed in a batch of all or none".into(),
            ))),
            Operation::Place(order) => self.intend(state, account, at, order).map_err(alone),
            Operation::Scale(scale) => self.ladder(state, account, at, scale),
            Operation::Twap(twap) => {
                conditional::check_twap(state, twap).map_err(alone)?;
                self.wait(state, account, twap.market, twap.client_id).map_err(alone)
            }
            Operation::Oco(_) => {
                Err(alone(dependent("a pair cannot be placed in a batch of all or none".into())))
            }
            Operation::ScheduleCancelAll { at_ms } => {
                conditional::check_schedule(state, *at_ms).map_err(alone)
            }
            Operation::Cancel { .. } | Operation::Replace { .. } | Operation::CancelAll { .. } => {
                Ok(())
            }
        }
    }

    fn ladder(
        &mut self,
        state: &State,
        account: AccountId,
        at: usize,
        scale: &Scale,
    ) -> Result<(), Failed> {
        for (number, rung) in scale.rungs().enumerate() {
            self.intend(state, account, at, &rung).map_err(|refusal| {
                (at, Refusal::new(refusal.code, format!("rung {number}: {}", refusal.message)))
            })?;
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
        let ready = orders::ready(state, order)?;
        self.claim_client_id(state, account, order.market, order.client_id)?;
        if order.reduce_only {
            orders::check_reduces(margin::held(state, account, order.market), order.side)?;
        } else {
            orders::check_fresh(state, order.market)?;
        }
        self.markets.entry(order.market).or_default().placed.push(Intended {
            at,
            order: *order,
            ready,
        });
        Ok(())
    }

    fn wait(
        &mut self,
        state: &State,
        account: AccountId,
        market: MarketId,
        client_id: u64,
    ) -> Result<(), Refusal> {
        self.claim_client_id(state, account, market, client_id)?;
        let in_market = self.markets.entry(market).or_default();
        in_market.waits = in_market.waits.saturating_add(1);
        Ok(())
    }

    /// A client id may be that of an order which the batch cancels, and of one new order only.
    fn claim_client_id(
        &mut self,
        state: &State,
        account: AccountId,
        market: MarketId,
        client_id: u64,
    ) -> Result<(), Refusal> {
        if client_id == 0 {
            return Ok(());
        }
        let in_market = self.markets.entry(market).or_default();
        let slot = state.market(market)?;
        let resting = slot.book.order_by_client_id(account, client_id).map(|order| order.order_id);
        let waiting = slot.conditional.by_client_id(account, client_id).map(|order| order.order_id);
        for live in [resting, waiting].into_iter().flatten() {
            let cancelled = in_market.leaving.contains_key(&live)
                || (waiting == Some(live) && in_market.named.contains(&live));
            if !cancelled {
                return Err(orders::duplicate_client_id(client_id, live));
            }
        }
        if in_market.client_ids.insert(client_id) {
            return Ok(());
        }
        Err(Refusal::new(
            Code::DuplicateClientId,
            format!("client id {client_id} is given twice in the batch"),
        ))
    }

    /// What must hold of the operations together.
    fn check(&self, state: &mut State, account: AccountId) -> Result<(), Failed> {
        for (market, in_market) in &self.markets {
            in_market.check(state, account, *market)?;
        }
        self.check_margin(state, account)
    }

    /// That free collateral covers all orders together, without those that leave.
    fn check_margin(&self, state: &mut State, account: AccountId) -> Result<(), Failed> {
        let first =
            self.markets.values().flat_map(|of| &of.placed).map(|intended| intended.at).min();
        let Some(at) = first else { return Ok(()) };
        let failed = |refusal| (at, refusal);
        let mut row = margin::account(state, account).map_err(failed)?.clone();
        let mut changes = Vec::new();
        for (market, of) in &self.markets {
            row.position_mut(*market);
            let change = |add, remove| Change { market: *market, add, remove };
            for Intended { order, ready, .. } in &of.placed {
                let best = of.best(&state.markets.slot(*market).book, order.side.opposite());
                changes
                    .push(change(Some(orders::open_order(order, ready.price_ticks, best)), None));
            }
            changes.extend(
                of.leaving.values().map(|order| change(None, Some(margin::open_order(order)))),
            );
        }
        let free =
            margin::health_with(state, &row, account, &changes).map_err(failed)?.free_atoms();
        if free >= 0 {
            return Ok(());
        }
        isolated::cover(state, account, free.saturating_neg()).map_err(failed)
    }
}

impl InMarket {
    /// The best price of a side without the orders that leave.
    fn best(&self, book: &Book, side: Side) -> Option<Ticks> {
        let mut gone: BTreeMap<Ticks, u32> = BTreeMap::new();
        for order in self.leaving.values().filter(|order| order.side == side) {
            *gone.entry(order.price_ticks).or_default() += 1;
        }
        // At most one level more than orders leave.
        let stays = book
            .levels(side)
            .find(|level| level.count > gone.get(&level.price_ticks).copied().unwrap_or(0));
        stays.map(|level| level.price_ticks)
    }

    fn check(&self, state: &mut State, account: AccountId, market: MarketId) -> Result<(), Failed> {
        let at = self.placed.first().map(|intended| intended.at).or(self.whole).unwrap_or(0);
        self.check_room(state, account, market).map_err(|refusal| (at, refusal))?;
        self.check_interest(state, account, market).map_err(|refusal| (at, refusal))?;
        self.check_meeting()?;
        let book = &state.markets.slot(market).book;
        let best = [self.best(book, Side::Buy), self.best(book, Side::Sell)];
        let takes = |intended: &&Intended| {
            let opposite = best[intended.order.side.opposite() as usize];
            let crosses = |price: Ticks| match intended.order.side {
                Side::Buy => intended.ready.price_ticks >= price,
                Side::Sell => intended.ready.price_ticks <= price,
            };
            !orders::rests(intended.ready.time_in_force) || opposite.is_some_and(crosses)
        };
        for intended in self.placed.iter().filter(takes) {
            match intended.order.post_only {
                PostOnly::Reject => {
                    let best = best[intended.order.side.opposite() as usize].unwrap_or(0);
                    return Err((intended.at, would_cross(intended.ready.price_ticks, best)));
                }
                PostOnly::Slide => {}
                PostOnly::Off => self.check_taker(intended, state, account, market)?,
            }
        }
        Ok(())
    }

    /// That the account may have so many open orders.
    fn check_room(
        &self,
        state: &State,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Refusal> {
        let rest = self
            .placed
            .iter()
            .filter(|intended| orders::rests(intended.ready.time_in_force))
            .count();
        let more = u32::try_from(rest).unwrap_or(u32::MAX).saturating_add(self.waits);
        if more == 0 {
            return Ok(());
        }
        let leaving =
            u32::try_from(self.leaving.len()).unwrap_or(u32::MAX).saturating_add(self.dropped);
        orders::check_open_orders_without(state, account, market, more, leaving)
    }

    /// That open interest may grow by all orders together.
    fn check_interest(
        &self,
        state: &State,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Refusal> {
        let held = margin::held(state, account, market);
        let mut increase = 0_u128;
        for side in [Side::Buy, Side::Sell] {
            let of_side = self.placed.iter().map(|intended| &intended.order);
            let of_side = of_side.filter(|order| order.side == side && !order.reduce_only);
            let lots: u128 = of_side.map(|order| u128::from(order.lots)).sum();
            if lots > 0 {
                increase = increase.saturating_add(orders::added_interest(held, side, lots));
            }
        }
        if increase == 0 {
            return Ok(());
        }
        orders::check_open_interest(state, market, increase)
    }

    /// That no two orders of the batch would meet.
    fn check_meeting(&self) -> Result<(), Failed> {
        let of_side = |side| self.placed.iter().filter(move |intended| intended.order.side == side);
        let price = |intended: &&Intended| intended.ready.price_ticks;
        let (buy, sell) =
            (of_side(Side::Buy).max_by_key(price), of_side(Side::Sell).min_by_key(price));
        match (buy, sell) {
            (Some(buy), Some(sell)) if buy.ready.price_ticks >= sell.ready.price_ticks => Err((
                buy.at.max(sell.at),
                dependent(format!(
                    "a buy at {} and a sell at {} ticks of the batch would meet",
                    buy.ready.price_ticks, sell.ready.price_ticks
                )),
            )),
            _ => Ok(()),
        }
    }

    /// An order that may trade at once changes the position and the other side: beside it only
    /// orders whose acceptance depends on neither may be placed.
    fn check_taker(
        &self,
        taker: &Intended,
        state: &mut State,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Failed> {
        let is_fok = |intended: &Intended| intended.ready.time_in_force == TimeInForce::Fok;
        let depends = |intended: &&Intended| {
            let order = &intended.order;
            is_fok(intended) || order.reduce_only || order.post_only == PostOnly::Slide
        };
        let mut others = self.placed.iter().filter(|other| !std::ptr::eq(*other, taker));
        let alone = others.clone().next().is_none();
        let touched = others
            .find(depends)
            .map(|other| other.at)
            .or((!alone && depends(&taker)).then_some(taker.at));
        if let Some(at) = touched.or(self.whole) {
            return Err((
                at,
                dependent(format!(
                    "an order at {} ticks may trade at once, and beside it in market {market} no \
                     fill-or-kill, reduce-only, sliding or whole-position order can be sure",
                    taker.ready.price_ticks
                )),
            ));
        }
        if !is_fok(taker) {
            return Ok(());
        }
        if !self.leaving.is_empty() {
            return Err((
                taker.at,
                dependent("a fill-or-kill order beside a cancel in its market".into()),
            ));
        }
        self.check_fillable(taker, state, account, market).map_err(|refusal| (taker.at, refusal))
    }

    fn check_fillable(
        &self,
        taker: &Intended,
        state: &mut State,
        account: AccountId,
        market: MarketId,
    ) -> Result<(), Refusal> {
        let order = orders::new_order(state, account, &taker.order, taker.ready)?;
        let mut ctx = Ctx::new(state);
        let (book, host) = BookHost::split(&mut ctx, market);
        let fillable = book.fillable_lots(&order, &host);
        if fillable >= order.lots {
            return Ok(());
        }
        Err(Refusal::new(
            Code::NotFillable,
            format!("fill-or-kill for {} lots, but only {fillable} can trade", order.lots),
        ))
    }
}

fn would_cross(price_ticks: Ticks, best_ticks: Ticks) -> Refusal {
    Refusal::new(
        Code::WouldCross,
        format!(
            "post-only price {price_ticks} ticks would trade with the best opposite, {best_ticks}"
        ),
    )
}

fn dependent(sentence: String) -> Refusal {
    Refusal::new(Code::BatchDependent, sentence)
}
