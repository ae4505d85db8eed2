//! Keepers (rules §7.10). Prices in whole USDC, quantities in whole units; traders
//! have 10 000 USDC.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Atoms, MarketId};
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, limit, liquidations, one_market, place, plain_market, signer, usdc, word, Chain,
    FAUCET,
};
use tidemark_tests::sim::audit;
use tidemark_tests::sim::figures::figures;

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

fn register(chain: &mut Chain, name: &str, usdc: u64) -> &'static str {
    chain.send(
        name,
        v1::MsgRegisterBackstop { set_aside_atoms: usdc * 1_000_000, ..Default::default() },
    );
    word(&block(chain).txs[0])
}

fn blocks(chain: &mut Chain, count: u32) {
    (0..count).for_each(|_| drop(block(chain)));
}

fn takeover(chain: &mut Chain, keeper: &str, of: &str, lots: u64) {
    let account_id = chain.account_id(of).get();
    chain.send(keeper, v1::MsgTakeover { account_id, lots, ..Default::default() });
}

fn free(chain: &Chain, name: &str) -> Atoms {
    figures(&chain.state, chain.account_id(name), chain.account(name)).free()
}

fn set_aside(chain: &Chain, name: &str) -> Atoms {
    let id = chain.account_id(name);
    let keepers = &chain.state.markets[0].cell.market.keepers;
    keepers
        .iter()
        .find(|keeper| keeper.account == id)
        .map_or(Atoms::ZERO, |keeper| keeper.set_aside_atoms)
}

fn stages(events: &BlockEvents) -> Vec<LiquidationStage> {
    liquidations(events).iter().filter(|step| !step.lots.is_zero()).map(|step| step.stage).collect()
}

/// `long` holds 900 lots bought from `short` at 100. At 91 it is below maintenance, at 90 below ⅔
/// of it, at 88 below 0. Keepers have 10 000 USDC beside what they set aside.
fn with_position(keepers: &[(&str, u64)]) -> Chain {
    let mut names = vec!["long", "short"];
    names.extend(keepers.iter().map(|(name, _)| name));
    let mut chain = one_market(&names);
    keepers.iter().for_each(|(name, usdc)| chain.deposit(name, *usdc));
    block(&mut chain);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    block(&mut chain);
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    block(&mut chain);
    for (name, usdc) in keepers {
        assert_eq!(register(&mut chain, name, *usdc), "OK");
    }
    chain
}

#[test]
fn what_is_set_aside_counts_for_nothing_else_and_comes_back_after_50_blocks() {
    let mut chain = one_market(&["keeper"]);
    assert_eq!(register(&mut chain, "keeper", 10_001), "INSUFFICIENT_WITHDRAWABLE");
    assert_eq!(register(&mut chain, "keeper", 6_000), "OK");
    assert_eq!((free(&chain, "keeper"), set_aside(&chain, "keeper")), (usdc(4_000), usdc(6_000)));
    chain.send("keeper", v1::MsgWithdraw { amount_atoms: 4_000_000_001, ..Default::default() });
    assert_eq!(word(&block(&mut chain).txs[0]), "INSUFFICIENT_WITHDRAWABLE");
    assert_eq!(register(&mut chain, "keeper", 2_000), "OK");
    assert_eq!((free(&chain, "keeper"), set_aside(&chain, "keeper")), (usdc(4_000), usdc(6_000)));
    blocks(&mut chain, 49);
    assert_eq!(set_aside(&chain, "keeper"), usdc(6_000), "in use for 50 blocks");
    blocks(&mut chain, 1);
    assert_eq!((free(&chain, "keeper"), set_aside(&chain, "keeper")), (usdc(8_000), usdc(2_000)));
    // Asked for again, it stays.
    assert_eq!(register(&mut chain, "keeper", 0), "OK");
    assert_eq!(register(&mut chain, "keeper", 3_000), "OK");
    blocks(&mut chain, 51);
    assert_eq!((free(&chain, "keeper"), set_aside(&chain, "keeper")), (usdc(7_000), usdc(3_000)));
    assert_eq!(register(&mut chain, "keeper", 0), "OK");
    blocks(&mut chain, 50);
    assert_eq!(
        (free(&chain, "keeper"), chain.state.markets[0].cell.market.keepers.len()),
        (usdc(10_000), 0)
    );
    chain.deposit("keeper", 2_000_000);
    block(&mut chain);
    assert_eq!(register(&mut chain, "keeper", 1_000_001), "SET_ASIDE_CAP");
}

