//! Declared gas bounds what operations visit (rules §10.4): each story is an attempt to have work
//! done that nobody pays for. Prices in whole USDC; traders have 10 000 USDC.

use tidemark_engine::events::BlockEvents;
use tidemark_engine::outcome::TxOutcome;
use tidemark_proto::params::ChainParams;
use tidemark_proto::types::gas;
use tidemark_proto::units::MarketId;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, MarginMode, Side::Buy, Side::Sell, TimeInForce};
use tidemark_tests::fuzz::work;
use tidemark_tests::harness::{
    genesis, healthy, limit, lots, one_market, place, plain_market, signer, word, Chain, FAUCET,
};

fn fund(chain: &mut Chain, name: &str, subaccount: u32, usdc: u64) {
    let recipient = signer(name).address().to_string();
    let amount_atoms = usdc * 1_000_000;
    let deposit = v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() };
    chain.send(FAUCET, deposit);
}

fn batch(subaccount: u32, operations: Vec<Operation>) -> v1::MsgOrders {
    let operations =
        operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
    v1::MsgOrders { subaccount, operations: operations.collect(), ..Default::default() }
}

fn fill_or_kill(price_ticks: u64, quantity: u64) -> Operation {
    let time_in_force = TimeInForce::Fok.into();
    place(v1::PlaceOrder { time_in_force, ..limit(0, Buy, price_ticks, quantity) })
}

/// A block of one transaction that declares so much gas; `None` is what it usually needs.
fn alone(
    chain: &mut Chain,
    name: &str,
    message: v1::MsgOrders,
    gas: Option<u64>,
) -> (TxOutcome, BlockEvents) {
    let before = std::mem::replace(&mut chain.gas_limit, gas);
    chain.send(name, message);
    chain.gas_limit = before;
    let events = chain.block();
    healthy(&events);
    let outcome = events.txs[0].clone();
    assert!(outcome.gas_used <= outcome.gas_wanted, "{outcome:?}");
    (outcome, events)
}

/// 500 subaccounts of four owners, each long twenty lots, which it sells at the best ask; and
/// behind that twenty reduce-only sells of a lot, which have nothing left then.
fn spent_makers() -> Chain {
    let mut chain = one_market(&["short", "taker"]);
    let owners = ["o0", "o1", "o2", "o3"];
    for owner in owners {
        (0..125).for_each(|subaccount| fund(&mut chain, owner, subaccount, 1_000));
    }
    fund(&mut chain, "short", 0, 1_000_000);
    fund(&mut chain, "taker", 0, 1_000_000);
    chain.orders("short", vec![place(limit(0, Sell, 100, 10_000))]);
    healthy(&chain.block());
    let exit = v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 106, 1) };
    let mut exits = vec![place(limit(0, Sell, 105, 20))];
    exits.extend(vec![place(exit); 20]);
    for orders in [vec![place(limit(0, Buy, 100, 20))], exits] {
        for owner in owners {
            for subaccount in 0..125 {
                chain.send(owner, batch(subaccount, orders.clone()));
            }
        }
        healthy(&chain.block());
    }
    assert_eq!(chain.state.markets[0].book.live_orders(), 10_500);
    chain
}

#[test]
fn rules_10_a_refused_fill_or_kill_visits_no_more_than_it_declares() {
    let mut chain = spent_makers();
    let all = vec![fill_or_kill(106, 10_001); 512];
    let (outcome, events) = alone(&mut chain, "taker", batch(0, all.clone()), None);
    assert!(outcome.results.iter().all(|result| result.code().word() == "OUT_OF_GAS"));
    // Of 22 visits, each account takes one for its offer and nineteen for the twenty orders that
    // its trade would end: one account, and a look at the second.
    let visits = 512 * 21 * gas::VISIT;
    assert_eq!(outcome.gas_used, gas::TX + 512 * gas::PLACE + visits);
    assert_eq!(events.work.orders, 0);
    let (outcome, _) = alone(&mut chain, "taker", batch(0, all), Some(50_000_000));
    assert!(outcome.gas_used <= 25_200_000, "half is left for the trade: {}", outcome.gas_used);
    // With gas for all that stands there, the answer is what can trade.
    let one = batch(0, vec![fill_or_kill(106, 10_001)]);
    let (outcome, _) = alone(&mut chain, "taker", one, Some(60_000_000));
    assert_eq!(word(&outcome), "NOT_FILLABLE");
    assert_eq!(outcome.gas_used, gas::TX + gas::PLACE + (10_500 + 500 * 19) * gas::VISIT);
    assert_eq!(chain.state.markets[0].book.live_orders(), 10_500);
}

