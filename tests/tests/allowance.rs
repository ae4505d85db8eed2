//! Owners' allowances (rules §10.13): what draws, what comes back, who pays. Prices in whole USDC,
//! quantities in whole units.

use std::sync::Arc;

use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::{Origin, TxQueue};
use tidemark_engine::admission::BlockBudget;
use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::outcome::TxOutcome;
use tidemark_engine::state::View;
use tidemark_proto::types::Draw;
use tidemark_proto::units::Atoms;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, PostOnly, Side::Buy, Side::Sell, TimeInForce, Trigger};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    genesis, healthy, limit, place, plain_market, signer, usdc, word, Chain,
};
use tidemark_tests::sim::audit;

const BASE: u64 = 1_000;

/// A 20x market at index 100, and traders with 10 000 USDC each, whose buckets hold `base`.
fn chain_of(base: u64, traders: &[&str]) -> Chain {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params.allowance_base = base;
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    traders.iter().for_each(|trader| chain.deposit(trader, 10_000));
    healthy(&chain.block());
    chain
}

/// Whole orders and cancels that an owner has left for the next block.
fn left(chain: &Chain, name: &str) -> (u64, u64) {
    let address = signer(name).address();
    let left = chain.state.view().allowance(&address, chain.state.chain.time_ms);
    let Draw { orders, cancels } = left.expect("an owner").draws();
    (orders, cancels)
}

fn size(chain: &Chain, name: &str) -> u64 {
    let address = signer(name).address();
    let left = chain.state.view().allowance(&address, chain.state.chain.time_ms);
    left.expect("an owner").size
}

fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    healthy(&events);
    assert_eq!(audit::state(&chain.state), Ok(()));
    events
}

fn send(chain: &mut Chain, name: &str, operations: Vec<Operation>) -> TxOutcome {
    chain.orders(name, operations);
    block(chain).txs.remove(0)
}

fn named(client_id: u64, order: v1::PlaceOrder) -> Operation {
    place(v1::PlaceOrder { client_id, ..order })
}

fn rest(client_id: u64, side: v1::Side, price_ticks: u64) -> Operation {
    named(client_id, limit(0, side, price_ticks, 1))
}

fn at_once(side: v1::Side, price_ticks: u64) -> Operation {
    let time_in_force = TimeInForce::Ioc.into();
    place(v1::PlaceOrder { time_in_force, ..limit(0, side, price_ticks, 1) })
}

fn cancel(client_id: u64) -> Operation {
    Operation::Cancel(v1::CancelOrder { client_id, ..Default::default() })
}

fn reprice(client_id: u64, price_ticks: u64) -> Operation {
    Operation::Replace(v1::ReplaceOrder { client_id, price_ticks, ..Default::default() })
}

fn trigger(client_id: u64, kind: Trigger, trigger_price_ticks: u64) -> v1::PlaceOrder {
    let order = limit(0, Buy, 0, 1);
    v1::PlaceOrder {
        client_id,
        r#type: v1::OrderType::Market.into(),
        trigger: kind.into(),
        trigger_price_ticks,
        ..order
    }
}

/// The buckets' contents beside what blocks have refilled: with a base of 1 000 ten blocks refill
/// one operation.
fn drawn(chain: &Chain, name: &str) -> (u64, u64) {
    let (orders, cancels) = left(chain, name);
    (size(chain, name) - orders, size(chain, name) - cancels)
}