#[test]
fn below_two_thirds_keepers_take_the_position_pro_rata_at_the_zero_price() {
    let mut chain = with_position(&[("one", 60_000), ("two", 30_000)]);
    chain.index(0, 91);
    assert_eq!(stages(&block(&mut chain)), [], "nobody bids, and above two thirds keepers wait");
    assert_eq!(chain.state.markets[0].cell.listed.len(), 1);
    chain.index(0, 90);
    let (one, two) = (free(&chain, "one"), free(&chain, "two"));
    let events = block(&mut chain);
    assert_eq!(stages(&events), [LiquidationStage::Backstop]);
    assert_eq!((chain.lots("one", 0), chain.lots("two", 0), chain.lots("long", 0)), (600, 300, 0));
    // Maintenance and equity are gone together: the zero price leaves nothing of either.
    assert!(
        (usdc(0)..=usdc(1)).contains(&chain.collateral("long")),
        "{}",
        chain.collateral("long")
    );
    // What they hold costs them set-aside collateral alone.
    assert_eq!((free(&chain, "one"), free(&chain, "two")), (one, two));
    assert!(set_aside(&chain, "one") < usdc(60_000) && set_aside(&chain, "two") < usdc(30_000));
    assert!(chain.state.markets[0].cell.listed.is_empty());
}

#[test]
fn a_takeover_of_a_listed_position_is_served_before_the_shares() {
    let mut chain = with_position(&[("one", 60_000), ("two", 30_000)]);
    chain.index(0, 91);
    block(&mut chain);
    let listed = chain.state.markets[0].cell.listed[0];
    assert_eq!((listed.account, listed.lots.get()), (chain.account_id("long"), 900));
    takeover(&mut chain, "two", "long", 500);
    takeover(&mut chain, "short", "long", 500);
    let events = block(&mut chain);
    let words: Vec<_> = events.txs.iter().map(word).collect();
    assert!(words.contains(&"OK") && words.contains(&"NOT_A_KEEPER"), "{words:?}");
    chain.index(0, 90);
    block(&mut chain);
    // 500 first; what it used up counts in the shares of the other 400.
    let (one, two) = (chain.lots("one", 0), chain.lots("two", 0));
    assert!(two > 500 && one > 200 && one + two == 900, "{one} {two}");
    assert!(chain.state.markets[0].cell.takeovers.is_empty());
    takeover(&mut chain, "two", "long", 1);
    assert_eq!(word(&block(&mut chain).txs[0]), "NOT_LISTED");
}

#[test]
fn jelly_a_keeper_loses_no_more_than_it_set_aside_and_a_deficit_goes_on_to_deleveraging() {
    let mut chain = with_position(&[("small", 1_000)]);
    chain.deposit("small", 1_000_000);
    block(&mut chain);
    chain.index(0, 90);
    let had = free(&chain, "small");
    blocks(&mut chain, 4);
    assert_eq!(free(&chain, "small"), had);
    assert!((usdc(1)..usdc(1_000)).contains(&set_aside(&chain, "small")));
    assert!(chain.lots("small", 0) > 0 && chain.lots("long", 0) > 0);
    // The keeper bought above the mark: it is asked for nothing more.
    let taken = chain.lots("small", 0);
    chain.index(0, 85);
    assert_eq!(stages(&block(&mut chain)), [LiquidationStage::Adl]);
    assert_eq!((chain.lots("long", 0), chain.lots("small", 0)), (0, taken));
}

