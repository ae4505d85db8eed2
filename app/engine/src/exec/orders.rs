//! Order operations of classes 1–3: admission by margin, then the book (rules §§2, 3).

use crate::exec::ctx::Ctx;
use tidemark_matching::{NewOrder, OrderView, Placed, Replace};
use tidemark_oracle::mark::band_ticks;
use tidemark_proto::params::MarketStatus;
use tidemark_proto::types::{
    CancelBy, Operation, OperationResult, OrderType, Place, PostOnly, TimeInForce,
};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side, Ticks, TimeMs};
use tidemark_proto::{Code, Refusal};
use tidemark_risk::margin::OpenOrder;

use super::batch;
use super::conditional::{self, Changes};
use super::isolated;
use super::margin::{self, Change};
use super::venue::BookHost;
use crate::events::Event;
use crate::state::conditional::Pegged;
use crate::state::{MarketCell, State};

/// Carries out one operation of an account.
pub(super) fn run(ctx: &mut Ctx<'_>, account: AccountId, operation: &Operation) -> OperationResult {
    carry_out(ctx, account, operation).unwrap_or_else(refused)
}

/// The same, with a refusal as one.
pub(super) fn carry_out(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    operation: &Operation,
) -> Result<OperationResult, Refusal> {
    match operation {
        Operation::Place(order) => place(ctx, account, order),
        Operation::Cancel { market, order } => cancel(ctx, account, *market, *order),
        Operation::Replace { market, order, price_ticks, lots, trigger_price_ticks } => {
            let (price_ticks, lots, trigger_price_ticks) =
                (*price_ticks, *lots, *trigger_price_ticks);
            let changes = Changes { price_ticks, lots, trigger_price_ticks };
            find(ctx.exchange, account, *market, *order).and_then(|order| match order {
                Found::Resting(order)
                    if price_ticks.is_some() && is_pegged(ctx.exchange, *market, &order) =>
                {
                    Err(not_replaceable(&order, "it is pegged, and its price is not its own"))
                }
                Found::Resting(order) => replace(ctx, account, *market, &order, changes),
                Found::Waiting(order_id) => conditional::replace(ctx, *market, order_id, changes),
            })
        }
        Operation::CancelAll { market, side } => {
            cancel_all(ctx, account, *market, *side, Code::Cancelled)
                .map(|cancelled| OperationResult { cancelled, ..Default::default() })
        }
        Operation::ScheduleCancelAll { at_ms } => {
            conditional::schedule(ctx.exchange, account, *at_ms)
        }
        Operation::Scale(scale) => batch::scale(ctx, account, scale),
        Operation::Twap(twap) => conditional::twap(ctx, account, twap),
        Operation::Oco(pair) => conditional::oco(ctx, account, pair),
    }
}

/// A refusal as an operation's result.
pub(super) fn refused(refusal: Refusal) -> OperationResult {
    OperationResult { code: refusal.code, message: refusal.message, ..Default::default() }
}

/// Places an order: on the book, or, with a trigger, among those that wait.
pub(super) fn place(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    if order.trigger.is_some() {
        return conditional::wait(ctx, account, order);
    }
    ctx.exchange.market(order.market)?;
    check_client_id(ctx.exchange, account, order.market, order.client_id)?;
    if let Some(peg) = order.peg {
        let limit_ticks = (order.price_ticks != 0).then_some(order.price_ticks);
        return conditional::place_pegged(ctx, account, order, Pegged { peg, limit_ticks });
    }
    place_now(ctx, account, order)
}

/// Places an order on the book, whether or not an order that waits has its client id.
pub(super) fn place_now(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    let Ready { price_ticks, time_in_force } = ready(ctx.exchange, order)?;
    if rests(time_in_force) {
        check_open_orders(ctx.exchange, account, order.market, 1)?;
    }
    let best = ctx.exchange.markets.slot(order.market).book.best(order.side.opposite());
    let new = open_order(order, price_ticks, best.map(|level| level.price_ticks));
    admit(ctx.exchange, account, order.market, &new, None)?;
    let request = new_order(ctx.exchange, account, order, Ready { price_ticks, time_in_force })?;
    let (book, mut host) = BookHost::split(ctx, order.market);
    host.taker_lots = order.lots;
    let placed = book.place(&request, &mut host)?;
    Ok(result(order.market, account, order.client_id, order.lots, &placed, &mut ctx.events))
}

