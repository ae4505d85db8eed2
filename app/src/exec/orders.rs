//! Order operations of classes 1–3: admission by margin, then the book (rules §§2, 3).

use tidemark_matching::{
    Book, NewOrder, OrderView, Placed, PostOnly as BookPostOnly, Replace, TimeInForce as BookTimeInForce,
};
use tidemark_oracle::mark::band_ticks;
use tidemark_proto::params::MarketStatus;
use tidemark_proto::tx::{CancelBy, Operation, OrderType, Place, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Side, Ticks};
use tidemark_proto::{v1, Code, Refusal};
use tidemark_risk::margin::OpenOrder;

use super::isolated;
use super::margin::{self, Change};
use super::venue::Venue;
use crate::events::Event;
use crate::state::{MarketCell, State};

/// Carries out one operation of an account.
pub(super) fn run(
    state: &mut State,
    account: AccountId,
    operation: &Operation,
    events: &mut Vec<Event>,
) -> v1::OperationResult {
    let result = match operation {
        Operation::Place(order) => place(state, account, order, events),
        Operation::Cancel { market, order } => cancel(state, account, *market, *order, events),
        Operation::Replace { market, order, price_ticks, lots } => find(state, account, *market, *order)
            .and_then(|order| replace(state, account, *market, &order, *price_ticks, *lots, events)),
        Operation::CancelAll { market, side } => cancel_all(state, account, *market, *side, events),
    };
    result.unwrap_or_else(refused)
}

/// The result of a refused operation.
pub(super) fn refused(refusal: Refusal) -> v1::OperationResult {
    v1::OperationResult { code: refusal.code.number(), message: refusal.message, ..Default::default() }
}

fn place(
    state: &mut State,
    account: AccountId,
    order: &Place,
    events: &mut Vec<Event>,
) -> Result<v1::OperationResult, Refusal> {
    let now_ms = state.chain.time_ms;
    let cell = margin::cell(state, order.market)?;
    check_status(cell, order.reduce_only)?;
    check_lots(cell, order.lots)?;
    let price_ticks = match order.order_type {
        OrderType::Market => protection_price(cell, order.side, order.price_ticks)?,
        OrderType::Limit => order.price_ticks,
    };
    check_band(cell, price_ticks)?;
    let time_in_force = time_in_force(order, now_ms)?;
    let may_rest = matches!(time_in_force, BookTimeInForce::Gtc | BookTimeInForce::Gtt { .. });
    check_open_orders(state, account, order.market, may_rest)?;
    let resting_ticks = match order.post_only {
        PostOnly::Slide => slid(&state.books[usize::from(order.market)], order.side, price_ticks),
        PostOnly::Off | PostOnly::Reject => price_ticks,
    };
    let new = OpenOrder {
        side: order.side,
        price_ticks: resting_ticks,
        lots: order.lots,
        reduce_only: order.reduce_only,
    };
    admit(state, account, order.market, &new, None)?;
    let cell = &state.markets[usize::from(order.market)];
    let request = NewOrder {
        owner: account,
        client_id: order.client_id,
        side: order.side,
        price_ticks,
        lots: order.lots,
        display_lots: 0,
        time_in_force,
        post_only: match order.post_only {
            PostOnly::Off => BookPostOnly::No,
            PostOnly::Reject => BookPostOnly::Reject,
            PostOnly::Slide => BookPostOnly::Slide,
        },
        reduce_only: order.reduce_only,
        stp: margin::account(state, account)?.stp,
        max_fills: cell.market.params.max_fills,
    };
    let (book, mut venue) = Venue::split(state, order.market, events);
    venue.taker_lots = order.lots;
    let placed = book.place(&request, &mut venue)?;
    Ok(result(order.market, account, order.client_id, order.lots, &placed, events))
}

/// Where a sliding order comes to rest: margin is reserved for that price, whose fee may be higher.
fn slid(book: &Book, side: Side, price_ticks: Ticks) -> Ticks {
    let Some(best) = book.best(side.opposite()) else { return price_ticks };
    match side {
        Side::Buy => price_ticks.min(best.price_ticks.saturating_sub(1)),
        Side::Sell => price_ticks.max(best.price_ticks.saturating_add(1)),
    }
}

/// What the client reads; the rest of a taker that never rested is told to the account's stream too.
fn result(
    market: MarketId,
    account: AccountId,
    client_id: u64,
    lots: Lots,
    placed: &Placed,
    events: &mut Vec<Event>,
) -> v1::OperationResult {
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
    v1::OperationResult {
        order_id: placed.order_id,
        filled_lots: placed.filled_lots,
        resting_lots: placed.resting_lots,
        rest_code: placed.rest.map_or(0, Code::number),
        ..Default::default()
    }
}

