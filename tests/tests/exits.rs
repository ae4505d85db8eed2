//! In and out at market, at every leverage: what free collateral does not cover at an order's limit
//! is judged at the prices that the order meets (rules §§3.8, 3.10).

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::outcome::OperationResult;
use tidemark_engine::state::conditional::Kind;
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{Atoms, Ppm};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, lots, place, test_market, usdc, word, Chain,
};

/// A market of 50x whose mark is the index: tick 0.1 USDC, lot 0.0001.
fn coin(symbol: &str) -> MarketParams {
    let mut params = test_market(symbol, 100_000_000, 100_000, 50);
    params.mark_band_ppm = Ppm::ZERO;
    params
}

/// A chain of two such markets at 60 000, traders with 10 000 USDC each, and a `maker` with far
/// more.
fn chain(traders: &[&str]) -> Chain {
    let markets = vec![coin("ONE-USD"), coin("TWO-USD")];
    let mut chain = Chain::new(&genesis(markets, 1_000_000));
    chain.index(0, 600_000);
    chain.index(1, 600_000);
    for trader in traders {
        chain.deposit(trader, 10_000);
    }
    chain.deposit("maker", 10_000_000);
    healthy(&chain.block());
    chain
}

/// An operation of a name in a block of its own.
fn send(chain: &mut Chain, name: &str, operation: Operation) -> (&'static str, OperationResult) {
    chain.orders(name, vec![operation]);
    let events = chain.block();
    healthy(&events);
    (word(&events.txs[0]), events.txs[0].results[0].clone())
}

