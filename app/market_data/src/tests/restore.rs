//! A replica that begins with a state beside one that saw every block.

use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::State;

use super::*;

/// A state whose one market is the chain's.
fn state_of(chain: &Chain) -> State {
    let admin = Address([7; 20]).to_string();
    let genesis = Genesis {
        params: Default::default(),
        markets: vec![MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50)],
        admin: admin.clone(),
        minters: vec![admin],
        insurance_atoms: 0,
    };
    let mut state = State::genesis(&genesis, "test-1", TimeMs::ZERO, Vec::new()).unwrap();
    let slot = state.markets.slot_mut(BTC);
    (slot.book, slot.cell) = (chain.book.clone(), chain.cell.clone());
    state.chain.height = chain.height;
    state
}

fn block(chain: &mut Chain, ops: &[Op]) -> PublishedBlock {
    let mut host = Recorder::default();
    ops.iter().for_each(|op| chain.run(op, &mut host));
    chain.publish(host.0, Vec::new())
}

fn same(one: &Arc<MarketData>, other: &Arc<MarketData>) {
    assert_eq!(other.book(BTC, 0), one.book(BTC, 0));
    // An id that is given to no resting order changes the root, and is told with the next change
    // of a level.
    let by_order = |data: &Arc<MarketData>| {
        let mut parts = data.order_book_and_reader(BTC).0;
        for part in &mut parts {
            (part.next_order_id, part.checksum) = (0, Vec::new());
        }
        parts
    };
    assert_eq!(by_order(other), by_order(one));
    let (ours, theirs) = (one.all_orders(), other.all_orders());
    assert_eq!((theirs.0, theirs.1.resting), (ours.0, ours.1.resting));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    /// Books level by level and order by order, and open orders, at the start and after later
    /// blocks.
    #[test]
    fn a_replica_that_begins_with_a_state_is_as_one_that_saw_every_block(
        before in prop::collection::vec(prop::collection::vec(op(), 0..12), 1..8),
        after in prop::collection::vec(prop::collection::vec(op(), 0..12), 1..6),
    ) {
        let (mut chain, all, late) = (Chain::new(), MarketData::new(), MarketData::new());
        for ops in &before {
            all.apply(&block(&mut chain, ops));
        }
        late.restore(&mut state_of(&chain));
        same(&all, &late);
        for ops in &after {
            let published = block(&mut chain, ops);
            all.apply(&published);
            late.apply(&published);
            same(&all, &late);
        }
    }
}