/// An order with what its market and the block time make of it.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    /// Its limit, or protection price.
    pub price_ticks: Ticks,
    /// How long it lives; a market order is immediate.
    pub time_in_force: TimeInForce,
}

/// Checks of an order what depends on neither its account nor the book.
pub(super) fn ready(state: &State, order: &Place) -> Result<Ready, Refusal> {
    let cell = &state.market(order.market)?.cell;
    check_status(cell, order.reduce_only)?;
    check_lots(cell, order.lots)?;
    let price_ticks = match order.order_type {
        OrderType::Market => protection_price(cell, order.side, order.price_ticks)?,
        OrderType::Limit => order.price_ticks,
    };
    check_band(cell, price_ticks)?;
    Ok(Ready { price_ticks, time_in_force: time_in_force(order, state.chain.time_ms)? })
}

/// Whether an order may come to rest.
pub(super) const fn rests(time_in_force: TimeInForce) -> bool {
    matches!(time_in_force, TimeInForce::Gtc | TimeInForce::Gtt { .. })
}

/// An order as margin sees it: a sliding one where it would come to rest.
pub(super) fn open_order(
    order: &Place,
    price_ticks: Ticks,
    best_ticks: Option<Ticks>,
) -> OpenOrder {
    let price_ticks = match order.post_only {
        PostOnly::Slide => slid(best_ticks, order.side, price_ticks),
        PostOnly::Off | PostOnly::Reject => price_ticks,
    };
    OpenOrder { side: order.side, price_ticks, lots: order.lots, reduce_only: order.reduce_only }
}

/// An order as the book takes it.
pub(super) fn new_order(
    state: &State,
    account: AccountId,
    order: &Place,
    ready: Ready,
) -> Result<NewOrder, Refusal> {
    Ok(NewOrder {
        owner: account,
        client_id: order.client_id,
        side: order.side,
        price_ticks: ready.price_ticks,
        lots: order.lots,
        display_lots: order.display_lots,
        time_in_force: ready.time_in_force,
        post_only: order.post_only,
        reduce_only: order.reduce_only,
        stp: margin::account(state, account)?.stp,
        max_fills: state.markets.slot(order.market).cell.market.params.max_fills,
    })
}

/// Where a sliding order comes to rest beside the best opposite price: margin is reserved for that
/// price, whose fee may be higher.
pub(super) fn slid(best_ticks: Option<Ticks>, side: Side, price_ticks: Ticks) -> Ticks {
    let Some(best_ticks) = best_ticks else { return price_ticks };
    match side {
        Side::Buy => price_ticks.min(best_ticks.saturating_sub(1)),
        Side::Sell => price_ticks.max(best_ticks.saturating_add(1)),
    }
}

/// What the client reads; the rest of a taker that never rested is told to the account's stream
/// too.
fn result(
    market: MarketId,
    account: AccountId,
    client_id: u64,
    lots: Lots,
    placed: &Placed,
    events: &mut Vec<Event>,
) -> OperationResult {
    if let Some(code) = placed.rest {
        let gone = lots - placed.filled_lots - placed.decremented_lots - placed.resting_lots;
        events.push(Event::Removed {
            market,
            order_id: placed.order_id,
            account,
            client_id,
            lots: gone,
            code,
        });
    }
    OperationResult {
        order_id: placed.order_id,
        filled_lots: placed.filled_lots,
        resting_lots: placed.resting_lots,
        rest_code: placed.rest,
        ..Default::default()
    }
}

fn time_in_force(order: &Place, now_ms: u64) -> Result<TimeInForce, Refusal> {
    Ok(match (order.time_in_force, order.order_type) {
        (TimeInForce::Fok, _) => TimeInForce::Fok,
        // A market order never rests, whatever else it says.
        (_, OrderType::Market) | (TimeInForce::Ioc, _) => TimeInForce::Ioc,
        (TimeInForce::Gtc, _) => TimeInForce::Gtc,
        (TimeInForce::Gtt { expires_ms }, _) => {
            check_expiry(expires_ms, now_ms)?;
            TimeInForce::Gtt { expires_ms }
        }
    })
}

pub(super) fn check_expiry(expires_ms: TimeMs, now_ms: TimeMs) -> Result<(), Refusal> {
    if expires_ms > now_ms {
        return Ok(());
    }
    Err(Refusal::new(Code::Expired, format!("expires_ms is {expires_ms}, block time is {now_ms}")))
}