fn market_order(side: v1::Side, size: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { r#type: v1::OrderType::Market.into(), ..limit(0, side, 0, size) }
}

fn reduce_only(order: v1::PlaceOrder) -> v1::PlaceOrder {
    v1::PlaceOrder { reduce_only: true, ..order }
}

/// A long of `leverage` times 10 000 USDC, bought at the mark; the maker's rest is cancelled.
fn long(chain: &mut Chain, name: &str, leverage: u64) -> u64 {
    // 6 USDC a lot.
    let size = leverage * 10_000 / 6;
    assert_eq!(send(chain, "maker", place(limit(0, Sell, 600_000, size))).0, "OK");
    let (code, result) = send(chain, name, place(limit(0, Buy, 600_000, size)));
    assert_eq!((code, result.filled_lots), ("OK", lots(size)), "{leverage}x");
    size
}

fn bids(chain: &mut Chain, price_ticks: u64, size: u64) {
    assert_eq!(send(chain, "maker", place(limit(0, Buy, price_ticks, size))).0, "OK");
}

const LEVERAGES: [u64; 10] = [5, 12, 15, 19, 20, 25, 30, 40, 45, 47];

/// Asserts that of 10 000 USDC is left, within 10, all but the fee of 0.045 % both ways and the
/// distance.
fn assert_left(chain: &Chain, name: &str, size: u64, lost_atoms_a_lot: i128) {
    assert_eq!(chain.lots(name, 0), 0, "{name}");
    let fees = Atoms::new(i128::from(size) * 6_000_000 * 450 / 1_000_000 * 2);
    let lost = Atoms::new(i128::from(size) * lost_atoms_a_lot);
    let difference = (usdc(10_000) - fees - lost - chain.collateral(name)).get();
    assert!(difference.abs() < usdc(10).get(), "{name}: {difference} atoms off");
}

#[test]
fn rules_3_a_market_order_closes_at_every_leverage() {
    for leverage in LEVERAGES {
        for closing in
            [market_order as fn(_, _) -> _, |side, size| reduce_only(market_order(side, size))]
        {
            let mut chain = chain(&["long"]);
            let size = long(&mut chain, "long", leverage);
            bids(&mut chain, 599_999, 10 * size);
            let (code, result) = send(&mut chain, "long", place(closing(Sell, size)));
            assert_eq!((code, result.filled_lots), ("OK", lots(size)), "{leverage}x");
            assert_left(&chain, "long", size, 10);
        }
    }
}

#[test]
fn rules_3_a_stop_closes_at_every_leverage_where_the_book_has_the_bids() {
    for leverage in LEVERAGES {
        let mut chain = chain(&["long"]);
        let size = long(&mut chain, "long", leverage);
        let stop = v1::PlaceOrder {
            trigger: v1::Trigger::Stop.into(),
            trigger_price_ticks: 598_500,
            whole_position: true,
            lots: 0,
            ..reduce_only(market_order(Sell, 0))
        };
        assert_eq!(send(&mut chain, "long", place(stop)).0, "OK");
        // A quarter of a per cent down, and a fifth of one below that the bids.
        bids(&mut chain, 597_300, 10 * size);
        chain.index(0, 598_500);
        let events = chain.block();
        healthy(&events);
        assert!(liquidations(&events).is_empty(), "{leverage}x");
        assert_left(&chain, "long", size, 2_700 * 10);
        // The fall of 5 % after it is others'.
        chain.index(0, 570_000);
        assert!(liquidations(&chain.block()).is_empty(), "{leverage}x");
    }
}

#[test]
fn rules_3_a_limit_order_that_crosses_closes_at_every_leverage() {
    for leverage in LEVERAGES {
        for tif in [v1::TimeInForce::Gtc, v1::TimeInForce::Ioc, v1::TimeInForce::Fok] {
            let mut chain = chain(&["long"]);
            let size = long(&mut chain, "long", leverage);
            bids(&mut chain, 599_999, 10 * size);
            let close =
                v1::PlaceOrder { time_in_force: tif.into(), ..limit(0, Sell, 540_000, size) };
            let (code, result) = send(&mut chain, "long", place(close));
            assert_eq!((code, result.filled_lots), ("OK", lots(size)), "{leverage}x {tif:?}");
        }
    }
}

#[test]
fn rules_3_a_market_order_needs_what_it_costs_in_the_book_and_no_more() {
    let mut eth = test_market("ETH-USD", 10_000_000, 1_000_000, 50);
    eth.mark_band_ppm = Ppm::ZERO;
    let mut chain = Chain::new(&genesis(vec![eth], 1_000));
    chain.index(0, 300_000);
    chain.deposit("buyer", 10_000);
    chain.deposit("maker", 1_000_000);
    healthy(&chain.block());
    // 0.05 % from the mark.
    send(&mut chain, "maker", place(limit(0, Sell, 300_150, 1_000_000)));
    let (code, result) = send(&mut chain, "buyer", place(market_order(Buy, 100_000)));
    assert_eq!((code, result.filled_lots), ("OK", lots(100_000)));
    // 6 000 of margin, 150 of slippage and 135.07 of fee are 6 285: 3 715 more carry 59 ETH.
    let (code, result) = send(&mut chain, "buyer", place(market_order(Buy, 100_000)));
    assert_eq!(code, "OK");
    assert_eq!(result.rest_code.map(|code| code.word()), Some("INSUFFICIENT_COLLATERAL"));
    let more = result.filled_lots.get();
    assert!((59_000..59_300).contains(&more), "{more}");
    let fok =
        v1::PlaceOrder { time_in_force: v1::TimeInForce::Fok.into(), ..market_order(Buy, 100_000) };
    let (code, result) = send(&mut chain, "buyer", place(fok));
    assert_eq!((code, result.filled_lots), ("INSUFFICIENT_COLLATERAL", lots(0)));
    let sentence = result.refusal.expect("refused").sentence();
    assert!(sentence.contains(" of 100000 lots"), "{sentence}");
}

#[test]
fn rules_3_a_limit_order_trades_what_it_meets_and_its_rest_is_covered_or_it_is_refused_whole() {
    let mut chain = chain(&["buyer"]);
    let size = 47 * 10_000 / 6;
    send(&mut chain, "maker", place(limit(0, Sell, 600_000, size)));
    // Its limit is 5 % above the mark, and it meets the mark.
    let (code, result) = send(&mut chain, "buyer", place(limit(0, Buy, 630_000, size)));
    assert_eq!((code, result.filled_lots), ("OK", lots(size)));
    send(&mut chain, "maker", place(limit(0, Sell, 600_000, 10)));
    let before = chain.state.accounts.get(chain.account_id("buyer")).cloned();
    let (code, result) = send(&mut chain, "buyer", place(limit(0, Buy, 630_000, size)));
    assert_eq!(code, "INSUFFICIENT_COLLATERAL");
    assert_eq!(chain.state.accounts.get(chain.account_id("buyer")).cloned(), before);
    // Ten as met, and more at the limit: 0.3 USDC beyond the mark, 0.12 of margin and a fee a lot.
    let sentence = result.refusal.expect("refused").sentence();
    let fits = sentence.split(' ').nth(3).and_then(|word| word.parse::<u64>().ok());
    let fits = fits.unwrap_or_else(|| panic!("{sentence}"));
    let (code, _) = send(&mut chain, "buyer", place(limit(0, Buy, 630_000, fits + 1)));
    assert_eq!(code, "INSUFFICIENT_COLLATERAL");
    let (code, result) = send(&mut chain, "buyer", place(limit(0, Buy, 630_000, fits)));
    assert_eq!((code, result.filled_lots), ("OK", lots(10)));
    assert_eq!(result.resting_lots, lots(fits - 10));
}

#[test]
fn rules_3_an_order_that_closes_makes_the_accounts_own_increasing_orders_go() {
    let mut chain = chain(&["long"]);
    let size = long(&mut chain, "long", 30);
    // Bids in the other market reserve nearly all that is left, 5 % beyond the mark.
    let bid = limit(1, Buy, 630_000, 6_000);
    assert_eq!(send(&mut chain, "long", place(bid)).0, "OK");
    assert_eq!(send(&mut chain, "long", place(limit(1, Buy, 500_000, 100))).0, "OK");
    // 2.6 % below the mark: more than the margin that the exit releases.
    bids(&mut chain, 584_400, 10 * size);
    let plain = v1::PlaceOrder { price_ticks: 580_000, ..market_order(Sell, size) };
    let (code, _) = send(&mut chain, "long", place(plain));
    assert_ne!((code, chain.lots("long", 0)), ("OK", 0), "its bids could yet take it below 0");
    let held = chain.lots("long", 0);
    let (code, result) = send(&mut chain, "long", place(reduce_only(plain)));
    assert_eq!((code, result.filled_lots), ("OK", lots(held as u64)));
    let open = chain.state.markets[1].book.open_orders(chain.account_id("long"));
    assert!(open < 2, "the newest bid went first");
}

fn taken(events: &BlockEvents) -> u64 {
    let fills = events.events.iter().filter_map(|event| match event {
        Event::Fill(fill) => Some(fill.lots.get()),
        _ => None,
    });
    fills.sum()
}

#[test]
fn rules_3_without_free_collateral_exits_trade_down_to_the_zero_price_and_nothing_increases() {
    let mut chain = chain(&["long"]);
    let size = long(&mut chain, "long", 47);
    // Equity 6 500 of 470 000 less 3 290: free collateral is below 0, maintenance 4 667.
    chain.index(0, 595_800);
    healthy(&chain.block());
    bids(&mut chain, 590_000, size / 2);
    bids(&mut chain, 580_000, size);
    let sell = v1::PlaceOrder { price_ticks: 570_000, ..market_order(Sell, size) };
    chain.orders("long", vec![place(sell), place(limit(0, Buy, 590_000, 1))]);
    let events = chain.block();
    healthy(&events);
    // 1 % below the mark is better than the zero price, 2.7 % is worse.
    assert_eq!(taken(&events), size / 2);
    let results = &events.txs[0].results;
    assert_eq!(results[0].rest_code.map(|code| code.word()), Some("INSUFFICIENT_COLLATERAL"));
    assert_eq!(results[1].code().word(), "INSUFFICIENT_COLLATERAL");
    assert!(!chain.collateral("long").is_negative());
}

/// A resting exit that was reserved for is not forgotten when another would go down to the zero
/// price: the two together would take more than there is.
#[test]
fn rules_3_a_resting_exit_worse_than_the_zero_price_keeps_the_others_from_it() {
    let mut chain = chain(&["long", "friend"]);
    let size = long(&mut chain, "long", 20);
    let exit = |price, size| reduce_only(limit(0, Sell, price, size));
    // A tenth of the position 15 % below the mark: 3 000 USDC are reserved for it.
    assert_eq!(send(&mut chain, "long", place(exit(510_000, size / 10))).0, "OK");
    let (code, result) = send(&mut chain, "long", place(exit(575_000, size)));
    assert_eq!(code, "WORSE_THAN_ZERO_PRICE");
    let sentence = result.refusal.expect("refused").sentence();
    assert!(sentence.contains("rests at 510000"), "{sentence}");
    chain.orders("long", vec![Operation::CancelAll(v1::CancelAll::default())]);
    healthy(&chain.block());
    assert_eq!(send(&mut chain, "long", place(exit(575_000, size))).0, "OK");
}

#[test]
fn rules_2_what_a_triggered_exit_leaves_is_tried_again_in_ten_blocks() {
    let mut chain = chain(&["long"]);
    let size = long(&mut chain, "long", 30);
    let stop = v1::PlaceOrder {
        trigger: v1::Trigger::Stop.into(),
        trigger_price_ticks: 598_500,
        whole_position: true,
        lots: 0,
        client_id: 7,
        ..reduce_only(market_order(Sell, 0))
    };
    let waiting = |chain: &Chain| -> Vec<u32> {
        let orders = chain.state.markets[0].conditional.iter();
        let tries = orders.map(|order| match &order.kind {
            Kind::Retrying(retrying) => retrying.tries_left,
            _ => u32::MAX,
        });
        tries.collect()
    };
    assert_eq!(send(&mut chain, "long", place(stop)).0, "OK");
    assert_eq!(waiting(&chain), [u32::MAX]);
    // A tenth of the position has a bid; then no one bids, and then somebody does, far lower.
    bids(&mut chain, 598_000, size / 10);
    chain.index(0, 598_500);
    healthy(&chain.block());
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (vec![10], (size - size / 10) as i64));
    let replaced = v1::ReplaceOrder { client_id: 7, price_ticks: 590_000, ..Default::default() };
    assert_eq!(send(&mut chain, "long", Operation::Replace(replaced)).0, "NOT_REPLACEABLE");
    chain.index(0, 596_000);
    healthy(&chain.blocks(3));
    assert_eq!(waiting(&chain), [6]);
    bids(&mut chain, 590_000, size);
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (vec![5], (size - size / 10) as i64));
    healthy(&chain.block());
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (vec![], 0));
    // Nobody bids in ten blocks.
    let size = long(&mut chain, "long", 10);
    let stop = v1::PlaceOrder { trigger_price_ticks: 595_000, client_id: 8, ..stop };
    chain.orders("maker", vec![Operation::CancelAll(v1::CancelAll::default())]);
    assert_eq!(send(&mut chain, "long", place(stop)).0, "OK");
    chain.index(0, 595_000);
    healthy(&chain.blocks(10));
    assert_eq!(waiting(&chain), [1]);
    let events = chain.block();
    healthy(&events);
    let ended = events.events.iter().any(|event| {
        matches!(event, Event::Removed { client_id, code: Code::Unfilled, .. }
            if client_id.get() == 8)
    });
    assert!(ended, "{:?}", events.events);
    assert_eq!((waiting(&chain), chain.lots("long", 0)), (vec![], size as i64));
}

