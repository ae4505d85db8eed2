//! The order of a block's operations (rules §8.2, §8.3, §8.9): admission, classes by operation, and
//! cancels that act again. Prices in whole USDC, quantities in whole units.

mod property;

use tidemark_engine::admission::{self, Before};
use tidemark_engine::events::BlockEvents;
use tidemark_engine::outcome::{OperationResult, TxOutcome};
use tidemark_engine::state::allowance::Moment;
use tidemark_engine::state::table::TableView;
use tidemark_proto::types::{gas, Address, DecodedTx, Message};
use tidemark_proto::units::{OwnerId, TimeMs};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, MarginMode, PostOnly, Side::Buy, Side::Sell, TimeInForce};
use tidemark_tests::harness::{
    genesis, healthy, limit, lots, one_market, place, plain_market, word, Chain,
};

/// An order with a client id.
fn named(client_id: u64, order: v1::PlaceOrder) -> Operation {
    place(v1::PlaceOrder { client_id, ..order })
}

fn post(client_id: u64, side: v1::Side, price_ticks: u64, quantity: u64) -> Operation {
    let post_only = PostOnly::Reject.into();
    named(client_id, v1::PlaceOrder { post_only, ..limit(0, side, price_ticks, quantity) })
}

fn rest(client_id: u64, side: v1::Side, price_ticks: u64, quantity: u64) -> Operation {
    named(client_id, limit(0, side, price_ticks, quantity))
}

fn at_once(side: v1::Side, price_ticks: u64, quantity: u64) -> Operation {
    let time_in_force = TimeInForce::Ioc.into();
    place(v1::PlaceOrder { time_in_force, ..limit(0, side, price_ticks, quantity) })
}

fn cancel(client_id: u64) -> Operation {
    Operation::Cancel(v1::CancelOrder { client_id, ..Default::default() })
}

fn cancel_all() -> Operation {
    Operation::CancelAll(v1::CancelAll::default())
}

fn replace(client_id: u64, price_ticks: u64) -> Operation {
    Operation::Replace(v1::ReplaceOrder { client_id, price_ticks, ..Default::default() })
}

fn all_or_none(operations: Vec<Operation>) -> v1::MsgOrders {
    let operations =
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
    let mode = v1::BatchMode::All.into();
    v1::MsgOrders { operations: operations.collect(), mode, ..Default::default() }
}

fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    healthy(&events);
    events
}

fn words(outcome: &TxOutcome) -> Vec<&'static str> {
    outcome.results.iter().map(|result| result.code().word()).collect()
}

/// The client ids of an account's orders on the book of the first market, oldest first.
fn resting(chain: &Chain, name: &str) -> Vec<u64> {
    let orders = chain.state.markets[0].book.orders_of(chain.account_id(name));
    let mut ids: Vec<_> = orders.map(|order| (order.order_id, order.client_id.get())).collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, client_id)| client_id).collect()
}

#[test]
fn rules_8_a_cancel_takes_one_block_however_many_own_orders_come_before_it() {
    for pending in [0, 1, 12, 60] {
        let mut chain = one_market(&["maker"]);
        chain.orders("maker", vec![rest(1, Sell, 104, 1)]);
        block(&mut chain);
        for number in 0..pending {
            chain.orders("maker", vec![rest(100 + number, Buy, 90, 1)]);
        }
        chain.orders("maker", vec![cancel(1)]);
        let events = block(&mut chain);
        let last = events.txs.last().expect("the cancel");
        assert_eq!(word(last), "OK", "{pending} orders before it");
        assert_eq!(resting(&chain, "maker").len() as u64, pending);
    }
}

#[test]
fn rules_8_what_an_account_places_and_cancels_by_turns_is_gone_in_one_block() {
    let mut chain = one_market(&["maker"]);
    for number in 1..=40 {
        let order = if number % 2 == 0 { post } else { rest };
        chain.orders("maker", vec![order(number, Buy, 90, 1)]);
        chain.orders("maker", vec![cancel(number)]);
    }
    let events = block(&mut chain);
    assert!(events.txs.iter().all(|tx| word(tx) == "OK"), "{:?}", events.txs);
    assert_eq!(resting(&chain, "maker"), [0; 0]);
}

#[test]
fn rules_8_a_cancel_goes_before_a_taker_though_an_own_order_has_a_smaller_sequence() {
    let mut chain = one_market(&["maker", "taker", "other"]);
    chain.orders("maker", vec![rest(1, Sell, 101, 1)]);
    chain.orders("other", vec![rest(1, Buy, 99, 5)]);
    block(&mut chain);
    chain.orders("maker", vec![at_once(Sell, 99, 2)]);
    chain.orders("maker", vec![cancel(1)]);
    chain.orders("taker", vec![at_once(Buy, 101, 1)]);
    let events = block(&mut chain);
    assert_eq!(events.txs[0].results[0].filled_lots, lots(2));
    assert_eq!(word(&events.txs[1]), "OK");
    assert_eq!(events.txs[2].results[0].filled_lots, lots(0), "the quote was gone");
}

