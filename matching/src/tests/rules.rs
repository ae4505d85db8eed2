//! Rules §2, one by one.

use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::{Code, Refusal};

use super::{gtc, TestHost};
use crate::{
    Book, Event, NewOrder, PlaceResult, PostOnly, Reject, Replace, TimeInForce, MAX_ORDER_LOTS,
};

const MOST_LOTS: u64 = MAX_ORDER_LOTS.get();

pub(super) fn account(account: u32) -> AccountId {
    AccountId::new(account)
}

pub(super) fn id(id: u64) -> OrderId {
    OrderId::new(id)
}

pub(super) fn ticks(ticks: u64) -> Ticks {
    Ticks::new(ticks)
}

pub(super) fn lots(lots: u64) -> Lots {
    Lots::new(lots)
}

/// A book with asks of accounts 1, 2 and 3: 5 lots each at 100, 100 and 102.
pub(super) fn three_asks() -> (Book, TestHost) {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    for (owner, price) in [(1, 100), (2, 100), (3, 102)] {
        place(&mut book, &mut host, &gtc(owner, Side::Sell, price, 5)).expect("rests");
    }
    host.events.clear();
    (book, host)
}

pub(super) fn place(
    book: &mut Book,
    host: &mut TestHost,
    order: &NewOrder,
) -> Result<PlaceResult, Code> {
    book.place(order, host).map_err(|reject| reject.code)
}

/// (maker, price, lots) of every fill told.
pub(super) fn fills(host: &TestHost) -> Vec<(u32, u64, u64)> {
    let fill = |event: &Event| match event {
        Event::Fill { maker, price_ticks, lots, .. } => {
            Some((maker.get(), price_ticks.get(), lots.get()))
        }
        _ => None,
    };
    host.events.iter().filter_map(fill).collect()
}

/// (order id, why) of every order removed.
pub(super) fn removals(host: &TestHost) -> Vec<(u64, Code)> {
    let removal = |event: &Event| match event {
        Event::Removed { order, reason } => Some((order.order_id.get(), *reason)),
        _ => None,
    };
    host.events.iter().filter_map(removal).collect()
}

pub(super) fn replace(order_id: u64, owner: u32, price: Option<u64>, lots: Option<u64>) -> Replace {
    Replace {
        order_id: id(order_id),
        owner: account(owner),
        price_ticks: price.map(Ticks::new),
        lots: lots.map(Lots::new),
        stp: SelfTradePrevention::CancelTaker,
        max_fills: 500,
        max_visits: u32::MAX,
    }
}

#[test]
fn price_then_arrival_at_the_makers_price() {
    let (mut book, mut host) = three_asks();
    let placed = place(&mut book, &mut host, &gtc(9, Side::Buy, 103, 12)).expect("trades");
    assert_eq!(fills(&host), [(1, 100, 5), (2, 100, 5), (3, 102, 2)]);
    assert_eq!((placed.filled_lots.get(), placed.resting_lots.get(), placed.rest), (12, 0, None));
}

#[test]
fn quantities_have_bounds_and_refusals_name_them() {
    let (mut book, mut host) = three_asks();
    for (lots, code) in [(0, Code::QuantityTooSmall), (MOST_LOTS + 1, Code::QuantityTooLarge)] {
        assert_eq!(place(&mut book, &mut host, &gtc(9, Side::Buy, 1, lots)), Err(code));
    }
    let reject =
        book.place(&gtc(9, Side::Buy, 1, MOST_LOTS + 1), &mut host).expect_err("too large");
    let refusal = Refusal::from(reject);
    assert_eq!(
        refusal.message,
        "quantity is 9223372036854775808 lots, must be at most 9223372036854775807"
    );
    assert_eq!(book.next_order_id(), id(4), "a refusal uses no id");
}

#[test]
fn a_level_whose_sum_would_wrap_refuses_the_order() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    for _ in 0..2 {
        place(&mut book, &mut host, &gtc(1, Side::Buy, 7, MOST_LOTS)).expect("fits");
    }
    assert_eq!(place(&mut book, &mut host, &gtc(1, Side::Buy, 7, 2)), Err(Code::Overflow));
    place(&mut book, &mut host, &gtc(1, Side::Buy, 7, 1)).expect("2^64 - 1 fits");
    assert_eq!(book.best_bid().expect("there is one").lots, Lots::MAX);
    // Its own lots leave before the new ones come: a larger size at its own price can fit, or not.
    assert_eq!(
        book.replace(&replace(3, 1, None, Some(2)), &mut host).map_err(|r| r.code),
        Err(Code::Overflow)
    );
    book.reduce(id(1), account(1), lots(1), &mut host).expect("live");
    assert_eq!(
        book.replace(&replace(3, 1, None, Some(2)), &mut host).map(|p| p.resting_lots),
        Ok(lots(2))
    );
}

