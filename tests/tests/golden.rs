//! The app hash at the end of fixed histories, and a hash over the results of their transactions,
//! in `golden.txt`: a change of what the chain does, of how its state is written or of what it
//! answers shows in review. When it is meant:
//! `TIDEMARK_BLESS=1 cargo test --release -p tidemark-tests --test golden` writes the file anew.

use std::fmt::Write as _;

use tidemark_proto::v1::{Side::Buy, Side::Sell};
use tidemark_tests::harness::{genesis, limit, place, plain_market, Chain, ResultsHash};
use tidemark_tests::sim::{simulated_genesis, Config, Proposer, ShadowNode};
use tidemark_tests::snapshot::restored;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");

/// The end of a history.
struct End {
    app_hash: [u8; 32],
    results: [u8; 32],
}

fn end(chain: &Chain) -> End {
    End { app_hash: chain.state.app_hash, results: chain.results.hash() }
}

/// A chain whose state is written and read back after each block, or not.
fn one_market(is_restored: bool) -> Chain {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000));
    chain.is_restored = is_restored;
    chain
}

fn two_traders(is_restored: bool) -> Chain {
    let mut chain = one_market(is_restored);
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

fn a_liquidation_by_deleveraging(is_restored: bool) -> Chain {
    let mut chain = two_traders(is_restored);
    chain.index(0, 85);
    chain.block();
    chain
}

fn an_hour_of_funding(is_restored: bool) -> Chain {
    let mut chain = two_traders(is_restored);
    // Bids and asks that a sample of the premium needs.
    chain.orders("long", vec![place(limit(0, Buy, 97, 100))]);
    chain.orders("short", vec![place(limit(0, Sell, 104, 100))]);
    chain.interval_ms = 10_000;
    chain.blocks(400);
    chain
}

fn history(seed: u64, is_restored: bool) -> End {
    let mut node = ShadowNode::new(&simulated_genesis(), 1);
    let mut proposer = Proposer::new(&Config::new(seed, 150));
    let mut results = ResultsHash::default();
    for _ in 0..150 {
        let input = proposer.next(&node).expect("a block");
        results.add(&node.run(&input));
        if is_restored {
            node.state = restored(&node.state);
        }
    }
    End { app_hash: node.state.app_hash, results: results.hash() }
}

/// The lines of the file.
fn histories(is_restored: bool) -> String {
    let histories = [
        ("genesis", end(&one_market(is_restored))),
        ("a trade", end(&two_traders(is_restored))),
        ("a liquidation by deleveraging", end(&a_liquidation_by_deleveraging(is_restored))),
        ("an hour of funding", end(&an_hour_of_funding(is_restored))),
        ("random history 1", history(1, is_restored)),
        ("random history 2", history(2, is_restored)),
    ];
    let mut now = String::new();
    for (name, end) in &histories {
        writeln!(now, "{} {name}", hex::encode(end.app_hash)).expect("memory");
    }
    for (name, end) in &histories {
        writeln!(now, "{} results of {name}", hex::encode(end.results)).expect("memory");
    }
    now
}

#[test]
fn a_chain_that_is_read_from_a_snapshot_after_each_block_goes_on_as_any_other() {
    let then = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(histories(true), then);
}

#[test]
fn app_hashes_and_results_are_as_they_were() {
    let now = histories(false);
    if std::env::var_os("TIDEMARK_BLESS").is_some() {
        std::fs::write(FILE, &now).expect("a writable file");
    }
    let then = std::fs::read_to_string(FILE).unwrap_or_default();
    assert_eq!(
        now, then,
        "the chain does something else now; when that is meant, see the head of this file"
    );
}