#[test]
fn rules_8_post_only_orders_come_before_what_may_take_whoever_is_first_by_draw() {
    for height in 0..8 {
        let mut chain = one_market(&["maker", "taker"]);
        chain.blocks(height);
        chain.orders("taker", vec![at_once(Buy, 101, 1)]);
        chain.orders("maker", vec![post(1, Sell, 101, 1)]);
        let events = block(&mut chain);
        assert_eq!(events.txs[0].results[0].filled_lots, lots(1));
    }
}

#[test]
fn rules_8_a_replacement_that_stays_post_only_ranks_with_post_only_orders() {
    for height in 0..8 {
        let mut chain = one_market(&["maker", "other", "taker"]);
        chain.orders("maker", vec![post(1, Sell, 104, 1)]);
        chain.orders("other", vec![rest(1, Sell, 104, 1)]);
        chain.blocks(height + 1);
        chain.orders("taker", vec![at_once(Buy, 101, 1)]);
        chain.orders("maker", vec![replace(1, 101)]);
        let events = block(&mut chain);
        assert_eq!(events.txs[0].results[0].filled_lots, lots(1), "it met the replaced quote");
        // One that may take does so in class 3.
        chain.orders("maker", vec![post(2, Sell, 102, 1)]);
        chain.orders("other", vec![replace(1, 101)]);
        chain.orders("taker", vec![post(1, Buy, 101, 1)]);
        let events = block(&mut chain);
        assert_eq!(events.txs[1].results[0].filled_lots, lots(1), "behind the post-only bid");
    }
}

#[test]
fn rules_8_a_replacement_names_an_order_of_its_own_block_and_none_of_a_larger_sequence() {
    let mut chain = one_market(&["maker"]);
    chain.orders("maker", vec![post(1, Sell, 104, 1)]);
    chain.orders("maker", vec![replace(1, 103), replace(2, 102), replace(3, 102)]);
    chain.orders("maker", vec![rest(2, Sell, 105, 1), post(3, Sell, 105, 1)]);
    chain.orders("maker", vec![replace(2, 101)]);
    let events = block(&mut chain);
    assert_eq!(words(&events.txs[1]), ["OK", "UNKNOWN_ORDER", "UNKNOWN_ORDER"]);
    assert_eq!(words(&events.txs[3]), ["OK"]);
    let levels = chain.state.markets[0].book.levels(tidemark_proto::units::Side::Sell);
    let prices: Vec<u64> = levels.map(|level| level.price_ticks.get()).collect();
    assert_eq!(prices, [101, 103, 105]);
}

#[test]
fn rules_8_a_cancel_ends_no_order_of_a_larger_sequence() {
    let mut chain = one_market(&["maker"]);
    chain.orders("maker", vec![rest(1, Buy, 90, 1)]);
    chain.orders("maker", vec![cancel_all()]);
    chain.orders("maker", vec![post(2, Buy, 91, 1), rest(3, Buy, 92, 1)]);
    chain.orders("maker", vec![cancel(2)]);
    chain.orders("maker", vec![post(4, Buy, 93, 1)]);
    let events = block(&mut chain);
    let all = OperationResult { cancelled: 1, ..OperationResult::default() };
    assert_eq!(events.txs[1].results, [all], "it counts what all of its tries have ended");
    assert_eq!(words(&events.txs[3]), ["OK"]);
    assert_eq!(resting(&chain, "maker"), [4, 3]);
}

#[test]
fn rules_8_a_cancel_that_finds_no_order_in_any_class_is_answered_by_its_last_try() {
    let mut chain = one_market(&["maker"]);
    chain.orders("maker", vec![post(1, Buy, 90, 1), rest(2, Buy, 90, 1)]);
    chain.orders("maker", vec![cancel(3)]);
    let order_id = 2;
    let by_id = Operation::Cancel(v1::CancelOrder { order_id, ..Default::default() });
    chain.orders("maker", vec![by_id]);
    let events = block(&mut chain);
    assert_eq!(words(&events.txs[1]), ["UNKNOWN_ORDER"]);
    assert_eq!((words(&events.txs[2]), resting(&chain, "maker")), (vec!["OK"], vec![1]));
}

