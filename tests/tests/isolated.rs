//! Isolated margin (rules §3.13). Prices in whole USDC, quantities in whole
//! units; traders have 10 000 USDC.

use tidemark_engine::events::BlockEvents;
use tidemark_proto::params::MarketParams;
use tidemark_proto::units::{MarketId, TimeMs};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, MarginMode, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    atoms, genesis, limit, liquidations, lots, one_market, place, plain_market, usdc, word, Chain,
    FAUCET,
};
use tidemark_tests::sim::audit;

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

fn set_mode(chain: &mut Chain, name: &str, mode: MarginMode) -> &'static str {
    chain.send(name, v1::MsgSetMarginMode { mode: mode.into(), ..Default::default() });
    word(&block(chain).txs[0])
}

fn adjust(chain: &mut Chain, name: &str, usdc: i64) -> &'static str {
    chain.send(
        name,
        v1::MsgAdjustIsolatedMargin { change_atoms: usdc * 1_000_000, ..Default::default() },
    );
    word(&block(chain).txs[0])
}

fn order(chain: &mut Chain, name: &str, order: v1::PlaceOrder) -> BlockEvents {
    chain.orders(name, vec![place(order)]);
    block(chain)
}

fn cancel_all(chain: &mut Chain, name: &str) -> u32 {
    chain.orders(name, vec![Operation::CancelAll(v1::CancelAll::default())]);
    block(chain).txs[0].results[0].cancelled
}

/// Lots that a name's isolated collateral of market 0 holds.
fn held(chain: &Chain, name: &str) -> i64 {
    chain.isolated(name, 0).lots(MarketId::ZERO).get()
}

/// `long` holds 100 lots bought at 100 in isolated mode, with `short` on the other side in cross
/// mode.
fn with_position() -> Chain {
    let mut chain = one_market(&["long", "short", "maker"]);
    assert_eq!(set_mode(&mut chain, "long", MarginMode::Isolated), "OK");
    order(&mut chain, "short", limit(0, Sell, 100, 100));
    let events = order(&mut chain, "long", limit(0, Buy, 100, 100));
    assert_eq!(events.txs[0].results[0].filled_lots, lots(100));
    chain
}

#[test]
fn an_order_draws_the_collateral_that_it_needs_and_gives_it_back_when_it_is_gone() {
    let mut chain = one_market(&["trader"]);
    assert_eq!(set_mode(&mut chain, "trader", MarginMode::Isolated), "OK");
    order(&mut chain, "trader", limit(0, Buy, 99, 100));
    // 5 % of 100 lots at the mark of 100, and the highest fee of 0.045 % of 99 a lot.
    let needs = usdc(500) + atoms(100 * 44_550);
    assert_eq!(chain.isolated("trader", 0).collateral_atoms, needs);
    assert_eq!(chain.collateral("trader"), usdc(10_000) - needs);
    assert_eq!(cancel_all(&mut chain, "trader"), 1);
    assert_eq!(
        (chain.isolated("trader", 0).collateral_atoms, chain.collateral("trader")),
        (usdc(0), usdc(10_000))
    );
}

/// The walk that only looks ends at an order of the account's own, which takes lots off both; the
/// walk that trades goes on. Behind that order the trader has the collateral that is there.
#[test]
fn rules_3_an_order_trades_on_no_collateral_that_was_not_drawn_for_it() {
    let mut chain = with_position();
    let policy = v1::SelfTradePrevention::Decrement.into();
    chain.send("long", v1::MsgSetSelfTradePrevention { policy, ..Default::default() });
    order(&mut chain, "maker", limit(0, Buy, 99, 1_000));
    order(&mut chain, "long", limit(0, Buy, 100, 10));
    let before = chain.collateral("long");
    let time_in_force = v1::TimeInForce::Ioc.into();
    let sell = v1::PlaceOrder { time_in_force, ..limit(0, Sell, 99, 3_000) };
    let events = order(&mut chain, "long", sell);
    let result = &events.txs[0].results[0];
    assert_eq!(chain.collateral("long"), before, "nothing was drawn");
    assert!((100..500).contains(&result.filled_lots.get()), "{result:?}");
}

