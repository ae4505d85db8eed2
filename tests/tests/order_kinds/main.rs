//! Orders that wait, hang on another, or come in parts, rule by rule, on a chain without consensus.
//! Prices are in whole USDC, quantities in whole units.

mod pegged;

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::outcome::{self, OperationResult};
use tidemark_proto::units::{OrderId, Ppm, TimeMs};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{self, healthy, limit, lots, place, ticks, word, Chain};

fn stop(side: v1::Side, trigger_price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder {
        r#type: v1::OrderType::Market.into(),
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks,
        ..limit(0, side, 0, lots)
    }
}

fn take_profit(side: v1::Side, trigger_price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder {
        trigger: v1::Trigger::TakeProfit.into(),
        ..stop(side, trigger_price_ticks, lots)
    }
}

fn whole(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { whole_position: true, lots: 0, ..order }
}

fn oco(first: v1::PlaceOrder, second: v1::PlaceOrder) -> Operation {
    Operation::Oco(v1::PlaceOco { first: Some(first), second: Some(second) })
}

/// As [`harness::one_market`], with a mark that is the index.
fn one_market(traders: &[&str]) -> Chain {
    let mut chain = harness::one_market(traders);
    let mut params = chain.state.markets[0].cell.market.params.clone();
    params.mark_band_ppm = Ppm::ZERO;
    chain.send(
        "faucet",
        v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() },
    );
    healthy(&chain.block());
    chain
}

/// A chain where `long` holds 100 lots bought at 100 of `maker`, and `maker` bids 1 000 at 92 and
/// offers 1 000 at 110.
fn long_100() -> Chain {
    let mut chain = one_market(&["long", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 100, 100))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 100))]);
    chain.orders("maker", vec![place(limit(0, Buy, 92, 1_000)), place(limit(0, Sell, 110, 1_000))]);
    healthy(&chain.block());
    assert_eq!(chain.lots("long", 0), 100);
    chain
}

/// Moves the index, and the mark with it.
fn mark_to(chain: &mut Chain, ticks: u64) -> BlockEvents {
    chain.index(0, ticks);
    let events = chain.block();
    healthy(&events);
    events
}

/// An operation of a name in a block of its own: the code of its first result.
fn send(chain: &mut Chain, name: &str, operation: Operation) -> (&'static str, OperationResult) {
    chain.orders(name, vec![operation]);
    let events = chain.block();
    healthy(&events);
    (word(&events.txs[0]), events.txs[0].results[0].clone())
}

fn waiting(chain: &Chain) -> usize {
    chain.state.markets[0].conditional.iter().filter(|order| order.waits()).count()
}

/// Codes with which orders left, and with which triggers were refused (`OK` where they were not),
/// in order.
fn left(events: &BlockEvents) -> Vec<(OrderId, &'static str)> {
    let told = events.events.iter().filter_map(|event| match event {
        Event::Removed { order_id, code, .. } => Some((*order_id, code.word())),
        Event::Triggered { order_id, refusal, .. } => {
            Some((*order_id, outcome::code(refusal.as_deref()).word()))
        }
        _ => None,
    });
    told.collect()
}

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
        Event::Fill(fill) => Some(fill.clone()),
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
fn rules_3_a_waiting_stop_reserves_nothing_and_a_refusal_at_its_trigger_is_told_with_its_code() {
    let mut chain = one_market(&["trader"]);
    // 10 000 USDC carry 2 000 lots at most: each of these is far too large.
    for price in [105, 106] {
        assert_eq!(send(&mut chain, "trader", place(stop(Buy, price, 50_000))).0, "OK");
    }
    assert_eq!(send(&mut chain, "trader", place(limit(0, Buy, 100, 1_700))).0, "OK");
    let events = mark_to(&mut chain, 106);
    let codes: Vec<_> = left(&events).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["INSUFFICIENT_COLLATERAL"; 2]);
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
    let replace =
        v1::ReplaceOrder { client_id: 7, trigger_price_ticks: 93, lots: 20, ..Default::default() };
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
    assert_eq!(send(&mut chain, "long", place(named)).0, "OK", "its client id is free again");
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

#[test]
fn rules_2_a_twap_trades_its_part_each_interval_and_catches_up_what_was_missed() {
    let mut chain = one_market(&["buyer", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 4))]);
    healthy(&chain.block());
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 10,
        slices: 4,
        interval_ms: 2_000,
        slippage_ppm: 20_000,
        client_id: 3,
        ..Default::default()
    };
    let mut held = Vec::new();
    assert_eq!(send(&mut chain, "buyer", Operation::Twap(twap)).0, "OK");
    for _ in 0..2 {
        healthy(&chain.block());
        held.push(chain.lots("buyer", 0));
    }
    assert_eq!(held, [3, 3], "⌈10/4⌉ in the next block, and no more for two seconds");
    healthy(&chain.block());
    assert_eq!(chain.lots("buyer", 0), 4, "5 by the second slice, but the offer has 4");
    chain.orders("maker", vec![place(limit(0, Sell, 101, 100))]);
    healthy(&chain.block());
    let slices: Vec<_> = chain.state.markets[0].conditional.iter().cloned().collect();
    assert_eq!(slices.len(), 1, "{slices:?}");
    healthy(&chain.block());
    assert_eq!(chain.lots("buyer", 0), 8, "by the third slice ⌈10·3/4⌉");
    chain.blocks(2);
    assert_eq!((chain.lots("buyer", 0), waiting(&chain)), (10, 0));
}