pub(super) fn check_status(cell: &MarketCell, reduce_only: bool) -> Result<(), Refusal> {
    let symbol = &cell.market.params.symbol;
    if let Some(why) = &cell.quarantined {
        return Err(Refusal::new(Code::MarketPaused, format!("{symbol} is quarantined: {why}")));
    }
    match cell.market.params.status {
        MarketStatus::Active => Ok(()),
        MarketStatus::ReduceOnly if reduce_only => Ok(()),
        MarketStatus::ReduceOnly => Err(Refusal::new(
            Code::MarketReduceOnly,
            format!("{symbol} takes only reduce-only orders"),
        )),
        MarketStatus::Paused => {
            Err(Refusal::new(Code::MarketPaused, format!("{symbol} is paused: cancels only")))
        }
        MarketStatus::Closed => {
            Err(Refusal::new(Code::MarketClosed, format!("{symbol} is closed")))
        }
    }
}

pub(super) fn check_lots(cell: &MarketCell, lots: Lots) -> Result<(), Refusal> {
    let most = cell.market.params.max_order_lots;
    if lots == 0 {
        return Err(Refusal::new(Code::QuantityTooSmall, "lots is 0, must be at least 1"));
    }
    if lots > most {
        return Err(Refusal::new(
            Code::QuantityTooLarge,
            format!("lots is {lots}, must be at most {most}"),
        ));
    }
    Ok(())
}

/// A market order's price: the given one, or `mark ± market_slippage`.
fn protection_price(cell: &MarketCell, side: Side, given_ticks: Ticks) -> Result<Ticks, Refusal> {
    if given_ticks != 0 {
        return Ok(given_ticks);
    }
    let mark = cell.market.mark_ticks.ok_or_else(|| no_price(cell))?;
    let (low, high) = band_ticks(mark, cell.market.params.market_slippage_ppm);
    Ok(match side {
        Side::Buy => high,
        Side::Sell => low,
    })
}

pub(super) fn no_price(cell: &MarketCell) -> Refusal {
    Refusal::new(
        Code::StaleIndex,
        format!("{} never had an index price", cell.market.params.symbol),
    )
}

fn check_band(cell: &MarketCell, price_ticks: Ticks) -> Result<(), Refusal> {
    let index = cell.index.index_ticks().ok_or_else(|| no_price(cell))?;
    let (low, high) = band_ticks(index, cell.market.params.price_band_ppm);
    if (low..=high).contains(&price_ticks) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::PriceOutOfBand,
        format!("price is {price_ticks} ticks, must be {low} to {high}"),
    ))
}

/// That an account may have so many more open orders in a market; those that wait count.
pub(super) fn check_open_orders(
    state: &State,
    account: AccountId,
    market: MarketId,
    more: u32,
) -> Result<(), Refusal> {
    check_open_orders_without(state, account, market, more, 0)
}

/// The same once so many of the account's orders are gone.
pub(super) fn check_open_orders_without(
    state: &State,
    account: AccountId,
    market: MarketId,
    more: u32,
    gone: u32,
) -> Result<(), Refusal> {
    let slot = state.market(market)?;
    let most = slot.cell.market.params.max_open_orders;
    let open = slot.book.open_orders(account).saturating_add(slot.conditional.waiting(account));
    let open = open.saturating_sub(gone);
    if open.saturating_add(more) > most {
        return Err(Refusal::new(
            Code::TooManyOpenOrders,
            format!("{open} open orders, at most {most}"),
        ));
    }
    Ok(())
}

/// That no order of the account that waits has this client id; the book looks at its own.
pub(super) fn check_client_id(
    state: &State,
    account: AccountId,
    market: MarketId,
    client_id: u64,
) -> Result<(), Refusal> {
    let waits = state.markets.slot(market).conditional.by_client_id(account, client_id);
    waits.map_or(Ok(()), |order| Err(duplicate_client_id(client_id, order.order_id)))
}

pub(super) fn duplicate_client_id(client_id: u64, order_id: OrderId) -> Refusal {
    Refusal::new(
        Code::DuplicateClientId,
        format!("client id {client_id} is that of live order {order_id}"),
    )
}

/// That there is a position which an order of this side reduces.
pub(super) fn check_reduces(held: i64, side: Side) -> Result<(), Refusal> {
    if held != 0 && Side::reducing(held) == side {
        return Ok(());
    }
    Err(Refusal::new(
        Code::WouldIncrease,
        format!("the position is {held} lots: there is nothing to reduce on this side"),
    ))
}

