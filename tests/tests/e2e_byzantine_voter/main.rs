//! A validator that votes wrongly, under real CometBFT: its extensions are late, large, nonsense or
//! another chain's, or two nodes vote with its key. Its votes are blanked or count as silence, no
//! proposal falls, and the chain goes on with its prices.

mod foreign_signer;

use std::fs;
use std::path::PathBuf;

use foreign_signer::ForeignSigner;
use serde_json::json;
use tidemark_tests::net::{feed, progress, wait_for, Net, NetOptions, NodeOptions};

const BYZANTINE: usize = 3;
/// The node with the byzantine validator's key, too.
const TWIN: usize = 4;
/// Every way of voting, as the byzantine node logs it.
const MISVOTES: [&str; 6] =
    ["LateLarge", "LateLargest", "LateGarbage", "Garbage", "Large", "ForeignMarkets"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byzantine_voter_late_large_or_garbage_extensions_stop_no_proposal() {
    let mut options = NetOptions::validators(4);
    // Late votes arrive within the others' pause.
    options.timeout_commit_ms = 700;
    options.nodes[BYZANTINE].program = Some(PathBuf::from(env!("CARGO_BIN_EXE_byzantine-voter")));
    let net = Net::start(options).await.unwrap();
    let validator = address(&net, BYZANTINE).await;
    let votes = |node, outcome| votes(&net, node, &validator, outcome);
    let (blanked, invalid) = wait_for("blanked and undecodable votes in blocks", || async {
        let blanked = votes(0, "blanked").await?;
        let invalid = votes(0, "invalid").await?;
        (blanked >= 3.0 && invalid >= 3.0).then_some((blanked, invalid))
    })
    .await;
    progress(&format!("{blanked} votes blanked, {invalid} undecodable"));
    for misvote in MISVOTES {
        let log = net.log(BYZANTINE);
        assert!(log.contains(&format!("votes {misvote} ")), "{misvote} was not tried:\n{log}");
    }

    the_chain_goes_on(&net).await;
    for node in 0..net.len() {
        let metrics = net.metrics(node).await.unwrap();
        let power = metrics.sum("tidemark_oracle_blanked_power_total", &[]);
        assert!(power.is_some_and(|power| power >= 30.0), "node {node} counts {power:?}");
    }
}

/// Four validators and a node that follows; then the last validator's extensions are signed for
/// another chain; then that validator's key is on the fifth node as well, which votes differently.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byzantine_voter_for_another_chain_and_with_one_key_on_two_nodes_stops_nothing() {
    let mut options = NetOptions::validators(4);
    options.timeout_commit_ms = 200;
    options.nodes.push(NodeOptions {
        power: 0,
        feed: Some(feed(9, Vec::new())),
        program: Some(PathBuf::from(env!("CARGO_BIN_EXE_byzantine-twin"))),
        ..NodeOptions::default()
    });
    let mut net = Net::start(options).await.unwrap();
    let validator = address(&net, BYZANTINE).await;
    extensions_for_another_chain_are_silence(&mut net, &validator).await;
    one_key_on_two_nodes_is_seen_and_stops_nothing(&mut net, &validator).await;
}

/// CometBFT refuses the signature, whoever sends the vote: to the application the validator is
/// silent.
async fn extensions_for_another_chain_are_silence(net: &mut Net, validator: &str) {
    let home = net.home(BYZANTINE).to_owned();
    let socket = home.join("signer.sock");
    let (own, remote) =
        ("\npriv_validator_laddr = \"\"\n", "\npriv_validator_laddr = \"unix://SOCKET\"\n");
    let remote = remote.replace("SOCKET", &socket.display().to_string());
    let config = home.join("config/config.toml");
    let usual = fs::read_to_string(&config).unwrap();
    assert_eq!(usual.matches(own).count(), 1, "{} names no remote signer", config.display());

    net.stop(BYZANTINE);
    let late = votes(net, 0, validator, "late").await.unwrap_or(0.0);
    fs::write(&config, usual.replace(own, &remote)).unwrap();
    let signer = ForeignSigner::start(&home, socket);
    net.restart(BYZANTINE).unwrap();
    net.ready().await.unwrap();
    wait_for("extensions signed for another chain", || async {
        (signer.signed() >= 5).then_some(())
    })
    .await;
    let height = the_chain_goes_on(net).await;
    let silent = votes(net, 0, validator, "late").await.unwrap_or(0.0) as u64 - late as u64;
    progress(&format!("{} signed, {silent} votes counted as silence", signer.signed()));
    assert!(silent >= 5, "{silent} votes of the validator count as silence");
    let commit = net.comet(0).call("commit", json!({ "height": height.to_string() })).await;
    let signatures = commit.unwrap()["signed_header"]["commit"]["signatures"].to_string();
    assert!(!signatures.contains(validator), "its vote of height {height} is in: {signatures}");

    net.stop(BYZANTINE);
    fs::write(&config, usual).unwrap();
    net.restart(BYZANTINE).unwrap();
    net.ready().await.unwrap();
    let reported = votes(net, 0, validator, "reported").await.unwrap_or(0.0);
    wait_for("reports of the validator that signs for this chain again", || async {
        (votes(net, 0, validator, "reported").await? > reported).then_some(())
    })
    .await;
}

