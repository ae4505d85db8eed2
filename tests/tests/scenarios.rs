//! What the chain does, rule by rule, on a chain without consensus. Prices are in whole USDC,
//! quantities in whole units.

use tidemark_engine::events::Event;
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, one_market, place, plain_market, usdc, word, Chain,
};

#[test]
fn rules_2_a_trade_executes_at_the_makers_price_and_both_pay_fees() {
    let mut chain = one_market(&["maker", "taker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 10))]);
    healthy(&chain.block());
    chain.orders("taker", vec![place(limit(0, Buy, 103, 4))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(events.txs[0].results[0].filled_lots, 4);
    assert_eq!((chain.lots("maker", 0), chain.lots("taker", 0)), (-4, 4));
    // 404 USDC: maker 1.5 bp, taker 4.5 bp.
    assert_eq!(chain.collateral("maker"), usdc(10_000) - 60_600);
    assert_eq!(chain.collateral("taker"), usdc(10_000) - 181_800);
    assert_eq!(chain.state.chain.treasury.insurance_atoms, usdc(1_000) + 121_200);
    assert_eq!(chain.state.chain.treasury.validators_atoms, 121_200);
}

#[test]
fn rules_3_an_order_that_free_collateral_does_not_cover_is_refused_alone() {
    let mut chain = one_market(&["trader"]);
    // 5 % of 100 a lot: 2 000 lots would take all 10 000 USDC, and fees are reserved too.
    chain
        .orders("trader", vec![place(limit(0, Buy, 100, 2_000)), place(limit(0, Buy, 100, 1_900))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(word(&events.txs[0]), "INSUFFICIENT_COLLATERAL");
    assert_eq!(events.txs[0].results[1].resting_lots, 1_900);
}

#[test]
fn rules_7_below_maintenance_the_position_is_closed_on_the_book_in_the_same_block() {
    let mut chain = one_market(&["long", "maker", "bidder"]);
    chain.orders("maker", vec![place(limit(0, Sell, 100, 900))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    chain.orders("bidder", vec![place(limit(0, Buy, 92, 900))]);
    healthy(&chain.block());
    assert_eq!(chain.lots("long", 0), 900);
    // 90 000 USDC at 91: equity about 10 000 − 8 100, maintenance 2.5 % of 81 900 = 2 047.5.
    chain.index(0, 91);
    let events = chain.block();
    healthy(&events);
    let steps = liquidations(&events);
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!(
        (steps[0].stage, steps[0].lots, steps[0].price_ticks),
        (LiquidationStage::Book, 900, 92)
    );
    assert_eq!(chain.lots("long", 0), 0);
    assert!(chain.collateral("long") > 0);
}

#[test]
fn rules_7_without_bids_the_position_is_deleveraged_against_the_winner_and_money_is_conserved() {
    let mut chain = one_market(&["long", "short"]);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    healthy(&chain.block());
    chain.index(0, 85);
    let events = chain.block();
    healthy(&events);
    let stages: Vec<_> = liquidations(&events).iter().map(|step| step.stage).collect();
    assert_eq!(stages, [LiquidationStage::Adl]);
    assert!(events.events.iter().any(|event| matches!(event, Event::Adl { lots: 900, .. })));
    assert_eq!((chain.lots("long", 0), chain.lots("short", 0)), (0, 0));
    // The loser is left with nothing, not with less; the winner got what it could give.
    assert!((0..=usdc(1)).contains(&chain.collateral("long")), "{}", chain.collateral("long"));
}

#[test]
fn rules_4_a_stale_index_stops_liquidation_and_new_exposure_until_a_fresh_quorum() {
    let mut chain = one_market(&["long", "short"]);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    healthy(&chain.block());
    chain.silence();
    chain.now_ms += 600_000;
    chain.orders("short", vec![place(limit(0, Sell, 101, 1))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(word(&events.txs[0]), "STALE_INDEX");
    chain.index(0, 85);
    let events = chain.block();
    assert_eq!(liquidations(&events).len(), 1, "the first fresh price shows the loss");
}

#[test]
fn rules_3_unrealised_profit_is_never_withdrawable() {
    let mut chain = one_market(&["long", "short"]);
    chain.orders("short", vec![place(limit(0, Sell, 100, 100))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 100))]);
    chain.index(0, 110);
    healthy(&chain.block());
    healthy(&chain.block());
    let withdraw =
        |usdc: u64| v1::MsgWithdraw { amount_atoms: usdc * 1_000_000, ..Default::default() };
    // 10 % of 11 000 notional stays; the profit of 1 000 does not count.
    chain.send("long", withdraw(8_901));
    assert_eq!(word(&chain.block().txs[0]), "INSUFFICIENT_WITHDRAWABLE");
    chain.send("long", withdraw(8_890));
    assert_eq!(word(&chain.block().txs[0]), "OK");
}

#[test]
fn rules_10_a_transaction_of_a_used_sequence_is_refused_and_changes_nothing() {
    let mut chain = one_market(&["trader"]);
    chain.orders("trader", vec![place(limit(0, Buy, 99, 1))]);
    let input = chain.next_input();
    chain.run(&input);
    chain.send_raw(input.txs[0].clone());
    let events = chain.block();
    assert_eq!(word(&events.txs[0]), "SEQUENCE_REPLAYED");
    assert_eq!(chain.state.markets[0].book.live_orders(), 1);
}

/// Every trade has a taker, whose order was checked a moment ago with all that it could add to its
/// own side; the maker's side is no longer than that. So the cap holds however much rests on the
/// book.
#[test]
fn rules_2_open_interest_never_passes_its_cap_however_much_rests() {
    let params = MarketParams { max_open_interest_lots: 100, ..plain_market("ONE-USD", 20) };
    let mut chain = Chain::new(&genesis(vec![params], 1_000));
    chain.index(0, 100);
    let names = ["a", "b", "c", "d"];
    for name in names {
        chain.deposit(name, 10_000);
    }
    healthy(&chain.block());
    for maker in ["a", "b"] {
        chain.orders(maker, vec![place(limit(0, Sell, 100, 80))]);
        healthy(&chain.block());
    }
    chain.orders("c", vec![place(limit(0, Buy, 100, 90))]);
    assert_eq!(chain.block().txs[0].results[0].filled_lots, 90);
    chain.orders("d", vec![place(limit(0, Buy, 100, 11)), place(limit(0, Buy, 100, 10))]);
    let events = chain.block();
    assert_eq!(
        (word(&events.txs[0]), events.txs[0].results[1].filled_lots),
        ("OPEN_INTEREST_CAP", 10)
    );
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, 100);
    // Whoever reduces may.
    chain.orders("c", vec![place(limit(0, Sell, 99, 20))]);
    healthy(&chain.block());
    chain.orders("b", vec![place(limit(0, Buy, 99, 20))]);
    assert_eq!(chain.block().txs[0].results[0].filled_lots, 20);
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, 80);
}