#[test]
fn rules_10_h4_655_360_refused_operations_end_with_the_bucket() {
    let names: Vec<String> = (0..20).map(|at| format!("flood {at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut chain = chain_of(BASE, &names);
    for name in &names {
        for _ in 0..64 {
            // No collateral covers it.
            let order = limit(0, Buy, 100, 1_000_000);
            chain.orders(name, vec![place(order); 512]);
        }
    }
    let events = block(&mut chain);
    let refused = |of: &&TxOutcome| of.refusal.is_some();
    let operations: usize = events.txs.iter().map(|of| of.results.len()).sum();
    assert_eq!(operations, 20 * 512, "a second message does not fit");
    assert_eq!(events.txs.iter().filter(refused).count(), 20 * 63);
    assert_eq!(word(&events.txs[1]), "RATE_LIMITED");
    assert_eq!(
        events.txs[1].refusal.as_deref().expect("refused").sentence(),
        "orders: 488 left of 1000, the transaction may place 512; 240 blocks refill enough"
    );
    // Its successors lack its sequence, which is not used up.
    assert_eq!(word(&events.txs[2]), "SEQUENCE_GAP");
    assert_eq!(left(&chain, names[0]), (488, 1_000));
}

#[test]
fn rules_10_each_operation_draws_for_the_orders_that_it_may_place() {
    let exit = |kind, price| v1::PlaceOrder {
        lots: 0,
        side: Sell.into(),
        reduce_only: true,
        ..trigger(0, kind, price)
    };
    let bracket = v1::PlaceBracket {
        entry: Some(limit(0, Buy, 90, 10)),
        take_profit: Some(exit(Trigger::TakeProfit, 150)),
        stop_loss: Some(exit(Trigger::Stop, 60)),
    };
    let scale = v1::PlaceScale {
        side: Buy.into(),
        from_ticks: 80,
        to_ticks: 70,
        lots: 70,
        count: 7,
        ..Default::default()
    };
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 9,
        slices: 9,
        interval_ms: 60_000,
        ..Default::default()
    };
    let oco = v1::PlaceOco {
        first: Some(limit(0, Buy, 85, 1)),
        second: Some(trigger(0, Trigger::Stop, 120)),
    };
    let switch = v1::ScheduleCancelAll { at_ms: 0 };
    for (operation, draw) in [
        (rest(1, Buy, 90), (1, 0)),
        (place(trigger(2, Trigger::Stop, 130)), (1, 0)),
        (Operation::Bracket(bracket), (3, 0)),
        (Operation::Scale(scale), (7, 0)),
        (Operation::Twap(twap), (9, 0)),
        (Operation::Oco(oco), (2, 0)),
        (reprice(9, 90), (1, 0)),
        (cancel(9), (0, 1)),
        (Operation::CancelAll(v1::CancelAll::default()), (0, 1)),
        (Operation::ScheduleCancelAll(switch), (0, 1)),
    ] {
        let mut chain = chain_of(BASE, &["trader"]);
        send(&mut chain, "trader", vec![operation]);
        assert_eq!(drawn(&chain, "trader"), draw, "{operation:?}");
    }
}

#[test]
fn rules_10_a_maker_who_fills_is_never_limited() {
    let mut chain = chain_of(50, &["maker", "taker"]);
    for at in 0..40 {
        let quotes = (0..20).map(|level| rest(1 + at * 20 + level, Sell, 100)).collect();
        assert_eq!(send(&mut chain, "maker", quotes).code(), Code::Ok, "block {at}");
        let lots = v1::PlaceOrder {
            lots: 20,
            time_in_force: TimeInForce::Ioc.into(),
            ..limit(0, Buy, 100, 1)
        };
        let taken = send(&mut chain, "taker", vec![place(lots)]);
        assert_eq!(taken.results[0].filled_lots.get(), 20);
        let back = v1::PlaceOrder { lots: 20, ..limit(0, Sell, 100, 1) };
        send(&mut chain, "taker", vec![place(back)]);
        let time_in_force = TimeInForce::Ioc.into();
        let closes = v1::PlaceOrder { lots: 20, time_in_force, ..limit(0, Buy, 100, 1) };
        send(&mut chain, "maker", vec![place(closes)]);
        assert_eq!(drawn(&chain, "maker"), (0, 0), "block {at}");
    }
    assert_eq!(size(&chain, "maker"), 50 + 40 * 4_000, "each USDC that was traded adds one");
}

#[test]
fn rules_10_what_stands_twenty_blocks_comes_back_and_what_ends_before_does_not() {
    let mut chain = chain_of(100, &["trader"]);
    send(&mut chain, "trader", vec![rest(1, Buy, 90), rest(2, Buy, 90), rest(3, Buy, 90)]);
    assert_eq!(drawn(&chain, "trader"), (3, 0));
    // The first goes after nineteen blocks; its cancel comes back.
    healthy(&chain.blocks(18));
    send(&mut chain, "trader", vec![cancel(1)]);
    assert_eq!(drawn(&chain, "trader"), (3, 0), "blocks refill a hundredth each");
    block(&mut chain);
    assert_eq!(drawn(&chain, "trader"), (1, 0), "the 20th brings two back");
    // What has come back once comes back no more.
    send(&mut chain, "trader", vec![cancel(2), cancel(3)]);
    assert_eq!(drawn(&chain, "trader"), (1, 0));
}

#[test]
fn rules_10_nobody_gains_by_placing_and_cancelling_in_circles() {
    let mut chain = chain_of(BASE, &["trader"]);
    let mut refused = 0;
    for at in 0..40 {
        let placed: Vec<_> = (1..=30).map(|id| rest(1 + at * 30 + id, Buy, 90)).collect();
        refused += u32::from(send(&mut chain, "trader", placed).code() == Code::RateLimited);
        if refused > 0 {
            break;
        }
        let cancels = (1..=30).map(|id| cancel(1 + at * 30 + id)).collect();
        send(&mut chain, "trader", cancels);
        let spent = 30 * (at + 1);
        let refilled = (2 * at + 2) / 10;
        let (orders, cancels) = drawn(&chain, "trader");
        assert!((spent - refilled - 1..=spent).contains(&orders), "{orders} of {spent}");
        assert_eq!(cancels, 0, "each ended an order");
    }
    assert_eq!(refused, 1);
}

#[test]
fn rules_10_a_cancel_that_ends_nothing_does_not_come_back() {
    let mut chain = chain_of(5, &["trader"]);
    assert_eq!(word(&send(&mut chain, "trader", vec![cancel(1); 5])), "UNKNOWN_ORDER");
    let refused = send(&mut chain, "trader", vec![cancel(1)]);
    assert_eq!(
        refused.refusal.expect("refused").sentence(),
        "cancels: 0 left of 5, the transaction cancels 1; 1999 blocks refill enough"
    );
}

#[test]
fn rules_10_a_replacement_comes_back_if_it_trades_or_ends_its_order() {
    let mut chain = chain_of(BASE, &["maker", "taker"]);
    send(&mut chain, "maker", vec![rest(1, Sell, 105)]);
    send(&mut chain, "taker", vec![rest(1, Buy, 95), rest(2, Buy, 94)]);
    assert_eq!(drawn(&chain, "taker"), (2, 0));
    send(&mut chain, "taker", vec![reprice(1, 96)]);
    assert_eq!(drawn(&chain, "taker"), (3, 0), "it only moved");
    send(&mut chain, "taker", vec![reprice(1, 105)]);
    let drawn_by = drawn(&chain, "taker");
    assert_eq!(drawn_by, (2, 0), "the trade gives the order's and the replacement's back");
    let ends = v1::ReplaceOrder { client_id: 2, lots: Some(0), ..Default::default() };
    send(&mut chain, "taker", vec![Operation::Replace(ends)]);
    assert_eq!(drawn(&chain, "taker"), (2, 0), "what ends an order is no order");
}

/// A short whose stops buy.
fn short(chain: &mut Chain) {
    send(chain, "maker", vec![rest(1, Buy, 100)]);
    send(chain, "short", vec![at_once(Sell, 100)]);
}

#[test]
fn rules_10_a_triggered_order_gives_back_what_traded_once() {
    let mut chain = chain_of(BASE, &["maker", "short"]);
    short(&mut chain);
    send(&mut chain, "maker", vec![rest(2, Sell, 101), rest(3, Sell, 101)]);
    let before = drawn(&chain, "short");
    let stop = v1::PlaceOrder { reduce_only: true, ..trigger(7, Trigger::Stop, 101) };
    assert_eq!(send(&mut chain, "short", vec![place(stop)]).code(), Code::Ok);
    assert_eq!(drawn(&chain, "short").0, before.0 + 1);
    chain.index(0, 102);
    healthy(&chain.blocks(3));
    assert_eq!(chain.lots("short", 0), 0, "it has triggered and traded");
    assert_eq!(drawn(&chain, "short"), (0, 0));
}

#[test]
fn rules_10_a_slice_that_trades_gives_its_part_of_a_twap_back() {
    let mut chain = chain_of(BASE, &["maker", "taker"]);
    send(&mut chain, "maker", vec![rest(1, Sell, 100), rest(2, Sell, 100)]);
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 4,
        slices: 4,
        interval_ms: 1_000,
        limit_ticks: 100,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "taker", vec![Operation::Twap(twap)]).code(), Code::Ok);
    assert_eq!(drawn(&chain, "taker"), (4, 0));
    healthy(&chain.blocks(5));
    assert_eq!(chain.lots("taker", 0), 2);
    // Two of four slices traded 200 USDC, which add as many.
    assert_eq!((size(&chain, "taker"), drawn(&chain, "taker")), (1_200, (2, 0)));
}