/// Whether the account may have this order, in place of `replaced`: the placement check of rules
/// §3.
fn admit(
    state: &mut State,
    account: AccountId,
    market: MarketId,
    new: &OpenOrder,
    replaced: Option<&OpenOrder>,
) -> Result<(), Refusal> {
    margin::settle(state, account)?;
    let held = margin::held(state, account, market);
    if new.reduce_only {
        check_reduces(held, new.side)?;
    } else {
        check_exposure(state, market, held, new)?;
    }
    margin::position_mut(state, account, market)?;
    margin::remember_totals(state, account);
    let change = Change { market, add: Some(*new), remove: replaced.copied() };
    let row = margin::account(state, account)?;
    let free = margin::health_with(state, row, account, &[change])?.free_atoms();
    if free >= 0 {
        return Ok(());
    }
    if !new.reduce_only {
        return isolated::cover(state, account, free.saturating_neg());
    }
    admit_without_free(state, account, market, new)
}

/// Anyone can get out: with free collateral below 0, a reduce-only order at the zero price or
/// better (rules §3).
fn admit_without_free(
    state: &State,
    account: AccountId,
    market: MarketId,
    new: &OpenOrder,
) -> Result<(), Refusal> {
    if let Some(increasing) = margin::increasing_order(state, account) {
        return Err(Refusal::new(
            Code::IncreasingOrdersOpen,
            format!(
                "free collateral is below 0 and order {increasing} increases exposure: cancel \
                 such orders first"
            ),
        ));
    }
    let zero_ticks = margin::zero_price(state, account, market)?;
    let worse = margin::is_worse_than(state, market, new, zero_ticks)?;
    if worse {
        return Err(Refusal::new(
            Code::WorseThanZeroPrice,
            format!(
                "price is {} ticks: less its fee, worse than the zero price {zero_ticks}",
                new.price_ticks
            ),
        ));
    }
    Ok(())
}

fn check_exposure(
    state: &State,
    market: MarketId,
    held: i64,
    new: &OpenOrder,
) -> Result<(), Refusal> {
    check_fresh(state, market)?;
    check_open_interest(state, market, added_interest(held, new.side, u128::from(new.lots)))
}

/// That a market takes orders which increase exposure: its index is not stale.
pub(super) fn check_fresh(state: &State, market: MarketId) -> Result<(), Refusal> {
    let cell = &state.markets.slot(market).cell;
    let params = &cell.market.params;
    if !cell.index.is_stale(state.chain.time_ms, params.max_oracle_age_ms) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::StaleIndex,
        format!(
            "the index of {} is older than {} ms: reduce-only orders and cancels only",
            params.symbol, params.max_oracle_age_ms
        ),
    ))
}

/// What orders of one side could add to open interest. It is the longs, and the shorts: a taker
/// adds at most what it puts on its own side, a position that turns all of its new side.
pub(super) fn added_interest(held: i64, side: Side, lots: u128) -> u128 {
    let lots = i128::try_from(lots).unwrap_or(i128::MAX);
    let on_side = match side {
        Side::Buy => i128::from(held),
        Side::Sell => -i128::from(held),
    };
    on_side.saturating_add(lots).max(0).abs_diff(on_side.max(0))
}

/// That a market's open interest may grow by so much.
pub(super) fn check_open_interest(
    state: &State,
    market: MarketId,
    increase_lots: u128,
) -> Result<(), Refusal> {
    let market = &state.markets.slot(market).cell.market;
    let open_interest = u128::from(market.open_interest_lots).saturating_add(increase_lots);
    let most = market.params.max_open_interest_lots;
    if open_interest <= u128::from(most) {
        return Ok(());
    }
    Err(Refusal::new(
        Code::OpenInterestCap,
        format!("open interest could become {open_interest} lots, at most {most}"),
    ))
}

/// A live order that an operation names.
pub(super) enum Found {
    /// It is on the book.
    Resting(OrderView),
    /// It waits.
    Waiting(OrderId),
}

/// The live order that an operation names, of this account.
pub(super) fn find(
    state: &State,
    account: AccountId,
    market: MarketId,
    order: CancelBy,
) -> Result<Found, Refusal> {
    state.market(market)?;
    let (book, waiting) =
        (&state.markets.slot(market).book, &state.markets.slot(market).conditional);
    let (resting, waits, name) = match order {
        CancelBy::Order(id) => (book.order(id), waiting.get(id), format!("order {id}")),
        CancelBy::Client(id) => (
            book.order_by_client_id(account, id),
            waiting.by_client_id(account, id),
            format!("order with client id {id}"),
        ),
    };
    let resting = resting.filter(|order| order.owner == account).map(Found::Resting);
    let waits = waits.filter(|order| order.account == account && order.waits());
    resting.or(waits.map(|order| Found::Waiting(order.order_id))).ok_or_else(|| {
        Refusal::new(
            Code::UnknownOrder,
            format!("the account has no live {name} in market {market}"),
        )
    })
}