/// Evidence of two votes comes into a block, and nothing follows from it.
async fn one_key_on_two_nodes_is_seen_and_stops_nothing(net: &mut Net, validator: &str) {
    net.stop(TWIN);
    let key = "config/priv_validator_key.json";
    fs::copy(net.home(BYZANTINE).join(key), net.home(TWIN).join(key)).unwrap();
    net.restart(TWIN).unwrap();
    net.ready().await.unwrap();
    assert_eq!(address(net, TWIN).await, validator);
    let mut height = net.height(0).await.unwrap();
    let evidence = loop {
        net.wait_height(0, height).await.unwrap();
        let at = json!({ "height": height.to_string() });
        let block = net.comet(0).call("block", at).await.unwrap();
        let evidence = block["block"]["evidence"]["evidence"].clone();
        if evidence.as_array().is_some_and(|evidence| !evidence.is_empty()) {
            break evidence.to_string();
        }
        height += 1;
    };
    progress(&format!("evidence in block {height}"));
    assert!(evidence.contains("DuplicateVoteEvidence"), "{evidence}");
    assert!(evidence.contains(validator), "{evidence}");
    the_chain_goes_on(net).await;
    // The validator keeps its power.
    let set = net.comet(0).call("validators", json!({})).await.unwrap().to_string();
    assert!(set.contains(validator), "{set}");
}

/// The network's address of a node's validator, as labels of metrics have it. A CometBFT that has
/// just started answers only when the node has its blocks again.
async fn address(net: &Net, node: usize) -> String {
    let status = wait_for("CometBFT's status", || async {
        net.comet(node).call("status", json!({})).await.ok()
    })
    .await;
    status["validator_info"]["address"].as_str().unwrap().to_owned()
}

/// How many votes of a validator a node has seen in blocks, with this outcome.
async fn votes(net: &Net, node: usize, validator: &str, outcome: &str) -> Option<f64> {
    let labels = [("validator", validator), ("outcome", outcome)];
    net.metrics(node).await.ok()?.sum("tidemark_oracle_reports_total", &labels)
}

/// Every node makes five more blocks, with one history and new prices; none of the honest has
/// refused a proposal.
async fn the_chain_goes_on(net: &Net) -> u64 {
    let height = net.height(0).await.unwrap() + 5;
    for node in 0..net.len() {
        net.wait_height(node, height).await.unwrap();
    }
    let ours = net.comet(0).block_results(height).await.unwrap();
    for node in 0..net.len() {
        let theirs = net.comet(node).block_results(height).await.unwrap();
        assert_eq!(theirs["app_hash"], ours["app_hash"], "node {node}");
        let metrics = net.metrics(node).await.unwrap();
        let rejected = metrics.sum("tidemark_proposals_rejected_total", &[]).unwrap_or(0.0);
        assert_eq!(rejected, 0.0, "node {node} rejected a proposal");
        for market in ["BTC-USD", "ETH-USD", "SOL-USD"] {
            let labels = [("market", market)];
            let age = metrics.sum("tidemark_oracle_age_seconds", &labels);
            assert!(age.is_some_and(|age| age < 5.0), "node {node}, {market}: {age:?} s");
        }
    }
    height
}
