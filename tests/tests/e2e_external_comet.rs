//! CometBFT crashes alone, again and again, beside an application that lives on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemark_client::Client;
use tidemark_tests::net::traffic::{fund, Traders};
use tidemark_tests::net::{self, progress, wait_for, Net, NetOptions, NodeOptions};

const VALIDATOR: usize = 0;
/// Carries the chain out by itself, and keeps the traders' transactions while the validator's
/// CometBFT is away.
const FOLLOWER: usize = 1;
/// Crash points of CometBFT in one block.
const POINTS: u32 = 11;
/// Blocks before a crash.
const BLOCKS: u32 = 2;
/// Crashes by SIGKILL, at any moment.
const KILLS: u32 = 3;

/// Two of CometBFT's crash points lie between FinalizeBlock and Commit. A node whose CometBFT
/// crashed there must not carry the block out again, nor count it as committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_goes_on_when_cometbft_crashes_at_every_point_of_a_block() {
    let mut options = NetOptions::validators(2);
    options.nodes[VALIDATOR].external_comet = true;
    options.nodes[FOLLOWER] = NodeOptions { power: 0, ..NodeOptions::default() };
    let mut net = Net::start(options).await.unwrap();
    let published = blocks(net.client(VALIDATOR).await.unwrap());
    let follower = net.client(FOLLOWER).await.unwrap();
    let names: Vec<String> = (0..3).map(|number| format!("trader-{number}")).collect();
    fund(&follower, &names, 100_000).await.unwrap();
    let traders = names.into_iter().map(|name| (name, follower.clone())).collect();
    let traders = Traders::start(traders, 1);

    for point in 0..POINTS {
        net.kill_comet(VALIDATOR);
        net.start_comet(VALIDATOR, Some(BLOCKS * POINTS + point)).unwrap();
        wait_for_end(&mut net).await;
        progress(&format!("crash {point} at height {}", net.height(VALIDATOR).await.unwrap()));
    }
    for _ in 0..KILLS {
        net.start_comet(VALIDATOR, None).unwrap();
        let height = net.height(VALIDATOR).await.unwrap();
        net.wait_height(VALIDATOR, height + 1).await.unwrap();
        net.kill_comet(VALIDATOR);
    }
    net.start_comet(VALIDATOR, None).unwrap();
    let height = net.height(VALIDATOR).await.unwrap() + 5;
    net.wait_height(FOLLOWER, height).await.unwrap();
    let tally = traders.stop().await;
    progress(&format!("{tally:?}"));
    assert!(tally.operations > tally.refused, "{tally:?}");

    let again = net.log(VALIDATOR).matches("was carried out before").count();
    progress(&format!("{again} blocks were asked for again"));
    assert!(again >= 2, "{}", net.log(VALIDATOR));
    let last = net.height(FOLLOWER).await.unwrap();
    net.wait_height(VALIDATOR, last).await.unwrap();
    every_block_is_the_same(&net, last).await;
    wait_for("the stream's last block", || async {
        published.lock().unwrap().last().is_some_and(|height| *height >= last).then_some(())
    })
    .await;
    let published = published.lock().unwrap().clone();
    let expected: Vec<u64> = (published[0]..).take(published.len()).collect();
    assert_eq!(published, expected, "each block is published once");
}

/// Heights of the blocks that a node publishes from now on.
fn blocks(client: Client) -> Arc<Mutex<Vec<u64>>> {
    let heights = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heights);
    tokio::spawn(async move {
        let mut stream = client.block_stream().await.unwrap();
        while let Ok(Some(block)) = stream.message().await {
            seen.lock().unwrap().push(block.height);
        }
    });
    heights
}

async fn wait_for_end(net: &mut Net) {
    for _ in 0..900 {
        if net.comet_has_ended(VALIDATOR) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("CometBFT has not come to its crash point in 45 s: {}", net.log(VALIDATOR));
}

/// Asserts that the follower's answers to FinalizeBlock are those that CometBFT has of the
/// validator's.
async fn every_block_is_the_same(net: &Net, last: u64) {
    let mut txs = BTreeMap::new();
    for height in 1..=last {
        let ours = net.comet(VALIDATOR).block_results(height).await.unwrap();
        let theirs = net.comet(FOLLOWER).block_results(height).await.unwrap();
        assert_eq!(theirs["app_hash"], ours["app_hash"], "height {height}");
        assert_eq!(theirs["txs_results"], ours["txs_results"], "height {height}");
        txs.insert(height, net::transactions(&ours));
    }
    let total: usize = txs.values().sum();
    progress(&format!("{last} heights compared, {total} transactions"));
    assert!(total > 20, "{total} transactions");
}