/// The keeper's tenth bears some 30 lots of 900, in each block. The rest stays listed: the account
/// can still pay, and nobody has to bear a loss of it.
#[test]
fn rules_7_a_keeper_uses_a_tenth_a_block_and_the_rest_stays_listed_while_equity_is_positive() {
    let mut chain = with_position(&[("small", 1_000)]);
    chain.index(0, 90);
    let (mut held, mut left) = (0, usdc(1_000));
    for block_number in 1..=8 {
        let events = block(&mut chain);
        let taken = chain.lots("small", 0) - held;
        let used = left - set_aside(&chain, "small");
        assert!((10..60).contains(&taken), "block {block_number}: {taken} lots");
        assert!(used <= left.mul_div_floor(1, 10).unwrap(), "block {block_number}: {used}");
        assert_eq!(stages(&events), [LiquidationStage::Backstop], "block {block_number}");
        (held, left) = (held + taken, left - used);
    }
    assert_eq!(chain.lots("long", 0), 900 - held);
    assert_eq!(chain.state.markets[0].cell.listed.len(), 1);
}

#[test]
fn a_large_position_goes_in_parts_but_a_takeover_may_have_all_of_it() {
    let mut chain = with_position(&[("one", 60_000)]);
    for name in ["long", "short"] {
        chain.deposit(name, 10_000);
    }
    block(&mut chain);
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    block(&mut chain);
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    block(&mut chain);
    // 1 800 lots, above 100 000 USDC: below two thirds of maintenance, a half a block.
    chain.index(0, 91);
    block(&mut chain);
    takeover(&mut chain, "one", "long", 1_000);
    block(&mut chain);
    assert_eq!(chain.lots("one", 0), 0, "above two thirds keepers wait");
    chain.index(0, 90);
    block(&mut chain);
    // The 1 000 that it asked for cover the block's step of 900.
    assert_eq!((chain.lots("one", 0), chain.lots("long", 0)), (1_000, 800));
}

#[test]
fn a_keeper_with_the_opposite_position_closes_it_and_its_reduce_only_orders_go() {
    let mut chain = with_position(&[("one", 60_000)]);
    chain.orders("one", vec![place(limit(0, Sell, 98, 10))]);
    block(&mut chain);
    chain.orders("short", vec![place(limit(0, Buy, 98, 10))]);
    block(&mut chain);
    chain.orders("one", vec![place(v1::PlaceOrder { reduce_only: true, ..limit(0, Buy, 85, 10) })]);
    block(&mut chain);
    chain.index(0, 90);
    let events = block(&mut chain);
    assert_eq!(chain.lots("one", 0), 890);
    let spent = |event: &Event| match event {
        Event::Removed { code, .. } => *code == tidemark_proto::Code::NothingToReduce,
        _ => false,
    };
    assert!(events.events.iter().any(spent));
}