fn time_in_force(order: &Place, now_ms: u64) -> Result<BookTimeInForce, Refusal> {
    Ok(match (order.time_in_force, order.order_type) {
        (TimeInForce::Fok, _) => BookTimeInForce::Fok,
        // A market order never rests, whatever else it says.
        (_, OrderType::Market) | (TimeInForce::Ioc, _) => BookTimeInForce::Ioc,
        (TimeInForce::Gtc, _) => BookTimeInForce::Gtc,
        (TimeInForce::Gtt(expires_ms), _) if expires_ms > now_ms => BookTimeInForce::Gtt { expires_ms },
        (TimeInForce::Gtt(expires_ms), _) => {
            return Err(Refusal::new(
                Code::Expired,
                format!("expires_ms is {expires_ms}, block time is {now_ms}"),
            ));
        }
    })
}

fn check_status(cell: &MarketCell, reduce_only: bool) -> Result<(), Refusal> {
    let symbol = &cell.market.params.symbol;
    if let Some(why) = &cell.quarantined {
        return Err(Refusal::new(Code::MarketPaused, format!("{symbol} is quarantined: {why}")));
    }
    match cell.market.params.status {
        MarketStatus::Active => Ok(()),
        MarketStatus::ReduceOnly if reduce_only => Ok(()),
        MarketStatus::ReduceOnly => {
            Err(Refusal::new(Code::MarketReduceOnly, format!("{symbol} takes only reduce-only orders")))
        }
        MarketStatus::Paused => {
            Err(Refusal::new(Code::MarketPaused, format!("{symbol} is paused: cancels only")))
        }
        MarketStatus::Closed => Err(Refusal::new(Code::MarketClosed, format!("{symbol} is closed"))),
    }
}

fn check_lots(cell: &MarketCell, lots: Lots) -> Result<(), Refusal> {
    let most = cell.market.params.max_order_lots;
    if lots == 0 {
        return Err(Refusal::new(Code::QuantityTooSmall, "lots is 0, must be at least 1"));
    }
    if lots > most {
        return Err(Refusal::new(Code::QuantityTooLarge, format!("lots is {lots}, must be at most {most}")));
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

fn no_price(cell: &MarketCell) -> Refusal {
    Refusal::new(Code::StaleIndex, format!("{} never had an index price", cell.market.params.symbol))
}

fn check_band(cell: &MarketCell, price_ticks: Ticks) -> Result<(), Refusal> {
    let index = cell.index.index_ticks().ok_or_else(|| no_price(cell))?;
    let (low, high) = band_ticks(index, cell.market.params.price_band_ppm);
    if (low..=high).contains(&price_ticks) {
        return Ok(());
    }
    Err(Refusal::new(Code::PriceOutOfBand, format!("price is {price_ticks} ticks, must be {low} to {high}")))
}

fn check_open_orders(
    state: &State,
    account: AccountId,
    market: MarketId,
    may_rest: bool,
) -> Result<(), Refusal> {
    let most = state.markets[usize::from(market)].market.params.max_open_orders;
    let open = state.books[usize::from(market)].open_orders(account);
    if may_rest && open >= most {
        return Err(Refusal::new(Code::TooManyOpenOrders, format!("{open} open orders, at most {most}")));
    }
    Ok(())
}

/// Whether the account may have this order, in place of `replaced`: the placement check of rules §3.
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
        let reduces = held != 0 && Side::reducing(held) == new.side;
        if !reduces {
            return Err(Refusal::new(
                Code::WouldIncrease,
                format!("the position is {held} lots: there is nothing to reduce on this side"),
            ));
        }
    } else {
        check_exposure(state, market, held, new)?;
    }
    margin::position_mut(state, account, market)?;
    let change = Change { market, add: *new, remove: replaced.copied() };
    let free = margin::health_with(state, account, Some(&change))?.free_atoms();
    if free >= 0 {
        return Ok(());
    }
    if !new.reduce_only {
        return isolated::cover(state, account, free.saturating_neg());
    }
    admit_without_free(state, account, market, new)
}

