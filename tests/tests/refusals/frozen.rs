//! Refusals of an account that the sweep's budget did not reach.

use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{genesis, limit, place, plain_market, Chain};

use super::{Story, Table};

pub(super) fn run(table: &mut Table) {
    let mut genesis = genesis(vec![plain_market("ONE-USD", 20)], 1_000_000);
    genesis.params.sweep_gas = 10_000;
    let mut chain = Chain::new(&genesis);
    let longs: Vec<String> = (0..6).map(|number| format!("long {number}")).collect();
    chain.index(0, 100);
    chain.deposit("maker", 1_000_000);
    longs.iter().for_each(|long| chain.deposit(long, 700));
    chain.block();
    let mut story = Story::new(chain, table);
    for long in &longs {
        story.orders("maker", vec![place(limit(0, Sell, 100, 100))]);
        story.orders(long, vec![place(limit(0, Buy, 100, 100))]);
        story.orders(long, (0..20).map(|_| place(limit(0, Buy, 90, 1))).collect());
    }
    // The gas is enough for the orders of one of them.
    story.chain.index(0, 94);
    story.chain.orders(&longs[5], vec![place(limit(0, Buy, 90, 1))]);
    story.chain.send(&longs[5], v1::MsgWithdraw { amount_atoms: 1, ..Default::default() });
    story.chain.orders("maker", vec![place(limit(0, Sell, 90, 1))]);
    story.block();
}
