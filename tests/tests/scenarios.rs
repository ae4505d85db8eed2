//! Scenarios, rule by rule, on a chain without consensus. Prices are in whole USDC,
//! quantities in whole units.

use tidemark_engine::events::Event;
use tidemark_proto::params::MarketParams;
use tidemark_proto::tx::TxOptions;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    atoms, genesis, healthy, limit, liquidations, lots, one_market, place, plain_market, signer,
    ticks, usdc, word, Chain, FAUCET,
};

#[test]
fn rules_2_a_trade_executes_at_the_makers_price_and_both_pay_fees() {
    let mut chain = one_market(&["maker", "taker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 101, 10))]);
    healthy(&chain.block());
    chain.orders("taker", vec![place(limit(0, Buy, 103, 4))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!(events.txs[0].results[0].filled_lots, lots(4));
    assert_eq!((chain.lots("maker", 0), chain.lots("taker", 0)), (-4, 4));
    // 404 USDC: maker 1.5 bp, taker 4.5 bp.
    assert_eq!(chain.collateral("maker"), usdc(10_000) - atoms(60_600));
    assert_eq!(chain.collateral("taker"), usdc(10_000) - atoms(181_800));
    assert_eq!(chain.state.chain.treasury.insurance_atoms, usdc(1_000) + atoms(121_200));
    assert_eq!(chain.state.chain.treasury.validators_atoms, atoms(121_200));
}

#[test]
fn rules_2_a_self_trade_names_the_order_that_closed_the_resting_one() {
    let mut chain = one_market(&["trader"]);
    let policy = v1::SelfTradePrevention::CancelMaker.into();
    chain.send("trader", v1::MsgSetSelfTradePrevention { policy, ..Default::default() });
    chain.orders("trader", vec![place(limit(0, Sell, 100, 2)), place(limit(0, Buy, 100, 3))]);
    let events = chain.block();
    healthy(&events);
    let [sell, buy] = &events.txs[1].results[..] else { panic!("{:?}", events.txs) };
    let removed = events.events.iter().find_map(|event| match event {
        Event::Removed { order_id, code, closed_by, .. } => Some((*order_id, *code, *closed_by)),
        _ => None,
    });
    assert_eq!(removed, Some((sell.order_id, Code::SelfTrade, buy.order_id)));
    assert_eq!(buy.resting_lots, lots(3));
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
    assert_eq!(events.txs[0].results[1].resting_lots, lots(1_900));
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
        (LiquidationStage::Book, lots(900), ticks(92))
    );
    assert_eq!(chain.lots("long", 0), 0);
    assert!(chain.collateral("long").is_positive());
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
    assert!(events
        .events
        .iter()
        .any(|event| matches!(event, Event::Adl { lots, .. } if lots.get() == 900)));
    assert_eq!((chain.lots("long", 0), chain.lots("short", 0)), (0, 0));
    // The loser is left with nothing, not with less; the winner got what it could give.
    assert!(
        (usdc(0)..=usdc(1)).contains(&chain.collateral("long")),
        "{}",
        chain.collateral("long")
    );
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

#[test]
fn rules_10_an_expired_transaction_is_carried_as_the_next_sequence_alone_and_uses_it_up() {
    let mut chain = one_market(&["trader"]);
    let height = chain.state.chain.height;
    let sequence = chain.state.view().sequence(&signer("trader").address()).unwrap();
    let signed = |sequence, timeout_height| {
        let operations = vec![place(limit(0, Buy, 99, 1)).into()];
        let message = v1::MsgOrders { operations, ..Default::default() };
        let options = TxOptions { sequence, timeout_height, ..Default::default() };
        signer("trader").sign(message, options).unwrap()
    };
    // The block after this one is `height + 1`: the last that may hold the first.
    for (sequence, timeout_height) in
        [(sequence, height), (sequence + 1, height + 1), (sequence + 3, height)]
    {
        chain.send_raw(signed(sequence, timeout_height));
    }
    let events = chain.block();
    let words: Vec<&str> = events.txs.iter().map(word).collect();
    assert_eq!(words, ["TX_EXPIRED", "OK", "SEQUENCE_GAP"]);
    let used: Vec<Option<u64>> = events.txs.iter().map(|tx| tx.used_sequence).collect();
    assert_eq!(used, [Some(sequence), Some(sequence + 1), None]);
    assert_eq!(chain.state.markets[0].book.live_orders(), 1, "the late one places nothing");
}

/// Every trade has a taker, whose order was checked a moment ago with all that it could add to its
/// own side; the maker's side is no longer than that. So the cap holds however much rests on the
/// book.
#[test]
fn rules_2_open_interest_never_passes_its_cap_however_much_rests() {
    let params = MarketParams { max_open_interest_lots: lots(100), ..plain_market("ONE-USD", 20) };
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
    assert_eq!(chain.block().txs[0].results[0].filled_lots, lots(90));
    chain.orders("d", vec![place(limit(0, Buy, 100, 11)), place(limit(0, Buy, 100, 10))]);
    let events = chain.block();
    assert_eq!(
        (word(&events.txs[0]), events.txs[0].results[1].filled_lots),
        ("OPEN_INTEREST_CAP", lots(10))
    );
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, lots(100));
    // Whoever reduces may.
    chain.orders("c", vec![place(limit(0, Sell, 99, 20))]);
    healthy(&chain.block());
    chain.orders("b", vec![place(limit(0, Buy, 99, 20))]);
    assert_eq!(chain.block().txs[0].results[0].filled_lots, lots(20));
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, lots(80));
}

#[test]
fn rules_2_a_market_order_trades_no_further_than_its_protection_price_and_never_rests() {
    let mut chain = one_market(&["maker", "taker"]);
    chain.orders("maker", vec![place(limit(0, Sell, 107, 5)), place(limit(0, Sell, 108, 5))]);
    healthy(&chain.block());
    let market = |price_ticks| v1::PlaceOrder {
        r#type: v1::OrderType::Market.into(),
        ..limit(0, Buy, price_ticks, 8)
    };
    // Without a price of its own: the mark of 100 and 7.5 %.
    chain.orders("taker", vec![place(market(0))]);
    let events = chain.block();
    healthy(&events);
    let result = &events.txs[0].results[0];
    assert_eq!((result.filled_lots, result.resting_lots), (lots(5), lots(0)));
    assert_eq!(result.rest_code, Some(Code::Unfilled));
    chain.orders("taker", vec![place(market(108))]);
    let events = chain.block();
    healthy(&events);
    assert_eq!((events.txs[0].results[0].filled_lots, chain.lots("taker", 0)), (lots(5), 10));
}

#[test]
fn rules_2_a_batch_of_all_or_none_has_no_effect_when_one_operation_is_refused() {
    let mut chain = one_market(&["trader"]);
    let batch = |orders: Vec<v1::PlaceOrder>| v1::MsgOrders {
        operations: orders
            .into_iter()
            .map(|order| v1::Operation { operation: Some(place(order)) })
            .collect(),
        mode: v1::BatchMode::All.into(),
        ..Default::default()
    };
    // Each is covered alone; both together are not.
    let (first, second) = (limit(0, Buy, 100, 1_500), limit(0, Buy, 99, 1_500));
    chain.send("trader", batch(vec![first, second]));
    let events = chain.block();
    healthy(&events);
    let codes: Vec<_> = events.txs[0].results.iter().map(|result| result.code()).collect();
    assert_eq!(codes.len(), 2);
    assert!(codes.contains(&Code::InsufficientCollateral), "{codes:?}");
    assert!(codes.contains(&Code::BatchRefused), "{codes:?}");
    assert_eq!(chain.state.markets[0].book.live_orders(), 0);
    chain.send("trader", batch(vec![limit(0, Buy, 100, 900), limit(0, Buy, 99, 900)]));
    assert_eq!(word(&chain.block().txs[0]), "OK");
    assert_eq!(chain.state.markets[0].book.live_orders(), 2);
}

#[test]
fn rules_3_collateral_moves_between_subaccounts_of_one_owner_as_far_as_it_is_withdrawable() {
    let mut chain = one_market(&["trader"]);
    let transfer = |to_subaccount, usdc: u64| v1::MsgTransfer {
        to_subaccount,
        amount_atoms: usdc * 1_000_000,
        ..Default::default()
    };
    chain.orders("trader", vec![place(limit(0, Buy, 100, 1_000))]);
    healthy(&chain.block());
    // The order reserves 5 000 USDC and a fee of 45.
    chain.send("trader", transfer(1, 4_956));
    assert_eq!(word(&chain.block().txs[0]), "INSUFFICIENT_WITHDRAWABLE");
    chain.send("trader", transfer(128, 1));
    assert_eq!(word(&chain.block().txs[0]), "INVALID_ARGUMENT");
    chain.send("trader", transfer(1, 4_955));
    let events = chain.block();
    healthy(&events);
    assert_eq!(word(&events.txs[0]), "OK");
    assert_eq!(chain.collateral("trader"), usdc(5_045));
}

#[test]
fn rules_10_only_a_minter_deposits_and_only_the_admin_lists_and_updates_markets() {
    let mut chain = one_market(&["trader"]);
    chain.send(
        "trader",
        v1::MsgDeposit {
            recipient: signer("trader").address().to_string(),
            amount_atoms: 1,
            ..Default::default()
        },
    );
    assert_eq!(word(&chain.block().txs[0]), "NOT_AUTHORISED");
    let listed = || Some((&plain_market("TWO-USD", 20)).into());
    chain.send("trader", v1::MsgListMarket { params: listed(), ..Default::default() });
    assert_eq!(word(&chain.block().txs[0]), "NOT_AUTHORISED");
    chain.send("trader", v1::MsgUpdateMarket { params: listed(), ..Default::default() });
    assert_eq!(word(&chain.block().txs[0]), "NOT_AUTHORISED");
    assert_eq!((chain.state.markets.len(), chain.collateral("trader")), (1, usdc(10_000)));
    chain.send(FAUCET, v1::MsgListMarket { params: listed(), ..Default::default() });
    let events = chain.block();
    healthy(&events);
    assert_eq!((word(&events.txs[0]), chain.state.markets.len()), ("OK", 2));
}

#[test]
#[cfg_attr(debug_assertions, ignore = "a build with debug assertions stops at a broken invariant")]
fn rules_8_an_account_whose_margin_cannot_be_computed_stops_its_markets_and_is_reported_each_block()
{
    let mut chain =
        Chain::new(&genesis(vec![plain_market("ONE-USD", 20), plain_market("TWO-USD", 20)], 1_000));
    for (market, name) in [(0, "long"), (1, "short")] {
        chain.index(market, 100);
        chain.deposit(name, 10_000);
    }
    healthy(&chain.block());
    chain.orders("short", vec![place(limit(0, Sell, 100, 10))]);
    healthy(&chain.block());
    chain.orders("long", vec![place(limit(0, Buy, 100, 10))]);
    healthy(&chain.block());
    let long = chain.account_id("long");
    let planted = chain.state.accounts.get_mut(long).expect("the account exists");
    planted.positions[0].cost_atoms = atoms(i128::MIN);
    for _ in 0..3 {
        chain.orders("short", vec![place(limit(0, Sell, 100, 1)), place(limit(1, Sell, 100, 1))]);
        let events = chain.block();
        let of_account: Vec<&String> =
            events.violations.iter().filter(|why| why.contains("could not be examined")).collect();
        assert_eq!(of_account.len(), 1, "{:?}", events.violations);
        assert!(of_account[0].ends_with("; quarantined: ONE-USD"), "{}", of_account[0]);
        let words: Vec<_> = events.txs[0].results.iter().map(|it| it.code().word()).collect();
        assert_eq!(words, ["MARKET_PAUSED", "OK"]);
    }
}

#[test]
fn rules_2_a_replacement_by_no_lots_cancels() {
    let mut chain = one_market(&["trader"]);
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 90,
        ..limit(0, Sell, 85, 1)
    };
    chain.orders("trader", vec![place(limit(0, Buy, 99, 5)), place(stop)]);
    let events = chain.block();
    let ids: Vec<u64> = events.txs[0].results.iter().map(|result| result.order_id.get()).collect();
    for (order_id, mode) in [(ids[0], 0), (ids[1], 1)] {
        let none = v1::ReplaceOrder { order_id, lots: Some(0), ..Default::default() };
        let operation = v1::operation::Operation::Replace(none);
        let operations = vec![v1::Operation { operation: Some(operation) }];
        chain.send("trader", v1::MsgOrders { operations, mode, ..Default::default() });
        let events = chain.block();
        healthy(&events);
        assert_eq!((word(&events.txs[0]), events.txs[0].results[0].cancelled), ("OK", 1));
    }
    assert_eq!(chain.state.markets[0].book.live_orders(), 0);
    assert!(chain.state.markets[0].conditional.is_empty());
}
