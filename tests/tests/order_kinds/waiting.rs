//! Orders that wait cost something, and take turns when the mark has reached them.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, OrderId};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{self, atoms, healthy, limit, place, usdc, Chain};

use super::{left, long_100, mark_to, one_market, send, stop, take_profit, waiting};

fn exit(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { reduce_only: true, ..order }
}

fn change(chain: &mut Chain, change: impl FnOnce(&mut MarketParams)) {
    let mut params = chain.state.markets[0].cell.market.params.clone();
    change(&mut params);
    let message = v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() };
    chain.send("faucet", message);
    healthy(&chain.block());
}

/// A stop that places a limit order at its trigger price, which may rest.
fn stop_limit(side: v1::Side, price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    let r#type = v1::OrderType::Limit.into();
    v1::PlaceOrder { r#type, price_ticks, ..stop(side, price_ticks, lots) }
}

/// Sell stops of one lot, one tick below each other from a trigger price on.
fn stops(from: u64, count: u64) -> Vec<Operation> {
    (0..count).map(|at| place(stop(Sell, from - at % 10, 1))).collect()
}

/// Ids of orders that triggered in a block, in order.
fn triggered(events: &BlockEvents) -> Vec<OrderId> {
    let told = events.events.iter().filter_map(|event| match event {
        Event::Triggered { order_id, .. } => Some(*order_id),
        _ => None,
    });
    told.collect()
}

fn forfeited(events: &BlockEvents) -> Atoms {
    let told = events.events.iter().map(|event| match event {
        Event::Triggered { forfeited_atoms, .. } => *forfeited_atoms,
        _ => Atoms::ZERO,
    });
    told.sum()
}

fn fund(chain: &Chain) -> Atoms {
    chain.state.chain.treasury.insurance_atoms
}

/// Sends the long's orders as a batch of all or none; returns their words.
fn all_or_none(chain: &mut Chain, orders: Vec<v1::PlaceOrder>) -> Vec<&'static str> {
    let operations = orders.into_iter().map(place);
    let operations =
        operations.map(|operation| v1::Operation { operation: Some(operation) }).collect();
    let mode = v1::BatchMode::All.into();
    chain.send("long", v1::MsgOrders { operations, mode, ..Default::default() });
    let events = chain.block();
    healthy(&events);
    events.txs[0].results.iter().map(|result| result.code().word()).collect()
}

#[test]
fn rules_2_an_order_that_waits_to_reduce_needs_a_position_and_no_more_lots_than_it() {
    let mut chain = long_100();
    chain.deposit("flat", 1_000);
    healthy(&chain.block());
    assert_eq!(send(&mut chain, "flat", place(exit(stop(Sell, 90, 1)))).0, "WOULD_INCREASE");
    assert_eq!(send(&mut chain, "long", place(exit(stop(Buy, 110, 1)))).0, "WOULD_INCREASE");
    assert_eq!(send(&mut chain, "long", place(exit(stop(Sell, 90, 101)))).0, "WOULD_INCREASE");
    let (code, result) = send(&mut chain, "long", place(exit(stop(Sell, 90, 100))));
    assert_eq!((code, waiting(&chain)), ("OK", 1));
    let more =
        v1::ReplaceOrder { order_id: result.order_id.get(), lots: Some(101), ..Default::default() };
    assert_eq!(send(&mut chain, "long", Operation::Replace(more)).0, "WOULD_INCREASE");
    let twap = v1::PlaceTwap {
        side: Sell.into(),
        lots: 101,
        slices: 2,
        interval_ms: 1_000,
        reduce_only: true,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "long", Operation::Twap(twap)).0, "WOULD_INCREASE");
    // In a batch of all or none as well.
    let exits = |count: usize| vec![exit(stop(Sell, 90, 1)); count];
    assert_eq!(all_or_none(&mut chain, exits(20))[0], "TOO_MANY_OPEN_ORDERS");
    assert_eq!(all_or_none(&mut chain, exits(19)), ["OK"; 19]);
}

#[test]
fn rules_2_one_order_waits_to_reduce_for_each_hundred_usdc_of_the_position() {
    // 100 lots at 100 are 10 000 USDC: 20 at most. 3 lots are 300: 3. 1 lot: 2 at least.
    for (sold, most) in [(0, 20), (97, 3), (99, 2)] {
        let mut chain = long_100();
        if sold > 0 {
            send(&mut chain, "long", place(limit(0, Sell, 92, sold)));
        }
        let exits = (0..=most).map(|at| place(exit(stop(Sell, 91 - at % 5, 1)))).collect();
        chain.orders("long", exits);
        let events = chain.block();
        healthy(&events);
        let results = &events.txs[0].results;
        let refused: Vec<_> = results
            .iter()
            .map(|result| result.code().word())
            .filter(|word| *word != "OK")
            .collect();
        assert_eq!((refused, waiting(&chain)), (vec!["TOO_MANY_OPEN_ORDERS"], most as usize));
        let pair = v1::PlaceOco {
            first: Some(exit(take_profit(Sell, 120, 1))),
            second: Some(exit(stop(Sell, 90, 1))),
        };
        assert_eq!(send(&mut chain, "long", Operation::Oco(pair)).0, "TOO_MANY_OPEN_ORDERS");
    }
}