#[test]
fn rules_2_of_a_batch_of_all_or_none_the_order_that_takes_is_admitted_whole() {
    let mut chain = chain(&["buyer"]);
    let size = 47 * 10_000 / 6;
    send(&mut chain, "maker", place(limit(0, Sell, 600_000, size)));
    let batch = |chain: &mut Chain, resting: u64| {
        let operations = [market_order(Buy, size), limit(0, Buy, 500_000, resting)];
        let operations = operations.map(|order| v1::Operation { operation: Some(place(order)) });
        chain.send(
            "buyer",
            v1::MsgOrders {
                operations: operations.to_vec(),
                mode: v1::BatchMode::All.into(),
                ..Default::default()
            },
        );
        let events = chain.block();
        healthy(&events);
        events.txs[0].results.iter().map(|result| result.code().word()).collect::<Vec<_>>()
    };
    // The margin that the market order leaves is not enough for 10 000 lots of 0.12 USDC.
    assert_eq!(batch(&mut chain, 10_000), ["INSUFFICIENT_COLLATERAL", "BATCH_REFUSED"]);
    assert_eq!(batch(&mut chain, 100), ["OK", "OK"]);
    assert_eq!(chain.lots("buyer", 0), size as i64);
}

#[test]
fn rules_3_open_interest_raises_the_initial_rate_at_admission_only() {
    let mut params = coin("ONE-USD");
    // 2 % up to an open interest of 60 000 USDC, 100 % from 120 000.
    params.oi_lower_atoms = usdc(60_000);
    params.oi_upper_atoms = usdc(120_000);
    let mut chain = Chain::new(&genesis(vec![params], 1_000_000));
    chain.index(0, 600_000);
    for (trader, usdc) in [("first", 10_000), ("late", 10_000), ("maker", 10_000_000)] {
        chain.deposit(trader, usdc);
    }
    healthy(&chain.block());
    send(&mut chain, "maker", place(limit(0, Sell, 600_000, 30_000)));
    assert_eq!(send(&mut chain, "first", place(limit(0, Buy, 600_000, 10_000))).0, "OK");
    assert_eq!(send(&mut chain, "first", place(limit(0, Buy, 500_000, 100))).0, "OK");
    // At 90 000 USDC the rate is 51 %: 30 000 of notional want 15 300, 18 000 want 35.6 % of it.
    let (code, result) = send(&mut chain, "late", place(limit(0, Buy, 600_000, 5_000)));
    assert_eq!((code, result.filled_lots), ("INSUFFICIENT_COLLATERAL", lots(0)));
    assert_eq!(send(&mut chain, "late", place(market_order(Buy, 3_000))).0, "OK");
    assert_eq!(chain.lots("late", 0), 3_000);
    // In parts it is no cheaper: the whole position counts.
    let (code, result) = send(&mut chain, "late", place(market_order(Buy, 2_000)));
    assert_eq!(code, "OK");
    assert!(result.filled_lots < lots(1_100), "{result:?}");
    assert_eq!(result.rest_code, Some(Code::InsufficientCollateral));
    // Nobody's reserve has changed: what rested rests, and the money that is free can go.
    healthy(&chain.block());
    let first = chain.account_id("first");
    assert_eq!(chain.state.markets[0].book.open_orders(first), 1);
    chain.send("first", v1::MsgWithdraw { amount_atoms: 3_000_000_000, ..Default::default() });
    assert_eq!(word(&chain.block().txs[0]), "OK");
}