#[test]
fn rules_10_an_order_that_trades_in_parts_gives_one_back() {
    let mut chain = chain_of(BASE, &["maker", "taker"]);
    let large = named(1, limit(0, Sell, 100, 3));
    send(&mut chain, "maker", vec![large, rest(2, Sell, 120), rest(3, Sell, 120)]);
    let mut left_over = Vec::new();
    for _ in 0..2 {
        send(&mut chain, "taker", vec![at_once(Buy, 100)]);
        left_over.push(drawn(&chain, "maker").0);
    }
    send(&mut chain, "maker", vec![cancel(1)]);
    left_over.push(drawn(&chain, "maker").0);
    assert_eq!(left_over, [2, 2, 2]);
}

#[test]
fn rules_10_deposits_count_after_a_day_and_withdrawals_at_once() {
    let mut chain = chain_of(BASE, &["one", "two"]);
    assert_eq!(size(&chain, "one"), BASE);
    chain.interval_ms = 25 * 3_600_000;
    healthy(&chain.blocks(2));
    chain.interval_ms = 1_000;
    assert_eq!((size(&chain, "one"), size(&chain, "two")), (101_000, 101_000));
    // A halt gates withdrawals for a while.
    healthy(&chain.blocks(60));
    chain.send("one", v1::MsgWithdraw { amount_atoms: 5_000_000_000, ..Default::default() });
    chain.deposit("two", 5_000);
    assert!(block(&mut chain).txs.iter().all(|of| of.code() == Code::Ok));
    assert_eq!((size(&chain, "one"), size(&chain, "two")), (51_000, 101_000));
    chain.deposit("one", 5_000);
    block(&mut chain);
    assert_eq!(size(&chain, "one"), 51_000, "the least of the day");
}

