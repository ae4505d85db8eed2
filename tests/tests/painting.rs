//! Quotes that are there to move a mark, or an hour's funding, not to trade. Markets have ticks of
//! 0.1 USDC and lots of 0.0001 BTC, and 50x; blocks are 1 s apart, and the index is 60 000 USDC.

use tidemark_engine::events::{BlockEvents, Event};
use tidemark_oracle::impact::Impact;
use tidemark_proto::units::{Atoms, NanoTicks, Ppm, Ticks};
use tidemark_proto::v1::{self, operation::Operation, PostOnly, Side::Buy, Side::Sell};
use tidemark_tests::harness::{
    genesis, healthy, limit, liquidations, place, test_market, usdc, word, Chain,
};

const HOUR_MS: u64 = 3_600_000;

/// The index in ticks.
const INDEX: u64 = 600_000;

/// Lots that are worth 10 000 USDC at the index, and a few more for quotes below it.
const DEEP: u64 = 2_000;

/// A market at its index, traders with 10 050 USDC each, and `q`, who quotes, with a hundred
/// thousand.
fn chain(traders: &[&str]) -> Chain {
    let btc = test_market("BTC-USD", 100_000_000, 100_000, 50);
    let mut chain = Chain::new(&genesis(vec![btc], 1_000_000));
    chain.index(0, INDEX);
    chain.deposit("q", 100_000);
    traders.iter().for_each(|trader| chain.deposit(trader, 10_050));
    block(&mut chain);
    chain
}

fn block(chain: &mut Chain) -> BlockEvents {
    let events = chain.block();
    healthy(&events);
    events
}

fn blocks(chain: &mut Chain, count: u32) {
    (0..count).for_each(|_| drop(block(chain)));
}

fn mark(chain: &Chain) -> u64 {
    chain.state.markets[0].cell.market.mark_ticks.map_or(0, Ticks::get)
}

fn quotes(bid: u64, ask: u64, lots: u64) -> Vec<Operation> {
    vec![place(limit(0, Buy, bid, lots)), place(limit(0, Sell, ask, lots))]
}

fn cancel_all() -> Operation {
    Operation::CancelAll(v1::CancelAll::default())
}

/// `a` buys from `b`; returns the word of `a`'s order.
fn trade(chain: &mut Chain, price_ticks: u64, lots: u64) -> &'static str {
    chain.orders("b", vec![place(limit(0, Sell, price_ticks, lots))]);
    block(chain);
    chain.orders("a", vec![place(limit(0, Buy, price_ticks, lots))]);
    word(&block(chain).txs[0])
}

fn fund(chain: &Chain) -> Atoms {
    chain.state.chain.treasury.insurance_atoms
}

#[test]
fn rules_4_two_orders_of_one_lot_leave_the_mark_at_the_index() {
    // A book that never had depth, and one that was left after an hour.
    for had_depth in [false, true] {
        let mut chain = chain(&[]);
        if had_depth {
            chain.orders("q", quotes(INDEX - 10, INDEX + 10, DEEP));
            blocks(&mut chain, 3_600);
            chain.orders("q", vec![cancel_all()]);
            blocks(&mut chain, 1_200);
        }
        for (bid, ask) in [(719_000, 719_999), (541_600, 541_601), (570_000, 570_001)] {
            chain.orders("q", quotes(bid, ask, 1));
            for second in 0..200 {
                block(&mut chain);
                assert_eq!(mark(&chain), INDEX, "{bid} after {second} s, depth: {had_depth}");
            }
            chain.orders("q", vec![cancel_all()]);
            block(&mut chain);
        }
    }
}

#[test]
fn rules_4_a_long_of_50x_is_not_liquidated_by_quotes_of_one_lot() {
    for external in [None, Some(INDEX)] {
        let mut chain = chain(&["a", "b"]);
        chain.external(0, external);
        // A book of an hour whose makers leave.
        chain.orders("q", quotes(INDEX - 10, INDEX + 10, DEEP));
        blocks(&mut chain, 3_600);
        // 480 000 USDC of 10 050 − 216: 48.8x.
        assert_eq!(trade(&mut chain, INDEX, 80_000), "OK");
        chain.orders("q", vec![cancel_all()]);
        block(&mut chain);
        chain.orders("q", quotes(570_000, 570_001, 1));
        for second in 0..300 {
            assert_eq!(liquidations(&block(&mut chain)).len(), 0, "{external:?}, {second} s");
        }
        assert_eq!(chain.lots("a", 0), 80_000);
    }
}

