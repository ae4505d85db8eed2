//! A proposer that tampers with the extended commit, under real CometBFT: honest validators reject
//! what it proposes, and the chain goes on.

use std::path::PathBuf;

use serde_json::json;
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

const BYZANTINE: usize = 3;
/// Every way of tampering, as the byzantine node logs it.
const TAMPERS: [&str; 6] = ["Omit", "Drop", "Reorder", "Forge", "Trim", "Replay"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_validators_reject_a_dropped_reordered_forged_or_trimmed_extended_commit() {
    let mut options = NetOptions::validators(4);
    options.nodes[BYZANTINE].program =
        Some(PathBuf::from(env!("CARGO_BIN_EXE_byzantine-proposer")));
    let net = Net::start(options).await.unwrap();
    let proposed = |tamper: &&str| net.log(BYZANTINE).contains(&format!("proposes {tamper}"));
    // It proposes in one height of four, and each of its rounds fails: the heights that this takes
    // bound the wait.
    for height in 1.. {
        net.wait_height(0, height).await.unwrap();
        if TAMPERS.iter().all(&proposed) {
            break;
        }
        assert!(height < 120, "not every way in 120 heights:\n{}", net.log(BYZANTINE));
    }
    let height = net.height(0).await.unwrap() + 4;
    for node in 0..net.len() {
        net.wait_height(node, height).await.unwrap();
    }
    let tampered = net.log(BYZANTINE).matches("proposes ").count();
    progress(&format!("{tampered} tampered proposals in {height} heights"));

    // Every honest validator voted against them: one may have come to a round too late for a few.
    for node in 0..BYZANTINE {
        let rejected = wait_for("the count of rejected proposals", || async {
            let rejected =
                net.metrics(node).await.ok()?.sum("tidemark_proposals_rejected_total", &[])?;
            (rejected >= TAMPERS.len() as f64 / 2.0).then_some(rejected)
        })
        .await;
        progress(&format!("node {node} rejected {rejected}"));
        assert!(net.log(node).contains("proposal rejected"), "node {node} logs why");
    }
    the_chain_has_none_of_its_blocks_and_one_history(&net, height).await;
}

async fn the_chain_has_none_of_its_blocks_and_one_history(net: &Net, heights: u64) {
    let status = net.comet(BYZANTINE).call("status", json!({})).await.unwrap();
    let byzantine = status["validator_info"]["address"].as_str().unwrap().to_owned();
    // The first block has no extended commit to tamper with.
    for height in 2..=heights {
        let at = json!({ "height": height.to_string() });
        let block = net.comet(0).call("block", at).await.unwrap();
        assert_ne!(
            block["block"]["header"]["proposer_address"],
            json!(byzantine),
            "height {height}"
        );
        let ours = net.comet(0).block_results(height).await.unwrap();
        for node in 1..net.len() {
            let theirs = net.comet(node).block_results(height).await.unwrap();
            assert_eq!(theirs["app_hash"], ours["app_hash"], "height {height}, node {node}");
        }
    }
}
