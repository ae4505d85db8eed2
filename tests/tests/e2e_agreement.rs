//! Several nodes under real CometBFT compute the same.

use std::time::Duration;

use serde_json::Value;
use tidemark_client::Client;
use tidemark_proto::tx::TxOptions;
use tidemark_proto::v1;
use tidemark_tests::harness::{signer, FAUCET};
use tidemark_tests::net::traffic::{fund, Traders};
use tidemark_tests::net::{self, progress, wait_for, Net, NetOptions};

const BLOCKS: u64 = 500;
const CRASH_AT: u64 = 150;
/// Blocks without the crashed node. Each fourth waits for it to propose, so these are slow.
const CRASHED_FOR: u64 = 9;

const ONE_THREAD: usize = 0;
const FOUR_THREADS: usize = 1;
const NO_MEMPOOL: usize = 2;
const CRASHES: usize = 3;

/// One validator has one thread, one has four, one sees transactions in blocks only, one is killed
/// with its CometBFT in the middle and starts again. What each of them computed for every height
/// must be the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_validators_agree_on_every_app_hash_for_500_blocks_under_trading() {
    let mut options = NetOptions::validators(4);
    options.nodes[ONE_THREAD].threads = Some(1);
    options.nodes[FOUR_THREADS].threads = Some(4);
    options.nodes[NO_MEMPOOL].mempool = false;
    let mut net = Net::start(options).await.unwrap();

    let first = net.client(ONE_THREAD).await.unwrap();
    let second = net.client(FOUR_THREADS).await.unwrap();
    let names: Vec<String> = (0..8).map(|number| format!("trader-{number}")).collect();
    fund(&first, &names, 100_000).await.unwrap();
    wait_for("an index of every market", || every_market_has_a_price(&first)).await;
    let funded = first.status().await.unwrap().height;
    wait_for("the funds on the other node", || async {
        second.status().await.ok().filter(|status| status.height >= funded)
    })
    .await;
    let nodes = [first.clone(), second.clone()];
    let traders = names.iter().cloned().zip(nodes.iter().cycle().cloned()).collect();
    let traders = Traders::start(traders, 1);
    // A node that lags would name a sequence that is used by the time of the submission.
    net.wait_height(NO_MEMPOOL, funded).await.unwrap();
    a_node_without_a_mempool_proposes_what_it_was_sent(&net).await;

    net.wait_height(ONE_THREAD, CRASH_AT).await.unwrap();
    let crashed_at = net.height(CRASHES).await.unwrap();
    net.kill(CRASHES);
    progress(&format!("height {crashed_at}: one of four is killed"));
    net.wait_height(ONE_THREAD, crashed_at + CRASHED_FOR).await.unwrap();
    net.restart(CRASHES).unwrap();
    net.wait_height(CRASHES, crashed_at + CRASHED_FOR).await.unwrap();
    progress(&format!("height {}: it is back", net.height(CRASHES).await.unwrap()));

    for height in (200..=BLOCKS).step_by(100) {
        net.wait_height(ONE_THREAD, height).await.unwrap();
        progress(&format!("height {height}"));
    }
    let tally = traders.stop().await;
    progress(&format!("{tally:?}"));
    assert_eq!(tally.errors, Vec::<String>::new());
    assert!(tally.operations > tally.refused + 500, "{tally:?}");
    assert!(tally.refused > 0, "traders send what must be refused: {tally:?}");

    for node in 0..net.len() {
        net.wait_height(node, BLOCKS).await.unwrap();
    }
    every_block_is_the_same(&net, BLOCKS).await;
    the_states_in_memory_are_the_same(&net).await;
    nothing_is_broken_and_prices_flow(&net, &first).await;
    what_one_validator_accepts_is_at_every_proposer(&net).await;
}

async fn every_market_has_a_price(client: &Client) -> Option<()> {
    let markets = client.markets().await.ok()?;
    let all = markets.iter().all(|(_, state)| state.index_ticks > 0 && state.mark_ticks > 0);
    all.then_some(())
}

async fn a_node_without_a_mempool_proposes_what_it_was_sent(net: &Net) {
    let client = net.client(NO_MEMPOOL).await.unwrap();
    let tx = faucets_next(&client).await;
    let answer = client.submit(tx, v1::WaitFor::Committed, Duration::from_secs(30)).await.unwrap();
    assert_eq!(answer.outcome(), v1::SubmitOutcome::Committed, "{answer:?}");
}

