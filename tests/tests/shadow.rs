//! Nodes that differ in all that consensus must not depend on reach the same app hash in every
//! block.

use tidemark_engine::events::Work;
use tidemark_engine::state::merkle::Hash;
use tidemark_tests::harness::BlockInput;
use tidemark_tests::sim::{simulated_genesis, Config, Proposer, ShadowNode};

const BLOCKS: u64 = 500;

/// The history of a seed, made against one node, with that node's app hashes and work.
fn history(seed: u64) -> Vec<(BlockInput, (Hash, Work))> {
    let mut reference = ShadowNode::new(&simulated_genesis(), 1);
    let mut proposer = Proposer::new(&Config::new(seed, BLOCKS));
    let mut log = Vec::new();
    for _ in 0..BLOCKS {
        let input = proposer.next(&reference).expect("a block that is admitted");
        let events = reference.run(&input);
        log.push((input, (events.app_hash, events.work)));
    }
    log
}

#[test]
fn nodes_with_cold_caches_other_thread_counts_and_a_replay_agree_in_every_block() {
    let log = history(500);
    let trades: usize = log.iter().map(|(input, _)| input.txs.len()).sum();
    assert!(trades > 2_000, "{trades} transactions are no history");
    let orders: u64 = log.iter().map(|(_, (_, work))| work.orders).sum();
    assert!(orders > 2_000, "{orders} orders visited are no work");
    for threads in [1, 2, 5] {
        let mut node = ShadowNode::new(&simulated_genesis(), threads);
        for (input, expected) in &log {
            let events = node.run(input);
            assert_eq!(
                &(events.app_hash, events.work),
                expected,
                "{threads} threads, height {}",
                input.block.height
            );
        }
    }
}

#[test]
fn a_fork_goes_on_like_its_origin_and_leaves_it_alone() {
    let log = history(501);
    let mut node = ShadowNode::new(&simulated_genesis(), 1);
    for (at, (input, (hash, _))) in log.iter().take(100).enumerate() {
        if at % 10 == 0 {
            let mut fork = ShadowNode::new(&simulated_genesis(), 1);
            fork.state = node.state.fork();
            let before = node.state.app_hash;
            assert_eq!(
                &fork.run(input).app_hash,
                hash,
                "the fork at height {}",
                input.block.height
            );
            assert_eq!(node.state.app_hash, before);
        }
        assert_eq!(&node.run(input).app_hash, hash, "the origin at height {}", input.block.height);
    }
}
