//! Nodes killed at any moment under load: what a node accepted is carried out once, or answered.

mod owner;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidemark_client::Client;
use tokio::task::JoinSet;

use crate::net::orders::{told, Told};
use crate::net::traffic::{fund, mark, Random};
use crate::net::{progress, wait_for, Net, NetOptions, Program};
use owner::{Fate, Trader};

/// The pause after each block: 50 blocks, for which a transaction lives, are longer than a restart.
const TIMEOUT_COMMIT_MS: u64 = 300;
/// Blocks from one snapshot to the next: most starts go on from one.
const SNAPSHOT_INTERVAL: u64 = 10;
/// Validators, of which one at a time is away.
const NODES: usize = 4;
/// Owners that trade on each node.
const OWNERS_PER_NODE: usize = 2;
/// A kill comes within so many milliseconds after the last restart.
const KILL_WITHIN_MS: u64 = 1_500;
/// Between two kills with a line of progress.
const PROGRESS_EVERY: u32 = 10;

/// The ends of the orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Kills of a node, of its `tidemarkd`, or of its CometBFT.
    pub kills: u32,
    /// Transactions that a node accepted.
    pub accepted: u64,
    /// Sent again because the answer was lost with the node.
    pub sent_again: u64,
    /// Carried out once.
    pub once: u64,
    /// Answered with a refusal in a block.
    pub refused: u64,
    /// Accepted, and neither carried out nor answered.
    pub lost: u64,
    /// Carried out more than once.
    pub doubled: u64,
}

/// Trades on four validators, of which a random one is killed again and again, and counts.
///
/// # Errors
/// A sentence when the net does not run, or a node does not come back.
pub async fn run(kills: u32, seed: u64) -> Result<Outcome, String> {
    let options = NetOptions::validators(NODES);
    let options = NetOptions {
        timeout_commit_ms: TIMEOUT_COMMIT_MS,
        snapshot_interval: SNAPSHOT_INTERVAL,
        ..options
    };
    let mut net = Net::start(options).await?;
    let client = net.client(0).await?;
    let mark_ticks = wait_for("a mark", || mark(&client)).await;
    let genesis_hash = client.genesis_hash().await.map_err(|e| e.to_string())?;
    let names: Vec<String> =
        (0..NODES * OWNERS_PER_NODE).map(|number| format!("owner {number}")).collect();
    fund(&client, &names, 100_000).await?;
    let from_height = net.height(0).await?;
    let (stop, fates) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Fate>>>::default());
    let mut traders = JoinSet::new();
    for (number, name) in names.iter().enumerate() {
        let trader = Trader {
            client: net.client(number % NODES).await?,
            price_ticks: mark_ticks * 95 / 100 - number as u64,
            stop: Arc::clone(&stop),
            fates: Arc::clone(&fates),
        };
        traders.spawn(trader.trade(name.clone(), genesis_hash));
    }
    kill_again_and_again(&mut net, kills, seed).await?;
    stop.store(true, Ordering::Relaxed);
    let mut last_orders = Vec::new();
    while let Some(last) = traders.join_next().await {
        last_orders.push(last.map_err(|e| e.to_string())??);
    }
    let fates = fates.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut outcome = Outcome { kills, ..Outcome::default() };
    for (address, last) in last_orders {
        let told = told(&client, &address, from_height, last).await?;
        let those = fates.iter().filter(|fate| fate.owner == address);
        those.for_each(|fate| outcome.add(fate, &told));
    }
    Ok(outcome)
}

impl Outcome {
    fn add(&mut self, fate: &Fate, told: &std::collections::BTreeMap<u64, Told>) {
        let Told { rested, removed } = told.get(&fate.client_id).copied().unwrap_or_default();
        let count = if fate.places { rested } else { removed };
        self.accepted += 1;
        self.sent_again += u64::from(fate.sent_again);
        match (count, fate.answer) {
            (2.., _) => self.doubled += 1,
            (1, _) => self.once += 1,
            (_, Some(code)) if code != 0 => self.refused += 1,
            _ => self.lost += 1,
        }
    }

    /// True if nothing is lost and nothing doubled.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.doubled == 0
    }
}

async fn kill_again_and_again(net: &mut Net, kills: u32, seed: u64) -> Result<(), String> {
    let mut random = Random::new(seed);
    for kill in 0..kills {
        let node = usize::try_from(random.below(NODES as u64)).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(random.below(KILL_WITHIN_MS))).await;
        match kill % 3 {
            0 => net.kill(node),
            1 => net.kill_one(node, Program::Node),
            _ => net.kill_one(node, Program::Comet),
        }
        net.restart(node)?;
        net.ready().await?;
        let head = head(net, node).await?;
        net.wait_height(node, head).await?;
        if (kill + 1) % PROGRESS_EVERY == 0 || kill + 1 == kills {
            progress(&format!("{} of {kills} kills, height {head}", kill + 1));
        }
    }
    Ok(())
}

/// The height of a node that was not killed.
async fn head(net: &Net, killed: usize) -> Result<u64, String> {
    net.height((killed + 1) % NODES).await
}

/// A client's answer by the hash of a transaction: the code, 0 if it was carried out.
async fn answer(client: &Client, hash: &str) -> Option<u32> {
    use tidemark_proto::v1::answer_request::By;
    let found = client.answer(By::TxHash(hash.to_owned())).await.ok()?;
    let refused = found.results.iter().map(|result| result.code).find(|code| *code != 0);
    Some(if found.code == 0 { refused.unwrap_or(0) } else { found.code })
}