/// Anyone can get out: with free collateral below 0, a reduce-only order at the zero price or better (rules §3).
fn admit_without_free(
    state: &State,
    account: AccountId,
    market: MarketId,
    new: &OpenOrder,
) -> Result<(), Refusal> {
    if let Some(increasing) = margin::increasing_order(state, account) {
        return Err(Refusal::new(
            Code::IncreasingOrdersOpen,
            format!("free collateral is below 0 and order {increasing} increases exposure: cancel such orders first"),
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

fn check_exposure(state: &State, market: MarketId, held: i64, new: &OpenOrder) -> Result<(), Refusal> {
    let cell = &state.markets[usize::from(market)];
    let params = &cell.market.params;
    if cell.index.is_stale(state.chain.time_ms, params.max_oracle_age_ms) {
        return Err(Refusal::new(
            Code::StaleIndex,
            format!(
                "the index of {} is older than {} ms: reduce-only orders and cancels only",
                params.symbol, params.max_oracle_age_ms
            ),
        ));
    }
    // Open interest is the longs, and the shorts: a taker adds at most what it puts on its own side, a position that turns
    // all of its new side.
    let side_lots = |lots: i128| match new.side {
        Side::Buy => lots.max(0).unsigned_abs(),
        Side::Sell => lots.min(0).unsigned_abs(),
    };
    let signed = match new.side {
        Side::Buy => i128::from(new.lots),
        Side::Sell => -i128::from(new.lots),
    };
    let held = i128::from(held);
    let increase = side_lots(held + signed) - side_lots(held);
    let open_interest = u128::from(cell.market.open_interest_lots) + increase;
    if open_interest > u128::from(params.max_open_interest_lots) {
        return Err(Refusal::new(
            Code::OpenInterestCap,
            format!(
                "open interest could become {open_interest} lots, at most {}",
                params.max_open_interest_lots
            ),
        ));
    }
    Ok(())
}

/// The live order that an operation names, of this account.
fn find(state: &State, account: AccountId, market: MarketId, order: CancelBy) -> Result<OrderView, Refusal> {
    margin::cell(state, market)?;
    let book = &state.books[usize::from(market)];
    let (found, name) = match order {
        CancelBy::Order(id) => (book.order(id), format!("order {id}")),
        CancelBy::Client(id) => (book.order_by_client_id(account, id), format!("order with client id {id}")),
    };
    found.filter(|order| order.owner == account).ok_or_else(|| {
        Refusal::new(Code::UnknownOrder, format!("the account has no live {name} in market {market}"))
    })
}

fn cancel(
    state: &mut State,
    account: AccountId,
    market: MarketId,
    order: CancelBy,
    events: &mut Vec<Event>,
) -> Result<v1::OperationResult, Refusal> {
    let order_id = find(state, account, market, order)?.order_id;
    let (book, mut venue) = Venue::split(state, market, events);
    book.cancel(order_id, account, Code::Cancelled, &mut venue)?;
    Ok(v1::OperationResult { order_id, cancelled: 1, ..Default::default() })
}

fn cancel_all(
    state: &mut State,
    account: AccountId,
    market: Option<MarketId>,
    side: Option<Side>,
    events: &mut Vec<Event>,
) -> Result<v1::OperationResult, Refusal> {
    if let Some(market) = market {
        margin::cell(state, market)?;
    }
    let markets = match market {
        Some(market) => vec![market],
        None => margin::account(state, account)?.positions.iter().map(|position| position.market).collect(),
    };
    let mut cancelled = 0_u32;
    for market in markets {
        let (book, mut venue) = Venue::split(state, market, events);
        cancelled = cancelled.saturating_add(book.cancel_all(account, side, Code::Cancelled, &mut venue));
    }
    Ok(v1::OperationResult { cancelled, ..Default::default() })
}

/// Changes an order. Less of it at the same price needs no check and keeps its place; anything else is admitted as a new
/// order in place of the old.
fn replace(
    state: &mut State,
    account: AccountId,
    market: MarketId,
    order: &OrderView,
    price_ticks: Option<Ticks>,
    lots: Option<Lots>,
    events: &mut Vec<Event>,
) -> Result<v1::OperationResult, Refusal> {
    let old = margin::open_order(order);
    let new = OpenOrder {
        price_ticks: price_ticks.unwrap_or(old.price_ticks),
        lots: lots.unwrap_or(old.lots),
        ..old
    };
    let only_less = new.price_ticks == old.price_ticks && new.lots <= old.lots;
    let cell = margin::cell(state, market)?;
    if !only_less {
        check_status(cell, order.reduce_only)?;
        check_lots(cell, new.lots)?;
        check_band(cell, new.price_ticks)?;
        let resting = match order.post_only {
            BookPostOnly::Slide => {
                let price_ticks = slid(&state.books[usize::from(market)], new.side, new.price_ticks);
                OpenOrder { price_ticks, ..new }
            }
            BookPostOnly::No | BookPostOnly::Reject => new,
        };
        admit(state, account, market, &resting, Some(&old))?;
    }
    let request = Replace {
        order_id: order.order_id,
        owner: account,
        price_ticks,
        lots,
        stp: margin::account(state, account)?.stp,
        max_fills: state.markets[usize::from(market)].market.params.max_fills,
    };
    let (book, mut venue) = Venue::split(state, market, events);
    venue.taker_lots = new.lots;
    let placed = book.replace(&request, &mut venue)?;
    Ok(result(market, account, order.client_id, new.lots, &placed, events))
}

/// Cancels one order of an account for the chain's own reason; what is not there needs no cancel.
pub(super) fn cancel_for(
    state: &mut State,
    account: AccountId,
    market: MarketId,
    order_id: OrderId,
    reason: Code,
    events: &mut Vec<Event>,
) -> bool {
    let (book, mut venue) = Venue::split(state, market, events);
    book.cancel(order_id, account, reason, &mut venue).is_ok()
}