#[test]
fn rules_2_orders_that_wait_to_reduce_go_with_the_position_in_the_fill_that_closes_it() {
    let mut chain = long_100();
    let exits = (0..20).map(|at| place(exit(stop(Sell, 91 - at % 5, 1 + at)))).collect();
    chain.orders("long", exits);
    healthy(&chain.block());
    // A plain stop stays: it could open a position of its own.
    assert_eq!(send(&mut chain, "long", place(stop(Sell, 85, 1))).0, "OK");
    assert_eq!(waiting(&chain), 21);
    send(&mut chain, "long", place(limit(0, Sell, 92, 99)));
    assert_eq!(waiting(&chain), 21, "a lot is left");
    chain.orders("long", vec![place(limit(0, Sell, 92, 1)), place(limit(0, Buy, 110, 5))]);
    let events = chain.block();
    healthy(&events);
    let gone = left(&events).into_iter().filter(|(_, code)| *code == "NOTHING_TO_REDUCE").count();
    assert_eq!((gone, waiting(&chain), chain.lots("long", 0)), (20, 1, 5));
}

#[test]
fn rules_2_a_waiting_order_that_could_increase_reserves_ten_usdc_and_forfeits_one_if_refused() {
    let mut chain = one_market(&["trader", "maker"]);
    assert_eq!(send(&mut chain, "maker", place(limit(0, Sell, 107, 1_000))).0, "OK");
    // 10 000 USDC carry 2 000 lots at most: each of these is far too large.
    for price in [105, 106] {
        assert_eq!(send(&mut chain, "trader", place(stop_limit(Buy, price, 50_000))).0, "OK");
    }
    assert_eq!(send(&mut chain, "trader", place(limit(0, Buy, 100, 1_860))).0, "OK");
    let (before, had) = (fund(&chain), chain.collateral("trader"));
    let events = mark_to(&mut chain, 106);
    let codes: Vec<_> = left(&events).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["INSUFFICIENT_COLLATERAL"; 2]);
    assert_eq!((waiting(&chain), forfeited(&events)), (0, usdc(2)));
    assert_eq!(fund(&chain) - before, usdc(2));
    assert_eq!(had - chain.collateral("trader"), usdc(2));
}

#[test]
fn rules_2_who_has_nothing_has_nothing_waiting() {
    let mut chain = one_market(&["maker"]);
    chain.deposit("poor", 25);
    healthy(&chain.block());
    let results = {
        chain.orders("poor", stops(95, 3));
        let events = chain.block();
        healthy(&events);
        events.txs[0].results.iter().map(|result| result.code().word()).collect::<Vec<_>>()
    };
    assert_eq!(results, ["OK", "OK", "INSUFFICIENT_COLLATERAL"]);
    // What is reserved is neither withdrawn nor margin of another order.
    chain.send("poor", v1::MsgWithdraw { amount_atoms: 5_000_001, ..Default::default() });
    let events = chain.block();
    assert_eq!(events.txs[0].code().word(), "INSUFFICIENT_WITHDRAWABLE");
    assert_eq!(send(&mut chain, "poor", place(limit(0, Buy, 99, 2))).0, "INSUFFICIENT_COLLATERAL");
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 10,
        slices: 2,
        interval_ms: 1_000,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "poor", Operation::Twap(twap)).0, "INSUFFICIENT_COLLATERAL");
    let pair = v1::PlaceOco { first: Some(limit(0, Buy, 97, 1)), second: Some(stop(Buy, 105, 1)) };
    assert_eq!(send(&mut chain, "poor", Operation::Oco(pair)).0, "INSUFFICIENT_COLLATERAL");
    assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("poor")), 0);
    let (_, gone) = send(&mut chain, "poor", Operation::CancelAll(v1::CancelAll::default()));
    assert_eq!((gone.cancelled, waiting(&chain)), (2, 0));
    assert_eq!(send(&mut chain, "poor", place(limit(0, Buy, 99, 2))).0, "OK");
}

