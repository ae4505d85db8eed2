//! Incidents of other exchanges, as scenarios: each defence is here under the name of what it
//! answers. Prices in whole USDC, quantities in whole units.

use proptest::prelude::*;
use tidemark_engine::admission::{self, BlockBudget};
use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::exec::BallotExtension;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Atoms, MarketId, Ppm};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    atoms, decoded, genesis, limit, liquidations, lots, place, plain_market, ticks, usdc, word,
    BlockInput, Chain, FAUCET,
};
use tidemark_tests::proposer;
use tidemark_tests::sim::audit;
use tidemark_tests::sim::figures::without_orders;

/// Two 20x markets at index 100, and traders with 10 000 USDC each.
fn chain(traders: &[&str]) -> Chain {
    let markets = vec![plain_market("ONE-USD", 20), plain_market("TWO-USD", 20)];
    let mut chain = Chain::new(&genesis(markets, 1_000));
    chain.index(0, 100);
    chain.index(1, 100);
    for trader in traders {
        chain.deposit(trader, 10_000);
    }
    block(&mut chain);
    chain
}

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

/// `long` buys from `short` at 100.
fn trade(chain: &mut Chain, long: &str, short: &str, lots: u64) {
    chain.orders(short, vec![place(limit(0, Sell, 100, lots))]);
    block(chain);
    chain.orders(long, vec![place(limit(0, Buy, 100, lots))]);
    let events = block(chain);
    assert_eq!(events.txs[0].results[0].filled_lots.get(), lots);
}

fn withdraw(usdc: u64) -> v1::MsgWithdraw {
    v1::MsgWithdraw { amount_atoms: usdc * 1_000_000, ..Default::default() }
}

#[test]
fn dydx_2025_10_10_a_liquidation_of_a_markets_whole_open_interest_leaves_the_chain_running() {
    let mut chain = chain(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, lots(900));
    chain.index(0, 80);
    assert_eq!(liquidations(&block(&mut chain)).len(), 1);
    assert_eq!(chain.state.markets[0].cell.market.open_interest_lots, lots(0));
    // The empty market trades on.
    chain.orders("short", vec![place(limit(0, Sell, 80, 1))]);
    block(&mut chain);
    chain.deposit("long", 1_000);
    chain.orders("long", vec![place(limit(0, Buy, 80, 1))]);
    assert_eq!(block(&mut chain).txs[1].results[0].filled_lots, lots(1));
}