/// Bundles carry it: it is in one of the next blocks, whoever proposes them. The node without a
/// mempool proposes one of four.
async fn what_one_validator_accepts_is_at_every_proposer(net: &Net) {
    let client = net.client(FOUR_THREADS).await.unwrap();
    let (tx, wait) = (faucets_next(&client).await, Duration::from_secs(30));
    let accepted_at = net.height(FOUR_THREADS).await.unwrap();
    client.submit(tx.clone(), v1::WaitFor::Accepted, wait).await.unwrap();
    let answer = client.submit(tx, v1::WaitFor::Committed, wait).await.unwrap();
    assert!(answer.height <= accepted_at + 4, "accepted at {accepted_at}: {answer:?}");
    for node in [ONE_THREAD, FOUR_THREADS] {
        let metrics = net.metrics(node).await.unwrap();
        let count = |name| metrics.sum(name, &[]).unwrap_or(0.0);
        let made = count("tidemark_bundles_made_total");
        let taken = count("tidemark_bundles_taken_total");
        progress(&format!("node {node}: {made} bundles made, {taken} taken"));
        assert!(made > 50.0 && taken > made, "node {node} takes others' as well");
    }
}

/// A transaction of the faucet with its next sequence.
async fn faucets_next(client: &Client) -> Vec<u8> {
    let faucet = signer(FAUCET).for_genesis(&client.genesis_hash().await.unwrap());
    let sequence = client.account(&faucet.address().to_string(), None).await.unwrap().sequence;
    let message = v1::MsgDeposit {
        recipient: faucet.address().to_string(),
        amount_atoms: 1,
        ..Default::default()
    };
    faucet.sign(message, TxOptions { sequence, ..TxOptions::default() }).unwrap()
}

/// The answer of each node to FinalizeBlock: CometBFT keeps it.
async fn every_block_is_the_same(net: &Net, blocks: u64) {
    let mut transactions = 0;
    for height in 1..=blocks {
        let ours = net.comet(ONE_THREAD).block_results(height).await.unwrap();
        assert!(ours["app_hash"].as_str().is_some_and(|hash| hash.len() >= 43), "{ours}");
        transactions += net::transactions(&ours);
        for node in 1..net.len() {
            let theirs = net.comet(node).block_results(height).await.unwrap();
            assert_eq!(theirs["app_hash"], ours["app_hash"], "height {height}, node {node}");
            assert_eq!(theirs["txs_results"], ours["txs_results"], "height {height}, node {node}");
        }
    }
    progress(&format!("{blocks} heights compared, {transactions} transactions"));
    assert!(transactions > 500, "{transactions} transactions");
}

/// The crashed node's state is what it replayed, which block results of before the crash do not
/// show.
async fn the_states_in_memory_are_the_same(net: &Net) {
    for node in 0..net.len() {
        let status = net.client(node).await.unwrap().status().await.unwrap();
        net.wait_height(ONE_THREAD, status.height).await.unwrap();
        let results: Value = net.comet(ONE_THREAD).block_results(status.height).await.unwrap();
        let expected = results["app_hash"].as_str().unwrap_or_default().to_owned();
        assert_eq!(base64(&status.app_hash), expected, "node {node} at height {}", status.height);
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

async fn nothing_is_broken_and_prices_flow(net: &Net, client: &Client) {
    for (market, state) in client.markets().await.unwrap().iter() {
        assert!(!state.stale && !state.quarantined && state.last_trade_ticks > 0, "{state:?}");
        assert!(state.reporting_power * 3 > state.total_power * 2, "{state:?}");
        // Books as thin as these give no sample of the premium (rules §5.2).
        let funding = client.funding(market.id).await.unwrap();
        assert!(funding.next_ms > 0, "{}: {funding:?}", market.symbol);
    }
    for node in 0..net.len() {
        let metrics = net.metrics(node).await.unwrap();
        assert_eq!(
            metrics.sum("tidemark_invariant_violations_total", &[]).unwrap_or(0.0),
            0.0,
            "node {node}"
        );
        // Counters count replayed blocks too, so the node that crashed has them all.
        let trades = metrics.sum("tidemark_trades_total", &[]).unwrap_or(0.0);
        assert!(trades > 100.0, "node {node}: {trades} trades");
    }
}
