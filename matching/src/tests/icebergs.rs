//! Rules §2.10 on iceberg orders, one by one.

use tidemark_proto::units::{SelfTradePrevention, Side};
use tidemark_proto::Code;

use super::rules::{account, fills, id, lots, place, replace, three_asks, ticks};
use super::{gtc, TestHost};
use crate::{Book, NewOrder, TimeInForce};

#[test]
fn an_iceberg_shows_its_display_and_refills_at_the_back() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    let iceberg = NewOrder { display_lots: lots(3), ..gtc(1, Side::Sell, 100, 10) };
    place(&mut book, &mut host, &iceberg).expect("rests");
    place(&mut book, &mut host, &gtc(2, Side::Sell, 100, 4)).expect("rests");
    assert_eq!(book.best_ask().map(|level| (level.lots, level.count)), Some((lots(7), 2)));
    let order = book.order(id(1)).expect("live");
    assert_eq!((order.lots, order.hidden_lots, order.shown_lots()), (lots(10), lots(7), lots(3)));
    place(&mut book, &mut host, &gtc(9, Side::Buy, 100, 5)).expect("trades");
    assert_eq!(fills(&host), [(1, 100, 3), (2, 100, 2)]);
    let queue: Vec<_> =
        book.queue(Side::Sell, ticks(100)).map(|o| (o.order_id, o.shown_lots())).collect();
    assert_eq!(queue, [(id(2), lots(2)), (id(1), lots(3))]);
    // One taker can go through it again and again; each time it meets a maker anew.
    host.events.clear();
    let ioc =
        NewOrder { time_in_force: TimeInForce::Ioc, max_fills: 3, ..gtc(9, Side::Buy, 100, 20) };
    let placed = place(&mut book, &mut host, &ioc).expect("trades");
    assert_eq!(fills(&host), [(2, 100, 2), (1, 100, 3), (1, 100, 3)]);
    assert_eq!((placed.filled_lots.get(), placed.rest), (8, Some(Code::MaxFills)));
    assert_eq!(
        book.order(id(1)).map(|order| (order.lots, order.hidden_lots)),
        Some((lots(1), lots(0)))
    );
}

#[test]
fn an_iceberg_is_for_orders_that_may_rest() {
    let (mut book, mut host) = three_asks();
    for time_in_force in [TimeInForce::Ioc, TimeInForce::Fok] {
        let order = NewOrder { display_lots: lots(1), time_in_force, ..gtc(9, Side::Buy, 100, 5) };
        assert_eq!(place(&mut book, &mut host, &order), Err(Code::InvalidArgument));
    }
}

#[test]
fn fok_counts_hidden_lots_in_the_order_in_which_they_come() {
    let tradable = |order: NewOrder| {
        let (mut book, mut host) = (Book::new(), TestHost::default());
        let iceberg = NewOrder { display_lots: lots(3), ..gtc(1, Side::Sell, 100, 10) };
        place(&mut book, &mut host, &iceberg).expect("rests");
        place(&mut book, &mut host, &gtc(2, Side::Sell, 100, 4)).expect("rests");
        book.place(&order, &mut host)
            .map(|placed| placed.filled_lots.get())
            .map_err(|reject| reject.bound)
    };
    let fok = NewOrder { time_in_force: TimeInForce::Fok, ..gtc(9, Side::Buy, 100, 14) };
    assert_eq!(tradable(fok), Ok(14));
    assert_eq!(tradable(NewOrder { lots: lots(15), ..fok }), Err(14));
    assert_eq!(tradable(NewOrder { max_fills: 3, ..fok }), Err(3 + 4 + 3));
    // Account 2 meets its own order after the first display.
    assert_eq!(tradable(NewOrder { owner: account(2), ..fok }), Err(3));
}

#[test]
fn an_iceberg_loses_hidden_lots_first_and_keeps_its_place() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    let iceberg = NewOrder { display_lots: lots(3), ..gtc(1, Side::Sell, 100, 10) };
    place(&mut book, &mut host, &iceberg).expect("rests");
    place(&mut book, &mut host, &gtc(2, Side::Sell, 100, 4)).expect("rests");
    let front = |book: &Book| {
        book.queue(Side::Sell, ticks(100))
            .next()
            .map(|o| (o.order_id.get(), o.lots.get(), o.hidden_lots.get()))
    };
    book.replace(&replace(1, 1, None, Some(6)), &mut host).expect("live");
    assert_eq!(front(&book), Some((1, 6, 3)));
    book.reduce(id(1), account(1), lots(4), &mut host).expect("live");
    assert_eq!(front(&book), Some((1, 2, 0)));
    // More of it goes to the back and is shown as before.
    book.replace(&replace(1, 1, None, Some(9)), &mut host).expect("live");
    assert_eq!(front(&book), Some((2, 4, 0)));
    assert_eq!(book.order(id(1)).map(|order| order.hidden_lots), Some(lots(6)));
    // Self-trade prevention by decrement takes the smaller of the two whole quantities.
    let own = NewOrder { stp: SelfTradePrevention::Decrement, ..gtc(1, Side::Buy, 100, 12) };
    let placed = place(&mut book, &mut host, &own).expect("trades");
    assert_eq!((placed.filled_lots.get(), placed.decremented_lots.get()), (4, 8));
    assert_eq!(
        book.order(id(1)).map(|order| (order.lots, order.hidden_lots)),
        Some((lots(1), lots(0)))
    );
    assert_eq!(book.cancel(id(1), account(1), Code::Cancelled, &mut host), Ok(lots(1)));
}
