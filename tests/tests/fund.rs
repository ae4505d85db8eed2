//! The insurance fund and deleveraging (rules §§7.4, 7.5, 7.8). Prices in whole USDC, quantities in
//! whole units, where not said otherwise; traders have 10 000 USDC.

use proptest::prelude::*;
use tidemark_engine::events::{BlockEvents, Event, Fill};
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::{Atoms, MarketId};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, one_market, place, plain_market, usdc, Chain,
};
use tidemark_tests::sim::audit;
use tidemark_tests::sim::figures::figures;

/// A block after which everything holds that can be counted.
fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    healthy(&events);
    assert_eq!(audit::state(&chain.state), Ok(()), "height {}", events.height);
    events
}

fn blocks(chain: &mut Chain, count: u32) {
    (0..count).for_each(|_| drop(block(chain)));
}

fn fund(chain: &Chain) -> Atoms {
    chain.state.chain.treasury.insurance_atoms
}

fn cancel_all() -> Operation {
    Operation::CancelAll(v1::CancelAll::default())
}

/// A chain with one 20x market at index 100, a fund, and traders with 10 000 USDC each.
fn with_fund(traders: &[&str], fund_usdc: u64) -> Chain {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], fund_usdc));
    chain.index(0, 100);
    traders.iter().for_each(|trader| chain.deposit(trader, 10_000));
    block(&mut chain);
    chain
}

/// The stages that closed something.
fn stages(events: &BlockEvents) -> Vec<LiquidationStage> {
    liquidations(events).iter().filter(|step| !step.lots.is_zero()).map(|step| step.stage).collect()
}

fn trade(chain: &mut Chain, (buyer, seller): (&str, &str), price: u64, lots: u64) {
    chain.orders(seller, vec![place(limit(0, Sell, price, lots))]);
    block(chain);
    chain.orders(buyer, vec![place(limit(0, Buy, price, lots))]);
    let events = block(chain);
    assert_eq!(events.txs[0].results[0].filled_lots.get(), lots);
}

/// At 90 the long's equity is some 960 USDC, less than a half of its maintenance margin.
#[test]
fn rules_7_an_account_that_can_still_pay_stays_listed_and_costs_the_fund_nothing() {
    let mut chain = one_market(&["long", "short", "bidder"]);
    trade(&mut chain, ("long", "short"), 100, 900);
    chain.orders("bidder", vec![place(limit(0, Buy, 86, 900))]);
    block(&mut chain);
    let had = fund(&chain);
    chain.index(0, 90);
    for _ in 0..5 {
        assert_eq!(stages(&block(&mut chain)), []);
        let listed = &chain.state.markets[0].cell.listed;
        assert_eq!(listed.iter().map(|of| of.lots.get()).collect::<Vec<_>>(), [900]);
    }
    assert_eq!((fund(&chain), chain.lots("long", 0)), (had, 900));
    chain.index(0, 100);
    block(&mut chain);
    assert!(chain.state.danger.listed.is_empty(), "and is its owner's again");
}

/// Ticks of 0.1 USDC, 50x: a book that has stood below the index holds the mark 0.25 % below it.
#[test]
fn rules_7_the_fund_and_deleveraging_wait_until_mark_and_index_both_show_a_deficit() {
    let btc = MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50);
    let mut chain = Chain::new(&genesis(vec![btc], 1_000_000));
    chain.index(0, 600_000);
    ["a", "b", "q"].into_iter().zip([10_050, 50_000, 100_000]).for_each(|(name, usdc)| {
        chain.deposit(name, usdc);
    });
    block(&mut chain);
    trade(&mut chain, ("a", "b"), 600_000, 80_000);
    let quotes = [limit(0, Buy, 593_990, 2_000), limit(0, Sell, 594_010, 2_000)];
    chain.orders("q", quotes.map(place).to_vec());
    blocks(&mut chain, 600);
    chain.orders("q", vec![cancel_all()]);
    block(&mut chain);
    assert_eq!(chain.state.markets[0].cell.market.mark_ticks.unwrap().get(), 598_500);
    // 9 600 of 9 834 USDC are lost at the index, 10 776 at the mark.
    chain.index(0, 588_000);
    for _ in 0..5 {
        assert_eq!(stages(&block(&mut chain)), []);
        let listed = chain.state.markets[0].cell.listed.clone();
        assert!(listed.iter().all(|of| of.equity_atoms < -usdc(900)), "{listed:?}");
        assert_eq!(listed.len(), 1);
    }
    chain.index(0, 587_000);
    assert_eq!(stages(&block(&mut chain)), [LiquidationStage::Adl]);
    assert_eq!((chain.lots("a", 0), chain.lots("b", 0)), (0, 0));
}

