//! Rules that random histories once found broken, each as the shortest story that shows it. Prices
//! in whole USDC.

use tidemark_engine::events::Event;
use tidemark_proto::params::MarginTier;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Atoms, MarketId, Ppm};
use tidemark_proto::v1::{self, PostOnly, Side::Buy, Side::Sell, TimeInForce};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, lots, one_market, place, plain_market, usdc, word,
    Chain, FAUCET,
};

/// `long` buys from `short` at 100.
fn trade(chain: &mut Chain, long: &str, short: &str, lots: u64) {
    chain.orders(short, vec![place(limit(0, Sell, 100, lots))]);
    healthy(&chain.block());
    chain.orders(long, vec![place(limit(0, Buy, 100, lots))]);
    healthy(&chain.block());
    assert_eq!((chain.lots(long, 0), chain.lots(short, 0)), (lots as i64, -(lots as i64)));
}

fn reduce_only(price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, price_ticks, lots) }
}

#[test]
fn rules_7_deleveraging_leaves_no_reduce_only_order_of_the_closed_account() {
    let mut chain = one_market(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    chain.orders("long", vec![place(reduce_only(105, 900))]);
    healthy(&chain.block());
    chain.index(0, 85);
    let events = chain.block();
    healthy(&events);
    assert_eq!(liquidations(&events)[0].stage, LiquidationStage::Adl);
    assert_eq!(chain.state.markets[0].book.open_orders(chain.account_id("long")), 0);
}

#[test]
fn rules_3_without_free_collateral_the_zero_price_counts_after_the_fee() {
    let mut chain = one_market(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    // Equity about 1 860, maintenance 2 047.5: the zero price is 89.
    chain.index(0, 91);
    healthy(&chain.block());
    chain.orders("long", vec![place(reduce_only(89, 900)), place(reduce_only(90, 900))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(word(&events.txs[0]), "WORSE_THAN_ZERO_PRICE");
    assert_eq!(events.txs[0].results[1].resting_lots, lots(900));
}

#[test]
fn rules_3_new_parameters_prune_orders_before_those_of_their_block_trade() {
    let mut chain = one_market(&["bidder", "seller"]);
    chain.orders("bidder", vec![place(limit(0, Buy, 100, 1_900))]);
    healthy(&chain.block());
    let mut params = plain_market("ONE-USD", 10);
    params.tiers = vec![MarginTier {
        upper_notional_atoms: Atoms::MAX,
        initial_margin_ppm: Ppm::new(100_000),
    }];
    chain
        .send(FAUCET, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
    chain.orders("seller", vec![place(limit(0, Sell, 100, 900))]);
    let events = chain.block();
    healthy(&events);
    // At 10x the bid would need 19 000 USDC.
    assert_eq!(events.txs[1].results[0].filled_lots, lots(0));
    assert_eq!(chain.lots("bidder", 0), 0);
}

#[test]
fn rules_7_no_liquidation_trades_with_an_order_that_the_same_sweep_has_to_prune() {
    let mut chain = one_market(&["long", "bidder", "short"]);
    chain.deposit("short", 10_000);
    healthy(&chain.block());
    trade(&mut chain, "long", "short", 900);
    chain.orders("short", vec![place(limit(0, Sell, 100, 1_000))]);
    healthy(&chain.block());
    chain.orders("bidder", vec![place(limit(0, Buy, 100, 1_000)), place(limit(0, Buy, 92, 900))]);
    healthy(&chain.block());
    assert_eq!(chain.lots("bidder", 0), 1_000);
    // Both fall below maintenance; the account of the smaller id is closed first.
    chain.index(0, 91);
    let events = chain.block();
    healthy(&events);
    let bidder = chain.account_id("bidder");
    let bought = events
        .events
        .iter()
        .any(|event| matches!(event, Event::Fill(fill) if fill.maker == bidder));
    assert!(!bought, "{:?}", events.events);
}

#[test]
fn rules_3_a_sliding_order_reserves_for_the_price_at_which_it_rests() {
    let mut chain = one_market(&["seller", "bidder"]);
    chain.deposit("seller", 40_000);
    chain.orders("bidder", vec![place(limit(0, Buy, 105, 1))]);
    healthy(&chain.block());
    // 5 USDC and 4.5 bp a lot: at 101, 9 909 lots would fit; the order slides to 106, and 9 905 do.
    let slide =
        |lots| v1::PlaceOrder { post_only: PostOnly::Slide as i32, ..limit(0, Sell, 101, lots) };
    chain.orders("seller", vec![place(slide(9_909)), place(slide(9_905))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(word(&events.txs[0]), "INSUFFICIENT_COLLATERAL");
    assert_eq!(events.txs[0].results[1].resting_lots, lots(9_905));
}

#[test]
fn rules_3_leverage_that_frees_margin_is_never_refused() {
    let mut chain = one_market(&["long", "short"]);
    let leverage = |leverage| v1::MsgSetLeverage { leverage, ..Default::default() };
    chain.send("long", leverage(5));
    trade(&mut chain, "long", "short", 400);
    // Equity about 5 980: initial margin is 7 200 at 5x, 6 000 at 6x.
    chain.index(0, 90);
    chain.send("long", leverage(6));
    assert_eq!(word(&chain.block().txs[0]), "OK");
    chain.send("long", leverage(5));
    assert_eq!(word(&chain.block().txs[0]), "INSUFFICIENT_COLLATERAL");
}

#[test]
fn rules_7_debt_without_a_position_is_booked_and_does_not_gate_withdrawals_for_good() {
    let mut chain = one_market(&["debtor", "short"]);
    trade(&mut chain, "debtor", "short", 1);
    let fee_free =
        v1::PlaceOrder { time_in_force: TimeInForce::Ioc as i32, ..limit(0, Sell, 100, 1) };
    chain.orders("short", vec![place(limit(0, Buy, 100, 1))]);
    healthy(&chain.block());
    chain.orders("debtor", vec![place(fee_free)]);
    healthy(&chain.block());
    assert_eq!(chain.lots("debtor", 0), 0);
    // However it came about: the account holds nothing and owes 5 USDC, which the fund has.
    let id = chain.account_id("debtor");
    let had = chain.collateral("debtor");
    let debtor = chain.state.accounts.get_mut(id).expect("the account");
    debtor.position_mut(MarketId::ZERO);
    debtor.collateral_atoms = usdc(-5);
    chain.state.chain.treasury.insurance_atoms += had + usdc(5);
    let events = chain.block();
    healthy(&events);
    assert_eq!(liquidations(&events)[0].stage, LiquidationStage::BadDebt);
    assert_eq!(chain.collateral("debtor"), usdc(0));
    let gated_until = chain.state.chain.withdrawals_gated_until;
    healthy(&chain.blocks(3));
    assert_eq!(chain.state.chain.withdrawals_gated_until, gated_until);
}

#[test]
fn rules_2_a_position_that_turns_counts_its_new_side_against_the_open_interest_cap() {
    let mut params = plain_market("ONE-USD", 20);
    params.max_open_interest_lots = lots(12);
    let mut chain = Chain::new(&genesis(vec![params], 1_000));
    chain.index(0, 100);
    for trader in ["long", "short", "buyer"] {
        chain.deposit(trader, 10_000);
    }
    healthy(&chain.block());
    chain.orders("buyer", vec![place(limit(0, Buy, 99, 12))]);
    healthy(&chain.block());
    trade(&mut chain, "long", "short", 10);
    // Ten close and ten are new: with the buyer's, they could make an open interest of 20.
    chain.orders("long", vec![place(limit(0, Sell, 99, 20))]);
    assert_eq!(word(&chain.block().txs[0]), "OPEN_INTEREST_CAP");
    chain.orders("long", vec![place(limit(0, Sell, 99, 12))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(events.txs[0].results[0].filled_lots, lots(12));
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, lots(12));
}

/// An immediate order that meets nobody admits nothing for the others of its batch.
#[test]
fn rules_2_an_order_of_a_batch_that_meets_nobody_leaves_the_others_to_be_covered() {
    let mut chain = one_market(&["trader"]);
    // The margin of 1 999 lots alone fits 10 000 USDC, with the fees it does not.
    for (lots, refused) in [(1_999, 2), (1_900, 0)] {
        let immediate = TimeInForce::Ioc.into();
        let taker = v1::PlaceOrder { time_in_force: immediate, ..limit(0, Buy, 100, 1) };
        let operations = [place(taker), place(limit(0, Buy, 100, lots))].into_iter();
        let operations = operations.map(|of| v1::Operation { operation: Some(of) }).collect();
        let batch =
            v1::MsgOrders { operations, mode: v1::BatchMode::All.into(), ..Default::default() };
        chain.send("trader", batch);
        let events = chain.block();
        healthy(&events);
        let codes = events.txs[0].results.iter().map(|result| result.code());
        assert_eq!(codes.filter(|code| *code != Code::Ok).count(), refused, "{lots} lots");
    }
}