#[test]
fn rules_8_operations_of_a_batch_keep_their_order_within_their_class() {
    let mut chain = one_market(&["maker", "other"]);
    chain.orders("other", vec![rest(1, Sell, 101, 1)]);
    block(&mut chain);
    chain.orders(
        "maker",
        vec![
            at_once(Buy, 101, 1),
            post(1, Sell, 102, 1),
            rest(2, Buy, 102, 1),
            cancel(1),
            post(3, Sell, 103, 1),
        ],
    );
    let events = block(&mut chain);
    let results = &events.txs[0].results;
    assert_eq!(words(&events.txs[0]), ["OK"; 5]);
    // The cancel acts behind the quote that it names, in class 2: the bid of class 3 meets none.
    assert_eq!(results[0].filled_lots, lots(1));
    assert!(results[1].order_id < results[4].order_id);
    assert!(results[4].order_id < results[0].order_id);
    assert!(results[0].order_id < results[2].order_id);
    assert_eq!(results[3].order_id, results[1].order_id);
    assert_eq!(resting(&chain, "maker"), [3, 2]);
}

#[test]
fn rules_8_a_batch_of_all_or_none_runs_whole_in_the_class_of_its_highest_operation() {
    for height in 0..8 {
        let mut chain = one_market(&["maker", "taker", "other"]);
        chain.orders("maker", vec![rest(1, Sell, 101, 1)]);
        chain.orders("other", vec![rest(1, Buy, 90, 1)]);
        chain.blocks(height + 1);
        chain.send("maker", all_or_none(vec![cancel(1), post(2, Sell, 105, 1)]));
        chain.orders("other", vec![post(2, Buy, 100, 1)]);
        chain.orders("taker", vec![at_once(Buy, 101, 1)]);
        let events = block(&mut chain);
        assert_eq!(words(&events.txs[0]), ["OK"; 2]);
        assert_eq!(events.txs[2].results[0].filled_lots, lots(0), "class 2 comes before takers");
    }
}

#[test]
fn rules_8_a_batch_of_all_or_none_that_found_no_order_acts_again() {
    let mut chain = one_market(&["maker"]);
    chain.orders("maker", vec![rest(1, Buy, 90, 1), post(2, Buy, 91, 1)]);
    chain.send("maker", all_or_none(vec![cancel(1), cancel(2)]));
    let events = block(&mut chain);
    assert_eq!(words(&events.txs[1]), ["OK", "OK"]);
    assert_eq!(resting(&chain, "maker"), [0; 0]);
    // So does the cancel-all of one that was carried out.
    chain.orders("maker", vec![rest(3, Buy, 90, 1), post(4, Buy, 91, 1)]);
    chain.send("maker", all_or_none(vec![cancel_all(), post(5, Buy, 92, 1)]));
    let events = block(&mut chain);
    assert_eq!(words(&events.txs[1]), ["OK", "OK"]);
    assert_eq!(events.txs[1].results[0].cancelled, 2, "one in class 2, one in class 3");
    assert_eq!(resting(&chain, "maker"), [5], "the batch's own order stands");
}

#[test]
fn rules_8_a_cancel_all_acts_again_in_isolated_collateral() {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000));
    chain.index(0, 100);
    chain.deposit("maker", 10_000);
    block(&mut chain);
    let mode = MarginMode::Isolated.into();
    chain.send("maker", v1::MsgSetMarginMode { mode, ..Default::default() });
    block(&mut chain);
    chain.orders("maker", vec![rest(1, Buy, 90, 1)]);
    chain.orders("maker", vec![cancel_all()]);
    chain.orders("maker", vec![post(2, Buy, 90, 1)]);
    let events = block(&mut chain);
    assert_eq!(events.txs[1].results[0].cancelled, 1);
    let book = &chain.state.markets[0].book;
    assert_eq!(book.open_orders(chain.isolated_id("maker", 0)), 1);
}

#[test]
fn rules_8_a_transaction_has_one_share_of_gas_in_all_classes() {
    let story = |gas: u64| {
        let mut chain = one_market(&["maker"]);
        let quotes = |from: u64| (from..from + 10).map(|id| rest(id, Buy, 90, 1)).collect();
        chain.orders("maker", quotes(1));
        block(&mut chain);
        chain.orders("maker", quotes(11));
        chain.gas_limit = Some(gas);
        chain.orders("maker", vec![cancel_all()]);
        let events = block(&mut chain);
        let outcome = &events.txs[1];
        assert!(outcome.gas_used <= gas);
        let result = &outcome.results[0];
        (result.cancelled, result.rest_code.map(|code| code.word()), resting(&chain, "maker").len())
    };
    let least = gas::TX + gas::CANCEL_ALL;
    assert_eq!(story(least + 20 * gas::NAMED), (20, None, 0));
    assert_eq!(story(least + 14 * gas::NAMED), (14, Some("OUT_OF_GAS"), 6));
    assert_eq!(story(least), (0, Some("OUT_OF_GAS"), 20));
}

