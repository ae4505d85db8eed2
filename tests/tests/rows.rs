//! Rows exist for what is held: entries of markets, accounts, client ids of ended orders.

use tidemark_proto::params::ChainParams;
use tidemark_proto::tx::Sendable;
use tidemark_proto::units::{AccountId, ClientId, MarketId, OwnerId};
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, one_market, place, plain_market, signer, usdc, word, Chain,
};
use tidemark_tests::sim::audit;

const DAY_MS: u64 = 86_400_000;

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> Vec<&'static str> {
    let events = chain.block();
    healthy(&events);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events.txs.iter().map(word).collect()
}

fn send<M: Sendable>(chain: &mut Chain, name: &str, message: M) -> &'static str {
    chain.send(name, message);
    block(chain)[0]
}

fn withdraw(amount_atoms: u64) -> v1::MsgWithdraw {
    v1::MsgWithdraw { amount_atoms, ..Default::default() }
}

fn owner(chain: &Chain, name: &str) -> OwnerId {
    chain.state.owner_id(&signer(name).address()).expect("an owner")
}

/// The markets that a name's subaccount 0 has entries for.
fn entries(chain: &Chain, name: &str) -> Vec<u16> {
    chain.account(name).positions.iter().map(|entry| entry.market.get()).collect()
}

fn has_row(chain: &Chain, id: AccountId) -> bool {
    chain.state.accounts.get(id).is_some()
}

fn three_markets() -> Chain {
    let markets = ["ONE-USD", "TWO-USD", "THREE-USD"].map(|symbol| plain_market(symbol, 20));
    let mut chain = Chain::new(&genesis(markets.to_vec(), 1_000));
    (0..3).for_each(|market| chain.index(market, 100));
    ["trader", "other"].iter().for_each(|name| chain.deposit(name, 100));
    block(&mut chain);
    chain
}

#[test]
fn rules_1_a_refused_order_leaves_no_entry() {
    let mut chain = three_markets();
    let too_large = |market| place(limit(market, Buy, 100, 1_000));
    chain.orders("trader", vec![too_large(0), place(limit(1, Buy, 90, 1)), too_large(2)]);
    let events = chain.block();
    let words: Vec<_> = events.txs[0].results.iter().map(|it| it.code().word()).collect();
    assert_eq!(words, ["INSUFFICIENT_COLLATERAL", "OK", "INSUFFICIENT_COLLATERAL"]);
    assert_eq!(entries(&chain, "trader"), [1]);
    // An order that traded nothing leaves none either, nor does one that is cancelled.
    let ioc = v1::PlaceOrder { time_in_force: v1::TimeInForce::Ioc.into(), ..limit(0, Buy, 90, 1) };
    chain.orders("trader", vec![place(ioc)]);
    assert_eq!((block(&mut chain), entries(&chain, "trader")), (vec!["OK"], vec![1]));
    let all = v1::operation::Operation::CancelAll(v1::CancelAll::default());
    chain.orders("trader", vec![all]);
    block(&mut chain);
    assert!(entries(&chain, "trader").is_empty());
}

#[test]
fn rules_1_an_entry_stays_for_a_position_an_order_that_waits_or_a_leverage() {
    let mut chain = three_markets();
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 120,
        ..limit(1, Buy, 125, 1)
    };
    chain.orders("other", vec![place(limit(0, Sell, 100, 1))]);
    block(&mut chain);
    chain.orders("trader", vec![place(limit(0, Buy, 100, 1)), place(stop)]);
    block(&mut chain);
    let leverage = |leverage| v1::MsgSetLeverage { market: 2, leverage, ..Default::default() };
    assert_eq!(send(&mut chain, "trader", leverage(5)), "OK");
    assert_eq!(entries(&chain, "trader"), [0, 1, 2]);
    assert_eq!(send(&mut chain, "trader", leverage(0)), "OK");
    chain.orders("other", vec![place(limit(0, Buy, 100, 1))]);
    block(&mut chain);
    let out = v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 100, 1) };
    let all = v1::operation::Operation::CancelAll(v1::CancelAll::default());
    chain.orders("trader", vec![place(out), all]);
    block(&mut chain);
    assert!(entries(&chain, "trader").is_empty() && entries(&chain, "other").is_empty());
}