#[test]
fn ioc_cancels_its_rest_and_fok_trades_in_full_or_not_at_all() {
    let (mut book, mut host) = three_asks();
    let ioc = NewOrder { time_in_force: TimeInForce::Ioc, ..gtc(9, Side::Buy, 100, 11) };
    let fok = NewOrder { time_in_force: TimeInForce::Fok, ..ioc };
    let refused = book.place(&fok, &mut host);
    assert_eq!(refused, Err(Reject::new(Code::NotFillable, 10, 11).after(2)));
    assert!(host.events.is_empty());
    let placed = place(&mut book, &mut host, &ioc).expect("trades");
    assert_eq!(
        (placed.filled_lots.get(), placed.resting_lots.get(), placed.rest),
        (10, 0, Some(Code::Unfilled))
    );
    let placed =
        place(&mut book, &mut host, &NewOrder { price_ticks: ticks(102), lots: lots(5), ..fok })
            .expect("trades");
    assert_eq!((placed.filled_lots.get(), placed.rest), (5, None));
}

#[test]
fn fok_counts_only_what_can_trade() {
    let fok = NewOrder { time_in_force: TimeInForce::Fok, ..gtc(1, Side::Buy, 102, 10) };
    let tradable = |order: NewOrder| {
        let (mut book, mut host) = three_asks();
        // Account 4 rests reduce-only asks of 5 and 1 against a position of 6.
        host.positions.insert(account(4), 6);
        for _ in 0..2 {
            let order = NewOrder { reduce_only: true, ..gtc(4, Side::Sell, 101, 5) };
            place(&mut book, &mut host, &order).expect("rests");
        }
        place(&mut book, &mut host, &NewOrder { lots: lots(1_000), ..order }).map_err(|code| {
            let reject =
                book.place(&NewOrder { lots: lots(1_000), ..order }, &mut host).expect_err("again");
            (code, reject.bound)
        })
    };
    assert_eq!(
        tradable(NewOrder { owner: account(9), ..fok }),
        Err((Code::NotFillable, 5 + 5 + 6 + 5))
    );
    assert_eq!(tradable(fok), Err((Code::NotFillable, 0)));
    let cancel_maker = NewOrder { stp: SelfTradePrevention::CancelMaker, ..fok };
    assert_eq!(tradable(cancel_maker), Err((Code::NotFillable, 5 + 6 + 5)));
    assert_eq!(tradable(NewOrder { max_fills: 2, ..cancel_maker }), Err((Code::NotFillable, 5)));
    let decrement = NewOrder { owner: account(2), stp: SelfTradePrevention::Decrement, ..fok };
    assert_eq!(tradable(decrement), Err((Code::NotFillable, 5)));
}

#[test]
fn fok_does_not_count_reduce_only_makers_that_an_earlier_fill_removes() {
    let (mut book, mut host) = three_asks();
    host.positions.insert(account(4), 5);
    for _ in 0..2 {
        let order = NewOrder { reduce_only: true, ..gtc(4, Side::Sell, 101, 5) };
        place(&mut book, &mut host, &order).expect("rests");
    }
    let fok =
        NewOrder { time_in_force: TimeInForce::Fok, max_fills: 4, ..gtc(9, Side::Buy, 102, 20) };
    assert_eq!(place(&mut book, &mut host, &fok).map(|placed| placed.filled_lots.get()), Ok(20));
}

