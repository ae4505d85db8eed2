//! The final settlement of a market (rules §7.11). Prices in whole USDC,
//! quantities in whole units; traders have 10 000 USDC.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::state::SettlementStage;
use tidemark_proto::params::{MarketParams, MarketStatus};
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Atoms, Lots};
use tidemark_proto::v1::{self, MarginMode, Side::Buy, Side::Sell};
use tidemark_proto::Code;
use tidemark_tests::harness::{
    atoms, genesis, limit, liquidations, one_market, place, plain_market, usdc, word, Chain, FAUCET,
};
use tidemark_tests::sim::audit;

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

fn update(chain: &mut Chain, change: impl FnOnce(&mut MarketParams)) -> &'static str {
    let mut params = chain.state.markets[0].cell.market.params.clone();
    change(&mut params);
    chain
        .send(FAUCET, v1::MsgUpdateMarket { params: Some((&params).into()), ..Default::default() });
    word(&block(chain).txs[0])
}

fn close(chain: &mut Chain) {
    assert_eq!(update(chain, |params| params.status = MarketStatus::Closed), "OK");
}

/// Blocks until nothing is left to settle; all their events.
fn settle(chain: &mut Chain) -> Vec<BlockEvents> {
    let mut events = Vec::new();
    while chain.state.markets[0].cell.settlement.map(|settlement| settlement.stage)
        != Some(SettlementStage::Done)
    {
        events.push(block(chain));
        assert!(events.len() < 20, "{:?}", chain.state.markets[0].cell.settlement);
    }
    assert_eq!(
        (
            chain.state.markets[0].cell.market.open_interest_lots,
            chain.state.markets[0].book.live_orders()
        ),
        (Lots::ZERO, 0)
    );
    events
}

fn trade(chain: &mut Chain, long: &str, short: &str, lots: u64) {
    chain.orders(short, vec![place(limit(0, Sell, 100, lots))]);
    block(chain);
    chain.orders(long, vec![place(limit(0, Buy, 100, lots))]);
    assert_eq!(block(chain).txs[0].results[0].filled_lots.get(), lots);
}

fn collateral(chain: &Chain, names: &[&str]) -> Vec<Atoms> {
    names.iter().map(|name| chain.collateral(name)).collect()
}

#[test]
fn orders_go_and_positions_are_settled_at_the_last_good_index() {
    let names = ["a", "b", "c"];
    let mut chain = one_market(&names);
    trade(&mut chain, "a", "c", 100);
    trade(&mut chain, "b", "c", 50);
    chain.orders("b", vec![place(limit(0, Buy, 90, 10)), place(limit(0, Sell, 115, 10))]);
    chain.index(0, 110);
    block(&mut chain);
    // The feed is gone for good: that is why it closes.
    chain.silence();
    chain.now_ms += 60_000;
    let before = collateral(&chain, &names);
    close(&mut chain);
    let events = settle(&mut chain);
    let all: Vec<&Event> = events.iter().flat_map(|block| &block.events).collect();
    let cancelled =
        all.iter().filter(|event| matches!(event, Event::Removed { code: Code::MarketClosed, .. }));
    assert_eq!(cancelled.count(), 2);
    let settled = all.iter().filter(
        |event| matches!(event, Event::Settled { price_ticks, .. } if price_ticks.get() == 110),
    );
    assert_eq!(settled.count(), 4);
    let after = collateral(&chain, &names);
    let gains: Vec<Atoms> =
        before.iter().zip(&after).map(|(before, after)| *after - *before).collect();
    assert_eq!(gains, [usdc(1_000), usdc(500), usdc(-1_500)]);
    // Settled, the market holds nobody's money.
    chain.send(
        "a",
        v1::MsgWithdraw { amount_atoms: 11_000_000_000 - 10_000_000, ..Default::default() },
    );
    assert_eq!(word(&block(&mut chain).txs[0]), "OK");
}

#[test]
fn a_closed_market_stays_closed() {
    let mut chain = one_market(&["trader"]);
    close(&mut chain);
    assert_eq!(update(&mut chain, |params| params.status = MarketStatus::Active), "MARKET_CLOSED");
    settle(&mut chain);
    assert_eq!(update(&mut chain, |params| params.status = MarketStatus::Active), "MARKET_CLOSED");
    chain.orders("trader", vec![place(limit(0, Buy, 100, 1))]);
    assert_eq!(word(&block(&mut chain).txs[0]), "MARKET_CLOSED");
}