fn cancel(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: CancelBy,
) -> Result<OperationResult, Refusal> {
    let order_id = match find(ctx.exchange, account, market, order)? {
        Found::Resting(order) => order.order_id,
        Found::Waiting(order_id) => return Ok(conditional::cancel(ctx, market, order_id)),
    };
    let (book, mut host) = BookHost::split(ctx, market);
    book.cancel(order_id, account, Code::Cancelled, &mut host)?;
    Ok(OperationResult { order_id, cancelled: 1, ..Default::default() })
}

/// Cancels an account's orders, on the book and waiting, of one market or all; says how many.
pub(super) fn cancel_all(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: Option<MarketId>,
    side: Option<Side>,
    code: Code,
) -> Result<u32, Refusal> {
    if let Some(market) = market {
        ctx.exchange.market(market)?;
    }
    let markets = match market {
        Some(market) => vec![market],
        None => margin::account(ctx.exchange, account)?
            .positions
            .iter()
            .map(|position| position.market)
            .collect(),
    };
    let mut cancelled = 0_u32;
    for market in markets {
        let (book, mut host) = BookHost::split(ctx, market);
        cancelled = cancelled.saturating_add(book.cancel_all(account, side, code, &mut host));
        let waited = conditional::cancel_all(ctx, account, market, side, code);
        cancelled = cancelled.saturating_add(waited);
    }
    Ok(cancelled)
}

/// Changes an order. Less of it at the same price needs no check and keeps its place; anything else
/// is admitted as a new order in place of the old.
pub(super) fn replace(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order: &OrderView,
    changes: Changes,
) -> Result<OperationResult, Refusal> {
    let Changes { price_ticks, lots, trigger_price_ticks } = changes;
    if trigger_price_ticks.is_some() {
        return Err(not_replaceable(order, "it is on the book, and has no trigger to change"));
    }
    let old = margin::open_order(order);
    let new = OpenOrder {
        price_ticks: price_ticks.unwrap_or(old.price_ticks),
        lots: lots.unwrap_or(old.lots),
        ..old
    };
    let only_less = new.price_ticks == old.price_ticks && new.lots <= old.lots;
    let cell = &ctx.exchange.market(market)?.cell;
    if !only_less {
        check_status(cell, order.reduce_only)?;
        check_lots(cell, new.lots)?;
        check_band(cell, new.price_ticks)?;
        let resting = match order.post_only {
            PostOnly::Slide => {
                let best = ctx.exchange.markets.slot(market).book.best(new.side.opposite());
                let price_ticks =
                    slid(best.map(|level| level.price_ticks), new.side, new.price_ticks);
                OpenOrder { price_ticks, ..new }
            }
            PostOnly::Off | PostOnly::Reject => new,
        };
        admit(ctx.exchange, account, market, &resting, Some(&old))?;
    }
    let request = Replace {
        order_id: order.order_id,
        owner: account,
        price_ticks,
        lots,
        stp: margin::account(ctx.exchange, account)?.stp,
        max_fills: ctx.exchange.markets.slot(market).cell.market.params.max_fills,
    };
    let (book, mut host) = BookHost::split(ctx, market);
    host.taker_lots = new.lots;
    let placed = book.replace(&request, &mut host)?;
    if placed.resting_lots == 0 {
        host.release_partner(order.order_id);
    }
    Ok(result(market, account, order.client_id, new.lots, &placed, &mut ctx.events))
}

fn is_pegged(state: &State, market: MarketId, order: &OrderView) -> bool {
    state.markets.slot(market).conditional.pegged(order.order_id).is_some()
}

fn not_replaceable(order: &OrderView, why: &str) -> Refusal {
    Refusal::new(Code::NotReplaceable, format!("order {}: {why}", order.order_id))
}

/// Cancels one order of an account for the chain's own reason; what is not there needs no cancel.
pub(super) fn cancel_for(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    market: MarketId,
    order_id: OrderId,
    reason: Code,
) -> bool {
    let (book, mut host) = BookHost::split(ctx, market);
    book.cancel(order_id, account, reason, &mut host).is_ok()
}