#[test]
fn dydx_2025_10_10_after_a_halt_without_feeds_nothing_is_liquidated_increased_or_withdrawn() {
    let mut chain = chain(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    chain.orders("short", vec![place(limit(0, Sell, 101, 5))]);
    block(&mut chain);
    chain.silence();
    chain.now_ms += 6 * 60_000;
    for since in 0..55 {
        chain.send("short", withdraw(1));
        chain.orders("short", vec![place(limit(0, Sell, 100, 1))]);
        let events = block(&mut chain);
        assert_eq!(liquidations(&events).len(), 0);
        // The gate of 50 blocks first; after it, the price is still missing.
        let refused = if since <= 50 { "WITHDRAWALS_GATED" } else { "STALE_INDEX" };
        assert_eq!(events.txs.iter().map(word).collect::<Vec<_>>(), [refused, "STALE_INDEX"]);
    }
    assert_eq!(chain.state.chain.withdrawals_atoms, usdc(0));
}

#[test]
fn dydx_2025_10_10_cancels_and_reducing_orders_work_without_a_feed_and_a_fresh_price_liquidates() {
    let mut chain = chain(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    chain.silence();
    chain.now_ms += 6 * 60_000;
    let reduce = |side, price| v1::PlaceOrder { reduce_only: true, ..limit(0, side, price, 100) };
    chain.orders("long", vec![place(reduce(Sell, 100))]);
    block(&mut chain);
    chain.orders("short", vec![place(reduce(Buy, 100))]);
    block(&mut chain);
    assert_eq!((chain.lots("long", 0), chain.lots("short", 0)), (800, -800));
    chain.index(0, 80);
    assert_eq!(liquidations(&block(&mut chain)).len(), 1);
}

#[test]
fn dydx_2025_10_10_after_a_halt_nobody_pays_funding_for_premiums_of_before_it() {
    let mut chain = chain(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    // A premium of a few percent for half an hour.
    chain.orders("long", vec![place(limit(0, Buy, 103, 100))]);
    chain.orders("short", vec![place(limit(0, Sell, 105, 100))]);
    chain.interval_ms = 10_000;
    for _ in 0..100 {
        block(&mut chain);
    }
    assert!(chain.state.markets[0].cell.market.funding.mean_premium_ppm() > Some(Ppm::new(10_000)));
    let paid_before = chain.state.markets[0].cell.market.funding.cumulative_index;
    chain.now_ms += 3_600_000;
    let events = block(&mut chain);
    let paid =
        |event: &Event| matches!(event, Event::Funding { market, .. } if *market == MarketId::ZERO);
    assert!(!events.events.iter().any(paid));
    assert_eq!(chain.state.markets[0].cell.market.funding.cumulative_index, paid_before);
}

#[test]
fn hyperliquid_2025_03_12_profit_does_not_leave_before_a_liquidation() {
    let mut chain = chain(&["whale", "short", "bidder"]);
    chain.deposit("short", 20_000);
    trade(&mut chain, "whale", "short", 900);
    chain.index(0, 110);
    block(&mut chain);
    // 9 000 of profit, and 10 % of the notional, 9 900, stays: about 60 USDC of the deposit can go.
    chain.send("whale", withdraw(100));
    assert_eq!(word(&block(&mut chain).txs[0]), "INSUFFICIENT_WITHDRAWABLE");
    chain.send("whale", withdraw(50));
    assert_eq!(word(&block(&mut chain).txs[0]), "OK");
    let fund = chain.state.chain.treasury.insurance_atoms;
    chain.orders("bidder", vec![place(limit(0, Buy, 92, 900))]);
    for index in (91..=104).rev() {
        chain.index(0, index);
        block(&mut chain);
    }
    assert_eq!(chain.lots("whale", 0), 0);
    assert!(chain.collateral("whale").is_positive());
    assert!(chain.state.chain.treasury.insurance_atoms >= fund, "the fund paid for a withdrawal");
}

#[test]
fn mango_jelly_a_pumped_book_moves_neither_the_mark_beyond_its_band_nor_money_off_the_chain() {
    let mut chain = chain(&["pumper", "friend"]);
    trade(&mut chain, "pumper", "friend", 100);
    chain.orders("pumper", vec![place(limit(0, Buy, 121, 1))]);
    assert_eq!(word(&block(&mut chain).txs[0]), "PRICE_OUT_OF_BAND");
    for _ in 0..200 {
        // Trades with a friend at the top of the band, and a book that shows nothing else.
        chain.orders("friend", vec![place(limit(0, Sell, 120, 2))]);
        block(&mut chain);
        chain.orders("pumper", vec![place(limit(0, Buy, 120, 1)), place(limit(0, Buy, 119, 1))]);
        block(&mut chain);
        let mark = chain.state.markets[0].cell.market.mark_ticks;
        assert!(mark <= Some(ticks(105)), "index 100, band 5 %: {mark:?}");
        chain.orders("friend", vec![v1::operation::Operation::CancelAll(v1::CancelAll::default())]);
        chain.orders("pumper", vec![v1::operation::Operation::CancelAll(v1::CancelAll::default())]);
        block(&mut chain);
    }
    let cash = chain.collateral("pumper");
    assert!(cash < usdc(10_000));
    chain.send("pumper", withdraw(10_000));
    assert_eq!(word(&block(&mut chain).txs[0]), "INSUFFICIENT_WITHDRAWABLE");
}

#[test]
fn adl_2025_10_10_winners_lose_no_more_than_the_deficit() {
    let winners = ["a", "b", "c"];
    let mut chain = chain(&["loser", "a", "b", "c"]);
    for (winner, lots) in winners.into_iter().zip([17, 241, 642]) {
        trade(&mut chain, winner, "loser", lots);
    }
    let before: Vec<_> =
        ["loser", "a", "b", "c"].into_iter().map(|name| chain.account(name).clone()).collect();
    chain.index(0, 119);
    let events = block(&mut chain);
    assert_eq!(liquidations(&events)[0].stage, LiquidationStage::Adl);
    // All at the new mark: what the winners had then, less what they have.
    let deficit = -without_orders(&chain.state, &before[0]).equity;
    assert!(deficit.is_positive());
    let had: Atoms =
        before[1..].iter().map(|account| without_orders(&chain.state, account).equity).sum();
    let have: Atoms =
        winners.iter().map(|name| without_orders(&chain.state, chain.account(name)).equity).sum();
    assert!(
        (atoms(0)..=deficit + atoms(3)).contains(&(had - have)),
        "deficit {deficit}, haircut {}",
        had - have
    );
    assert!(!chain.collateral("loser").is_negative());
}

#[test]
fn a_cascade_closes_one_account_after_the_other_and_money_is_conserved() {
    let longs: Vec<String> = (0..12).map(|at| format!("long {at}")).collect();
    let mut chain = chain(&["maker"]);
    chain.deposit("maker", 1_000_000);
    for long in &longs {
        chain.deposit(long, 1_000);
    }
    block(&mut chain);
    let mut lots = 0;
    for (at, long) in (0_u64..).zip(&longs) {
        trade(&mut chain, long, "maker", 60 + 10 * at);
        lots += 60 + 10 * at;
    }
    // Bids for a half of what will be sold.
    chain.orders("maker", (70..99).map(|price| place(limit(0, Buy, price, lots / 60))).collect());
    block(&mut chain);
    let mut closed = 0;
    for index in (70..100).rev() {
        chain.index(0, index);
        closed +=
            liquidations(&block(&mut chain)).iter().filter(|step| !step.lots.is_zero()).count();
    }
    assert!(closed >= longs.len(), "{closed} steps");
    assert!(longs
        .iter()
        .all(|long| !chain.collateral(long).is_negative() && chain.lots(long, 0) == 0));
}

#[test]
fn hyperliquid_overload_sending_an_order_again_with_its_client_id_is_harmless() {
    let mut chain = chain(&["trader"]);
    let order = || place(v1::PlaceOrder { client_id: 77, ..limit(0, Buy, 99, 3) });
    chain.orders("trader", vec![order(), order()]);
    let events = block(&mut chain);
    assert_eq!(
        events.txs[0].results.iter().map(|result| result.code()).collect::<Vec<_>>(),
        [Code::Ok, Code::DuplicateClientId]
    );
    chain.orders("trader", vec![order()]);
    assert_eq!(word(&block(&mut chain).txs[0]), "DUPLICATE_CLIENT_ID");
    assert_eq!(chain.state.markets[0].book.live_orders(), 1);
}

/// The first one traded, and its answer was lost: the resend must not trade again.
#[test]
fn hyperliquid_overload_sending_an_order_again_after_its_end_is_harmless() {
    let named = |client_id, order| v1::PlaceOrder { client_id, ..order };
    let market = v1::PlaceOrder { r#type: v1::OrderType::Market.into(), ..limit(0, Buy, 0, 5) };
    let tif = |tif: v1::TimeInForce| v1::PlaceOrder {
        time_in_force: tif.into(),
        ..limit(0, Buy, 100, 5)
    };
    let post_only = v1::PlaceOrder { post_only: 1, ..limit(0, Buy, 99, 5) };
    let (ioc, fok) = (tif(v1::TimeInForce::Ioc), tif(v1::TimeInForce::Fok));
    for first in [market, ioc, fok, post_only] {
        let mut chain = chain(&["trader", "maker"]);
        let ask = |chain: &mut Chain| {
            let price = if first == post_only { 99 } else { 100 };
            chain.orders("maker", vec![place(limit(0, Sell, price, 5))]);
        };
        if first == post_only {
            chain.orders("trader", vec![place(named(77, first))]);
            block(&mut chain);
            ask(&mut chain);
        } else {
            ask(&mut chain);
            block(&mut chain);
            chain.orders("trader", vec![place(named(77, first))]);
        }
        block(&mut chain);
        assert_eq!(chain.lots("trader", 0), 5);
        ask(&mut chain);
        block(&mut chain);
        chain.orders("trader", vec![place(named(77, first))]);
        assert_eq!(word(&block(&mut chain).txs[0]), "DUPLICATE_CLIENT_ID");
        assert_eq!(chain.lots("trader", 0), 5);
        // Sixteen other orders with client ids later the number is free.
        for client_id in 1..=16 {
            let cancel = v1::CancelOrder { client_id, ..Default::default() };
            chain.orders(
                "trader",
                vec![place(named(client_id, limit(0, Buy, 90, 1))), Operation::Cancel(cancel)],
            );
            block(&mut chain);
        }
        let again = vec![place(named(77, limit(0, Buy, 90, 1)))];
        chain.orders("trader", again);
        assert_eq!(word(&block(&mut chain).txs[0]), "OK");
    }
}

#[test]
fn hyperliquid_overload_what_has_ended_in_a_message_is_known_to_the_rest_of_it() {
    let mut chain = chain(&["trader"]);
    let order = |client_id| place(v1::PlaceOrder { client_id, ..limit(0, Buy, 90, 3) });
    let cancel = |client_id| Operation::Cancel(v1::CancelOrder { client_id, ..Default::default() });
    let send = |chain: &mut Chain, mode, operations: Vec<Operation>| {
        let operations =
            operations.into_iter().map(|operation| v1::Operation { operation: Some(operation) });
        let message =
            v1::MsgOrders { operations: operations.collect(), mode, ..Default::default() };
        chain.send("trader", message);
        let events = block(chain);
        events.txs[0].results.iter().map(|result| result.code()).collect::<Vec<_>>()
    };
    let each = send(&mut chain, 0, vec![order(7), cancel(7), order(7)]);
    assert_eq!(each, [Code::Ok, Code::Ok, Code::DuplicateClientId]);
    assert_eq!(send(&mut chain, 0, vec![order(9)]), [Code::Ok]);
    let all = send(&mut chain, 1, vec![cancel(9), order(9)]);
    assert_eq!(all, [Code::BatchRefused, Code::DuplicateClientId]);
    // What the chain ends by itself is known as well.
    let expires_ms = chain.now_ms + 500;
    let time_in_force = v1::TimeInForce::Gtt.into();
    let timed = v1::PlaceOrder { client_id: 5, expires_ms, time_in_force, ..limit(0, Buy, 90, 3) };
    assert_eq!(send(&mut chain, 0, vec![place(timed)]), [Code::Ok]);
    assert_eq!(send(&mut chain, 0, vec![order(5)]), [Code::DuplicateClientId]);
}

#[test]
fn dydx_2025_10_10_a_market_whose_invariant_fails_is_quarantined_and_the_others_go_on() {
    let mut chain = chain(&["long", "short"]);
    trade(&mut chain, "long", "short", 900);
    chain.state.markets[0].cell.market.open_interest_lots += lots(1);
    assert_eq!(chain.block().violations.len(), 1);
    assert!(chain.state.markets[0].cell.quarantined.is_some());
    // Positions are kept and left alone, whatever the price does; the other market trades.
    chain.index(0, 80);
    chain.orders("short", vec![place(limit(0, Sell, 80, 1)), place(limit(1, Sell, 100, 1))]);
    let events = chain.block();
    assert_eq!(word(&events.txs[0]), "MARKET_PAUSED");
    assert_eq!(events.txs[0].results[1].resting_lots, lots(1));
    assert_eq!((liquidations(&events).len(), chain.lots("long", 0)), (0, 900));
    // The admin's word does not end it while the cause is there.
    let params = chain.state.markets[0].cell.market.params.clone();
    chain
        .send(FAUCET, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
    assert_eq!(chain.block().violations.len(), 1);
    assert!(chain.state.markets[0].cell.quarantined.is_some());
    // Mended, it does.
    chain.state.markets[0].cell.market.open_interest_lots -= lots(1);
    let params = chain.state.markets[0].cell.market.params.clone();
    chain
        .send(FAUCET, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
    chain.orders("short", vec![place(limit(0, Sell, 80, 1))]);
    let events = chain.block();
    // It ends with an audit that finds nothing: nothing trades before that.
    assert_eq!(events.txs.iter().map(word).collect::<Vec<_>>(), ["OK", "MARKET_PAUSED"]);
    assert_eq!(chain.state.markets[0].cell.quarantined, None);
    assert_eq!(liquidations(&block(&mut chain)).len(), 1);
}

#[test]
fn babylon_a_missing_broken_or_giant_vote_extension_costs_its_validator_its_say_and_nothing_else() {
    let claims_too_many = vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let nonsense = [vec![], vec![0; 1], vec![0xff; 40], vec![1; 8 << 20], claims_too_many];
    let extensions = nonsense.map(BallotExtension::Bytes).into_iter();
    for extension in extensions.chain([BallotExtension::Blanked, BallotExtension::Missing]) {
        let mut chain = chain(&["trader"]);
        chain.index(0, 200);
        let mut input = chain.next_input();
        input.block.ballots[0].extension = extension;
        let events = chain.run(&input);
        assert_eq!(events.prices.markets[0].reporting_power, 0);
        assert_eq!(chain.state.markets[0].cell.index.index_ticks(), Some(ticks(100)));
        let mut input = chain.next_input();
        input.block.ballots = Vec::new();
        chain.run(&input);
        assert_eq!(chain.state.markets[0].cell.index.index_ticks(), Some(ticks(100)));
        block(&mut chain);
        assert_eq!(chain.state.markets[0].cell.index.index_ticks(), Some(ticks(200)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A proposer can include or leave out, but not arrange (rules §8.2).
    #[test]
    fn a_proposer_cannot_arrange(
        kinds in prop::collection::vec((0_usize..5, 0_u8..3), 2..12),
        swap in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        kept in any::<prop::sample::Index>(),
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let mut chain = chain(&names);
        for (who, kind) in kinds {
            match kind {
                0 => chain.send(names[who], withdraw(1)),
                1 => {
                    let all = v1::operation::Operation::CancelAll(v1::CancelAll::default());
                    chain.orders(names[who], vec![all]);
                }
                _ => chain.orders(names[who], vec![place(limit(0, Buy, 99, 1))]),
            }
        }
        let view = chain.state.view();
        let input = chain.next_input();
        let all: Vec<_> = input.txs.iter().map(|bytes| decoded(&chain, bytes)).collect();
        let budget = BlockBudget { bytes: 1 << 20, gas: u64::MAX };
        let chosen = proposer::select(&all, budget, |address| view.sequence(address), |_| true);
        prop_assert_eq!(chosen.len(), all.len(), "no account's orders hold back its cancels");
        let refused = |chosen: &[usize]| {
            let txs = chosen.iter().map(|at| &*all[*at]).enumerate();
            admission::admit(txs, &view.before_next_block(view.chain.time_ms)).refused.len()
        };
        prop_assert_eq!(refused(&chosen), 0);
        prop_assert_eq!(refused(&chosen[..kept.index(chosen.len() + 1)]), 0);
        let (i, j) = (swap.0.index(chosen.len()), swap.1.index(chosen.len()));
        let mut swapped = chosen.clone();
        swapped.swap(i, j);
        prop_assert_eq!(refused(&swapped), 0);
        let mut twice = chosen.clone();
        twice.push(chosen[i]);
        prop_assert_eq!(refused(&twice), 1, "twice in a block");

        let mut in_order_of = |chosen: &[usize]| {
            let state = chain.state.fork();
            let before = std::mem::replace(&mut chain.state, state);
            let txs = chosen.iter().map(|at| input.txs[*at].clone()).collect();
            let events = chain.run(&BlockInput { txs, ..input.clone() });
            chain.state = before;
            events.app_hash
        };
        prop_assert_eq!(in_order_of(&chosen), in_order_of(&swapped));
    }
}