#[test]
fn rules_8_a_cancel_needs_no_gas_for_its_further_tries() {
    let mut chain = one_market(&["maker"]);
    chain.orders("maker", vec![rest(1, Buy, 90, 1)]);
    chain.gas_limit = Some(gas::TX + gas::CANCEL + 2 * gas::TRY);
    chain.orders("maker", vec![cancel(1)]);
    let events = block(&mut chain);
    assert_eq!((word(&events.txs[1]), events.txs[1].gas_used), ("OK", chain.gas_limit.unwrap()));
}

#[test]
fn rules_8_impact_prices_are_read_behind_post_only_orders_and_before_takers() {
    let mut chain = one_market(&["maker", "taker"]);
    // Alone in the block, the batch quotes for more than the impact notional and takes it away.
    let quotes = |from: u64| vec![post(from, Buy, 99, 400), post(from + 1, Sell, 101, 400)];
    chain.orders("maker", quotes(1));
    chain.orders("taker", vec![at_once(Buy, 101, 400), at_once(Sell, 99, 400)]);
    let events = block(&mut chain);
    assert_eq!(events.txs[1].results[0].filled_lots, lots(400));
    assert!(chain.state.markets[0].cell.last_impact.is_some(), "the quotes stood when it was read");
}

fn tx(signer: u8, sequence: u64, hash: u8, gas_limit: u64, timeout_height: u64) -> DecodedTx {
    DecodedTx {
        hash: [hash; 32],
        signer: Address([signer; 20]),
        agent: None,
        sequence,
        timeout_height,
        gas_limit,
        message: Message::Withdraw { subaccount: 0, amount_atoms: Default::default() },
        size: 100,
    }
}

/// Codes of a block's transactions at admission: owners 1 and 2 are at sequence 5.
fn admitted(txs: &[DecodedTx]) -> Vec<&'static str> {
    let signer = |address: &Address| {
        let owner = OwnerId::new(u32::from(address.0[0]));
        (address.0[0] < 3).then_some((owner, 5))
    };
    let (owners, agents) = (&TableView::default(), &TableView::default());
    let allowances = &TableView::default();
    let (time_ms, volume_ms) = (TimeMs::ZERO, TimeMs::ZERO);
    let moment = Moment { height: 10, time_ms, volume_ms, base: 1_000 };
    let before = Before { moment, max_gas: 100, signer, owners, agents, allowances };
    let admission = admission::admit(txs.iter().enumerate(), &before);
    let mut codes = vec![""; txs.len()];
    for admitted in &admission.admitted {
        codes[admitted.at] = if admitted.is_late { "OK, late" } else { "OK" };
    }
    admission.refused.iter().for_each(|(at, refusal)| codes[*at] = refusal.code().word());
    codes
}

#[test]
fn rules_8_admission_is_by_account_and_sequence_whatever_the_order_of_the_list() {
    let txs = [
        (tx(2, 6, 1, 10, 0), "OK"),
        (tx(2, 5, 2, 10, 10), "OK"),
        (tx(1, 5, 4, 10, 0), "SEQUENCE_REPLAYED"),
        (tx(1, 5, 3, 10, 0), "OK"),
        (tx(1, 6, 5, 10, 9), "OK, late"),
        (tx(1, 7, 6, 10, 0), "OK"),
        (tx(1, 9, 11, 10, 9), "SEQUENCE_GAP"),
        (tx(1, 4, 7, 10, 9), "SEQUENCE_REPLAYED"),
        (tx(3, 5, 8, 10, 0), "UNKNOWN_ACCOUNT"),
        (tx(2, 7, 9, 51, 0), "OUT_OF_GAS"),
        (tx(2, 7, 10, 50, 0), "OK"),
    ];
    // Of two with one sequence the smaller hash is tried first; that of sequence 7 asks for too
    // much gas, and leaves its place to the other.
    let mut order: Vec<usize> = (0..txs.len()).collect();
    for turn in 0..txs.len() {
        order.rotate_left(turn);
        let block: Vec<DecodedTx> = order.iter().map(|at| txs[*at].0.clone()).collect();
        let codes = admitted(&block);
        let wanted: Vec<_> = order.iter().map(|at| txs[*at].1).collect();
        assert_eq!(codes, wanted, "{order:?}");
    }
}

#[test]
fn rules_8_a_transaction_that_is_not_admitted_changes_nothing_and_the_others_go_on() {
    let mut chain = one_market(&["maker", "other"]);
    chain.orders("maker", vec![rest(1, Buy, 90, 1)]);
    let mut input = chain.next_input();
    // No validator accepts such a proposal; a block from elsewhere is carried out without it.
    input.txs.push(input.txs[0].clone());
    let events = chain.run(&input);
    healthy(&events);
    let codes: Vec<_> = events.txs.iter().map(|tx| tx.code().word()).collect();
    assert_eq!(codes, ["OK", "SEQUENCE_REPLAYED"]);
    assert_eq!(resting(&chain, "maker"), [1]);
}
