//! Blocks after a pause of the chain: every rule by time sees a capped step, and quotes of before a
//! halt have no part in the mark. Prices in whole USDC, quantities in whole units.

use proptest::prelude::*;
use tidemark_engine::events::{BlockEvents, Event, Work};
use tidemark_proto::units::{Atoms, Side, Ticks};
use tidemark_proto::v1::{self, operation::Operation, Side::Buy, Side::Sell};
use tidemark_tests::harness::{genesis, healthy, limit, place, plain_market, BlockInput, Chain};

const SECOND_MS: u64 = 1_000;
const DAY_MS: u64 = 86_400_000;

/// A chain that remembers its blocks, for other nodes to carry out.
struct Recorded {
    chain: Chain,
    blocks: Vec<BlockInput>,
}

impl Recorded {
    fn block(&mut self) -> BlockEvents {
        let input = self.chain.next_input();
        let events = self.chain.run(&input);
        healthy(&events);
        self.blocks.push(input);
        events
    }

    /// The app hash of a node that carries out the same blocks from genesis.
    fn replayed(&self) -> [u8; 32] {
        let mut node = Chain::new(&listed());
        self.blocks.iter().for_each(|input| healthy(&node.run(input)));
        node.state.app_hash
    }
}

fn listed() -> tidemark_engine::genesis::Genesis {
    genesis(vec![plain_market("ONE-USD", 20)], 1_000)
}

/// A market at index 1 000, and traders with 100 000 USDC each.
fn chain(traders: &[&str]) -> Recorded {
    let mut chain = Chain::new(&listed());
    chain.index(0, 1_000);
    traders.iter().for_each(|trader| chain.deposit(trader, 100_000));
    let mut recorded = Recorded { chain, blocks: Vec::new() };
    recorded.block();
    recorded
}

fn mark(chain: &Chain) -> u64 {
    chain.state.markets[0].cell.market.mark_ticks.map_or(0, Ticks::get)
}

#[test]
fn rules_4_quotes_of_before_a_halt_have_no_part_in_the_mark_for_150_s() {
    let mut it = chain(&["maker"]);
    let quotes = vec![place(limit(0, Buy, 999, 20)), place(limit(0, Sell, 1_001, 20))];
    it.chain.orders("maker", quotes);
    (0..300).for_each(|_| drop(it.block()));
    assert_eq!(mark(&it.chain), 1_000);
    // Ten minutes later the index is 8 % lower, and the quotes are still there.
    it.chain.now_ms += 600 * SECOND_MS;
    it.chain.index(0, 920);
    for second in 0..150 {
        it.block();
        assert_eq!(mark(&it.chain), 920, "{second} s");
    }
    it.block();
    let mark = mark(&it.chain);
    assert!((920..926).contains(&mark), "the book counts again, gently: {mark}");
}

#[test]
fn rules_4_an_index_that_comes_after_more_than_ten_seconds_is_as_after_a_halt() {
    for (gap_ms, ignored) in [(10_000, false), (10_001, true)] {
        let mut it = chain(&["maker"]);
        let quotes = vec![place(limit(0, Buy, 1_009, 10)), place(limit(0, Sell, 1_011, 10))];
        it.chain.orders("maker", quotes);
        (0..300).for_each(|_| drop(it.block()));
        assert_eq!(mark(&it.chain), 1_006, "half of the band");
        it.chain.now_ms += gap_ms - SECOND_MS;
        it.block();
        let expected = if ignored { 1_000 } else { 1_006 };
        assert_eq!(mark(&it.chain), expected, "after {gap_ms} ms");
    }
}