#[test]
fn rules_2_a_twap_takes_no_price_beyond_its_bounds_and_cancels_what_its_last_slice_leaves() {
    let mut chain = one_market(&["buyer", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 103, 100))]);
    healthy(&chain.block());
    let twap = |limit_ticks, slippage_ppm| v1::PlaceTwap {
        side: Buy.into(),
        lots: 6,
        slices: 2,
        interval_ms: 1_000,
        slippage_ppm,
        limit_ticks,
        ..Default::default()
    };
    for (limit_ticks, slippage_ppm, bought) in [(0, 10_000, 0), (102, 40_000, 0), (104, 40_000, 6)]
    {
        let before = chain.lots("buyer", 0);
        assert_eq!(
            send(&mut chain, "buyer", Operation::Twap(twap(limit_ticks, slippage_ppm))).0,
            "OK"
        );
        healthy(&chain.block());
        let events = chain.block();
        assert_eq!((chain.lots("buyer", 0) - before, waiting(&chain)), (bought, 0));
        let unfilled = left(&events).iter().any(|(_, code)| *code == "UNFILLED");
        assert_eq!(unfilled, bought == 0);
    }
}

#[test]
fn rules_2_a_reduce_only_twap_ends_when_nothing_is_left_to_reduce() {
    let mut chain = long_100();
    let twap = v1::PlaceTwap {
        side: Sell.into(),
        lots: 200,
        slices: 4,
        interval_ms: 1_000,
        slippage_ppm: 200_000,
        reduce_only: true,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "long", Operation::Twap(twap)).0, "OK");
    healthy(&chain.block());
    assert_eq!(chain.lots("long", 0), 50);
    healthy(&chain.block());
    let events = chain.block();
    assert_eq!((chain.lots("long", 0), waiting(&chain)), (0, 0));
    assert_eq!(left(&events).last().map(|(_, code)| *code), Some("NOTHING_TO_REDUCE"));
}

#[test]
fn rules_2_slices_that_a_halt_passed_over_are_left_out() {
    let mut chain = one_market(&["buyer", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 100))]);
    healthy(&chain.block());
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 50,
        slices: 5,
        interval_ms: 1_000,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "buyer", Operation::Twap(twap)).0, "OK");
    healthy(&chain.block());
    assert_eq!((chain.lots("buyer", 0), waiting(&chain)), (10, 1));
    chain.now_ms += 60_000;
    healthy(&chain.block());
    assert_eq!(
        (chain.lots("buyer", 0), waiting(&chain)),
        (40, 0),
        "three parts at most, then it is over"
    );
}

#[test]
fn rules_2_a_ladder_is_placed_whole_or_not_at_all() {
    let mut chain = one_market(&["trader"]);
    let ladder = v1::PlaceScale {
        side: Buy.into(),
        from_ticks: 99,
        to_ticks: 90,
        lots: 100,
        count: 4,
        client_id: 10,
        ..Default::default()
    };
    let (code, result) = send(&mut chain, "trader", Operation::Scale(ladder));
    assert_eq!((code, result.placed, result.resting_lots), ("OK", 4, lots(100)));
    let levels: Vec<_> =
        chain.state.markets[0].book.levels(tidemark_proto::units::Side::Buy).collect();
    let levels: Vec<_> =
        levels.into_iter().map(|level| (level.price_ticks.get(), level.lots.get())).collect();
    assert_eq!(levels, [(99, 25), (96, 25), (93, 25), (90, 25)]);
    let cancel = v1::CancelOrder { client_id: 12, ..Default::default() };
    let cancelled = send(&mut chain, "trader", Operation::Cancel(cancel)).1.order_id;
    assert_eq!(cancelled.get(), result.order_id.get() + 2);
    // The last rung's client id is taken; then the margin does not reach for the last rungs.
    for (ladder, why) in [
        (v1::PlaceScale { client_id: 8, count: 3, ..ladder }, "DUPLICATE_CLIENT_ID"),
        (v1::PlaceScale { client_id: 0, lots: 4_000, ..ladder }, "INSUFFICIENT_COLLATERAL"),
        (v1::PlaceScale { client_id: 0, to_ticks: 10, ..ladder }, "PRICE_OUT_OF_BAND"),
    ] {
        assert_eq!(send(&mut chain, "trader", Operation::Scale(ladder)).0, why);
        assert_eq!(chain.state.markets[0].book.live_orders(), 3);
    }
}

#[test]
fn rules_8_phase_3_the_dead_mans_switch_cancels_everything_at_its_time_unless_set_anew() {
    let mut chain = long_100();
    let schedule = |at_ms| Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms });
    let now = chain.now_ms;
    assert_eq!(send(&mut chain, "long", schedule(now + 4_999)).0, "SCHEDULE_OUT_OF_RANGE");
    let orders = vec![
        place(limit(0, Buy, 80, 1)),
        place(stop(Sell, 85, 10)),
        schedule(chain.now_ms + 6_000),
    ];
    chain.orders("long", orders);
    healthy(&chain.block());
    chain.blocks(4);
    // Set anew, it does not fire at its first time.
    let at_ms = chain.now_ms + 10_000;
    assert_eq!(send(&mut chain, "long", schedule(at_ms)).0, "OK");
    chain.blocks(8);
    assert_eq!(
        (chain.state.markets[0].book.open_orders(chain.account_id("long")), waiting(&chain)),
        (1, 1)
    );
    let events = chain.blocks(3);
    assert_eq!(
        (chain.state.markets[0].book.open_orders(chain.account_id("long")), waiting(&chain)),
        (0, 0)
    );
    assert_eq!(left(&events), []);
    assert_eq!(chain.account("long").cancel_all_at_ms, TimeMs::ZERO);
    // Cleared, it does nothing.
    let at_ms = chain.now_ms + 6_000;
    chain.orders("long", vec![place(limit(0, Buy, 80, 1)), schedule(at_ms), schedule(0)]);
    chain.blocks(10);
    assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("long")), 1);
}