#[test]
fn who_cannot_pay_is_paid_for_by_the_fund_then_by_those_in_profit_and_no_debt_is_hidden() {
    let names = ["long", "a", "b"];
    let mut chain = one_market(&names);
    trade(&mut chain, "long", "a", 600);
    trade(&mut chain, "long", "b", 300);
    assert_eq!(update(&mut chain, |params| params.status = MarketStatus::Paused), "OK");
    // A loss of 18 000 against some 10 000, while the market is paused.
    chain.index(0, 80);
    block(&mut chain);
    chain.age_positions();
    let fund = chain.state.chain.treasury.insurance_atoms;
    let owed = usdc(900 * 20) - chain.collateral("long");
    let before = collateral(&chain, &["a", "b"]);
    close(&mut chain);
    let events = settle(&mut chain);
    let stages: Vec<_> =
        events.iter().flat_map(|block| liquidations(block)).map(|step| step.stage).collect();
    assert_eq!(stages, [LiquidationStage::InsuranceFund, LiquidationStage::Adl]);
    // A quarter of a twentieth of 1 000 USDC, and a little.
    let paid = fund - chain.state.chain.treasury.insurance_atoms;
    assert!((usdc(12)..usdc(13)).contains(&paid), "{paid}");
    assert_eq!(
        (chain.collateral("long"), chain.state.markets[0].cell.market.bad_debt_atoms),
        (usdc(0), usdc(0))
    );
    // The winners get 18 000 less what the loser had not and the fund did not pay, each in
    // proportion to its profit.
    let after = collateral(&chain, &["a", "b"]);
    let gains: Vec<Atoms> =
        before.iter().zip(&after).map(|(before, after)| *after - *before).collect();
    let haircut = usdc(900 * 20) - gains.iter().copied().sum();
    assert!((atoms(0)..=atoms(2)).contains(&(haircut - (owed - paid))), "{haircut} of {owed}");
    assert!((gains[0] - gains[1] - gains[1]).unsigned_abs() <= 2, "{gains:?}");
}

#[test]
fn isolated_collateral_and_what_keepers_set_aside_come_back() {
    let mut chain = one_market(&["long", "short", "keeper"]);
    chain.send(
        "keeper",
        v1::MsgRegisterBackstop { set_aside_atoms: 5_000_000_000, ..Default::default() },
    );
    chain.send(
        "long",
        v1::MsgSetMarginMode { mode: MarginMode::Isolated.into(), ..Default::default() },
    );
    block(&mut chain);
    trade(&mut chain, "long", "short", 100);
    close(&mut chain);
    chain.send(
        "keeper",
        v1::MsgRegisterBackstop { set_aside_atoms: 6_000_000_000, ..Default::default() },
    );
    assert_eq!(word(&block(&mut chain).txs[0]), "MARKET_CLOSED");
    settle(&mut chain);
    assert_eq!(chain.collateral("keeper"), usdc(10_000));
    assert_eq!(chain.collateral("long"), usdc(10_000) - atoms(4_500_000), "all but the fee");
}

/// A part of the settlement's gas is for a few orders, looks and pairs a block: what is left over
/// comes in the next, from where the last ended.
#[test]
fn rules_7_a_settlement_keeps_to_its_budget_and_goes_on_where_it_ended() {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params.sweep_gas = 50_000;
    let mut chain = Chain::new(&genesis);
    chain.index(0, 100);
    let longs: Vec<String> = (0..12).map(|at| format!("long {at}")).collect();
    chain.deposit("short", 100_000);
    for name in &longs {
        chain.deposit(name, 1_000);
    }
    block(&mut chain);
    for (at, name) in longs.iter().enumerate() {
        trade(&mut chain, name, "short", 10);
        if at % 2 == 0 {
            let bids = (0..15).map(|_| place(limit(0, Buy, 80, 1))).collect();
            chain.orders(name, bids);
        }
    }
    block(&mut chain);
    assert_eq!(chain.state.markets[0].book.live_orders(), 90);
    close(&mut chain);
    // 6 250 gas: 21 orders, 31 looks or 3 pairs.
    let mut stages = Vec::new();
    for events in settle(&mut chain) {
        let cancelled = events
            .events
            .iter()
            .filter(|event| matches!(event, Event::Removed { code: Code::MarketClosed, .. }));
        let settled = events.events.iter().filter(|event| matches!(event, Event::Settled { .. }));
        let (cancelled, settled) = (cancelled.count(), settled.count() / 2);
        assert!(cancelled <= 21 && settled <= 3, "{cancelled} orders, {settled} pairs");
        stages.push((cancelled, settled));
    }
    let (cancelled, settled) = stages.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
    assert_eq!((cancelled, settled), (90, 12));
    assert!(stages.len() >= 11, "{stages:?}");
}