fn paying(operations: Vec<Operation>) -> v1::MsgOrders {
    let operations = operations.into_iter().map(v1::Operation::from).collect();
    v1::MsgOrders { operations, pays_flat_fee: true, ..Default::default() }
}

#[test]
fn rules_10_who_pays_the_flat_fee_places_beyond_the_allowance() {
    let mut chain = chain_of(5, &["payer"]);
    let fund = chain.state.chain.treasury.insurance_atoms;
    let orders = |from: u64| (from..from + 8).map(|id| rest(id, Buy, 90)).collect::<Vec<_>>();
    chain.send("payer", paying(orders(1)));
    // What does not pay comes first to the bucket, whatever its place.
    chain.orders("payer", vec![rest(20, Buy, 90), cancel(99)]);
    let events = block(&mut chain);
    assert!(events.txs.iter().all(|of| of.refusal.is_none()));
    // Four of eight are covered.
    let fee = usdc(4).get() / 1_000;
    assert_eq!(chain.collateral("payer").get(), usdc(10_000).get() - fee);
    assert_eq!(chain.state.chain.treasury.insurance_atoms.get(), fund.get() + fee);
    assert_eq!(left(&chain, "payer"), (0, 4));
    // Who pays hears of it, in the answer and among the account's events.
    let (account, fee_atoms) = (chain.account_id("payer"), Atoms::new(fee));
    assert_eq!(events.txs.iter().map(|of| of.flat_fee_atoms.get()).sum::<i128>(), fee);
    let told = Event::FlatFee { account, operations: 4, fee_atoms };
    assert_eq!(events.events.iter().filter(|event| **event == told).count(), 1);
}

