//! Deposits, withdrawals, settings and administration.

use tidemark_engine::state::outflow::MAX_QUEUED;
use tidemark_engine::state::MAX_WAITING;
use tidemark_proto::params::{
    ChainParams, MarginTier, MarketParams, MarketStatus, MIN_OUTFLOW_ATOMS,
};
use tidemark_proto::units::{Atoms, MarketId, Ppm};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    atoms, genesis, limit, one_market, place, plain_market, signer, Chain, FAUCET,
};

use super::{Story, Table};

fn withdraw(subaccount: u32, usdc: u64) -> v1::MsgWithdraw {
    v1::MsgWithdraw { subaccount, amount_atoms: usdc * 1_000_000, ..Default::default() }
}

fn leverage(leverage: u32) -> v1::MsgSetLeverage {
    v1::MsgSetLeverage { leverage, ..Default::default() }
}

fn deposit(subaccount: u32, amount_atoms: u64) -> v1::MsgDeposit {
    let recipient = signer("trader").address().to_string();
    v1::MsgDeposit { recipient, subaccount, amount_atoms, ..Default::default() }
}

fn margin_mode(subaccount: u32, market: u32, mode: v1::MarginMode) -> v1::MsgSetMarginMode {
    v1::MsgSetMarginMode { subaccount, market, mode: mode.into(), ..Default::default() }
}

fn list(params: &MarketParams) -> v1::MsgListMarket {
    v1::MsgListMarket { params: Some(params.into()), ..Default::default() }
}

fn collateral(table: &mut Table) {
    let mut story = Story::one_market(&["trader", "short"], table);
    story.send("trader", deposit(0, 1));
    story.send(FAUCET, deposit(128, 1));
    for _ in 0..4 {
        story.send(FAUCET, deposit(1, 1_000_000_000_000_000_000));
    }
    story.send("short", withdraw(0, 10_001));
    story.send("short", withdraw(7, 1));
    let transfer = |from_subaccount, to_subaccount| v1::MsgTransfer {
        from_subaccount,
        to_subaccount,
        amount_atoms: 1,
        ..Default::default()
    };
    story.send("short", transfer(0, 128));
    story.send("short", transfer(7, 0));
    // Hours without blocks, and without prices after it.
    story.orders("short", vec![place(limit(0, Sell, 100, 1))]);
    story.chain.silence();
    story.chain.now_ms += 3_600_000;
    story.send("short", withdraw(0, 1));
    story.chain.blocks(51);
    story.send("short", withdraw(0, 1));
}

/// As many owners wait for money to leave as may, and one more.
fn queue(table: &mut Table) {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params.hour_outflow_atoms = MIN_OUTFLOW_ATOMS;
    let mut story = Story::new(Chain::new(&genesis), table);
    let names: Vec<String> = (0..=MAX_QUEUED).map(|at| format!("owner {at}")).collect();
    for name in &names {
        story.chain.deposit(name, 10_010);
    }
    story.block();
    story.send(&names[0], v1::MsgTakeBackWithdrawal::default());
    story.send(&names[0], withdraw(0, 10_000));
    for name in &names {
        story.chain.send(name, withdraw(0, 10));
    }
    story.block();
}

/// Who comes with too little, on a chain where entering costs what it costs.
fn entry(table: &mut Table) {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params = ChainParams { free_subaccounts: 1, ..ChainParams::default() };
    let mut story = Story::new(Chain::new(&genesis), table);
    story.send(FAUCET, deposit(0, 999_999));
    story.send(FAUCET, deposit(0, 10_000_000));
    story.send(FAUCET, deposit(1, 1_000_000));
    for at in 0..=MAX_WAITING {
        let recipient = signer(&format!("small {at}")).address().to_string();
        let amount_atoms = 1_000_000;
        story.chain.send(FAUCET, v1::MsgDeposit { recipient, amount_atoms, ..Default::default() });
    }
    story.block();
}

/// More than the allowance covers, and a flat fee that is not there.
fn allowance(table: &mut Table) {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000);
    genesis.params.allowance_base = 3;
    let mut story = Story::new(Chain::new(&genesis), table);
    story.send(FAUCET, deposit(0, 1_999));
    let batch = |operation: Operation, count, pays_flat_fee| v1::MsgOrders {
        operations: vec![operation.into(); count],
        pays_flat_fee,
        ..Default::default()
    };
    let cancel = Operation::CancelAll(v1::CancelAll::default());
    story.send("trader", batch(cancel, 5, true));
    story.chain.send("trader", batch(cancel, 2, false));
    story.block();
    // What is not admitted uses no sequence up: it is the last.
    story.send("trader", batch(place(limit(0, Buy, 100, 1)), 4, false));
}

