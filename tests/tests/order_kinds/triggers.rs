//! Orders with a trigger: stops and take-profits.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::outcome;
use tidemark_proto::units::OrderId;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{healthy, limit, lots, place, ticks};

use super::{left, long_100, mark_to, send, stop, take_profit, waiting};

#[test]
fn rules_2_a_stop_sells_when_the_mark_falls_to_it_and_not_before() {
    let mut chain = long_100();
    let (code, result) = send(&mut chain, "long", place(stop(Sell, 95, 60)));
    assert_eq!((code, waiting(&chain)), ("OK", 1));
    mark_to(&mut chain, 96);
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (1, 100));
    let events = mark_to(&mut chain, 95);
    let told = events.events.iter().find_map(|event| match event {
        Event::Triggered { order_id, placed_order_id, refusal, .. } => {
            Some((*order_id, *placed_order_id, outcome::code(refusal.as_deref())))
        }
        _ => None,
    });
    let (order_id, placed_order_id, code) = told.expect("it triggers");
    assert_eq!((order_id, code), (result.order_id, Code::Ok));
    let fill = events.events.iter().find_map(|event| match event {
        Event::Fill(fill) => Some(*fill),
        _ => None,
    });
    let fill = fill.expect("it trades");
    assert_eq!(
        (fill.taker_order_id, fill.price_ticks, fill.lots),
        (placed_order_id, ticks(92), lots(60))
    );
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (0, 40));
}

#[test]
fn rules_2_a_take_profit_buys_back_a_short_when_the_mark_falls() {
    let mut chain = long_100();
    // The maker is short 100.
    let take = v1::PlaceOrder {
        r#type: v1::OrderType::Limit.into(),
        price_ticks: 95,
        reduce_only: true,
        ..take_profit(Buy, 94, 30)
    };
    assert_eq!(send(&mut chain, "maker", place(take)).0, "OK");
    mark_to(&mut chain, 97);
    assert_eq!(waiting(&chain), 1);
    mark_to(&mut chain, 94);
    assert_eq!(waiting(&chain), 0);
    assert_eq!(
        chain.state.markets[0].book.best_bid().map(|level| (level.price_ticks, level.lots)),
        Some((ticks(95), lots(30)))
    );
}

#[test]
fn rules_2_a_trigger_that_the_mark_has_reached_is_refused_with_the_mark() {
    let mut chain = long_100();
    for order in
        [stop(Sell, 100, 1), stop(Buy, 100, 1), take_profit(Sell, 99, 1), take_profit(Buy, 101, 1)]
    {
        let (code, result) = send(&mut chain, "long", place(order));
        assert_eq!(code, "TRIGGER_REACHED");
        let sentence = result.refusal.expect("it is refused").sentence();
        assert!(sentence.contains("mark is 100"), "{sentence}");
    }
    assert_eq!(waiting(&chain), 0);
}

#[test]
fn rules_8_phase_5_triggers_run_in_the_order_of_their_prices_and_no_more_than_max_triggers_a_block()
{
    let mut chain = long_100();
    let mut params = chain.state.markets[0].cell.market.params.clone();
    params.max_triggers = 2;
    chain.send(
        "faucet",
        v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() },
    );
    healthy(&chain.block());
    let mut ids = Vec::new();
    for price in [94, 96, 95, 96] {
        ids.push(send(&mut chain, "long", place(stop(Sell, price, 10))).1.order_id);
    }
    let triggered = |events: &BlockEvents| -> Vec<OrderId> {
        let told = events.events.iter().filter_map(|event| match event {
            Event::Triggered { order_id, .. } => Some(*order_id),
            _ => None,
        });
        told.collect()
    };
    let events = mark_to(&mut chain, 94);
    assert_eq!(triggered(&events), [ids[1], ids[3]]);
    // The mark has turned, and what it had reached still comes.
    let events = mark_to(&mut chain, 96);
    assert_eq!(triggered(&events), [ids[2], ids[0]]);
    assert_eq!(chain.lots("long", 0), 60);
}

