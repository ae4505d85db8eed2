//! Orders for the book, one by one and in batches.

use tidemark_proto::params::{MarketParams, MarketStatus};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{genesis, limit, lots, place, plain_market, Chain};

use super::waiting::{pegged, stop, whole};
use super::{Story, Table};

fn fok(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { time_in_force: v1::TimeInForce::Fok.into(), ..order }
}

fn ioc(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { time_in_force: v1::TimeInForce::Ioc.into(), ..order }
}

fn post_only(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { post_only: v1::PostOnly::Reject.into(), ..order }
}

fn reduce_only(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { reduce_only: true, ..order }
}

fn named(client_id: u64, order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { client_id, ..order }
}

fn until(expires_ms: u64, order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { time_in_force: v1::TimeInForce::Gtt.into(), expires_ms, ..order }
}

fn market_order(side: v1::Side, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { r#type: v1::OrderType::Market.into(), ..limit(0, side, 0, lots) }
}

fn cancel(order_id: u64) -> Operation {
    Operation::Cancel(v1::CancelOrder { order_id, ..Default::default() })
}

fn replace(change: v1::ReplaceOrder) -> Operation {
    Operation::Replace(change)
}

fn cancel_all() -> Operation {
    Operation::CancelAll(v1::CancelAll::default())
}

/// A market in which `long` holds 100 lots of `short`, with `maker` on both sides.
fn traded(table: &mut Table) -> Story<'_> {
    let mut story = Story::one_market(&["long", "short", "maker"], table);
    story.orders("short", vec![place(limit(0, Sell, 100, 100))]);
    story.orders("long", vec![place(limit(0, Buy, 100, 100))]);
    story.orders("maker", vec![place(limit(0, Buy, 95, 10)), place(limit(0, Sell, 105, 10))]);
    story
}

fn placement(table: &mut Table) {
    let mut story = traded(table);
    let now_ms = story.chain.now_ms;
    let orders = [
        limit(9, Buy, 100, 1),
        limit(0, Buy, 100, 0),
        limit(0, Buy, 100, 1_000_000_001),
        limit(0, Buy, 121, 1),
        limit(0, Buy, 79, 1),
        post_only(limit(0, Buy, 105, 1)),
        reduce_only(limit(0, Buy, 100, 1)),
        fok(limit(0, Buy, 105, 11)),
        limit(0, Buy, 94, 100_000),
        until(now_ms, limit(0, Buy, 94, 1)),
        named(5, limit(0, Buy, 94, 1)),
        named(5, limit(0, Buy, 94, 1)),
        ioc(limit(0, Buy, 96, 1)),
        reduce_only(limit(0, Sell, 95, 101)),
        limit(0, Buy, 105, 11),
    ];
    let placed = story.orders("long", orders.into_iter().map(place).collect());
    let operations = vec![
        cancel(9_999),
        Operation::Cancel(v1::CancelOrder { client_id: 77, ..Default::default() }),
        replace(v1::ReplaceOrder {
            order_id: placed[10].order_id,
            trigger_price_ticks: 90,
            ..Default::default()
        }),
        replace(v1::ReplaceOrder { client_id: 5, lots: Some(1_000_000), ..Default::default() }),
        replace(v1::ReplaceOrder { client_id: 5, price_ticks: 93, ..Default::default() }),
        replace(v1::ReplaceOrder { client_id: 5, price_ticks: 1, ..Default::default() }),
        Operation::CancelAll(v1::CancelAll { market: Some(9), side: 0 }),
        Operation::CancelAll(v1::CancelAll { market: Some(70_000 - 65_536), side: 0 }),
        cancel_all(),
    ];
    story.orders("long", operations);
    let elsewhere = v1::MsgOrders {
        subaccount: 9,
        operations: vec![v1::Operation { operation: Some(cancel_all()) }],
        ..Default::default()
    };
    story.send("long", elsewhere);
}

fn bounds(table: &mut Table) {
    let mut story = traded(table);
    story.update(|params| {
        (params.max_open_orders, params.max_fills) = (2, 1);
        params.max_open_interest_lots = lots(150);
    });
    story.orders("short", (95..99).map(|price| place(limit(0, Buy, price, 1))).collect());
    story.orders("long", vec![place(ioc(limit(0, Sell, 95, 3)))]);
    story.orders("long", vec![place(ioc(limit(0, Buy, 90, 60)))]);
    let expires_ms = story.chain.now_ms + 1_500;
    story.orders("long", vec![place(until(expires_ms, limit(0, Buy, 94, 1)))]);
    story.block();
    story.block();
}

fn self_trades(table: &mut Table) {
    use v1::SelfTradePrevention::{CancelBoth, CancelMaker, CancelTaker, Decrement};
    let mut story = Story::one_market(&["trader"], table);
    for policy in [CancelTaker, CancelMaker, CancelBoth, Decrement] {
        let policy = policy.into();
        story.send("trader", v1::MsgSetSelfTradePrevention { policy, ..Default::default() });
        story.orders("trader", vec![place(limit(0, Sell, 100, 2)), place(limit(0, Buy, 100, 3))]);
        story.orders("trader", vec![cancel_all()]);
    }
}