#[test]
fn rules_10_a_trade_that_closes_a_position_ends_twenty_orders_that_paid_for_it() {
    let mut chain = spent_makers();
    let take = || batch(0, vec![place(limit(0, Buy, 105, 20))]);
    let gas = gas::TX + gas::PLACE + 20 * gas::VISIT;
    let (outcome, _) = alone(&mut chain, "taker", take(), Some(gas - 1));
    assert_eq!(
        (outcome.results[0].filled_lots, outcome.gas_used),
        (lots(0), gas - 19 * gas::VISIT)
    );
    let (outcome, events) = alone(&mut chain, "taker", take(), Some(gas));
    assert_eq!((word(&outcome), outcome.results[0].filled_lots), ("OK", lots(20)));
    // One maker, and nineteen visits for its twenty orders, beside what each paid in advance.
    assert_eq!((events.work.orders, outcome.gas_used), (21, gas));
    assert_eq!(chain.state.markets[0].book.live_orders(), 10_500 - 21);
}

#[test]
fn rules_10_a_reduce_only_order_that_may_rest_pays_for_twenty_that_shrink() {
    let mut chain = one_market(&["long", "short"]);
    chain.orders("long", vec![place(limit(0, Buy, 100, 5))]);
    healthy(&chain.block());
    chain.orders("short", vec![place(limit(0, Sell, 100, 5))]);
    healthy(&chain.block());
    let exit = v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 105, 5) };
    let at_once = v1::PlaceOrder { time_in_force: TimeInForce::Ioc.into(), ..exit };
    for (order, gas) in [(exit, gas::PLACE + 20 * gas::RESIZE), (at_once, gas::PLACE)] {
        let (outcome, _) = alone(&mut chain, "long", batch(0, vec![place(order)]), None);
        assert_eq!((word(&outcome), outcome.gas_used), ("OK", gas::TX + gas));
    }
}

#[test]
fn rules_10_what_an_order_has_traded_stands_where_its_gas_ends() {
    let mut chain = one_market(&["maker", "taker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 1)); 30]);
    healthy(&chain.block());
    let gas = gas::TX + gas::PLACE + 3 * gas::VISIT;
    let take = || batch(0, vec![place(limit(0, Buy, 101, 9))]);
    let (outcome, _) = alone(&mut chain, "taker", take(), Some(gas));
    let result = &outcome.results[0];
    assert_eq!((result.filled_lots, result.resting_lots), (lots(3), lots(0)));
    assert_eq!(result.rest_code.map(|code| code.word()), Some("OUT_OF_GAS"));
    assert_eq!((chain.lots("taker", 0), outcome.gas_used), (3, gas));
    // A fill-or-kill order needs its makers twice: it looks, then trades.
    let all = || batch(0, vec![fill_or_kill(101, 5)]);
    let gas = gas::TX + gas::PLACE + 9 * gas::VISIT;
    assert_eq!(word(&alone(&mut chain, "taker", all(), Some(gas)).0), "OUT_OF_GAS");
    assert_eq!(chain.lots("taker", 0), 3);
    assert_eq!(word(&alone(&mut chain, "taker", all(), Some(gas + gas::VISIT)).0), "OK");
    // What a client declares by itself reaches over 20 makers.
    let (outcome, _) = alone(&mut chain, "taker", batch(0, vec![fill_or_kill(101, 20)]), None);
    assert_eq!((word(&outcome), chain.lots("taker", 0)), ("OK", 28));
}

/// The walk that only looks counts the twenty orders behind the offer, which the walk that trades
/// takes out with the offer: the former runs out of gas, the latter does not. An account of 600
/// USDC has no margin for the 180 lots that are left.
#[test]
fn rules_10_what_the_walk_without_effects_did_not_reach_does_not_rest() {
    let mut chain = one_market(&["short", "maker"]);
    fund(&mut chain, "taker", 0, 600);
    chain.orders("short", vec![place(limit(0, Sell, 100, 20))]);
    healthy(&chain.block());
    chain.orders("maker", vec![place(limit(0, Buy, 100, 20))]);
    healthy(&chain.block());
    let exit = place(v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 106, 1) });
    let mut exits = vec![place(limit(0, Sell, 105, 20))];
    exits.extend(vec![exit; 20]);
    chain.orders("maker", exits);
    healthy(&chain.block());
    let order = batch(0, vec![place(limit(0, Buy, 106, 200))]);
    let enough_for_trades = gas::TX + gas::PLACE + 50 * gas::VISIT;
    let (outcome, _) = alone(&mut chain, "taker", order, Some(enough_for_trades));
    assert_eq!(outcome.results[0].filled_lots, lots(20));
    assert_eq!(chain.lots("taker", 0), 20);
    assert_eq!(chain.state.markets[0].book.live_orders(), 0, "the rest has no margin");
}

