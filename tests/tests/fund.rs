//! The insurance fund and deleveraging (rules §§7.4, 7.5, 7.8). Prices in whole USDC, quantities in
//! whole units, where not said otherwise; traders have 10 000 USDC.

use tidemark_engine::events::BlockEvents;
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::LiquidationStage;
use tidemark_proto::units::Atoms;
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, one_market, place, usdc, Chain,
};
use tidemark_tests::sim::audit;

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
    let mut chain = one_market(&["long", "short", "bidder"]);
    trade(&mut chain, ("long", "short"), 100, 900);
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