/// At 88 the long has 840.50 USDC less than nothing, and 1 980 of maintenance margin, a quarter of
/// which is 495: the premium for its 900 lots.
#[test]
fn rules_7_below_0_keepers_buy_old_lots_at_the_mark_less_a_premium_that_fees_stand_for() {
    let (keepers, adl) = (LiquidationStage::Backstop, LiquidationStage::Adl);
    for (fees_usdc, is_old, lots, expected) in [
        (1_000, true, 900, vec![keepers]),
        (55, true, 100, vec![keepers, adl]),
        (0, true, 0, vec![adl]),
        (1_000, false, 0, vec![adl]),
    ] {
        let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 200_000));
        chain.index(0, 100);
        [("long", 10_000), ("short", 10_000), ("one", 70_000)].into_iter().for_each(
            |(name, usdc)| {
                chain.deposit(name, usdc);
            },
        );
        block(&mut chain);
        assert_eq!(register(&mut chain, "one", 60_000), "OK");
        chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
        block(&mut chain);
        chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
        block(&mut chain);
        if is_old {
            chain.age_positions();
        }
        let market = &mut chain.state.markets[0].cell.market;
        market.ledger.count(market.day(), usdc(fees_usdc), usdc(0));
        let (had, free_before) = (chain.state.chain.treasury.insurance_atoms, free(&chain, "one"));
        chain.index(0, 88);
        let events = block(&mut chain);
        assert_eq!(stages(&events), expected, "fees of {fees_usdc} USDC, old: {is_old}");
        assert_eq!((chain.lots("one", 0), chain.lots("long", 0)), (lots, 0));
        assert!((usdc(0)..=Atoms::new(3)).contains(&chain.collateral("long")));
        // The fund pays the deficit of these lots and the premium, which the keeper has got.
        let paid = had - chain.state.chain.treasury.insurance_atoms;
        let owed = Atoms::new(i128::from(lots) * (840_500_000 + 495_000_000) / 900);
        assert!((paid - owed).unsigned_abs() <= 2, "{paid} of {owed}");
        let cost = chain.account("one").position(MarketId::ZERO).map(|of| of.cost_atoms);
        let price = i128::from(lots) * (79_200_000_000 - 495_000_000) / 900;
        let off = cost.unwrap_or_default() - Atoms::new(price);
        assert!(off.unsigned_abs() <= 1, "{off}");
        assert_eq!(free(&chain, "one"), free_before, "set-aside collateral alone is used");
        let market = &chain.state.markets[0].cell.market;
        let left = usdc(fees_usdc) - Atoms::new(i128::from(lots) * 495_000_000 / 900);
        assert_eq!(market.ledger.room_atoms(market.day()), left);
    }
}

/// Keepers that nobody can make trade: their owner has all the isolated accounts that it may have.
#[test]
fn rules_7_a_keeper_without_room_for_isolated_collateral_is_passed_over() {
    let only = MarketParams { isolated_only: true, ..plain_market("ONE-USD", 20) };
    let markets = vec![only, plain_market("TWO-USD", 20), plain_market("THREE-USD", 20)];
    let mut chain = Chain::new(&genesis(markets, 1_000));
    for market in 0..3 {
        chain.index(market, 100);
    }
    for name in ["long", "short", "keeper"] {
        chain.deposit(name, 10_000);
    }
    chain.block();
    // One atom a subaccount, and 256 isolated accounts without any collateral.
    for subaccount in 1..128 {
        let recipient = signer("keeper").address().to_string();
        let deposit =
            v1::MsgDeposit { recipient, subaccount, amount_atoms: 1, ..Default::default() };
        chain.send(FAUCET, deposit);
    }
    chain.block();
    for subaccount in 0..128 {
        for market in [1, 2] {
            let mode = v1::MarginMode::Isolated.into();
            chain.send(
                "keeper",
                v1::MsgSetMarginMode { subaccount, market, mode, ..Default::default() },
            );
        }
    }
    let events = chain.block();
    assert!(events.txs.iter().all(|tx| word(tx) == "OK"));
    chain.send(
        "keeper",
        v1::MsgRegisterBackstop { set_aside_atoms: 1_000_000_000, ..Default::default() },
    );
    assert_eq!(word(&chain.block().txs[0]), "OK");
    chain.orders("short", vec![place(limit(0, Sell, 100, 900))]);
    chain.block();
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    chain.block();
    chain.index(0, 96);
    for _ in 0..3 {
        let events = chain.block();
        assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
    }
    assert_eq!(chain.state.markets[0].cell.quarantined, None);
    assert_eq!(chain.lots("long", 0), 0, "the next stages closed the position");
}