#[test]
fn rules_4_no_trigger_fires_while_the_index_is_stale() {
    let mut chain = long_100();
    assert_eq!(send(&mut chain, "long", place(stop(Sell, 95, 10))).0, "OK");
    chain.silence();
    chain.now_ms += 60_000;
    healthy(&chain.block());
    assert_eq!(waiting(&chain), 1);
    mark_to(&mut chain, 95);
    assert_eq!(waiting(&chain), 0);
}

#[test]
fn rules_2_an_order_that_waits_is_cancelled_replaced_and_found_by_either_of_its_ids() {
    let mut chain = long_100();
    let named = v1::PlaceOrder { client_id: 7, ..stop(Sell, 95, 10) };
    let id = send(&mut chain, "long", place(named)).1.order_id;
    assert_eq!(send(&mut chain, "long", place(named)).0, "DUPLICATE_CLIENT_ID");
    let resting = v1::PlaceOrder { client_id: 7, ..limit(0, Buy, 80, 1) };
    assert_eq!(send(&mut chain, "long", place(resting)).0, "DUPLICATE_CLIENT_ID");
    let replace = v1::ReplaceOrder {
        client_id: 7,
        trigger_price_ticks: 93,
        lots: Some(20),
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "long", Operation::Replace(replace)).0, "OK");
    mark_to(&mut chain, 94);
    assert_eq!(waiting(&chain), 1);
    let reached = v1::ReplaceOrder { client_id: 7, trigger_price_ticks: 99, ..Default::default() };
    assert_eq!(send(&mut chain, "long", Operation::Replace(reached)).0, "TRIGGER_REACHED");
    let other = v1::CancelOrder { order_id: id.get(), ..Default::default() };
    assert_eq!(send(&mut chain, "maker", Operation::Cancel(other)).0, "UNKNOWN_ORDER");
    assert_eq!(send(&mut chain, "long", Operation::Cancel(other)).0, "OK");
    assert_eq!(waiting(&chain), 0);
    mark_to(&mut chain, 100);
    assert_eq!(send(&mut chain, "long", place(named)).0, "DUPLICATE_CLIENT_ID");
    let other = v1::PlaceOrder { client_id: 8, ..named };
    assert_eq!(send(&mut chain, "long", place(other)).0, "OK");
    let (_, all) =
        send(&mut chain, "long", Operation::CancelAll(v1::CancelAll { market: None, side: 2 }));
    assert_eq!((all.cancelled, waiting(&chain)), (1, 0));
}

#[test]
fn rules_2_orders_that_wait_count_as_open_orders_and_expire() {
    let mut chain = long_100();
    let mut params = chain.state.markets[0].cell.market.params.clone();
    params.max_open_orders = 2;
    chain.send(
        "faucet",
        v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() },
    );
    healthy(&chain.block());
    let timed = v1::PlaceOrder {
        r#type: v1::OrderType::Limit.into(),
        price_ticks: 90,
        time_in_force: v1::TimeInForce::Gtt.into(),
        expires_ms: chain.now_ms + 3_500,
        ..stop(Sell, 95, 10)
    };
    assert_eq!(send(&mut chain, "long", place(timed)).0, "OK");
    assert_eq!(send(&mut chain, "long", place(limit(0, Buy, 80, 1))).0, "OK");
    assert_eq!(send(&mut chain, "long", place(stop(Sell, 94, 1))).0, "TOO_MANY_OPEN_ORDERS");
    assert_eq!(send(&mut chain, "long", place(limit(0, Buy, 80, 1))).0, "TOO_MANY_OPEN_ORDERS");
    let events = chain.block();
    assert_eq!(left(&events).into_iter().map(|(_, code)| code).collect::<Vec<_>>(), ["EXPIRED"]);
    assert_eq!(waiting(&chain), 0);
}
