//! Orders with exits that close what they fill.

use tidemark_engine::outcome::OperationResult;
use tidemark_engine::state::conditional::Conditional;
use tidemark_proto::units::{Lots, OrderId};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{healthy, limit, lots, place, word, Chain};

use super::{left, mark_to, one_market, send, stop, take_profit, waiting};

/// An entry with exits at these marks.
fn bracket(entry: v1::PlaceOrder, gain: u64, loss: u64) -> Operation {
    let side = if entry.side() == Buy { Sell } else { Buy };
    Operation::Bracket(v1::PlaceBracket {
        entry: Some(entry),
        take_profit: Some(take_profit(side, gain, 0)),
        stop_loss: Some(stop(side, loss, 0)),
    })
}

/// A market at 100 where `maker` bids 1 000 at 92, and `trader` bids 10 at 98 with exits at 108 and
/// 94.
fn bid_of_ten() -> (Chain, Ids) {
    let mut chain = one_market(&["trader", "maker"]);
    assert_eq!(send(&mut chain, "maker", place(limit(0, Buy, 92, 1_000))).0, "OK");
    let (code, result) = send(&mut chain, "trader", bracket(limit(0, Buy, 98, 10), 108, 94));
    assert_eq!((code, result.resting_lots, waiting(&chain)), ("OK", lots(10), 2));
    (chain, Ids::of(&result))
}

struct Ids {
    entry: OrderId,
    gain: OrderId,
    loss: OrderId,
}

impl Ids {
    fn of(result: &OperationResult) -> Self {
        let gain = result.second_order_id;
        Self { entry: result.order_id, gain, loss: OrderId::new(gain.get() + 1) }
    }
}

/// `maker` sells to the entry.
fn fill(chain: &mut Chain, lots: u64) {
    assert_eq!(send(chain, "maker", place(limit(0, Sell, 98, lots))).0, "OK");
}

fn exit(chain: &Chain, order_id: OrderId) -> Option<&Conditional> {
    chain.state.markets[0].conditional.get(order_id)
}

/// Lots of both exits, and how many of them wait for their triggers.
fn exits(chain: &Chain, ids: &Ids) -> (Vec<Lots>, usize) {
    let both: Vec<_> = [ids.gain, ids.loss].iter().filter_map(|id| exit(chain, *id)).collect();
    let awake = both.iter().filter(|order| !order.is_dormant()).count();
    (both.iter().map(|order| order.lots()).collect(), awake)
}

fn cancel(chain: &mut Chain, order_id: OrderId) -> &'static str {
    let cancel = v1::CancelOrder { order_id: order_id.get(), ..Default::default() };
    send(chain, "trader", Operation::Cancel(cancel)).0
}

#[test]
fn rules_2_the_exits_of_a_bracket_begin_after_a_fill_with_what_has_filled() {
    let (mut chain, ids) = bid_of_ten();
    assert_eq!(exits(&chain, &ids), (vec![lots(0); 2], 0));
    // Nothing has filled: a mark beyond the stop means nothing.
    mark_to(&mut chain, 94);
    mark_to(&mut chain, 100);
    assert_eq!(exits(&chain, &ids), (vec![lots(0); 2], 0));
    fill(&mut chain, 4);
    assert_eq!(exits(&chain, &ids), (vec![lots(4); 2], 0));
    healthy(&chain.block());
    assert_eq!(exits(&chain, &ids), (vec![lots(4); 2], 2));
    fill(&mut chain, 2);
    assert_eq!(exits(&chain, &ids), (vec![lots(6); 2], 2));
    // The stop closes what has filled, and the rest of the entry goes, and the other exit.
    let events = mark_to(&mut chain, 94);
    let told = left(&events);
    for gone in [(ids.loss, "OK"), (ids.entry, "OCO_PARTNER"), (ids.gain, "OCO_PARTNER")] {
        assert!(told.contains(&gone), "{gone:?} {told:?}");
    }
    let book = &chain.state.markets[0].book;
    assert_eq!((chain.lots("trader", 0), waiting(&chain)), (0, 0));
    assert_eq!(book.open_orders(chain.account_id("trader")), 0);
}

#[test]
fn rules_2_an_exit_whose_trigger_is_reached_when_its_entry_fills_triggers() {
    let (mut chain, ids) = bid_of_ten();
    mark_to(&mut chain, 93);
    fill(&mut chain, 10);
    assert_eq!((chain.lots("trader", 0), waiting(&chain)), (10, 2));
    let events = chain.block();
    healthy(&events);
    assert!(left(&events).contains(&(ids.loss, "OK")), "{:?}", left(&events));
    assert_eq!((chain.lots("trader", 0), waiting(&chain)), (0, 0));
}