#[test]
fn rules_1_an_account_that_holds_nothing_goes_and_comes_back_under_its_id() {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params = ChainParams { free_subaccounts: 1, ..ChainParams::default() };
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    chain.deposit("trader", 101);
    block(&mut chain);
    let to = |to_subaccount, amount_atoms| v1::MsgTransfer {
        to_subaccount,
        amount_atoms,
        ..Default::default()
    };
    assert_eq!(send(&mut chain, "trader", to(1, 11_000_000)), "OK");
    let owner = owner(&chain, "trader");
    let second = chain.state.account_id(owner, 1).expect("a second subaccount");
    let out = v1::MsgWithdraw { subaccount: 1, ..withdraw(10_000_000) };
    assert_eq!(send(&mut chain, "trader", out), "OK");
    assert!(has_row(&chain, second), "its block's watchers learn whose it is");
    block(&mut chain);
    assert!(!has_row(&chain, second));
    assert_eq!((chain.state.accounts.rows(), chain.state.account_id(owner, 1)), (1, None));
    let leverage = v1::MsgSetLeverage { subaccount: 1, leverage: 5, ..Default::default() };
    assert_eq!(send(&mut chain, "trader", leverage), "UNKNOWN_ACCOUNT");
    // Its owner has paid for it.
    let fund = chain.state.chain.treasury.insurance_atoms;
    assert_eq!(send(&mut chain, "trader", to(1, 1)), "OK");
    assert_eq!(chain.state.account_id(owner, 1), Some(second));
    assert_eq!(chain.state.chain.treasury.insurance_atoms, fund);
    assert_eq!(chain.state.accounts.len(), 2);
}

#[test]
fn rules_1_what_waits_comes_back_to_a_subaccount_that_held_nothing() {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params.hour_outflow_atoms = usdc(10_000);
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    ["first", "trader"].iter().for_each(|name| chain.deposit(name, 10_000));
    block(&mut chain);
    assert_eq!(send(&mut chain, "first", withdraw(10_000_000_000)), "OK");
    assert_eq!(send(&mut chain, "trader", withdraw(10_000_000_000)), "OK");
    chain.blocks(2);
    assert!(!has_row(&chain, chain.account_id("trader")));
    let back = v1::MsgTakeBackWithdrawal::default;
    let nowhere = v1::MsgTakeBackWithdrawal { subaccount: 5, ..back() };
    assert_eq!(send(&mut chain, "trader", nowhere), "UNKNOWN_ACCOUNT");
    assert_eq!(send(&mut chain, "trader", back()), "OK");
    assert_eq!(chain.collateral("trader"), usdc(10_000));
}

#[test]
fn rules_1_an_isolated_account_goes_with_what_it_holds_and_its_subaccount_after_it() {
    let mut chain = three_markets();
    let mode = v1::MsgSetMarginMode { mode: v1::MarginMode::Isolated.into(), ..Default::default() };
    assert_eq!(send(&mut chain, "trader", mode), "OK");
    let (trader, isolated) = (chain.account_id("trader"), chain.isolated_id("trader", 0));
    chain.blocks(2);
    assert!(!has_row(&chain, isolated), "a mode is the owner's row's");
    chain.orders("trader", vec![place(limit(0, Buy, 90, 10))]);
    assert_eq!(block(&mut chain), ["OK"]);
    assert_eq!(chain.isolated_id("trader", 0), isolated);
    let rest = chain.collateral("trader").get();
    assert_eq!(send(&mut chain, "trader", withdraw(u64::try_from(rest).unwrap())), "OK");
    chain.blocks(3);
    assert_eq!(chain.collateral("trader"), usdc(0));
    assert!(has_row(&chain, isolated) && has_row(&chain, trader), "its collateral has a way back");
    let all = v1::operation::Operation::CancelAll(v1::CancelAll::default());
    chain.orders("trader", vec![all]);
    assert_eq!(block(&mut chain), ["OK"]);
    block(&mut chain);
    assert!(!has_row(&chain, isolated) && chain.collateral("trader").is_positive());
}