/// `count` owners who have 2 000 USDC and set 1 000 aside.
fn crowd(chain: &mut Chain, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|at| format!("keeper {at}")).collect();
    names.iter().for_each(|name| chain.deposit(name, 2_000));
    block(chain);
    for name in &names {
        let message =
            v1::MsgRegisterBackstop { set_aside_atoms: 1_000_000_000, ..Default::default() };
        chain.send(name, message);
    }
    assert!(block(chain).txs.iter().all(|tx| word(tx) == "OK"));
    names
}

#[test]
fn rules_7_no_owner_takes_all_places_of_keepers_with_64_atoms() {
    let mut chain = one_market(&["one"]);
    let subaccount = |subaccount, atoms| v1::MsgRegisterBackstop {
        subaccount,
        set_aside_atoms: atoms,
        ..Default::default()
    };
    let recipient = signer("one").address().to_string();
    let deposit = v1::MsgDeposit {
        recipient,
        subaccount: 1,
        amount_atoms: 2_000_000_000,
        ..Default::default()
    };
    chain.send(FAUCET, deposit);
    block(&mut chain);
    for atoms in [1, 999_999_999, 1_000_000_000] {
        chain.send("one", subaccount(0, atoms));
    }
    chain.send("one", subaccount(1, 1_000_000_000));
    let words: Vec<_> = block(&mut chain).txs.iter().map(word).collect();
    assert_eq!(words, ["SET_ASIDE_TOO_SMALL", "SET_ASIDE_TOO_SMALL", "OK", "OWNER_IS_KEEPER"]);
}

#[test]
fn rules_7_the_smallest_keeper_makes_room_for_a_larger_and_is_in_use_for_50_blocks() {
    let mut chain = with_position(&[]);
    let names = crowd(&mut chain, 64);
    for name in ["as small", "larger"] {
        chain.deposit(name, 2_000);
    }
    block(&mut chain);
    assert_eq!(register(&mut chain, "as small", 1_000), "BACKSTOP_FULL");
    assert_eq!(register(&mut chain, "larger", 1_001), "OK");
    // Of equal ones the highest account id makes room.
    let last = names.iter().max_by_key(|name| chain.account_id(name)).unwrap();
    let keepers = |chain: &Chain| chain.state.markets[0].cell.market.keepers.clone();
    let made_room = |chain: &Chain| -> Vec<_> {
        keepers(chain).into_iter().filter(|keeper| keeper.made_room).collect()
    };
    assert_eq!(keepers(&chain).len(), 65);
    assert_eq!(made_room(&chain)[0].account, chain.account_id(last));
    assert_eq!(register(&mut chain, last, 1_000), "BACKSTOP_FULL", "no place any more");

    chain.index(0, 90);
    block(&mut chain);
    assert!(chain.lots(last, 0) > 0, "what it set aside is in use");
    let (had, left) = (free(&chain, last), set_aside(&chain, last));
    blocks(&mut chain, 47);
    assert_eq!((free(&chain, last), set_aside(&chain, last)), (had, left));
    blocks(&mut chain, 1);
    assert_eq!(set_aside(&chain, last), usdc(0));
    assert_eq!(free(&chain, last), had + left);
    assert!(made_room(&chain).is_empty());
    assert_eq!(keepers(&chain).len(), 64);
}

/// A keeper that takes all back is the first to make room.
#[test]
fn rules_7_a_keeper_that_leaves_makes_room_before_smaller_ones() {
    let mut chain = one_market(&["large", "new"]);
    assert_eq!(register(&mut chain, "large", 9_000), "OK");
    crowd(&mut chain, 63);
    assert_eq!(register(&mut chain, "new", 1_000), "BACKSTOP_FULL");
    assert_eq!(register(&mut chain, "large", 0), "OK");
    assert_eq!(register(&mut chain, "new", 1_000), "OK");
    let made_room = |keeper: &&tidemark_risk::Keeper| keeper.made_room;
    let keepers = &chain.state.markets[0].cell.market.keepers;
    let gone: Vec<_> = keepers.iter().filter(made_room).map(|keeper| keeper.account).collect();
    assert_eq!(gone, [chain.account_id("large")]);
}
