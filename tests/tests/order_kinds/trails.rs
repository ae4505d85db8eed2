//! Trailing stops: triggers at a distance behind the best mark since they were placed.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{healthy, lots, place, word};

use super::{long_100, mark_to, send, stop, take_profit, waiting};

/// A market order that reduces once the mark has gone so many ticks from its best.
fn trailing(side: v1::Side, trail_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { trail_ticks, reduce_only: true, ..stop(side, 0, lots) }
}

/// As [`trailing`], by parts per million of the best mark.
fn trailing_part(side: v1::Side, trail_ppm: u32, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { trail_ppm, ..trailing(side, 0, lots) }
}

fn triggers(events: &BlockEvents) -> usize {
    events.events.iter().filter(|event| matches!(event, Event::Triggered { .. })).count()
}

#[test]
fn rules_2_a_trailing_stop_sells_at_its_distance_below_the_highest_mark_since_it_was_placed() {
    let mut chain = long_100();
    assert_eq!(send(&mut chain, "long", place(trailing(Sell, 10, 40))).0, "OK");
    mark_to(&mut chain, 108);
    // It comes later, and knows nothing of 108.
    mark_to(&mut chain, 104);
    assert_eq!(send(&mut chain, "long", place(trailing(Sell, 10, 60))).0, "OK");
    assert_eq!((triggers(&mark_to(&mut chain, 99)), waiting(&chain)), (0, 2));
    assert_eq!((triggers(&mark_to(&mut chain, 98)), waiting(&chain)), (1, 1));
    assert_eq!(chain.lots("long", 0), 60);
    assert_eq!(triggers(&mark_to(&mut chain, 95)), 0);
    assert_eq!(triggers(&mark_to(&mut chain, 94)), 1);
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (0, 0));
}

#[test]
fn rules_2_a_trailing_stop_of_a_short_follows_the_lowest_mark_by_a_part_of_it() {
    let mut chain = long_100();
    assert_eq!(send(&mut chain, "maker", place(trailing_part(Buy, 50_000, 100))).0, "OK");
    mark_to(&mut chain, 101);
    mark_to(&mut chain, 90);
    // Five in a hundred of 90 are 4.5, up to the next tick.
    assert_eq!(triggers(&mark_to(&mut chain, 94)), 0);
    assert_eq!(triggers(&mark_to(&mut chain, 95)), 1);
}

#[test]
fn rules_2_a_trailing_stop_only_reduces_and_needs_a_trigger_price_behind_the_mark() {
    for (order, why) in [
        (v1::PlaceOrder { reduce_only: false, ..trailing(Sell, 10, 1) }, "INVALID_ARGUMENT"),
        (v1::PlaceOrder { trigger_price_ticks: 90, ..trailing(Sell, 10, 1) }, "INVALID_ARGUMENT"),
        (v1::PlaceOrder { trail_ppm: 1, ..trailing(Sell, 10, 1) }, "INVALID_ARGUMENT"),
        (v1::PlaceOrder { trail_ticks: 10, ..take_profit(Sell, 0, 1) }, "INVALID_ARGUMENT"),
        (trailing_part(Sell, 1_000_000, 1), "INVALID_ARGUMENT"),
        (trailing(Sell, (1 << 40) + 1, 1), "INVALID_ARGUMENT"),
        (trailing(Sell, 100, 100), "PRICE_OUT_OF_BAND"),
        (trailing(Sell, 10, 101), "WOULD_INCREASE"),
        (trailing(Buy, 10, 100), "WOULD_INCREASE"),
    ] {
        let mut chain = long_100();
        let (code, _) = send(&mut chain, "long", place(order));
        assert_eq!((code, waiting(&chain)), (why, 0), "{order:?}");
    }
}

#[test]
fn rules_2_a_trailing_stop_keeps_its_best_mark_when_it_is_replaced_or_paired() {
    let mut chain = long_100();
    let exits = v1::PlaceOco {
        first: Some(v1::PlaceOrder { reduce_only: true, ..take_profit(Sell, 115, 100) }),
        second: Some(v1::PlaceOrder { whole_position: true, ..trailing(Sell, 10, 0) }),
    };
    let (code, result) = send(&mut chain, "long", Operation::Oco(exits));
    assert_eq!(code, "OK");
    mark_to(&mut chain, 106);
    let change = v1::ReplaceOrder { order_id: result.second_order_id.get(), ..Default::default() };
    let (id, trails) = (result.second_order_id, &mut chain);
    let price = v1::ReplaceOrder { trigger_price_ticks: 90, ..change };
    assert_eq!(send(trails, "long", Operation::Replace(price)).0, "NOT_REPLACEABLE");
    // A limit at which it sells when it triggers.
    let limit = v1::ReplaceOrder { price_ticks: 91, ..change };
    assert_eq!(send(trails, "long", Operation::Replace(limit)).0, "OK");
    let orders = &chain.state.markets[0].conditional;
    assert_eq!(orders.best_ticks(id).map(|best| best.get()), Some(106));
    assert_eq!(triggers(&mark_to(&mut chain, 97)), 0);
    assert_eq!(triggers(&mark_to(&mut chain, 96)), 1);
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (0, 0));
}

#[test]
fn rules_2_trailing_stops_count_as_orders_that_wait_and_go_with_the_position() {
    let mut chain = long_100();
    let exits: Vec<_> = (0..20).map(|at| place(trailing(Sell, 10 + at, 2))).collect();
    chain.orders("long", exits);
    healthy(&chain.block());
    let more = send(&mut chain, "long", place(trailing(Sell, 9, 2)));
    assert_eq!((more.0, waiting(&chain)), ("TOO_MANY_OPEN_ORDERS", 20));
    let cancelled = send(&mut chain, "long", Operation::CancelAll(v1::CancelAll::default())).1;
    assert_eq!((cancelled.cancelled, waiting(&chain)), (20, 0));
    let sized = send(&mut chain, "long", place(trailing(Sell, 5, 30)));
    assert_eq!(sized.0, "OK");
    // They go with the position.
    chain.orders("long", vec![place(tidemark_tests::harness::limit(0, Sell, 92, 100))]);
    let events = chain.block();
    assert_eq!((word(&events.txs[0]), waiting(&chain)), ("OK", 0));
    assert_eq!(events.txs[0].results[0].filled_lots, lots(100));
}