#[test]
fn rules_1_a_setting_a_switch_and_traded_volume_keep_a_row() {
    let mut chain = three_markets();
    let trader = chain.account_id("trader");
    let policy = |policy| v1::MsgSetSelfTradePrevention { policy, ..Default::default() };
    let out = |chain: &Chain| {
        withdraw(u64::try_from(chain.collateral("trader").get()).expect("collateral"))
    };
    assert_eq!(send(&mut chain, "trader", policy(1)), "OK");
    let all = out(&chain);
    assert_eq!(send(&mut chain, "trader", all), "OK");
    chain.blocks(3);
    assert!(has_row(&chain, trader));
    assert_eq!(send(&mut chain, "trader", policy(0)), "OK");
    chain.blocks(2);
    assert!(!has_row(&chain, trader));
    // Volume counts for thirty whole days after its own.
    chain.deposit("trader", 100);
    chain.orders("other", vec![place(limit(0, Sell, 100, 2))]);
    block(&mut chain);
    chain.orders("trader", vec![place(limit(0, Buy, 100, 1))]);
    block(&mut chain);
    chain.orders("trader", vec![place(limit(0, Sell, 99, 1))]);
    chain.orders("other", vec![place(limit(0, Buy, 99, 1))]);
    block(&mut chain);
    let flat = chain.lots("trader", 0) == 0;
    assert!(flat, "{} lots", chain.lots("trader", 0));
    let cancel = v1::operation::Operation::CancelAll(v1::CancelAll::default());
    chain.orders("trader", vec![cancel]);
    block(&mut chain);
    let all = out(&chain);
    assert_eq!(send(&mut chain, "trader", all), "OK");
    for _ in 0..30 {
        chain.now_ms += DAY_MS;
        block(&mut chain);
        assert!(has_row(&chain, trader));
    }
    chain.now_ms += DAY_MS;
    chain.blocks(2);
    assert!(!has_row(&chain, trader));
}

#[test]
fn rules_2_client_ids_of_ended_orders_are_kept_for_a_day_and_while_anything_is_held() {
    let mut chain = one_market(&["trader"]);
    let order = |client_id| place(v1::PlaceOrder { client_id, ..limit(0, Buy, 90, 1) });
    let all = || v1::operation::Operation::CancelAll(v1::CancelAll::default());
    let trader = chain.account_id("trader");
    let knows =
        |chain: &Chain, id| chain.state.markets[0].ended.get(trader, ClientId::new(id)).is_some();
    chain.orders("trader", vec![order(1), all()]);
    block(&mut chain);
    // Sent again, it is known again: within the day whatever is held.
    chain.now_ms += DAY_MS - 10_000;
    chain.orders("trader", vec![order(1)]);
    assert_eq!((block(&mut chain), knows(&chain, 1)), (vec!["DUPLICATE_CLIENT_ID"], true));
    chain.now_ms += 7_200_000;
    block(&mut chain);
    assert!(!knows(&chain, 1));
    assert_eq!(chain.state.markets[0].ended.accounts().count(), 0);
    // With an order in the market nothing is forgotten.
    chain.orders("trader", vec![order(1), all(), order(2)]);
    block(&mut chain);
    for _ in 0..3 {
        chain.now_ms += DAY_MS;
        block(&mut chain);
    }
    assert!(knows(&chain, 1) && chain.account("trader").position(MarketId::ZERO).is_some());
    chain.orders("trader", vec![all()]);
    block(&mut chain);
    chain.now_ms += DAY_MS + 7_200_000;
    block(&mut chain);
    assert!(!knows(&chain, 1) && !knows(&chain, 2));
}

#[test]
fn rules_1_an_account_chooses_a_leverage_in_256_markets_at_most() {
    let markets = (0..257).map(|at| plain_market(&format!("M{at}-USD"), 20)).collect();
    let mut chain = Chain::new(&genesis(markets, 1_000));
    chain.deposit("trader", 100);
    block(&mut chain);
    let leverage = |market| v1::MsgSetLeverage { market, leverage: 5, ..Default::default() };
    (0..256).for_each(|market| chain.send("trader", leverage(market)));
    assert!(block(&mut chain).iter().all(|word| *word == "OK"));
    assert_eq!(send(&mut chain, "trader", leverage(256)), "TOO_MANY_LEVERAGES");
    assert_eq!(send(&mut chain, "trader", leverage(7)), "OK");
    let none = v1::MsgSetLeverage { leverage: 0, ..leverage(7) };
    assert_eq!(send(&mut chain, "trader", none), "OK");
    assert_eq!(send(&mut chain, "trader", leverage(256)), "OK");
    assert_eq!(entries(&chain, "trader").len(), 256);
}