#[test]
fn rules_2_an_entry_that_trades_at_once_has_its_exits_from_the_next_block_on() {
    let mut chain = one_market(&["trader", "maker"]);
    chain.orders("maker", vec![place(limit(0, Buy, 99, 5)), place(limit(0, Sell, 104, 1_000))]);
    healthy(&chain.block());
    // Of an immediate sell of 8 five trade; the rest is gone.
    let entry = v1::PlaceOrder { time_in_force: 2, ..limit(0, Sell, 99, 8) };
    let (code, result) = send(&mut chain, "trader", bracket(entry, 95, 103));
    assert_eq!((code, result.filled_lots, waiting(&chain)), ("OK", lots(5), 2));
    let ids = Ids::of(&result);
    healthy(&chain.block());
    assert_eq!(exits(&chain, &ids), (vec![lots(5); 2], 2));
    mark_to(&mut chain, 103);
    assert_eq!((chain.lots("trader", 0), waiting(&chain)), (0, 0));
    // One that does not trade at all has none.
    let entry = v1::PlaceOrder { time_in_force: 2, ..limit(0, Sell, 105, 8) };
    let (_, result) = send(&mut chain, "trader", bracket(entry, 95, 110));
    assert_eq!((result.second_order_id, waiting(&chain)), (OrderId::NONE, 0));
}

#[test]
fn rules_2_with_the_entry_gone_its_exits_stay_for_what_it_has_filled() {
    let (mut chain, ids) = bid_of_ten();
    fill(&mut chain, 4);
    assert_eq!(cancel(&mut chain, ids.entry), "OK");
    assert_eq!(exits(&chain, &ids).0, [lots(4); 2]);
    healthy(&chain.block());
    assert_eq!(exits(&chain, &ids), (vec![lots(4); 2], 2));
    assert_eq!(exit(&chain, ids.loss).map(|order| order.entry), Some(OrderId::NONE));
    mark_to(&mut chain, 94);
    assert_eq!((chain.lots("trader", 0), waiting(&chain)), (0, 0));
    // With nothing filled they go with it.
    let (mut chain, ids) = bid_of_ten();
    let cancel = v1::CancelOrder { order_id: ids.entry.get(), ..Default::default() };
    chain.orders("trader", vec![Operation::Cancel(cancel)]);
    let events = chain.block();
    healthy(&events);
    let told = left(&events);
    assert!(told.contains(&(ids.gain, "OCO_PARTNER")), "{told:?}");
    assert!(told.contains(&(ids.loss, "OCO_PARTNER")), "{told:?}");
    assert!(chain.state.markets[0].conditional.is_empty());
}

#[test]
fn rules_2_a_replacement_of_the_entry_keeps_its_exits() {
    let (mut chain, ids) = bid_of_ten();
    fill(&mut chain, 4);
    let replace =
        v1::ReplaceOrder { order_id: ids.entry.get(), price_ticks: 97, ..Default::default() };
    assert_eq!(send(&mut chain, "trader", Operation::Replace(replace)).0, "OK");
    assert_eq!(send(&mut chain, "maker", place(limit(0, Sell, 97, 6))).0, "OK");
    healthy(&chain.block());
    assert_eq!(exits(&chain, &ids), (vec![lots(10); 2], 2));
    // A replacement that takes fills its exits as well.
    let (mut chain, ids) = bid_of_ten();
    assert_eq!(send(&mut chain, "maker", place(limit(0, Sell, 99, 3))).0, "OK");
    let replace = v1::ReplaceOrder { price_ticks: 99, ..replace };
    let replace = v1::ReplaceOrder { order_id: ids.entry.get(), ..replace };
    let (_, result) = send(&mut chain, "trader", Operation::Replace(replace));
    assert_eq!((result.filled_lots, exits(&chain, &ids).0), (lots(3), vec![lots(3); 2]));
}