/// A pair of accounts of one owner trades at a mark that a third has made, and waits for the
/// insurance fund to pay one of them out.
#[test]
fn rules_4_a_pair_that_makes_the_mark_gains_nothing_from_the_fund() {
    for (lots_quoted, external) in
        [(1, None), (1, Some(INDEX)), (DEEP, None), (DEEP, Some(INDEX)), (5 * DEEP, None)]
    {
        let mut chain = chain(&["a", "b"]);
        chain.external(0, external);
        let money =
            |chain: &Chain| chain.collateral("a") + chain.collateral("b") + chain.collateral("q");
        let (had, fund_had) = (money(&chain), fund(&chain));
        // Up, for a block with one lot, for as long as it takes with more.
        chain.orders("q", quotes(719_000, 719_999, lots_quoted));
        blocks(&mut chain, if lots_quoted == 1 { 1 } else { 600 });
        chain.orders("q", vec![cancel_all()]);
        block(&mut chain);
        let raised = mark(&chain);
        let most = if lots_quoted == 1 || external.is_some() { 0 } else { INDEX / 400 };
        assert!((INDEX..=INDEX + most).contains(&raised), "{raised}");
        assert_eq!(trade(&mut chain, 630_000, 77_000), "INSUFFICIENT_COLLATERAL");
        chain.orders("b", vec![cancel_all()]);
        block(&mut chain);
        assert_eq!(trade(&mut chain, raised, 77_000), "OK");
        blocks(&mut chain, 90);
        // Down, and a bid where the fund would once have sold.
        chain.orders("q", quotes(541_600, 541_601, lots_quoted));
        chain.orders("b", vec![place(limit(0, Buy, 541_500, 77_000))]);
        for second in 0..600 {
            assert_eq!(liquidations(&block(&mut chain)).len(), 0, "after {second} s");
            let lowest = INDEX - most;
            assert!((lowest..=raised).contains(&mark(&chain)), "{}", mark(&chain));
        }
        assert_eq!(chain.lots("a", 0), 77_000, "still there");
        assert!(fund(&chain) >= fund_had, "the fund has paid nothing");
        chain.orders("q", vec![cancel_all()]);
        chain.orders("b", vec![cancel_all()]);
        block(&mut chain);
        let close =
            |side| place(v1::PlaceOrder { reduce_only: true, ..limit(0, side, INDEX, 77_000) });
        chain.orders("a", vec![close(Sell)]);
        block(&mut chain);
        chain.orders("b", vec![close(Buy)]);
        block(&mut chain);
        assert_eq!((chain.lots("a", 0), chain.lots("b", 0)), (0, 0));
        assert!(money(&chain) < had, "and the three have paid fees");
        assert!(had - money(&chain) < usdc(1_000));
    }
}

#[test]
fn rules_4_a_book_with_the_depth_moves_the_mark_slowly_and_by_half_of_the_band() {
    let mut chain = chain(&[]);
    chain.orders("q", quotes(605_990, 606_010, DEEP));
    block(&mut chain);
    // Read in the next two blocks, counted in the one after: 0.5 % for a second, and so on.
    for (seconds, expected) in [(2, 600_000), (1, 600_019), (9, 600_193), (50, 600_989)] {
        blocks(&mut chain, seconds);
        assert_eq!(mark(&chain), expected);
    }
    blocks(&mut chain, 600);
    assert_eq!(mark(&chain), 601_500, "a quarter of a hundredth");
    // One side alone is no depth, and the average fades.
    chain.orders("q", vec![cancel_all()]);
    block(&mut chain);
    chain.orders("q", vec![place(limit(0, Buy, 605_990, DEEP))]);
    blocks(&mut chain, 1_200);
    assert_eq!(mark(&chain), INDEX);
}

#[test]
fn rules_4_impact_prices_are_read_between_post_only_orders_and_those_that_take() {
    let mut chain = chain(&["maker", "taker"]);
    let read = |chain: &Chain| chain.state.markets[0].cell.last_impact;
    let counted = |chain: &Chain| chain.state.markets[0].cell.impact;
    let price = |ticks| NanoTicks::of(Ticks::new(ticks));
    // An order of the last class is not read in its block, nor where its cancel comes first.
    chain.orders("q", quotes(INDEX - 10, INDEX + 10, DEEP));
    block(&mut chain);
    assert_eq!(read(&chain), None);
    chain.orders("q", vec![cancel_all()]);
    block(&mut chain);
    assert_eq!(read(&chain), None);
    // Post-only orders are read in their block, before the taker of that block.
    let bid = post_only(limit(0, Buy, INDEX - 10, 2 * DEEP));
    let ask = post_only(limit(0, Sell, INDEX + 10, DEEP));
    chain.orders("q", vec![bid, ask]);
    chain.orders("taker", vec![place(limit(0, Buy, INDEX + 10, DEEP))]);
    block(&mut chain);
    assert_eq!(chain.lots("taker", 0), 2_000);
    let shown = |ask| Some(Impact { bid: price(INDEX - 10), ask: price(ask) });
    assert_eq!((read(&chain), counted(&chain)), (shown(INDEX + 10), None));
    // Of two blocks the less favourable side counts.
    chain.orders("maker", vec![post_only(limit(0, Sell, INDEX + 50, DEEP))]);
    block(&mut chain);
    assert_eq!((read(&chain), counted(&chain)), (shown(INDEX + 50), shown(INDEX + 50)));
    chain.orders("maker", vec![post_only(limit(0, Sell, INDEX + 20, DEEP))]);
    block(&mut chain);
    assert_eq!((read(&chain), counted(&chain)), (shown(INDEX + 20), shown(INDEX + 50)));
    chain.orders("maker", vec![cancel_all()]);
    block(&mut chain);
    assert_eq!((read(&chain), counted(&chain)), (None, None), "the asks are gone");
}

