//! A validator whose vote extensions are late, large or nonsense, under real CometBFT: its votes
//! are blanked or count as silence, no proposal falls, and the chain goes on with its prices.

use std::path::PathBuf;

use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

const BYZANTINE: usize = 3;
/// Every way of voting, as the byzantine node logs it.
const MISVOTES: [&str; 5] = ["LateLarge", "LateLargest", "LateGarbage", "Garbage", "Large"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn byzantine_voter_late_large_or_garbage_extensions_stop_no_proposal() {
    let mut options = NetOptions::validators(4);
    // Late votes arrive within the others' pause.
    options.timeout_commit_ms = 700;
    options.nodes[BYZANTINE].program = Some(PathBuf::from(env!("CARGO_BIN_EXE_byzantine-voter")));
    let net = Net::start(options).await.unwrap();
    // The network's own address of the byzantine validator, as labels of metrics have it.
    let status = net.comet(BYZANTINE).call("status", serde_json::json!({})).await.unwrap();
    let byzantine = status["validator_info"]["address"].as_str().unwrap().to_owned();
    let votes = |node: usize, outcome: &'static str| {
        let labels = [("validator", byzantine.clone()), ("outcome", outcome.to_owned())];
        let net = &net;
        async move {
            let labels = [("validator", labels[0].1.as_str()), ("outcome", labels[1].1.as_str())];
            net.metrics(node).await.ok()?.sum("tidemark_oracle_reports_total", &labels)
        }
    };
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

    // The chain goes on from here, on every node, with one history and new prices.
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
        let power = metrics.sum("tidemark_oracle_blanked_power_total", &[]);
        assert!(power.is_some_and(|power| power >= 30.0), "node {node} counts {power:?}");
        for market in ["BTC-USD", "ETH-USD", "SOL-USD"] {
            let labels = [("market", market)];
            let age = metrics.sum("tidemark_oracle_age_seconds", &labels);
            assert!(age.is_some_and(|age| age < 5.0), "node {node}, {market}: {age:?} s");
        }
    }
}
