//! A partition under real CometBFT: two of four validators are locked on a block with an order, two
//! are not, and the network is cut until the block is more than a minute old. The two that are not
//! locked refuse it, and the chain goes on all the same, because refusals lapse (rules §4.7).

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{json, Value};
use tidemark_client::Sender;
use tidemark_proto::v1;
use tidemark_tests::harness::{signer, FAUCET};
use tidemark_tests::net::traffic::fund;
use tidemark_tests::net::{progress, wait_for, Flow, Net, NetOptions};

/// Validators that will be locked, one that votes for the block without a lock, and one that votes
/// against it.
const LOCKED: [usize; 2] = [0, 1];
const UNLOCKED: [usize; 2] = [2, 3];
const AGAINST: usize = 3;

/// How long the network is cut: `TIDEMARK_PARTITION_SECONDS`, or little more than the minute after
/// which transactions are refused.
fn partition() -> Duration {
    let given = std::env::var("TIDEMARK_PARTITION_SECONDS").ok();
    Duration::from_secs(given.and_then(|seconds| seconds.parse().ok()).unwrap_or(62))
}

/// CometBFT's state of rounds on a node.
async fn rounds(net: &Net, node: usize) -> Option<Value> {
    let answer = net.comet(node).call("consensus_state", json!({})).await.ok()?;
    Some(answer["round_state"].clone())
}

/// Height, round and step.
fn step(rounds: &Value) -> Option<(u64, u64, u64)> {
    let mut numbers = rounds["height/round/step"].as_str()?.split('/').map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some((next()?, next()?, next()?))
}

/// Validators whose prevote of the current round is known. On a busy machine the first round may
/// pass without a proposal.
fn prevotes(rounds: &Value) -> usize {
    let round = step(rounds).and_then(|(_, round, _)| usize::try_from(round).ok()).unwrap_or(0);
    let votes = &rounds["height_vote_set"][round];
    let bits = votes["prevotes_bit_array"].as_str().unwrap_or_default();
    bits.split_whitespace().next().unwrap_or_default().matches('x').count()
}

fn is_locked(rounds: &Value) -> bool {
    rounds["locked_block_hash"].as_str().is_some_and(|hash| !hash.is_empty())
}

fn file(net: &Net, node: usize, name: &str) -> PathBuf {
    net.home(node).join(name)
}

/// Brings the network to one polka that only [`LOCKED`] see, and cuts it; returns the height.
async fn lock_two_of_four(net: &Net) -> u64 {
    LOCKED.iter().for_each(|node| fs::write(file(net, *node, "hold"), []).unwrap());
    fs::write(file(net, AGAINST, "refuse"), []).unwrap();
    // A node that is behind would give out the sequence of the last deposit again.
    net.wait_height(2, net.height(0).await.unwrap() + 1).await.unwrap();
    let client = net.client(2).await.unwrap();
    let deposit = v1::MsgDeposit {
        recipient: signer("late").address().to_string(),
        amount_atoms: 7_000_000,
        ..Default::default()
    };
    let mut faucet = Sender::new(client, signer(FAUCET));
    faucet.submit(&deposit, v1::WaitFor::Accepted).await.unwrap();
    wait_for("two held verdicts and one refusal", || async {
        let held = LOCKED.iter().all(|node| file(net, *node, "held").exists());
        (held && !file(net, AGAINST, "refuse").exists()).then_some(())
    })
    .await;
    // One vote more, and each has votes of more than two thirds without a polka: they wait a while
    // for the rest.
    fs::remove_file(file(net, LOCKED[0], "hold")).unwrap();
    for node in UNLOCKED {
        wait_for("three prevotes", || async {
            (prevotes(&rounds(net, node).await?) == 3).then_some(())
        })
        .await;
    }
    // The vote that completes the polka comes to those alone who are to be locked.
    let towards_unlocked = |_, to| if UNLOCKED.contains(&to) { Flow::Held } else { Flow::Open };
    net.set_flows(towards_unlocked);
    fs::remove_file(file(net, LOCKED[1], "hold")).unwrap();
    for node in LOCKED {
        wait_for("a lock", || async { is_locked(&rounds(net, node).await?).then_some(()) }).await;
    }
    let mut height = 0;
    for node in UNLOCKED {
        height = wait_for("a precommit for nothing", || async {
            let rounds = rounds(net, node).await?;
            assert!(!is_locked(&rounds), "node {node} is locked");
            step(&rounds).filter(|(_, _, step)| *step >= 6).map(|(height, _, _)| height)
        })
        .await;
    }
    net.set_flows(|_, _| Flow::Cut);
    height
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_partition_with_two_validators_locked_on_an_old_order_the_chain_goes_on() {
    let mut options = NetOptions::validators(4);
    options.relays = true;
    options.timeout_prevote_ms = 6_000;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_held-voter"));
    options.nodes.iter_mut().for_each(|node| node.program = Some(program.clone()));
    let net = Net::start(options).await.unwrap();
    fund(&net.client(0).await.unwrap(), &["early".to_owned()], 100).await.unwrap();
    let height = lock_two_of_four(&net).await;
    progress(&format!("height {height}: two of four are locked; cut for {:?}", partition()));
    tokio::time::sleep(partition()).await;
    assert_eq!(net.height(0).await.unwrap(), height - 1, "no block without a network");

    net.set_flows(|_, _| Flow::Open);
    let healed = Instant::now();
    for node in 0..net.len() {
        net.wait_height(node, height).await.unwrap();
    }
    progress(&format!("height {height} after {:?}", healed.elapsed()));
    for node in UNLOCKED {
        let refused = "ms behind this node's clock";
        assert!(net.log(node).contains(refused), "node {node} refused nothing");
    }
    let block = net.comet(0).call("block", json!({ "height": height.to_string() })).await.unwrap();
    let txs = block["block"]["data"]["txs"].as_array().map_or(0, Vec::len);
    assert_eq!(txs, 2, "the block that two were locked on, with its transaction");

    // The chain trades on: prices are fresh, and every node has one history.
    fund(&net.client(3).await.unwrap(), &["after".to_owned()], 100).await.unwrap();
    let last = net.height(0).await.unwrap() + 5;
    for node in 0..net.len() {
        net.wait_height(node, last).await.unwrap();
        let theirs = net.comet(node).block_results(last).await.unwrap();
        let ours = net.comet(0).block_results(last).await.unwrap();
        assert_eq!(theirs["app_hash"], ours["app_hash"], "node {node}");
    }
}