#[test]
fn rules_10_an_operation_has_a_part_of_the_gas_whatever_became_of_the_others() {
    let mut chain = one_market(&["maker", "taker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 1)); 50]);
    healthy(&chain.block());
    let ioc = v1::PlaceOrder { time_in_force: TimeInForce::Ioc.into(), ..limit(0, Buy, 101, 50) };
    let two = || batch(0, vec![place(ioc), place(ioc)]);
    let gas = gas::TX + 2 * gas::PLACE + 20 * gas::VISIT;
    let (outcome, _) = alone(&mut chain, "taker", two(), Some(gas));
    let filled: Vec<_> = outcome.results.iter().map(|result| result.filled_lots).collect();
    assert_eq!(filled, [lots(10), lots(10)]);
}

#[test]
fn rules_10_less_than_the_static_gas_is_refused_and_more_than_a_block_too() {
    let mut chain = one_market(&["maker"]);
    let message = || batch(0, vec![place(limit(0, Sell, 101, 1))]);
    let needs = gas::TX + gas::PLACE;
    chain.gas_limit = Some(needs - 1);
    chain.send("maker", message());
    let refused = chain.block().txs[0].refusal.clone().expect("too little");
    assert_eq!(refused.code().word(), "OUT_OF_GAS");
    assert!(refused.to_string().contains(&needs.to_string()), "{refused}");
    // The sequence of a transaction that does not decode stays unused.
    let mut chain = one_market(&["maker"]);
    let most = ChainParams::default().max_block_gas;
    for (gas, admitted) in [(most, true), (most + 1, false)] {
        chain.state.chain.params.max_block_gas = most;
        chain.gas_limit = Some(gas);
        chain.send("maker", message());
        let bytes = chain.next_input().txs.pop().expect("one transaction");
        let tx = chain.cache.check(&bytes, 65_536).expect("its form is right");
        assert_eq!(chain.state.view().admits(&tx).is_ok(), admitted);
        chain = one_market(&["maker"]);
    }
}

/// A subaccount with isolated collateral in each of so many markets, and an order in each.
fn in_many_markets(markets: u16) -> Chain {
    let listed = (0..markets).map(|market| plain_market(&format!("M{market}-USD"), 20)).collect();
    let mut chain = Chain::new(&genesis(listed, 1_000));
    (0..markets).for_each(|market| chain.index(market, 100));
    chain.deposit("trader", 100_000);
    healthy(&chain.block());
    for market in 0..u32::from(markets) {
        let mode = MarginMode::Isolated.into();
        chain.send("trader", v1::MsgSetMarginMode { market, mode, ..Default::default() });
    }
    healthy(&chain.block());
    let orders = (0..u32::from(markets)).map(|market| place(limit(market, Buy, 99, 1))).collect();
    chain.orders("trader", orders);
    healthy(&chain.block());
    chain
}

#[test]
fn rules_10_a_cancel_of_everything_pays_for_each_account_and_order_and_goes_as_far_as_it_pays() {
    let mut chain = in_many_markets(60);
    let all = || batch(0, vec![Operation::CancelAll(v1::CancelAll::default())]);
    let gas = gas::TX + gas::CANCEL_ALL;
    let (outcome, _) = alone(&mut chain, "trader", all(), Some(gas));
    assert_eq!((outcome.results[0].cancelled, outcome.gas_used), (0, gas));
    // Sixty accounts, and the orders of seven of them.
    let gas = gas + 60 * gas::ACCOUNT + 7 * gas::NAMED;
    let (outcome, _) = alone(&mut chain, "trader", all(), Some(gas));
    let result = &outcome.results[0];
    assert_eq!((result.cancelled, word(&outcome)), (7, "OK"));
    assert_eq!(result.rest_code.map(|code| code.word()), Some("OUT_OF_GAS"));
    let (outcome, _) = alone(&mut chain, "trader", all(), None);
    assert_eq!((outcome.results[0].cancelled, outcome.results[0].rest_code), (53, None));
    let left: u32 = chain.state.markets.iter().map(|slot| slot.book.live_orders()).sum();
    assert_eq!(left, 0);
}

#[test]
fn rules_10_a_setting_of_all_isolated_accounts_pays_for_each() {
    let mut chain = in_many_markets(60);
    for (gas, code) in
        [(gas::TX + 60 * gas::ACCOUNT - 1, "OUT_OF_GAS"), (gas::TX + 60 * gas::ACCOUNT, "OK")]
    {
        chain.gas_limit = Some(gas);
        let policy = v1::SelfTradePrevention::CancelBoth.into();
        let message = v1::MsgSetSelfTradePrevention { policy, ..Default::default() };
        chain.send("trader", message);
        assert_eq!(word(&chain.block().txs[0]), code);
    }
}

#[test]
fn rules_10_an_order_pays_for_the_positions_that_its_margin_looks_at() {
    let mut chain = {
        let listed = (0..40).map(|market| plain_market(&format!("M{market}-USD"), 20)).collect();
        let mut chain = Chain::new(&genesis(listed, 1_000));
        (0..40).for_each(|market| chain.index(market, 100));
        chain.deposit("trader", 100_000);
        chain.block();
        chain
    };
    chain.orders("trader", (0..40).map(|market| place(limit(market, Buy, 99, 1))).collect());
    healthy(&chain.block());
    assert_eq!(chain.account("trader").positions.len(), 40);
    let one = || batch(0, vec![place(limit(0, Buy, 98, 1))]);
    let least = gas::TX + gas::PLACE;
    assert_eq!(word(&alone(&mut chain, "trader", one(), Some(least)).0), "OUT_OF_GAS");
    assert_eq!(word(&alone(&mut chain, "trader", one(), None).0), "OK");
}

#[test]
fn rules_10_a_pegged_order_pays_one_look_however_many_are_pegged_before_it() {
    let mut chain = one_market(&["pegger", "maker", "late"]);
    chain.orders("maker", vec![place(limit(0, Buy, 95, 1))]);
    let pegged = |offset| v1::PlaceOrder {
        peg: v1::Peg::Best.into(),
        peg_offset_ticks: offset,
        ..limit(0, Buy, 0, 1)
    };
    healthy(&chain.block());
    chain.orders("pegger", vec![place(pegged(2)); 150]);
    healthy(&chain.block());
    assert_eq!(chain.state.markets[0].book.live_orders(), 151);
    let late = || batch(0, vec![place(pegged(1))]);
    let gas = gas::TX + gas::POST + gas::PEGGED + gas::LOOK;
    let (outcome, _) = alone(&mut chain, "late", late(), Some(gas - 1));
    assert_eq!(word(&outcome), "OUT_OF_GAS");
    assert_eq!(chain.state.markets[0].book.live_orders(), 151);
    let (outcome, _) = alone(&mut chain, "late", late(), Some(gas));
    assert_eq!((word(&outcome), outcome.gas_used), ("OK", gas));
}

#[test]
fn rules_10_a_batch_of_all_or_none_pays_for_its_checks_and_writes_nothing_without() {
    let mut chain = one_market(&["trader", "maker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 1)); 10]);
    chain.orders("trader", (0..150).map(|at| place(limit(0, Buy, 81 + at % 10, 1))).collect());
    healthy(&chain.block());
    let all_or_none =
        |operations| v1::MsgOrders { mode: v1::BatchMode::All.into(), ..batch(0, operations) };
    let requote = || {
        let mut operations = vec![Operation::CancelAll(v1::CancelAll {
            market: Some(0),
            side: v1::Side::Unspecified.into(),
        })];
        operations.extend((0..100).map(|at| place(limit(0, Buy, 81 + at % 10, 1))));
        all_or_none(operations)
    };
    let least = gas::TX + gas::CANCEL_ALL + 100 * gas::PLACE;
    // Half of the gas beyond the static is the checks': 150 orders leave.
    let gas = least + 2 * 150 * 2 * gas::NAMED;
    let (outcome, _) = alone(&mut chain, "trader", requote(), Some(gas - 2));
    assert_eq!(word(&outcome), "OUT_OF_GAS");
    let book = |chain: &Chain| chain.state.markets[0].book.open_orders(chain.account_id("trader"));
    assert_eq!(book(&chain), 150);
    let (outcome, _) = alone(&mut chain, "trader", requote(), Some(gas));
    assert_eq!((word(&outcome), book(&chain)), ("OK", 100));
    // A fill-or-kill order of a batch is looked at three times.
    let take = || all_or_none(vec![fill_or_kill(101, 4)]);
    let gas = gas::TX + gas::PLACE + 16 * gas::VISIT;
    assert_eq!(word(&alone(&mut chain, "trader", take(), Some(gas - 4)).0), "OUT_OF_GAS");
    assert_eq!(chain.lots("trader", 0), 0);
    assert_eq!(word(&alone(&mut chain, "trader", take(), Some(gas)).0), "OK");
    assert_eq!(chain.account("trader").lots(MarketId::ZERO).get(), 4);
}

/// Gas that is paid for each order that comes, trades, shrinks or leaves and for each event, in the
/// worst transactions that the search has found: a visit may take some 60 ns.
const LEAST_GAS_A_VISIT: u64 = 10;

/// The trader cannot afford the batch, which shows where the walk of the first order ends. Whatever
/// gas is declared, nothing of the batch is carried out: a walk that does not reach its end is no
/// yes.
#[test]
fn rules_10_a_batch_of_all_or_none_is_refused_where_the_walk_of_its_order_runs_out_of_gas() {
    let mut chain = one_market(&["maker"]);
    fund(&mut chain, "taker", 0, 600);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 1)); 15]);
    healthy(&chain.block());
    for visits in 0..160 {
        let orders = vec![place(limit(0, Buy, 106, 130)), place(limit(0, Buy, 95, 1))];
        let all = v1::MsgOrders { mode: v1::BatchMode::All.into(), ..batch(0, orders) };
        let gas = gas::TX + 2 * gas::PLACE + visits * gas::VISIT;
        let (outcome, _) = alone(&mut chain, "taker", all, Some(gas));
        let any = outcome.results.iter().any(|result| result.code().word() == "OK");
        assert!(!any, "with gas for {visits} visits: {outcome:?}");
    }
    assert_eq!(chain.state.markets[0].book.live_orders(), 15);
}

#[test]
fn rules_10_the_worst_transactions_that_were_found_pay_for_what_they_visit() {
    let inputs = work::worst();
    assert!(inputs.len() > 1, "the corpus is read");
    for bytes in inputs {
        let cost = work::cost(&bytes).expect("an input of the corpus is a transaction");
        let paid = cost.gas + cost.paid_before;
        assert!(paid >= cost.visits * LEAST_GAS_A_VISIT, "{}: {cost:?}", hex::encode(&bytes));
    }
}
