//! Orders that leave together: of two one cancels the other (OCO), and exits attached to a
//! whole position go with it.

use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{healthy, limit, lots, place, Chain};

use super::{left, long_100, mark_to, one_market, send, stop, take_profit, waiting};

fn whole(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { whole_position: true, lots: 0, ..order }
}

fn oco(first: v1::PlaceOrder, second: v1::PlaceOrder) -> Operation {
    Operation::Oco(v1::PlaceOco { first: Some(first), second: Some(second) })
}

#[test]
fn rules_2_of_a_pair_that_waits_one_triggers_and_the_other_goes() {
    let mut chain = long_100();
    let (code, pair) =
        send(&mut chain, "long", oco(take_profit(Sell, 105, 100), stop(Sell, 95, 100)));
    assert_eq!((code, waiting(&chain)), ("OK", 2));
    let events = mark_to(&mut chain, 95);
    let told = left(&events);
    assert!(told.contains(&(pair.second_order_id, "OK")), "{told:?}");
    assert!(told.contains(&(pair.order_id, "OCO_PARTNER")), "{told:?}");
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (0, 0));
}

#[test]
fn rules_2_of_a_limit_and_a_stop_a_fill_a_trigger_or_a_cancel_of_one_takes_the_other() {
    let pair = |chain: &mut Chain| {
        let first = v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 105, 100) };
        let (code, result) = send(chain, "long", oco(first, stop(Sell, 95, 100)));
        assert_eq!((code, result.resting_lots, waiting(chain)), ("OK", lots(100), 1));
        result
    };
    // A part of the limit order trades.
    let mut chain = long_100();
    let ids = pair(&mut chain);
    chain.orders("maker", vec![place(limit(0, Buy, 105, 10))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(left(&events), [(ids.second_order_id, "OCO_PARTNER")]);
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (0, 90));
    assert!(chain.state.markets[0].conditional.is_empty());
    // The stop triggers.
    let mut chain = long_100();
    let ids = pair(&mut chain);
    let events = mark_to(&mut chain, 95);
    assert_eq!(left(&events)[..2], [(ids.second_order_id, "OK"), (ids.order_id, "OCO_PARTNER")]);
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (0, 0));
    assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("long")), 0);
    // Either is cancelled.
    for first in [true, false] {
        let mut chain = long_100();
        let ids = pair(&mut chain);
        let order_id = if first { ids.order_id } else { ids.second_order_id }.get();
        let cancel = v1::CancelOrder { order_id, ..Default::default() };
        assert_eq!(send(&mut chain, "long", Operation::Cancel(cancel)).0, "OK");
        assert_eq!(waiting(&chain), 0);
        assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("long")), 0);
        assert!(chain.state.markets[0].conditional.is_empty());
    }
}

#[test]
fn rules_2_of_a_refused_pair_nothing_is_left() {
    let mut chain = long_100();
    for pair in [
        oco(limit(0, Sell, 105, 50_000), stop(Sell, 95, 100)),
        oco(limit(0, Sell, 105, 1), stop(Sell, 101, 100)),
        oco(take_profit(Sell, 99, 1), stop(Sell, 95, 1)),
        oco(
            v1::PlaceOrder { client_id: 5, ..limit(0, Sell, 105, 1) },
            v1::PlaceOrder { client_id: 5, ..stop(Sell, 95, 1) },
        ),
    ] {
        assert_ne!(send(&mut chain, "long", pair).0, "OK");
        assert!(chain.state.markets[0].conditional.is_empty());
        assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("long")), 0);
    }
}

#[test]
fn rules_2_an_attached_stop_closes_the_position_as_it_is_when_it_triggers() {
    let mut chain = long_100();
    let exits = oco(whole(take_profit(Sell, 120, 0)), whole(stop(Sell, 95, 0)));
    assert_eq!(send(&mut chain, "long", exits).0, "OK");
    // It grows to 130, and the exits with it.
    chain.orders("maker", vec![place(limit(0, Sell, 101, 30))]);
    healthy(&chain.block());
    assert_eq!(send(&mut chain, "long", place(limit(0, Buy, 101, 30))).1.filled_lots, lots(30));
    assert_eq!(waiting(&chain), 2);
    mark_to(&mut chain, 95);
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (0, 0));
}

#[test]
fn rules_2_attached_exits_go_when_the_position_closes_or_turns_even_within_a_block() {
    for (sold, after) in [(100, 0), (150, -50)] {
        let mut chain = long_100();
        assert_eq!(send(&mut chain, "long", place(whole(stop(Sell, 80, 0)))).0, "OK");
        assert_eq!(send(&mut chain, "long", place(whole(stop(Buy, 120, 0)))).0, "WOULD_INCREASE");
        let (_, result) = send(&mut chain, "long", place(limit(0, Sell, 90, sold)));
        assert_eq!((result.filled_lots.get(), chain.lots("long", 0)), (sold, after));
        assert_eq!(waiting(&chain), 0);
    }
    // Closed and opened again in one message.
    let mut chain = long_100();
    assert_eq!(send(&mut chain, "long", place(whole(stop(Sell, 80, 0)))).0, "OK");
    chain.orders("long", vec![place(limit(0, Sell, 90, 100)), place(limit(0, Buy, 110, 5))]);
    healthy(&chain.block());
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (5, 0));
}

#[test]
fn rules_2_attached_exits_go_with_a_position_that_is_deleveraged() {
    let mut chain = one_market(&["long", "short"]);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    healthy(&chain.block());
    assert_eq!(send(&mut chain, "short", place(whole(take_profit(Buy, 70, 0)))).0, "OK");
    mark_to(&mut chain, 85);
    assert_eq!((chain.lots("short", 0), waiting(&chain)), (0, 0));
}