#[test]
fn rules_3_the_sweep_cancels_waiting_orders_that_free_collateral_no_longer_covers() {
    let mut chain = long_100();
    // 1 005.5 USDC are left, and 100 lots at 100 need 500.
    chain.send("long", v1::MsgWithdraw { amount_atoms: 8_990_000_000, ..Default::default() });
    healthy(&chain.block());
    chain.orders("long", (0..30).map(|at| place(stop(Sell, 70 - at, 1))).collect());
    healthy(&chain.block());
    assert_eq!(waiting(&chain), 30);
    // At 97 the position has lost 300: some 80 USDC are lacking.
    let events = mark_to(&mut chain, 97);
    let pruned = left(&events);
    assert!(pruned.iter().all(|(_, code)| *code == "PRUNED"), "{pruned:?}");
    let newest = pruned.windows(2).all(|pair| pair[0].0 > pair[1].0);
    assert!(newest && !pruned.is_empty() && waiting(&chain) > 0, "{pruned:?}");
    // Below maintenance all go.
    mark_to(&mut chain, 91);
    assert_eq!(waiting(&chain), 0);
}

#[test]
fn rules_3_isolated_collateral_draws_the_trigger_reserve_and_gives_it_back() {
    let mut chain = one_market(&["trader"]);
    let mode = v1::MsgSetMarginMode { mode: 1, ..Default::default() };
    chain.send("trader", mode);
    healthy(&chain.block());
    assert_eq!(send(&mut chain, "trader", place(stop_limit(Buy, 105, 100_000))).0, "OK");
    assert_eq!(chain.isolated("trader", 0).collateral_atoms, usdc(10));
    let events = mark_to(&mut chain, 105);
    assert_eq!(left(&events).len(), 1);
    assert_eq!(chain.isolated("trader", 0).collateral_atoms, atoms(0));
    assert_eq!(chain.collateral("trader"), usdc(9_999));
}

/// A mark that falls and rises within two blocks, and an owner with thousands of stops in its way.
#[test]
fn rules_2_nobodys_stop_waits_for_the_stops_of_an_owner_that_has_many() {
    let mut chain = long_100();
    for name in ["many", "short", "other"] {
        chain.deposit(name, 100_000);
    }
    chain.orders("maker", vec![place(limit(0, Buy, 99, 100))]);
    healthy(&chain.block());
    chain.orders("short", vec![place(limit(0, Sell, 99, 100))]);
    healthy(&chain.block());
    // Increasing ones just below the mark, and the exits of others further away.
    change(&mut chain, |params| {
        params.max_open_orders = 1_000;
        params.max_triggers = 50;
    });
    for _ in 0..2 {
        chain.orders("many", stops(99, 400));
        healthy(&chain.block());
    }
    assert_eq!(waiting(&chain), 800);
    let stop_of = |chain: &mut Chain, name: &str, order| {
        let whole = v1::PlaceOrder { whole_position: true, lots: 0, ..exit(order) };
        let (code, result) = send(chain, name, place(whole));
        assert_eq!(code, "OK");
        result.order_id
    };
    let long = stop_of(&mut chain, "long", stop(Sell, 95, 0));
    let short = stop_of(&mut chain, "short", stop(Buy, 105, 0));
    let events = mark_to(&mut chain, 90);
    let first: Vec<_> = triggered(&events);
    assert_eq!((first[0], first.len()), (long, 50), "the exit comes first, whatever its price");
    assert_eq!(chain.lots("long", 0), 0);
    let events = mark_to(&mut chain, 106);
    assert_eq!(triggered(&events)[0], short);
    assert_eq!(chain.lots("short", 0), 0);
    // Among those that could increase, owners take turns.
    let (code, own) = send(&mut chain, "other", place(stop(Sell, 100, 1)));
    assert_eq!(code, "OK");
    let events = mark_to(&mut chain, 100);
    let turn = triggered(&events).iter().position(|id| *id == own.order_id);
    assert!(turn.is_some_and(|at| at <= 1), "{turn:?}");
    assert!(waiting(&chain) > 600);
}

#[test]
fn rules_2_larger_positions_are_closed_first_and_owners_in_turn() {
    let mut chain = one_market(&["large", "small", "tiny", "maker"]);
    chain.deposit("maker", 1_000_000);
    healthy(&chain.block());
    chain.orders("maker", vec![place(limit(0, Sell, 100, 1_000)), place(limit(0, Buy, 90, 1_000))]);
    healthy(&chain.block());
    for (name, lots) in [("tiny", 6), ("small", 5), ("large", 100)] {
        assert_eq!(send(&mut chain, name, place(limit(0, Buy, 100, lots))).0, "OK");
    }
    let mut ids = Vec::new();
    for (name, price) in
        [("tiny", 97), ("tiny", 96), ("small", 95), ("small", 94), ("large", 93), ("large", 92)]
    {
        let order = exit(stop(Sell, price, if name == "large" { 50 } else { 2 }));
        ids.push(send(&mut chain, name, place(order)).1.order_id);
    }
    change(&mut chain, |params| params.max_triggers = 3);
    let events = mark_to(&mut chain, 91);
    let at = |places: [usize; 3]| places.map(|place| ids[place]).to_vec();
    assert_eq!(triggered(&events), at([4, 5, 0]));
    assert_eq!(triggered(&mark_to(&mut chain, 99)), at([2, 1, 3]), "reached is reached");
}

