//! Placing an order on the book (rules §2.2).

use tidemark_matching::{PlaceResult, Reject};
use tidemark_proto::types::{Place, PostOnly};
use tidemark_proto::units::{AccountId, ClientId, Lots, MarketId, OrderId};
use tidemark_proto::Code;

use crate::events::Event;
use crate::exec::ctx::Ctx;
use crate::exec::order::book_host::{BookHost, Taken};
use crate::exec::order::checks::OrderTerms;
use crate::exec::order::incoming::Incoming;
use crate::exec::order::{admission, checks, live_orders, taking};
use crate::outcome::OperationResult;
use crate::refusal::Refusal;

/// Places an order on the book, whether or not an order that waits has its client id.
pub(crate) fn place_on_book(
    ctx: &mut Ctx<'_>,
    account: AccountId,
    order: &Place,
) -> Result<OperationResult, Refusal> {
    let OrderTerms { price_ticks, time_in_force } = checks::terms(ctx.exchange, order)?;
    if checks::rests(time_in_force) {
        checks::check_open_orders(ctx.exchange, account, order.market, 1)?;
        if order.reduce_only {
            checks::check_reduce_only_room(
                ctx.exchange,
                account,
                (order.market, order.side),
                1,
                0,
            )?;
        }
    }
    let (meter, opposite) = (&mut ctx.meter, order.side.opposite());
    let best = || live_orders::best_live(meter, ctx.exchange, (order.market, opposite), |_| false);
    let incoming = Incoming {
        market: order.market,
        order: admission::open_order(order, price_ticks, best)?,
        replaced: None,
        may_take: order.post_only == PostOnly::Off,
        rests: checks::rests(time_in_force),
    };
    let admission = admission::admit(ctx, account, &incoming)?;
    let ready = OrderTerms { price_ticks, time_in_force };
    let mut request = admission::new_order(ctx.exchange, &ctx.meter, account, order, ready)?;
    let mut by_fill = taking::begin(ctx, account, &incoming, &mut request, admission)?;
    let (book, mut host) = BookHost::split(ctx, order.market);
    host.taker_lots = order.lots;
    host.walk = by_fill.as_mut().map(|by_fill| &mut by_fill.walk);
    let before = host.events.len();
    let placed = book.place(&request, &mut host);
    let taken = host.taken();
    ctx.meter.pay_for_makers(visits(&placed));
    let placed = placed.map_err(|reject| taking::explained(reject, order.lots, by_fill))?;
    closed_by_taker(&mut ctx.events, before, placed.order_id);
    let named = (order.market, account, order.client_id);
    Ok(result(named, (order.lots, Lots::ZERO), &placed, taken, &mut ctx.events))
}

/// Makers that the book looked at for an order, accepted or refused.
pub(crate) fn visits(placed: &Result<PlaceResult, Reject>) -> u32 {
    placed.as_ref().map_or_else(|reject| reject.visits, |placed| placed.visits)
}

/// Names the taker as the order that closed the makers of its own account. The host learns the
/// taker's id from the book's result.
pub(crate) fn closed_by_taker(events: &mut [Event], before: usize, taker: OrderId) {
    for event in events.iter_mut().skip(before) {
        if let Event::Removed { code: Code::SelfTrade, closed_by, .. } = event {
            *closed_by = taker;
        }
    }
}

/// Returns the client's result of an order of some lots, which has traded others before. The
/// account's stream learns of a taker that never rested.
#[expect(clippy::arithmetic_side_effects, reason = "the parts of an order are at most the order")]
pub(crate) fn result(
    (market, account, client_id): (MarketId, AccountId, ClientId),
    (lots, before_lots): (Lots, Lots),
    placed: &PlaceResult,
    taken: Taken,
    events: &mut Vec<Event>,
) -> OperationResult {
    if let Some(code) = placed.rest.filter(|_| placed.resting_lots.is_zero()) {
        let gone = lots - placed.filled_lots - placed.decremented_lots - placed.resting_lots;
        events.push(Event::Removed {
            market,
            order_id: placed.order_id,
            account,
            client_id,
            lots: gone,
            code,
            closed_by: OrderId::NONE,
            loses_draw: placed.filled_lots.is_zero() && before_lots.is_zero(),
        });
    }
    OperationResult {
        order_id: placed.order_id,
        filled_lots: placed.filled_lots,
        resting_lots: placed.resting_lots,
        rest_code: placed.rest,
        notional_atoms: taken.notional_atoms,
        fee_atoms: taken.fee_atoms,
        ..Default::default()
    }
}