/// At 88 the long of 900 lots has 840.50 USDC less than nothing. A bid at the mark takes a third of
/// the position.
#[test]
fn rules_7_the_fund_pays_for_the_lots_that_close_and_the_others_are_deleveraged() {
    let mut chain = with_fund(&["long", "short", "bidder"], 50_000);
    trade(&mut chain, ("long", "short"), 100, 900);
    chain.age_positions();
    chain.orders("bidder", vec![place(limit(0, Buy, 88, 300)), place(limit(0, Buy, 87, 900))]);
    block(&mut chain);
    let had = fund(&chain);
    chain.index(0, 88);
    let events = block(&mut chain);
    assert_eq!(stages(&events), [LiquidationStage::InsuranceFund, LiquidationStage::Adl]);
    assert_eq!((chain.lots("long", 0), chain.lots("bidder", 0)), (0, 300));
    let steps = liquidations(&events);
    let paid = Atoms::new(280_166_667);
    assert_eq!((steps[0].fund_paid_atoms, steps[0].arithmetic.fund_owed_atoms), (paid, paid));
    // The maker's fee of 3.96 USDC: a half goes to the fund.
    assert_eq!(had - fund(&chain), paid - Atoms::new(1_980_000));
    assert!((usdc(0)..=Atoms::new(2)).contains(&chain.collateral("long")));
}

/// Opened seconds ago, the long's lots have no claim: the same bid at the mark stays.
#[test]
fn rules_7_the_fund_pays_nothing_for_fresh_lots_and_they_are_deleveraged() {
    for (old, fresh) in [(0, 900), (600, 300)] {
        let mut chain = with_fund(&["long", "short", "bidder"], 1_000_000);
        if old > 0 {
            trade(&mut chain, ("long", "short"), 100, old);
            chain.age_positions();
        }
        trade(&mut chain, ("long", "short"), 100, fresh);
        chain.orders("bidder", vec![place(limit(0, Buy, 88, 900))]);
        block(&mut chain);
        chain.index(0, 88);
        let events = block(&mut chain);
        let closed: Vec<_> =
            liquidations(&events).iter().map(|step| (step.stage, step.lots.get())).collect();
        let by_fund = (LiquidationStage::InsuranceFund, old);
        let expected = [(LiquidationStage::Adl, fresh), by_fund];
        assert_eq!(closed, &expected[..1 + usize::from(old > 0)]);
        assert_eq!((chain.lots("bidder", 0), chain.lots("long", 0)), (old as i64, 0));
    }
}

/// Of 10 000 USDC the market's bucket has 500, and a block a quarter of it: 133 of 900 lots.
#[test]
fn rules_7_beyond_its_bucket_the_fund_pays_nothing_and_the_rest_is_deleveraged() {
    let mut chain = with_fund(&["long", "short", "bidder"], 10_000);
    trade(&mut chain, ("long", "short"), 100, 900);
    chain.age_positions();
    chain.orders("bidder", vec![place(limit(0, Buy, 88, 900))]);
    block(&mut chain);
    let had = fund(&chain);
    chain.index(0, 88);
    let events = block(&mut chain);
    assert_eq!(stages(&events), [LiquidationStage::InsuranceFund, LiquidationStage::Adl]);
    let paid = liquidations(&events)[0].fund_paid_atoms;
    let quarter = had.mul_div_floor(5, 400).unwrap();
    assert!((quarter - usdc(1)..=quarter).contains(&paid), "{paid} of {quarter}");
    assert_eq!(chain.lots("long", 0), 0);
    assert!((usdc(0)..=Atoms::new(3)).contains(&chain.collateral("long")), "nothing stays unpaid");
}