fn market_status(table: &mut Table) {
    let mut story = traded(table);
    let order = || vec![place(limit(0, Buy, 94, 1))];
    for status in [MarketStatus::ReduceOnly, MarketStatus::Paused, MarketStatus::Closed] {
        story.update(|params| params.status = status);
        story.orders("long", order());
    }
    // A market without a price.
    let mut story = Story::new(Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 0)), table);
    story.chain.deposit("long", 1_000);
    story.block();
    story.orders("long", vec![place(limit(0, Buy, 94, 1)), place(market_order(Buy, 1))]);
    // One whose price is old.
    let mut story = traded(table);
    story.chain.silence();
    story.chain.now_ms += 60_000;
    story.orders("long", order());
    // One whose books do not add up.
    let mut story = traded(table);
    story.chain.state.markets[0].cell.market.open_interest_lots += lots(1);
    story.block();
    story.orders("long", order());
}

/// Accounts whose free collateral is below 0.
fn without_free_collateral(table: &mut Table) {
    let mut story = Story::one_market(&["long", "short"], table);
    story.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    story.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    story.orders("long", vec![place(limit(0, Buy, 99, 900))]);
    // The bid goes: it cannot be covered any more.
    story.index(91);
    story.orders("long", vec![place(reduce_only(limit(0, Sell, 89, 900)))]);
    // All that is free is reserved for a bid, and the sale would cost more.
    let mut story = Story::one_market(&["long", "short"], story.table);
    story.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    story.orders("long", vec![place(limit(0, Buy, 100, 900)), place(limit(0, Buy, 99, 1_080))]);
    story.orders("long", vec![place(reduce_only(limit(0, Sell, 100, 900)))]);
}

/// Reduce-only orders that outlive what they reduce.
fn reductions(table: &mut Table) {
    let mut story = traded(table);
    story.orders("long", vec![place(reduce_only(limit(0, Sell, 104, 1))); 21]);
    story.orders("long", vec![Operation::CancelAll(v1::CancelAll::default())]);
    story.orders("maker", vec![place(limit(0, Buy, 95, 190))]);
    story.orders("long", vec![place(reduce_only(limit(0, Sell, 104, 100)))]);
    story.orders("long", vec![place(reduce_only(limit(0, Sell, 95, 150)))]);
    story.orders("short", vec![place(ioc(limit(0, Buy, 104, 1)))]);
}

fn batches(table: &mut Table) {
    let mut story = traded(table);
    let buy = |price, lots| place(limit(0, Buy, price, lots));
    let sell = |price, lots| place(limit(0, Sell, price, lots));
    let orders = vec![place(named(5, limit(0, Buy, 94, 1))), place(stop(Sell, 90, 1))];
    let placed = story.orders("long", orders);
    let (own, waiting) = (placed[0].order_id, placed[1].order_id);
    let pair =
        v1::PlaceOco { first: Some(limit(0, Sell, 110, 1)), second: Some(stop(Sell, 90, 1)) };
    let (entry, stop_loss) = (Some(limit(0, Buy, 94, 1)), Some(stop(Sell, 90, 0)));
    let bracket = v1::PlaceBracket { entry, take_profit: None, stop_loss };
    let lots_of = |order_id, lots| {
        replace(v1::ReplaceOrder { order_id, lots: Some(lots), ..Default::default() })
    };
    let batches = [
        vec![buy(94, 1), buy(130, 1)],
        vec![buy(101, 1), sell(101, 1)],
        vec![cancel(own), cancel(own)],
        vec![lots_of(own, 2)],
        vec![lots_of(waiting, 2)],
        vec![place(pegged(Buy, v1::Peg::Mark, -1, 1))],
        vec![Operation::Oco(pair)],
        vec![Operation::Bracket(bracket)],
        vec![buy(105, 1), place(fok(limit(0, Buy, 105, 1)))],
        vec![cancel(own), place(fok(limit(0, Buy, 105, 1)))],
        vec![place(fok(limit(0, Buy, 105, 100)))],
        vec![place(post_only(limit(0, Buy, 105, 1)))],
        vec![place(named(5, limit(0, Buy, 93, 1)))],
        vec![place(named(6, limit(0, Buy, 93, 1))), place(named(6, limit(0, Buy, 92, 1)))],
        vec![buy(94, 1_000), buy(93, 1_000)],
        vec![buy(105, 1), place(whole(stop(Sell, 90, 0)))],
        vec![Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms: 1 })],
    ];
    for batch in batches {
        story.batch("long", batch);
    }
    let ladder = v1::PlaceScale {
        side: Buy.into(),
        from_ticks: 90,
        to_ticks: 70,
        lots: 10,
        count: 3,
        ..Default::default()
    };
    story.orders("long", vec![Operation::Scale(ladder)]);
}

/// A tiny lot: the book bounds a level's total, the market an order's size.
fn max_order_lots(table: &mut Table) {
    let params = MarketParams { max_order_lots: lots(5), ..plain_market("ONE-USD", 20) };
    let mut story = Story::new(Chain::new(&genesis(vec![params], 0)), table);
    story.chain.index(0, 100);
    story.chain.deposit("long", 1_000);
    story.block();
    story.orders("long", vec![place(limit(0, Buy, 99, 6))]);
}

pub(super) fn run(table: &mut Table) {
    placement(table);
    bounds(table);
    self_trades(table);
    market_status(table);
    without_free_collateral(table);
    reductions(table);
    batches(table);
    max_order_lots(table);
}