#[test]
fn rules_2_a_trigger_among_those_that_an_earlier_mark_passed_waits_for_its_own_mark() {
    let mut chain = long_100();
    change(&mut chain, |params| params.max_triggers = 2);
    for price in [95, 94, 93, 92, 91] {
        assert_eq!(send(&mut chain, "long", place(stop(Sell, price, 1))).0, "OK");
    }
    mark_to(&mut chain, 90);
    assert_eq!(waiting(&chain), 3);
    chain.index(0, 100);
    let (code, result) = send(&mut chain, "maker", place(stop(Sell, 93, 1)));
    assert_eq!((code, waiting(&chain)), ("OK", 2));
    mark_to(&mut chain, 100);
    assert_eq!(waiting(&chain), 1, "it is not reached, and passes nobody");
    assert_eq!(triggered(&mark_to(&mut chain, 93)), [result.order_id]);
}

#[test]
fn rules_2_an_order_whose_turn_is_to_come_can_be_cancelled_and_not_replaced() {
    let mut chain = long_100();
    change(&mut chain, |params| params.max_triggers = 1);
    let ids: Vec<u64> = [95, 94, 93, 92]
        .map(|price| send(&mut chain, "long", place(stop(Sell, price, 1))).1.order_id.get())
        .to_vec();
    mark_to(&mut chain, 92);
    let order_id = ids[3];
    let replace = v1::ReplaceOrder { order_id, trigger_price_ticks: 80, ..Default::default() };
    let cancel = v1::CancelOrder { order_id, ..Default::default() };
    let (replaced, _) = send(&mut chain, "long", Operation::Replace(replace));
    assert_eq!((replaced, waiting(&chain)), ("NOT_REPLACEABLE", 2));
    let (cancelled, _) = send(&mut chain, "long", Operation::Cancel(cancel));
    assert_eq!((cancelled, waiting(&chain)), ("OK", 0));
}

/// Fewer orders expire in a block than are reached in it: the others are refused at their turn.
#[test]
fn rules_2_an_order_that_is_reached_after_its_end_is_never_placed() {
    let mut chain = Chain::new(&{
        let market = harness::plain_market("ONE-USD", 20);
        let mut genesis = harness::genesis(vec![market], 1_000);
        // Three orders expire in a block.
        genesis.params.sweep_gas = 3 * 300 * 16;
        genesis
    });
    chain.index(0, 100);
    chain.deposit("trader", 10_000);
    healthy(&chain.block());
    let timed = v1::PlaceOrder {
        r#type: v1::OrderType::Limit.into(),
        price_ticks: 90,
        time_in_force: v1::TimeInForce::Gtt.into(),
        expires_ms: chain.now_ms + 500,
        ..stop(Sell, 95, 1)
    };
    chain.orders("trader", vec![place(timed); 10]);
    healthy(&chain.block());
    assert_eq!(waiting(&chain), 10);
    let mut codes = Vec::new();
    while waiting(&chain) > 0 {
        codes.extend(left(&mark_to(&mut chain, 93)).into_iter().map(|(_, code)| code));
    }
    assert_eq!(codes, ["EXPIRED"; 10]);
    assert_eq!(chain.state.markets[0].book.live_orders(), 0);
}

#[test]
fn rules_2_a_batch_of_all_or_none_has_the_trigger_reserve_before_its_exit_trades() {
    let mut chain = long_100();
    chain.send("long", v1::MsgWithdraw { amount_atoms: 8_990_000_000, ..Default::default() });
    healthy(&chain.block());
    // 405.50 USDC of equity, and 470 of initial margin: exits trade at the zero price or better.
    mark_to(&mut chain, 94);
    let exit =
        v1::PlaceOrder { time_in_force: v1::TimeInForce::Ioc.into(), ..limit(0, Sell, 92, 10) };
    for orders in [vec![stop(Sell, 80, 1), exit], vec![exit, stop(Sell, 80, 1)]] {
        let mut words = all_or_none(&mut chain, orders);
        words.sort_unstable();
        assert_eq!(words, ["BATCH_REFUSED", "INSUFFICIENT_COLLATERAL"]);
        assert_eq!((chain.lots("long", 0), waiting(&chain)), (100, 0));
    }
    assert_eq!(all_or_none(&mut chain, vec![exit]), ["OK"]);
    assert_eq!(chain.lots("long", 0), 90);
}