#[test]
fn rules_7_after_a_halt_or_a_stale_index_the_fund_pays_nothing_for_50_blocks() {
    // Without a price for 61 s, with one again after a halt; in between, and after 50 blocks.
    for (silent_ms, waits, expected) in [
        (61_000, 0, LiquidationStage::Adl),
        (400_000, 0, LiquidationStage::Adl),
        (61_000, 48, LiquidationStage::Adl),
        (61_000, 60, LiquidationStage::InsuranceFund),
        (59_000, 0, LiquidationStage::InsuranceFund),
    ] {
        let mut chain = with_fund(&["long", "short", "bidder"], 50_000);
        trade(&mut chain, ("long", "short"), 100, 900);
        chain.age_positions();
        chain.orders("bidder", vec![place(limit(0, Buy, 88, 300))]);
        block(&mut chain);
        if silent_ms < 400_000 {
            chain.silence();
            blocks(&mut chain, silent_ms / 1_000 - 1);
        } else {
            chain.now_ms += u64::from(silent_ms);
        }
        chain.index(0, if waits > 0 { 100 } else { 88 });
        let mut events = block(&mut chain);
        if waits > 0 {
            blocks(&mut chain, waits);
            chain.index(0, 88);
            events = block(&mut chain);
        }
        assert_eq!(stages(&events)[0], expected, "{silent_ms} ms, then {waits} blocks");
    }
}

/// An index jumps: who opened both sides a short while ago is closed against itself, and a
/// stranger's older position, with more profit, is left alone.
#[test]
fn rules_7_a_pair_that_was_opened_together_is_deleveraged_against_itself() {
    let mut chain = with_fund(&["a", "b", "stranger", "other"], 1_000_000);
    trade(&mut chain, ("other", "stranger"), 100, 900);
    chain.age_positions();
    trade(&mut chain, ("a", "b"), 100, 900);
    let before = chain.collateral("a") + chain.collateral("b");
    let had = fund(&chain);
    chain.deposit("other", 20_000);
    block(&mut chain);
    chain.index(0, 85);
    let events = block(&mut chain);
    assert_eq!(stages(&events), [LiquidationStage::Adl]);
    assert_eq!(["a", "b", "stranger"].map(|name| chain.lots(name, 0)), [0, 0, -900]);
    assert!(chain.collateral("a") + chain.collateral("b") <= before);
    assert!(fund(&chain) >= had);
}

/// At 85 a long of 900 lots lacks 3 500 USDC: the fund closes the stranger's at b's bid. It comes
/// after a's lots, which b still holds the other side of.
#[test]
fn rules_7_nobody_leaves_a_fresh_pair_by_others_liquidations_before_its_loss_is_deleveraged() {
    let mut chain = with_fund(&["a", "b", "stranger", "other"], 1_000_000);
    trade(&mut chain, ("other", "stranger"), 100, 900);
    chain.age_positions();
    trade(&mut chain, ("a", "b"), 100, 900);
    let equity = |chain: &Chain, name| {
        let figures = figures(&chain.state, chain.account_id(name), chain.account(name));
        figures.equity.max(Atoms::ZERO)
    };
    let of_pair = |chain: &Chain| equity(chain, "a") + equity(chain, "b");
    let before = of_pair(&chain);
    chain.orders("b", vec![place(limit(0, Buy, 85, 900))]);
    block(&mut chain);
    chain.index(0, 85);
    let events = block(&mut chain);
    assert_eq!(stages(&events)[0], LiquidationStage::Adl);
    assert!(stages(&events).contains(&LiquidationStage::InsuranceFund), "b's bid meets the other");
    assert_eq!(["a", "stranger"].map(|name| chain.lots(name, 0)), [0, -900]);
    assert!(of_pair(&chain) <= before);
}