#[test]
fn an_order_that_expires_gives_its_collateral_back_too() {
    let mut chain = one_market(&["trader"]);
    set_mode(&mut chain, "trader", MarginMode::Isolated);
    let gtt = v1::TimeInForce::Gtt.into();
    let expires_ms = chain.now_ms + 2_000;
    order(
        &mut chain,
        "trader",
        v1::PlaceOrder { time_in_force: gtt, expires_ms, ..limit(0, Buy, 99, 100) },
    );
    assert!(chain.isolated("trader", 0).collateral_atoms.is_positive());
    for _ in 0..3 {
        block(&mut chain);
    }
    assert_eq!(chain.collateral("trader"), usdc(10_000));
}

#[test]
fn a_refused_order_leaves_collateral_where_it_was() {
    let mut chain = with_position();
    let had = (chain.collateral("long"), chain.isolated("long", 0).collateral_atoms);
    order(&mut chain, "maker", limit(0, Sell, 101, 10));
    let post_only =
        v1::PlaceOrder { post_only: v1::PostOnly::Reject.into(), ..limit(0, Buy, 101, 100) };
    assert_eq!(word(&order(&mut chain, "long", post_only).txs[0]), "WOULD_CROSS");
    assert_eq!((chain.collateral("long"), chain.isolated("long", 0).collateral_atoms), had);
    let too_much = order(&mut chain, "long", limit(0, Buy, 100, 2_000));
    assert_eq!(word(&too_much.txs[0]), "INSUFFICIENT_COLLATERAL");
    assert_eq!((chain.collateral("long"), chain.isolated("long", 0).collateral_atoms), had);
}

#[test]
fn the_loss_of_an_isolated_position_ends_where_its_collateral_does() {
    let mut chain = with_position();
    let parent = chain.collateral("long");
    let isolated = chain.isolated("long", 0).collateral_atoms;
    assert_eq!(parent + isolated, usdc(10_000) - atoms(4_500_000), "all but the fee of 4.5 USDC");
    chain.index(0, 80);
    let events = block(&mut chain);
    assert!(liquidations(&events).iter().all(|step| step.account == chain.isolated_id("long", 0)));
    assert_eq!(held(&chain, "long"), 0);
    // 2 000 USDC of loss against some 500 of collateral: deleveraged, and the parent has what it
    // had.
    assert_eq!(
        (chain.collateral("long"), chain.isolated("long", 0).collateral_atoms),
        (parent, usdc(0))
    );
}

#[test]
fn a_cross_position_of_the_same_owner_counts_for_nothing_in_isolated_mode() {
    let markets = vec![plain_market("ONE-USD", 20), plain_market("TWO-USD", 20)];
    let mut chain = Chain::new(&genesis(markets, 1_000));
    chain.index(0, 100);
    chain.index(1, 100);
    for (name, usdc) in [("trader", 10_000), ("other", 50_000)] {
        chain.deposit(name, usdc);
    }
    block(&mut chain);
    set_mode(&mut chain, "trader", MarginMode::Isolated);
    chain.orders("other", vec![place(limit(0, Sell, 100, 100)), place(limit(1, Sell, 100, 500))]);
    block(&mut chain);
    chain.orders("trader", vec![place(limit(0, Buy, 100, 100)), place(limit(1, Buy, 100, 500))]);
    block(&mut chain);
    // The cross position gains 10 000; the isolated one loses more than its collateral all the
    // same.
    chain.index(1, 120);
    chain.index(0, 90);
    block(&mut chain);
    assert_eq!((held(&chain, "trader"), chain.lots("trader", 1)), (0, 500));
    // Profit that is not realised does not move.
    let withdrawable = chain.collateral("trader") - usdc(6_000);
    let lots = u64::try_from(withdrawable.get() / usdc(5).get()).unwrap();
    assert_eq!(
        word(&order(&mut chain, "trader", limit(0, Buy, 90, lots * 12 / 10)).txs[0]),
        "INSUFFICIENT_COLLATERAL"
    );
}

#[test]
fn the_mode_stays_while_there_is_a_position_or_an_order() {
    let mut chain = with_position();
    assert_eq!(set_mode(&mut chain, "long", MarginMode::Cross), "MARGIN_MODE_IN_USE");
    assert_eq!(set_mode(&mut chain, "short", MarginMode::Isolated), "MARGIN_MODE_IN_USE");
    order(&mut chain, "maker", limit(0, Buy, 90, 1));
    assert_eq!(set_mode(&mut chain, "maker", MarginMode::Isolated), "MARGIN_MODE_IN_USE");
    assert_eq!(cancel_all(&mut chain, "maker"), 1);
    assert_eq!(set_mode(&mut chain, "maker", MarginMode::Isolated), "OK");
    assert_eq!(set_mode(&mut chain, "maker", MarginMode::Cross), "OK");
    order(&mut chain, "maker", limit(0, Buy, 90, 1));
    assert_eq!(
        chain.state.markets[0].book.open_orders(chain.account_id("maker")),
        1,
        "in cross mode again"
    );
}