/// Much that waits for a time, in one market: positions, a TWAP of ten slices, a switch, orders
/// that expire, traded volume.
fn waiting() -> Recorded {
    let mut it = chain(&["maker", "long", "switch", "expiring", "twap"]);
    it.chain.orders("maker", vec![place(limit(0, Sell, 1_000, 50))]);
    it.block();
    it.chain.orders("long", vec![place(limit(0, Buy, 1_000, 50))]);
    it.chain.orders("maker", vec![place(limit(0, Sell, 1_004, 500))]);
    let expiring = |price| {
        let expires_ms = it.chain.now_ms + 120 * SECOND_MS;
        place(v1::PlaceOrder {
            time_in_force: v1::TimeInForce::Gtt.into(),
            expires_ms,
            ..limit(0, Buy, price, 1)
        })
    };
    let orders = (900..950).map(expiring).collect();
    it.chain.orders("expiring", orders);
    it.block();
    let at_ms = it.chain.now_ms + 60 * SECOND_MS;
    let switch = Operation::ScheduleCancelAll(v1::ScheduleCancelAll { at_ms });
    it.chain.orders("switch", vec![place(limit(0, Buy, 980, 1)), switch]);
    let twap = v1::PlaceTwap {
        side: Buy.into(),
        lots: 10,
        slices: 10,
        interval_ms: 1_000,
        ..Default::default()
    };
    it.chain.orders("twap", vec![Operation::Twap(twap)]);
    it.block();
    it.block();
    assert_eq!(it.chain.lots("twap", 0), 1);
    it
}

/// The state of affairs in the first block after a pause.
#[derive(Debug, PartialEq, Eq)]
struct After {
    work: Work,
    mark_ticks: u64,
    funding_paid: bool,
    twap_lots: i64,
    slices: usize,
    levels_left: usize,
    volume_atoms: Atoms,
}

fn after(it: &mut Recorded, pause_ms: u64) -> After {
    let paid = |chain: &Chain| chain.state.markets[0].cell.market.funding.cumulative_index;
    let paid_before = paid(&it.chain);
    it.chain.now_ms += pause_ms;
    let events = it.block();
    let slices = |event: &&Event| matches!(event, Event::Slice { .. });
    let account = it.chain.account("long");
    let book = &it.chain.state.markets[0].book;
    After {
        work: events.work,
        mark_ticks: mark(&it.chain),
        funding_paid: paid(&it.chain) != paid_before,
        twap_lots: it.chain.lots("twap", 0),
        slices: events.events.iter().filter(slices).count(),
        levels_left: book.levels(Side::Buy).count() + book.levels(Side::Sell).count(),
        volume_atoms: account.volume.atoms(it.chain.state.chain.volume_ms()),
    }
}

#[test]
fn rules_8_a_pause_of_three_days_is_one_capped_step_on_every_node() {
    let mut it = waiting();
    let after = after(&mut it, 3 * DAY_MS);
    assert_eq!(after.mark_ticks, 1_000, "the offer at 1 004 is of before");
    assert!(!after.funding_paid, "nobody pays for the pause");
    assert_eq!((after.slices, after.twap_lots), (1, 4), "one order, for three slices");
    assert_eq!(after.levels_left, 1, "switch and expiries ran: the maker's order is left");
    assert!(after.work.orders < 100, "{:?}", after.work);
    assert_eq!(after.volume_atoms, Atoms::from_usdc(50_000), "volume has aged by one day");
    for slices in 2..8 {
        it.block();
        assert_eq!(it.chain.lots("twap", 0), 3 + slices, "then a slice each second");
    }
    let funding = &it.chain.state.markets[0].cell.market.funding;
    assert!(funding.covered_ms.get() <= 10_000 + 7 * SECOND_MS, "the pause is not covered");
    assert_eq!(it.replayed(), it.chain.state.app_hash);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Beyond the caps, the length of a pause makes no difference.
    #[test]
    fn rules_8_a_pause_of_any_length_costs_and_moves_what_a_day_does(
        pause_ms in DAY_MS..4_000 * DAY_MS,
    ) {
        let (mut day, mut long) = (waiting(), waiting());
        prop_assert_eq!(after(&mut long, pause_ms), after(&mut day, DAY_MS));
        prop_assert_eq!(long.replayed(), long.chain.state.app_hash);
    }
}