#[test]
fn rules_10_who_promises_to_pay_and_does_not_is_not_believed_for_a_while() {
    let mut chain = chain_of(5, &["payer"]);
    let amount_atoms = 10_000_000_000 - 1_000;
    chain.send("payer", v1::MsgWithdraw { amount_atoms, ..Default::default() });
    block(&mut chain);
    chain.send("payer", paying(vec![cancel(99); 7]));
    let events = block(&mut chain);
    assert_eq!(word(&events.txs[0]), "INSUFFICIENT_COLLATERAL");
    assert_eq!(
        events.txs[0].refusal.as_deref().expect("refused").sentence(),
        "the allowance does not cover 2 operations, and free collateral does not pay the flat fee \
         for them: the order would leave -1000 atoms of free collateral, must be at least 0"
    );
    assert_eq!(events.txs[0].used_sequence, Some(1));
    chain.send("payer", paying(vec![cancel(99)]));
    assert_eq!(word(&block(&mut chain).txs[0]), "RATE_LIMITED");
}

#[test]
fn rules_10_a_post_only_order_that_is_refused_has_drawn_all_the_same() {
    let mut chain = chain_of(BASE, &["maker", "taker"]);
    send(&mut chain, "maker", vec![rest(1, Sell, 100)]);
    let post_only = PostOnly::Reject.into();
    let crossing = place(v1::PlaceOrder { post_only, ..limit(0, Buy, 100, 1) });
    send(&mut chain, "taker", vec![crossing; 10]);
    assert_eq!(drawn(&chain, "taker"), (10, 0));
}

fn next_tx(chain: &mut Chain, name: &str, message: v1::MsgOrders) -> Vec<u8> {
    chain.send(name, message);
    chain.next_input().txs.remove(0)
}

fn orders(count: u64) -> v1::MsgOrders {
    let operations = (1..=count).map(|id| rest(id, Buy, 90).into()).collect();
    v1::MsgOrders { operations, ..Default::default() }
}

/// The transactions that a node would propose.
fn proposal(queue: &TxQueue, view: &View) -> usize {
    let budget = BlockBudget { bytes: 1 << 20, gas: u64::MAX };
    queue.choose(view, view.chain.time_ms, budget).len()
}

#[test]
fn rules_10_a_node_refuses_at_its_door_and_a_proposer_waits_for_the_bucket() {
    let mut chain = chain_of(10, &["trader"]);
    let publisher = Arc::new(Publisher::new(Arc::new(chain.state.view())));
    let queue = TxQueue::new(publisher.clone(), chain.cache.clone());
    chain.gas_limit = Some(1_000_000);
    let txs: Vec<_> = (0..3).map(|_| next_tx(&mut chain, "trader", orders(4))).collect();
    let take = |tx: &[u8]| queue.offer(tx, Origin::Client).map(|_| ());
    assert_eq!((take(&txs[0]), take(&txs[1])), (Ok(()), Ok(())));
    let address = signer("trader").address();
    assert_eq!(queue.left(&address), Draw { orders: 2, cancels: 10 });
    let refused = take(&txs[2]).expect_err("too many");
    assert_eq!(refused.code, Code::RateLimited);
    assert_eq!(
        refused.message,
        "orders: 10 left of 10, the transaction may place 4 beside 8 that wait; it never has as \
         many: send fewer, or pay the flat fee"
    );
    // The bucket has less than when they were taken: the second waits, and is not lost.
    chain.state.chain.params.allowance_base = 7;
    publisher.reset(Arc::new(chain.state.view()));
    assert_eq!(proposal(&queue, &publisher.view()), 1);
    chain.state.chain.params.allowance_base = 8;
    publisher.reset(Arc::new(chain.state.view()));
    assert_eq!(proposal(&queue, &publisher.view()), 2);
}