#[test]
fn isolated_margin_is_added_and_taken_out_within_what_is_free() {
    let mut chain = with_position();
    assert_eq!(adjust(&mut chain, "short", 10), "NOT_ISOLATED");
    assert_eq!(adjust(&mut chain, "long", 1_000), "OK");
    assert!(chain.isolated("long", 0).collateral_atoms >= usdc(1_490));
    // 10 % of 10 000 of notional stays, though the initial margin is 5 %.
    assert_eq!(adjust(&mut chain, "long", -600), "INSUFFICIENT_WITHDRAWABLE");
    assert_eq!(adjust(&mut chain, "long", -450), "OK");
    assert_eq!(adjust(&mut chain, "long", 20_000), "INSUFFICIENT_WITHDRAWABLE");
    // Closed: all of it is back.
    order(&mut chain, "maker", limit(0, Buy, 100, 100));
    order(&mut chain, "long", v1::PlaceOrder { reduce_only: true, ..limit(0, Sell, 100, 100) });
    assert_eq!(chain.isolated("long", 0).collateral_atoms, usdc(0));
    assert_eq!(chain.collateral("long"), usdc(10_000) - atoms(9_000_000));
}

#[test]
fn leverage_and_volume_are_the_subaccounts() {
    let mut chain = one_market(&["trader", "maker"]);
    set_mode(&mut chain, "trader", MarginMode::Isolated);
    chain.send("trader", v1::MsgSetLeverage { leverage: 2, ..Default::default() });
    block(&mut chain);
    order(&mut chain, "maker", limit(0, Sell, 100, 10));
    order(&mut chain, "trader", limit(0, Buy, 100, 10));
    assert!(chain.isolated("trader", 0).collateral_atoms >= usdc(499), "a half of 1 000");
    let tomorrow = TimeMs::new(chain.now_ms + 86_400_000);
    assert_eq!(chain.account("trader").volume.atoms(tomorrow), usdc(1_000));
    assert_eq!(chain.isolated("trader", 0).volume.atoms(tomorrow), usdc(0));
}

#[test]
fn a_market_isolated_for_all_has_a_fund_of_its_own() {
    let only = MarketParams { isolated_only: true, ..plain_market("ONE-USD", 20) };
    let mut chain = Chain::new(&genesis(vec![only.clone()], 1_000));
    chain.index(0, 100);
    for name in ["long", "short"] {
        chain.deposit(name, 10_000);
    }
    block(&mut chain);
    assert_eq!(set_mode(&mut chain, "long", MarginMode::Cross), "ISOLATED_ONLY");
    order(&mut chain, "short", limit(0, Sell, 100, 100));
    order(&mut chain, "long", limit(0, Buy, 100, 100));
    assert_eq!((held(&chain, "long"), held(&chain, "short")), (100, -100));
    // Half of 4.5 and 1.5 USDC of fees.
    assert_eq!(chain.state.markets[0].cell.market.insurance_atoms, usdc(3));
    let shared = chain.state.chain.treasury.insurance_atoms;
    chain.index(0, 80);
    block(&mut chain);
    assert_eq!(held(&chain, "long"), 0);
    assert_eq!(
        chain.state.chain.treasury.insurance_atoms, shared,
        "the shared fund pays nothing here"
    );
    // While anybody trades there it stays as it is.
    order(&mut chain, "short", limit(0, Sell, 80, 1));
    let cross = MarketParams { isolated_only: false, ..only };
    chain.send(FAUCET, v1::MsgUpdateMarket { params: Some((&cross).into()), ..Default::default() });
    assert_eq!(word(&block(&mut chain).txs[0]), "INVALID_PARAMS");
    cancel_all(&mut chain, "short");
    chain.send(FAUCET, v1::MsgUpdateMarket { params: Some((&cross).into()), ..Default::default() });
    assert_eq!(word(&block(&mut chain).txs[0]), "OK");
    assert_eq!(
        chain.state.markets[0].cell.market.insurance_atoms,
        usdc(0),
        "moved to the shared fund"
    );
}