/// The gain of a friend's resting order over an opening at 100, in trades with others than its
/// pair.
fn won_from_strangers(chain: &Chain, events: &BlockEvents, friend: &str, pair: &str) -> Atoms {
    let (friend, pair) = (chain.account_id(friend), chain.account_id(pair));
    let trades = events.events.iter().filter_map(|event| match event {
        Event::Fill(fill) if fill.maker == friend && fill.taker != pair => Some(fill),
        _ => None,
    });
    let won = |fill: &Fill| (fill.price_ticks.wide() - 100).abs() * fill.lots.wide();
    trades.map(|fill| Atoms::new(won(fill) * 1_000_000)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Any pair of one owner's accounts, opened within the window, over any jump, beside strangers
    /// with older positions and bids: the fund pays nothing, and the pair has no more than before
    /// and what the friend's trades with strangers brought it.
    #[test]
    fn rules_7_no_pair_gains_from_the_fund_by_lots_opened_within_the_window(
        lots in 100_u64..1_900,
        part in 1_u64..=4,
        jump in prop_oneof![70_u64..98, 103_u64..130],
        seconds in 0_u32..300,
        bid in 70_u64..130,
        old in 0_u64..500,
        is_long in any::<bool>(),
    ) {
        let names = ["a", "b", "stranger", "other"];
        let mut chain = with_fund(&names, 1_000_000);
        if old > 0 {
            let pair = if is_long { ("other", "stranger") } else { ("stranger", "other") };
            trade(&mut chain, pair, 100, old);
        }
        chain.age_positions();
        // No stranger is closed: one that a friend's bid serves before the pair is deleveraged
        // leaves fewer of the pair's lots, and more for strangers, at that bid's price.
        ["stranger", "other"].iter().for_each(|name| chain.deposit(name, 20_000));
        let pair = if is_long { ("a", "b") } else { ("b", "a") };
        for lots in [lots / part, lots - lots / part].into_iter().filter(|lots| *lots > 0) {
            trade(&mut chain, pair, 100, lots);
            blocks(&mut chain, seconds);
        }
        // The friend bids for its own account's position beyond the jump.
        let side = if is_long { Buy } else { Sell };
        chain.orders("b", vec![place(limit(0, side, bid.clamp(81, 119), lots))]);
        block(&mut chain);
        let equity = |chain: &Chain, name| {
            let figures = figures(&chain.state, chain.account_id(name), chain.account(name));
            figures.equity.max(Atoms::ZERO)
        };
        let of_pair = |chain: &Chain| equity(chain, "a") + equity(chain, "b");
        let (before, had) = (of_pair(&chain), fund(&chain));
        let mut won = Atoms::ZERO;
        chain.index(0, jump);
        for _ in 0..6 {
            let events = block(&mut chain);
            prop_assert!(fund(&chain) >= had, "the fund paid {}", had - fund(&chain));
            won += won_from_strangers(&chain, &events, "b", "a");
        }
        // Marks moved for a and b alike. A stranger who buys what the friend won pays for that
        // before any deleveraging can reach the friend.
        let gained = of_pair(&chain) - before;
        prop_assert!(gained <= won + usdc(2), "the pair gained {gained}, {won} from strangers");
    }
}

/// Of two markets the first has brought the debtor a gain, the second a loss. By its first market,
/// the debt would be the one that has not lost.
#[test]
fn rules_7_a_debt_is_booked_where_the_lots_have_lost() {
    let markets = ["ONE-USD", "TWO-USD"].map(|symbol| plain_market(symbol, 20));
    let mut chain = Chain::new(&genesis(markets.to_vec(), 1_000));
    (0..2).for_each(|market| chain.index(market, 100));
    chain.deposit("debtor", 10_000);
    block(&mut chain);
    // However it came about: the account holds nothing and owes 5 000 USDC, which the fund has.
    let id = chain.account_id("debtor");
    let had = chain.collateral("debtor");
    let row = chain.state.accounts.get_mut(id).expect("the account");
    row.collateral_atoms = usdc(-5_000);
    for (market, realised) in [(0, 500), (1, -800)] {
        row.position_mut(MarketId::new(market)).realised_atoms = usdc(realised);
    }
    chain.state.chain.treasury.insurance_atoms += had + usdc(5_000);
    let events = block(&mut chain);
    let [step] = liquidations(&events)[..] else { panic!("one step") };
    assert_eq!((step.stage, step.market.get()), (LiquidationStage::BadDebt, 1));
    let (owed, booked) = (step.arithmetic.fund_owed_atoms, step.arithmetic.bad_debt_atoms);
    assert_eq!((owed, owed - booked), (usdc(5_000), step.fund_paid_atoms));
    let bad_debt = chain.state.markets.cells().map(|cell| cell.market.bad_debt_atoms);
    assert_eq!(bad_debt.collect::<Vec<_>>(), [usdc(0), booked]);
    assert!(booked > usdc(4_000), "the fund's bucket is small: {booked}");
}
