//! The app hash at the end of fixed histories, in `golden.txt`: a change of what the chain does, or
//! of how its state is written, shows in review. When it is meant:
//! `TIDEMARK_BLESS=1 cargo test --release -p tidemark-tests --test golden` writes the file anew.

use std::fmt::Write as _;

use tidemark_proto::v1::{Side::Buy, Side::Sell};
use tidemark_tests::harness::{genesis, limit, place, plain_market, Chain};
use tidemark_tests::sim::{simulated_genesis, Config, Proposer, ShadowNode};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn two_traders() -> Chain {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000));
    chain.index(0, 100);
    chain.deposit("long", 10_000);
    chain.deposit("short", 10_000);
    chain.block();
    chain.orders("short", vec![place(limit(0, Sell, 100, 900)), place(limit(0, Sell, 103, 5))]);
    chain.block();
    chain.orders("long", vec![place(limit(0, Buy, 100, 900))]);
    chain.block();
    chain
}

fn a_trade() -> [u8; 32] {
    two_traders().state.app_hash
}

fn a_liquidation_by_deleveraging() -> [u8; 32] {
    let mut chain = two_traders();
    chain.index(0, 85);
    chain.block().app_hash
}

fn an_hour_of_funding() -> [u8; 32] {
    let mut chain = two_traders();
    chain.interval_ms = 10_000;
    chain.blocks(400).app_hash
}

fn history(seed: u64) -> [u8; 32] {
    let mut node = ShadowNode::new(&simulated_genesis(), 1);
    let mut proposer = Proposer::new(&Config::new(seed, 150));
    for _ in 0..150 {
        let input = proposer.next(&node).expect("a block");
        node.run(&input);
    }
    node.state.app_hash
}

#[test]
fn app_hashes_are_as_they_were() {
    let genesis = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000)).state.app_hash;
    let mut now = String::new();
    for (name, hash) in [
        ("genesis", genesis),
        ("a trade", a_trade()),
        ("a liquidation by deleveraging", a_liquidation_by_deleveraging()),
        ("an hour of funding", an_hour_of_funding()),
        ("random history 1", history(1)),
        ("random history 2", history(2)),
    ] {
        writeln!(now, "{} {name}", hex(&hash)).expect("memory");
    }
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::write(FILE, &now).expect("a writable file");
    }
    let then = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(
        now, then,
        "the chain does something else now; when that is meant, see the head of this file"
    );
}