#[test]
fn post_only_is_refused_or_slides_one_tick_outside() {
    let (mut book, mut host) = three_asks();
    let order = NewOrder { post_only: PostOnly::Reject, ..gtc(9, Side::Buy, 100, 1) };
    assert_eq!(place(&mut book, &mut host, &order), Err(Code::WouldCross));
    assert_eq!(
        place(&mut book, &mut host, &NewOrder { price_ticks: ticks(99), ..order })
            .map(|p| p.price_ticks),
        Ok(ticks(99))
    );
    let slide = NewOrder { post_only: PostOnly::Slide, price_ticks: ticks(105), ..order };
    assert_eq!(place(&mut book, &mut host, &slide).map(|p| p.price_ticks), Ok(ticks(99)));
    let ioc = NewOrder { time_in_force: TimeInForce::Ioc, ..slide };
    assert_eq!(place(&mut book, &mut host, &ioc), Err(Code::InvalidArgument));
    assert_eq!(fills(&host), []);
    // A replacement keeps it.
    let crossing = replace(4, 9, Some(100), None);
    assert_eq!(book.replace(&crossing, &mut host).map_err(|r| r.code), Err(Code::WouldCross));
}

#[test]
fn a_slide_that_would_leave_the_price_range_is_refused() {
    for (side, best) in [(Side::Buy, 0), (Side::Buy, 1), (Side::Sell, u64::MAX)] {
        let (mut book, mut host) = (Book::new(), TestHost::default());
        place(&mut book, &mut host, &gtc(1, side.opposite(), best, 1)).expect("rests");
        let slide = NewOrder { post_only: PostOnly::Slide, ..gtc(2, side, best, 1) };
        assert_eq!(place(&mut book, &mut host, &slide), Err(Code::WouldCross));
    }
}

#[test]
fn self_trade_prevention_has_four_policies() {
    use SelfTradePrevention::{CancelBoth, CancelMaker, CancelTaker, Decrement};
    // Account 2 buys 9 at 102 and meets account 1's 5 lots, its own 5 lots, then account 3's.
    for (stp, filled, decremented, resting, rest, own_left) in [
        (CancelTaker, 5, 0, 0, Some(Code::SelfTrade), 5),
        (CancelMaker, 9, 0, 0, None, 0),
        (CancelBoth, 5, 0, 0, Some(Code::SelfTrade), 0),
        (Decrement, 5, 4, 0, None, 1),
    ] {
        let (mut book, mut host) = three_asks();
        let placed = place(&mut book, &mut host, &NewOrder { stp, ..gtc(2, Side::Buy, 102, 9) })
            .expect("trades");
        let got = (
            placed.filled_lots.get(),
            placed.decremented_lots.get(),
            placed.resting_lots.get(),
            placed.rest,
        );
        assert_eq!(got, (filled, decremented, resting, rest), "{stp:?}");
        assert_eq!(book.order(id(2)).map_or(0, |order| order.lots.get()), own_left, "{stp:?}");
    }
}

#[test]
fn max_fills_stops_the_taker_and_its_rest_goes() {
    let (mut book, mut host) = three_asks();
    let order = NewOrder { max_fills: 2, ..gtc(9, Side::Buy, 102, 12) };
    let placed = place(&mut book, &mut host, &order).expect("trades");
    assert_eq!(
        (placed.filled_lots.get(), placed.resting_lots.get(), placed.rest),
        (10, 0, Some(Code::MaxFills))
    );
    // With nothing left to meet, the rest rests.
    let (mut book, mut host) = three_asks();
    let placed = place(&mut book, &mut host, &NewOrder { price_ticks: ticks(101), ..order })
        .expect("trades");
    assert_eq!((placed.filled_lots.get(), placed.resting_lots.get(), placed.rest), (10, 2, None));
}

#[test]
fn replace_keeps_its_place_only_when_the_quantity_falls() {
    let (mut book, mut host) = three_asks();
    let queue = |book: &Book| {
        book.queue(Side::Sell, ticks(100))
            .map(|o| (o.order_id.get(), o.lots.get()))
            .collect::<Vec<_>>()
    };
    book.replace(&replace(1, 1, None, Some(3)), &mut host).expect("live");
    assert_eq!(queue(&book), [(1, 3), (2, 5)]);
    book.replace(&replace(1, 1, Some(100), Some(4)), &mut host).expect("live");
    assert_eq!(queue(&book), [(2, 5), (1, 4)]);
    book.replace(&replace(2, 2, Some(101), None), &mut host).expect("live");
    book.replace(&replace(2, 2, Some(100), None), &mut host).expect("live");
    assert_eq!(queue(&book), [(1, 4), (2, 5)]);
    assert_eq!(
        book.replace(&replace(2, 1, None, Some(1)), &mut host).map_err(|r| r.code),
        Err(Code::UnknownOrder)
    );
    assert_eq!(
        book.replace(&replace(2, 2, None, Some(0)), &mut host).map_err(|r| r.code),
        Err(Code::QuantityTooSmall)
    );
}

