//! A node that is killed under load goes on from its newest snapshot.

use std::path::PathBuf;

use tidemark_proto::v1;
use tidemark_tests::harness::signer;
use tidemark_tests::net::traffic::{fund, mark, Traders};
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

/// Blocks from one snapshot to the next.
const INTERVAL: u64 = 25;
/// The node that stays.
const STAYS: usize = 0;
/// The node that is killed.
const KILLED: usize = 3;

/// The height of the snapshot that a node went on from at its last start, by its log.
fn resumed_at(net: &Net) -> u64 {
    let log = net.log(KILLED);
    let line = log.lines().rfind(|line| line.contains("the node goes on from a snapshot"));
    let line = line.expect("a start from a snapshot");
    let (_, height) = line.split_once("height=").expect("its height");
    height.split_whitespace().next().and_then(|height| height.parse().ok()).expect("a number")
}

/// Blocks that the killed node has carried out since its start, replayed ones among them.
async fn carried_out(net: &Net) -> u64 {
    let metrics = net.metrics(KILLED).await.unwrap();
    let of_blocks = ("tidemark_block_phase_seconds_count", [("phase", "app_hash")]);
    metrics.sum(of_blocks.0, &of_blocks.1).expect("a count") as u64
}

/// Folders of snapshots, oldest first.
fn snapshots(net: &Net) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(net.home(KILLED).join("data/snapshots")).expect("a folder");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("an entry").path()).collect();
    let is_whole = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 20);
    paths.retain(is_whole);
    paths.sort();
    paths
}

async fn metric(net: &Net, name: &str) -> f64 {
    net.metrics(KILLED).await.unwrap().sum(name, &[]).unwrap_or(-1.0)
}

/// Kills a node between two snapshots, starts it again, and waits until it is where the others are.
async fn kill_and_restart(net: &mut Net) -> u64 {
    let height = net.height(KILLED).await.unwrap();
    net.kill(KILLED);
    net.restart(KILLED).unwrap();
    net.ready().await.unwrap();
    net.wait_height(KILLED, net.height(STAYS).await.unwrap()).await.unwrap();
    height
}

/// Both nodes' view of a trader's orders and of a book, at one height.
async fn views_are_the_same(net: &Net, trader: &str) {
    let address = signer(trader).address().to_string();
    let clients = [net.client(STAYS).await.unwrap(), net.client(KILLED).await.unwrap()];
    wait_for("one height of both nodes' orders", || async {
        let [ours, theirs] = &clients;
        let ours = ours.open_orders(&address, 0, None).await.ok()?;
        let theirs = theirs.open_orders(&address, 0, None).await.ok()?;
        (ours.height == theirs.height).then(|| assert_eq!(ours, theirs, "{trader}"))
    })
    .await;
    for market in 0..3 {
        wait_for("one height of both nodes' books", || async {
            let [ours, theirs] = &clients;
            let ours: v1::BookResponse = ours.book(market, 0).await.ok()?;
            let theirs = theirs.book(market, 0).await.ok()?;
            (ours.height == theirs.height).then(|| assert_eq!(ours, theirs, "market {market}"))
        })
        .await;
    }
}

/// Every height of the killed node has the app hash of the others: it would not vote else, and
/// CometBFT would end.
async fn app_hashes_are_the_same(net: &Net, heights: std::ops::RangeInclusive<u64>) {
    for height in heights {
        let ours = net.comet(STAYS).block_results(height).await.unwrap();
        let theirs = net.comet(KILLED).block_results(height).await.unwrap();
        assert_eq!(theirs["app_hash"], ours["app_hash"], "height {height}");
        assert_eq!(theirs["txs_results"], ours["txs_results"], "height {height}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_goes_on_from_its_newest_whole_snapshot() {
    let mut options = NetOptions::validators(4);
    options.snapshot_interval = INTERVAL;
    let mut net = Net::start(options).await.unwrap();
    let client = net.client(STAYS).await.unwrap();
    let names: Vec<String> = (0..4).map(|number| format!("trader-{number}")).collect();
    fund(&client, &names, 100_000).await.unwrap();
    wait_for("a mark", || mark(&client)).await;
    let traders = names.iter().map(|name| (name.clone(), client.clone())).collect();
    let traders = Traders::start(traders, 5);
    net.wait_height(KILLED, 3 * INTERVAL + INTERVAL / 2).await.unwrap();

    let killed_at = kill_and_restart(&mut net).await;
    let (from, blocks) = (resumed_at(&net), carried_out(&net).await);
    progress(&format!("killed at {killed_at}, went on from {from}, carried out {blocks} blocks"));
    assert!(from % INTERVAL == 0 && from + 2 * INTERVAL > killed_at, "{from}");
    let status = net.client(KILLED).await.unwrap().status().await.unwrap();
    assert!((1..=status.height - from).contains(&blocks), "{blocks} blocks since {from}");
    assert_eq!(status.events_from_height, 1, "the event log has no gap");

    // A byte of the newest snapshot goes wrong while the node is down.
    net.wait_height(KILLED, killed_at + 2 * INTERVAL).await.unwrap();
    net.kill(KILLED);
    let whole = snapshots(&net);
    assert!((2..=3).contains(&whole.len()), "{whole:?}");
    let chunk = whole.last().unwrap().join("00000.chunk");
    let mut bytes = std::fs::read(&chunk).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&chunk, bytes).unwrap();
    net.restart(KILLED).unwrap();
    net.ready().await.unwrap();
    let before = whole[whole.len() - 2].file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(format!("{:020}", resumed_at(&net)), before, "the one before is used");
    assert!(net.log(KILLED).contains("00000.chunk"), "the damaged file is named");
    wait_for("the damage is counted", || async {
        (metric(&net, "tidemark_snapshot_damaged").await as u64 == 1).then_some(())
    })
    .await;

    let head = net.height(STAYS).await.unwrap() + INTERVAL;
    net.wait_height(KILLED, head).await.unwrap();
    let tally = traders.stop().await;
    progress(&format!("{tally:?}"));
    assert_eq!(tally.errors, Vec::<String>::new());
    assert!(tally.operations > 200, "{tally:?}");
    for name in &names {
        views_are_the_same(&net, name).await;
    }
    app_hashes_are_the_same(&net, killed_at.saturating_sub(5)..=head).await;
    assert_eq!(metric(&net, "tidemark_invariant_violations_total").await as u64, 0);
}