#[test]
fn rules_4_quotes_that_are_cancelled_in_the_next_block_do_not_move_the_mark() {
    let mut chain = chain(&[]);
    for painted in 0..300 {
        let deep = [limit(0, Buy, 605_990, DEEP), limit(0, Sell, 606_010, DEEP)];
        let operations =
            if painted % 2 == 0 { deep.map(post_only).to_vec() } else { vec![cancel_all()] };
        chain.orders("q", operations);
        block(&mut chain);
        assert_eq!(mark(&chain), INDEX);
    }
}

fn post_only(order: v1::PlaceOrder) -> Operation {
    place(v1::PlaceOrder { post_only: PostOnly::Reject as i32, ..order })
}

/// `b` long against `a` short: 2.4 million USDC, at the index.
fn two_millions() -> Chain {
    let mut chain = chain(&["a", "b"]);
    ["a", "b"].iter().for_each(|trader| chain.deposit(trader, 200_000));
    block(&mut chain);
    chain.orders("a", vec![place(limit(0, Sell, INDEX, 400_000))]);
    block(&mut chain);
    chain.orders("b", vec![place(limit(0, Buy, INDEX, 400_000))]);
    block(&mut chain);
    assert_eq!(chain.lots("b", 0), 400_000);
    chain
}

/// Goes on to the first block of the next hour; returns the rate for 8 hours that was paid.
fn hours_end(chain: &mut Chain, mut each: impl FnMut(&mut Chain)) -> Option<Ppm> {
    let hour = chain.now_ms / HOUR_MS;
    loop {
        let ends = chain.now_ms / HOUR_MS > hour;
        each(chain);
        let events = block(chain);
        if ends {
            let paid = events.events.iter().find_map(|event| match event {
                Event::Funding { rate_8h_ppm, .. } => Some(*rate_8h_ppm),
                _ => None,
            });
            return paid;
        }
    }
}

/// The interest alone, for an hour of which all but a few seconds are covered.
fn is_interest(rate_8h_ppm: Option<Ppm>) -> bool {
    rate_8h_ppm.is_some_and(|rate| (95..=100).contains(&rate.get()))
}

#[test]
fn rules_5_quotes_that_are_cancelled_in_the_next_block_earn_nothing() {
    for is_post_only in [true, false] {
        let mut chain = two_millions();
        // A wide book, whose asks the painted bids stay below.
        chain.orders("b", quotes(540_000, 660_000, 4_000));
        hours_end(&mut chain, |_| ());
        let bid = limit(0, Buy, 659_990, 4_000);
        let mut painted = false;
        let paid = hours_end(&mut chain, |chain| {
            let operation = match (painted, is_post_only) {
                (true, _) => cancel_all(),
                (false, true) => post_only(bid),
                (false, false) => place(bid),
            };
            chain.orders("q", vec![operation]);
            painted = !painted;
        });
        assert!(is_interest(paid), "post-only: {is_post_only}, {paid:?}");
    }
}

#[test]
fn rules_5_a_side_alone_pays_nothing_and_both_sides_half_of_the_least_maintenance_at_most() {
    // Of the position's 2.4 million USDC, 0.5 % an hour: 12 000 USDC.
    for (both, expected) in [(false, None), (true, Some(Ppm::new(40_000)))] {
        let mut chain = two_millions();
        let bid = place(limit(0, Buy, 719_000, 2_000));
        chain.orders("q", vec![bid]);
        if both {
            chain.orders("q", vec![place(limit(0, Sell, 719_999, 2_000))]);
        }
        hours_end(&mut chain, |_| ());
        let paid = hours_end(&mut chain, |_| ());
        assert_eq!(paid, expected, "both sides: {both}");
        let index = chain.state.markets[0].cell.market.funding.cumulative_index;
        let lots = 400_000;
        let most = usdc(12_000).get() * 1_000_000;
        let quote = index * lots;
        assert!(if both { quote == most } else { quote == 0 }, "{quote}");
    }
}

/// An index that was stale for the whole hour, and painted quotes in its last seconds.
#[test]
fn rules_5_a_few_seconds_do_not_pay_for_an_hour() {
    for silent_s in [3_592, 2_400] {
        let mut chain = two_millions();
        chain.orders("b", quotes(599_000, 601_000, 4_000));
        hours_end(&mut chain, |_| ());
        chain.silence();
        let since_ms = chain.now_ms;
        let paid = hours_end(&mut chain, |chain| {
            if chain.now_ms - since_ms == silent_s * 1_000 {
                chain.index(0, INDEX);
                chain.orders("b", vec![cancel_all()]);
                chain.orders("q", quotes(719_000, 719_999, 4_000));
            }
        });
        if silent_s == 2_400 {
            // A third of the hour at 4.95 %/8, cut to 0.5 %: a third of that.
            let rate = paid.unwrap().get();
            assert!((13_200..=13_800).contains(&rate), "{rate}");
        } else {
            assert_eq!(paid, None);
        }
    }
}