#[test]
fn a_replacement_that_crosses_trades_as_a_taker() {
    let (mut book, mut host) = three_asks();
    let bid = NewOrder { client_id: ClientId::new(77), ..gtc(9, Side::Buy, 90, 6) };
    place(&mut book, &mut host, &bid).expect("rests");
    let placed = book.replace(&replace(4, 9, Some(100), Some(11)), &mut host).expect("live");
    assert_eq!(
        (placed.order_id.get(), placed.filled_lots.get(), placed.resting_lots.get()),
        (4, 10, 1)
    );
    assert_eq!(fills(&host), [(1, 100, 5), (2, 100, 5)]);
    let rest = book.order_by_client_id(account(9), ClientId::new(77)).expect("keeps its client id");
    assert_eq!((rest.order_id, rest.price_ticks, rest.lots), (id(4), ticks(100), lots(1)));
    book.replace(&replace(4, 9, Some(102), None), &mut host).expect("live");
    assert_eq!(
        (
            book.order(id(4)),
            book.order_by_client_id(account(9), ClientId::new(77)),
            book.open_orders(account(9))
        ),
        (None, None, 0)
    );
}

#[test]
fn client_ids_are_unique_among_live_orders() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    let order = NewOrder { client_id: ClientId::new(5), ..gtc(1, Side::Buy, 10, 1) };
    place(&mut book, &mut host, &order).expect("rests");
    let again = book.place(&order, &mut host);
    assert_eq!(again, Err(Reject::new(Code::DuplicateClientId, 1, 5)));
    place(&mut book, &mut host, &NewOrder { owner: account(2), ..order })
        .expect("another account's");
    let first = book.order_by_client_id(account(1), ClientId::new(5)).expect("is live").order_id;
    assert_eq!(book.cancel(first, account(1), Code::Cancelled, &mut host), Ok(lots(1)));
    assert!(book.order_by_client_id(account(1), ClientId::new(5)).is_none());
    place(&mut book, &mut host, &order).expect("free again");
    assert!(book.order_by_client_id(account(1), ClientId::NONE).is_none());
}

#[test]
fn expiry_is_by_time_then_id_and_bounded() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    for expires_ms in [30, 10, 20, 10].map(TimeMs::new) {
        let order =
            NewOrder { time_in_force: TimeInForce::Gtt { expires_ms }, ..gtc(1, Side::Buy, 5, 1) };
        place(&mut book, &mut host, &order).expect("rests");
    }
    assert_eq!(book.expire(TimeMs::new(9), 10, &mut host), 0);
    assert_eq!(book.expire(TimeMs::new(20), 2, &mut host), 2);
    assert_eq!(book.expire(TimeMs::new(20), 2, &mut host), 1);
    let expired: Vec<u64> = removals(&host).into_iter().map(|(id, _)| id).collect();
    assert_eq!(expired, [2, 4, 3]);
}

#[test]
fn cancel_all_is_by_side_and_newest_first() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    for (owner, side, price) in
        [(1, Side::Buy, 5), (1, Side::Sell, 9), (2, Side::Buy, 5), (1, Side::Buy, 4)]
    {
        place(&mut book, &mut host, &gtc(owner, side, price, 1)).expect("rests");
    }
    assert_eq!(
        book.cancel_all(account(1), Some(Side::Buy), Code::Cancelled, u32::MAX, &mut host).gone,
        2
    );
    assert_eq!(book.cancel_all(account(1), None, Code::Pruned, u32::MAX, &mut host).gone, 1);
    assert_eq!(removals(&host), [(4, Code::Cancelled), (1, Code::Cancelled), (2, Code::Pruned)]);
    assert_eq!(book.live_orders(), 1);
}

#[test]
fn levels_that_come_and_go_within_a_block_take_no_more_memory() {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    for round in 0..100 {
        for price in [5_000, 50_000] {
            place(&mut book, &mut host, &gtc(1, Side::Buy, price, 1)).expect("rests");
        }
        book.cancel_all(account(1), None, Code::Cancelled, u32::MAX, &mut host);
        if round % 10 == 9 {
            assert_eq!(book.take_dirty_levels().len(), 2);
            book.l3_root();
        }
    }
    assert_eq!((book.ladders.get(Side::Buy).pages.len(), book.levels.capacity()), (2, 3));
}