/// A leverage in as many markets as may be, and one more.
fn leverages(table: &mut Table) {
    let markets = (0..257).map(|at| plain_market(&format!("M{at}-USD"), 20)).collect();
    let mut story = Story::new(Chain::new(&genesis(markets, 1_000)), table);
    story.chain.deposit("trader", 100);
    story.block();
    for market in 0..257 {
        story.chain.send("trader", v1::MsgSetLeverage { market, ..leverage(5) });
    }
    story.block();
}

fn settings(table: &mut Table) {
    let mut story = Story::one_market(&["long", "short"], table);
    story.send("long", leverage(21));
    story.send("long", v1::MsgSetLeverage { market: 9, ..leverage(1) });
    story.send("long", v1::MsgSetLeverage { subaccount: 9, ..leverage(1) });
    story.send(
        "long",
        v1::MsgSetSelfTradePrevention { subaccount: 9, policy: 1, ..Default::default() },
    );
    story.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    story.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    story.send("long", leverage(1));
}

fn isolated_margin(table: &mut Table) {
    let markets = ["ONE-USD", "TWO-USD", "THREE-USD"].map(|symbol| plain_market(symbol, 20));
    let mut story = Story::new(Chain::new(&genesis(markets.to_vec(), 1_000)), table);
    story.chain.index(0, 100);
    for subaccount in 0..86 {
        story.chain.send(FAUCET, deposit(subaccount, 1_000_000_000));
    }
    story.block();
    for (subaccount, market) in (0..86).flat_map(|number| [(number, 0), (number, 1), (number, 2)]) {
        let isolated = margin_mode(subaccount, market, v1::MarginMode::Isolated);
        story.chain.send("trader", isolated);
    }
    story.block();
    let adjust = |change_atoms| v1::MsgAdjustIsolatedMargin { change_atoms, ..Default::default() };
    story.send("trader", adjust(1));
    story.send("trader", margin_mode(0, 9, v1::MarginMode::Isolated));
    story.orders("trader", vec![place(limit(0, Buy, 99, 10))]);
    story.send("trader", margin_mode(0, 0, v1::MarginMode::Cross));
    story.send("trader", adjust(2_000_000_000));
    story.send("trader", adjust(-2_000_000_000));
    story.orders("trader", vec![place(limit(0, Buy, 99, 1_000))]);
    story.batch("trader", vec![place(limit(0, Buy, 99, 10))]);
    let isolated_only = MarketParams { isolated_only: true, ..markets[0].clone() };
    let update = |params: &MarketParams| v1::MsgUpdateMarket {
        params: Some(params.into()),
        ..Default::default()
    };
    story.send(FAUCET, update(&isolated_only));
    story.send(FAUCET, list(&MarketParams { isolated_only: true, ..plain_market("SOLO-USD", 9) }));
    story.send("trader", margin_mode(0, 3, v1::MarginMode::Cross));
}

fn administration(table: &mut Table) {
    let mut story = Story::new(one_market(&["trader"]), table);
    story.send("trader", list(&plain_market("TWO-USD", 20)));
    story.send(FAUCET, list(&plain_market("ONE-USD", 20)));
    let update = v1::MsgUpdateMarket {
        params: Some((&plain_market("ONE-USD", 20)).into()),
        ..Default::default()
    };
    story.send("trader", update);
    // Refused before anybody looks at the sender.
    for market in wrong_markets() {
        story.send("nobody", list(&market));
    }
    story.update(|params| params.symbol = "TWO-USD".to_owned());
    story.update(|params| (params.symbol, params.id) = ("ONE-USD".to_owned(), MarketId::new(9)));
    story.update(|params| params.id = MarketId::ZERO);
    story.update(|params| params.status = MarketStatus::Closed);
    story.update(|params| params.status = MarketStatus::Active);
}

/// Markets with one parameter that does not fit.
fn wrong_markets() -> Vec<MarketParams> {
    type Change = fn(&mut MarketParams);
    let changes: [Change; 9] = [
        |params| params.lot_size_e9 = 1_234,
        |params| params.symbol = "lower".to_owned(),
        |params| params.symbol = "LONGER-THAN-SIXTEEN".to_owned(),
        |params| params.tiers.clear(),
        |params| {
            let tier =
                MarginTier { upper_notional_atoms: Atoms::MAX, initial_margin_ppm: Ppm::new(1) };
            params.tiers = vec![tier; 9];
        },
        |params| params.mark_band_ppm = Ppm::ONE,
        |params| params.impact_notional_atoms = atoms(1_000_000_000_000_000_001),
        |params| params.mark_impact_notional_atoms = Atoms::from_usdc(9_999),
        |params| (params.oi_lower_atoms, params.oi_upper_atoms) = (atoms(2), atoms(1)),
    ];
    let changed = |change: &Change| {
        let mut params = plain_market("TWO-USD", 20);
        change(&mut params);
        params
    };
    changes.iter().map(changed).collect()
}

pub(super) fn run(table: &mut Table) {
    collateral(table);
    queue(table);
    entry(table);
    leverages(table);
    allowance(table);
    settings(table);
    isolated_margin(table);
    administration(table);
}