#[test]
fn rules_2_exits_without_a_position_wait_for_their_entry_to_fill_again() {
    let (mut chain, ids) = bid_of_ten();
    fill(&mut chain, 4);
    healthy(&chain.block());
    // What has filled is sold by hand.
    assert_eq!(send(&mut chain, "maker", place(limit(0, Buy, 99, 4))).0, "OK");
    assert_eq!(send(&mut chain, "trader", place(limit(0, Sell, 99, 4))).0, "OK");
    assert_eq!(exits(&chain, &ids), (vec![lots(0); 2], 0));
    fill(&mut chain, 1);
    healthy(&chain.block());
    assert_eq!(exits(&chain, &ids), (vec![lots(1); 2], 2));
    // With the entry gone too they go with the position.
    assert_eq!(cancel(&mut chain, ids.entry), "OK");
    assert_eq!(send(&mut chain, "trader", place(limit(0, Sell, 92, 1))).0, "OK");
    assert_eq!(waiting(&chain), 0);
    // An exit takes the other along, and the entry stays.
    let (mut chain, ids) = bid_of_ten();
    assert_eq!((cancel(&mut chain, ids.loss), waiting(&chain)), ("OK", 0));
    let book = &chain.state.markets[0].book;
    assert_eq!(book.order(ids.entry).map(|order| order.lots), Some(lots(10)));
}

#[test]
fn rules_2_exits_count_as_orders_that_wait_with_the_lots_of_their_entry_as_position() {
    let mut chain = one_market(&["trader", "maker"]);
    let small = |at: u64| bracket(limit(0, Buy, 98 - at, 1), 108, 90);
    assert_eq!(send(&mut chain, "trader", small(0)).0, "OK");
    // Two entries of a lot are worth less than 200 USDC.
    assert_eq!(send(&mut chain, "trader", small(1)).0, "TOO_MANY_OPEN_ORDERS");
    // With one of ten there are more than four hundreds.
    let large = bracket(limit(0, Buy, 96, 10), 108, 90);
    assert_eq!((send(&mut chain, "trader", large).0, waiting(&chain)), ("OK", 4));
    let entry = limit(0, Buy, 95, 100_000);
    let poor = send(&mut chain, "trader", bracket(entry, 108, 90)).0;
    assert_eq!((poor, waiting(&chain)), ("INSUFFICIENT_COLLATERAL", 4));
}

#[test]
fn rules_2_of_a_refused_bracket_nothing_is_left() {
    let good = v1::PlaceBracket {
        entry: Some(limit(0, Buy, 98, 10)),
        take_profit: Some(take_profit(Sell, 108, 0)),
        stop_loss: None,
    };
    let gain = |order| v1::PlaceBracket { take_profit: Some(order), ..good };
    let entry = |order| v1::PlaceBracket { entry: Some(order), ..good };
    let named = |order| v1::PlaceOrder { client_id: 7, ..order };
    let both = v1::PlaceBracket { entry: Some(named(limit(0, Buy, 98, 10))), ..good };
    for (bracket, why) in [
        (v1::PlaceBracket { take_profit: None, ..good }, "INVALID_ARGUMENT"),
        (v1::PlaceBracket { entry: None, ..good }, "INVALID_ARGUMENT"),
        (gain(take_profit(Buy, 108, 0)), "INVALID_ARGUMENT"),
        (gain(take_profit(Sell, 108, 1)), "INVALID_ARGUMENT"),
        (gain(stop(Sell, 108, 0)), "INVALID_ARGUMENT"),
        (gain(limit(0, Sell, 108, 0)), "INVALID_ARGUMENT"),
        (entry(stop(Buy, 108, 10)), "INVALID_ARGUMENT"),
        (entry(v1::PlaceOrder { reduce_only: true, ..limit(0, Buy, 98, 10) }), "INVALID_ARGUMENT"),
        (entry(limit(0, Buy, 10, 10)), "PRICE_OUT_OF_BAND"),
        (
            v1::PlaceBracket { take_profit: Some(named(take_profit(Sell, 108, 0))), ..both },
            "DUPLICATE_CLIENT_ID",
        ),
    ] {
        let mut chain = one_market(&["trader"]);
        let (code, _) = send(&mut chain, "trader", Operation::Bracket(bracket));
        assert_eq!((code, waiting(&chain)), (why, 0), "{bracket:?}");
        assert_eq!(chain.state.markets[0].book.live_orders(), 0);
    }
    let mut chain = one_market(&["trader"]);
    let operations = vec![v1::Operation { operation: Some(Operation::Bracket(good)) }];
    let mode = v1::BatchMode::All.into();
    chain.send("trader", v1::MsgOrders { operations, mode, ..Default::default() });
    assert_eq!(word(&chain.block().txs[0]), "BATCH_DEPENDENT");
}
