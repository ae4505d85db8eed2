//! Reduce-only orders share the position that they reduce (rules §2.5).

use tidemark_proto::units::{OrderId, SelfTradePrevention, Side};
use tidemark_proto::{Code, Refusal};

use super::rules::{account, lots, place, removals, three_asks, ticks};
use super::{gtc, TestHost};
use crate::{Book, Event, NewOrder, Replace, TimeInForce};

#[test]
fn reduce_only_orders_show_their_parts_and_go_with_the_position() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    let sell = NewOrder { reduce_only: true, ..gtc(1, Side::Sell, 100, 10) };
    assert_eq!(place(&mut book, &mut host, &sell), Err(Code::WouldIncrease));
    host.positions.insert(account(1), 7);
    let placed = place(&mut book, &mut host, &sell).expect("rests");
    assert_eq!((placed.resting_lots, placed.rest), (lots(7), Some(Code::NothingToReduce)));
    assert_eq!(book.best_ask().expect("rests").lots, lots(7), "no more than the position");
    let behind = NewOrder { price_ticks: ticks(105), ..sell };
    let placed = place(&mut book, &mut host, &behind).expect("has no part");
    assert_eq!((placed.resting_lots, placed.rest), (lots(0), Some(Code::NothingToReduce)));
    // A better price has its part first, and the worse shrinks where it stands.
    let ahead = NewOrder { price_ticks: ticks(99), lots: lots(3), ..sell };
    let placed = place(&mut book, &mut host, &ahead).expect("rests");
    assert_eq!((placed.resting_lots, placed.rest), (lots(3), None));
    let shown: Vec<u64> = book.levels(Side::Sell).map(|level| level.lots.get()).collect();
    assert_eq!(shown, [3, 4]);
    let placed = place(&mut book, &mut host, &gtc(2, Side::Buy, 100, 20)).expect("trades");
    assert_eq!((placed.filled_lots.get(), placed.resting_lots.get()), (7, 13));
    assert_eq!((removals(&host), host.positions[&account(1)]), (Vec::new(), 0));
}

#[test]
fn a_fill_of_another_order_shrinks_reduce_only_orders_at_the_end_of_the_walk() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    host.positions.insert(account(1), 10);
    let exit =
        |price, quantity| NewOrder { reduce_only: true, ..gtc(1, Side::Sell, price, quantity) };
    for (price, quantity) in [(105, 4), (103, 4), (103, 2)] {
        place(&mut book, &mut host, &exit(price, quantity)).expect("rests");
    }
    place(&mut book, &mut host, &gtc(1, Side::Sell, 100, 7)).expect("rests");
    host.events.clear();
    place(&mut book, &mut host, &gtc(2, Side::Buy, 100, 7)).expect("trades");
    // Three lots are left: the order at 105 has no part, of those at 103 the first has three.
    let shown: Vec<(u64, u64)> =
        book.levels(Side::Sell).map(|level| (level.price_ticks.get(), level.lots.get())).collect();
    assert_eq!(shown, [(103, 3)]);
    let code = Code::NothingToReduce;
    assert_eq!(removals(&host), [(1, code), (3, code)]);
    let reduced = host.events.last().copied();
    let Some(Event::Reduced { order, by_lots, reason }) = reduced else {
        panic!("{reduced:?}");
    };
    assert_eq!((order.order_id.get(), order.lots, by_lots, reason), (2, lots(3), lots(1), code));
    // More position gives back nothing.
    host.positions.insert(account(1), 10);
    assert_eq!(book.fit_reduce_only(account(1), Side::Sell, &mut host), 0);
    assert_eq!(book.best_ask().map(|level| level.lots), Some(lots(3)));
}

#[test]
fn twenty_reduce_only_orders_rest_on_a_side_and_no_more() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    host.positions.insert(account(1), 100);
    let exit = NewOrder { reduce_only: true, ..gtc(1, Side::Sell, 100, 1) };
    for _ in 0..20 {
        place(&mut book, &mut host, &exit).expect("rests");
    }
    let reject = book.place(&exit, &mut host).expect_err("one too many");
    assert_eq!((reject.code, reject.bound, reject.offender), (Code::TooManyOpenOrders, 20, 20));
    assert_eq!(
        Refusal::from(reject).message,
        "20 such orders rest, at most 20",
        "the sentence names both"
    );
    // One that does not rest needs no place, nor does a replacement.
    place(&mut book, &mut host, &NewOrder { time_in_force: TimeInForce::Ioc, ..exit })
        .expect("trades with nobody");
    let change = Replace {
        order_id: OrderId::new(3),
        owner: account(1),
        price_ticks: Some(ticks(101)),
        lots: None,
        stp: SelfTradePrevention::CancelTaker,
        max_fills: 500,
        max_visits: u32::MAX,
    };
    book.replace(&change, &mut host).expect("moves");
    book.cancel(OrderId::new(3), account(1), Code::Cancelled, &mut host).expect("is there");
    place(&mut book, &mut host, &exit).expect("has room again");
}

#[test]
fn a_reduce_only_taker_stops_at_zero_and_takes_its_other_orders_along() {
    let (mut book, mut host) = three_asks();
    host.positions.insert(account(9), -6);
    let buy = NewOrder { reduce_only: true, ..gtc(9, Side::Buy, 90, 3) };
    place(&mut book, &mut host, &buy).expect("rests");
    let placed =
        place(&mut book, &mut host, &NewOrder { price_ticks: ticks(102), lots: lots(8), ..buy })
            .expect("trades");
    assert_eq!((placed.filled_lots.get(), placed.resting_lots.get()), (6, 0));
    assert_eq!(placed.rest, Some(Code::NothingToReduce));
    assert_eq!(removals(&host), [(4, Code::NothingToReduce)]);
}
