//! A run: the net, honest owners, a time beside a busy loop, the attack, and what became of it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tidemark_client::Client;
use tidemark_proto::params::ChainParams;
use tidemark_proto::v1;
use tidemark_tests::harness::{limit, place, signer};
use tidemark_tests::net::traffic::{fund, mark};
use tidemark_tests::net::{of_tests, progress, wait_for, Net, NetOptions, NodeOptions, Program};

use crate::floods::Floods;
use crate::honest::{self, Fate, Load};
use crate::plan::{owners, Plan, ATTACKS};
use crate::proposers::Proposed;
use crate::share::Share;
use crate::verdict::{self, Attacked, Figures, Pace};
use crate::watch::Watch;
use crate::Options;

/// The honest validators: nodes 0 to 2.
const HONEST: usize = 3;
/// The validator that misbehaves.
const VALIDATOR: usize = 3;
/// The peer that is no validator.
const PEER: usize = 4;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// Orders in the book that slow readers ask for.
const BOOK_BATCHES: u64 = 8;
const BATCH: u64 = 512;

/// The owner of one batch of the book.
fn maker(batch: u64) -> String {
    format!("maker of the book {batch}")
}

/// Attacks; true if every bound holds, those on time only if they are judged.
///
/// # Errors
/// A sentence when the net, or a process, does not run.
pub async fn run(options: Options) -> Result<bool, String> {
    let Options { seconds, seed, judges_time, has_allowances } = options;
    let mut net = start(has_allowances).await?;
    let client = net.client(0).await?;
    let mark_ticks = wait_for("a mark", || mark(&client)).await;
    let genesis_hash = client.genesis_hash().await.map_err(|e| e.to_string())?;
    deposit_for_all(&client).await?;
    fill_the_book(&client, mark_ticks).await?;
    let mut share = Share::new();
    let peer: Vec<u32> = net.running(PEER).iter().map(|running| running.id).collect();
    share.add(&peer)?;
    progress(&format!("attackers share {}", share.means()));

    let watch = Watch::start(&net, HONEST).await?;
    let heights: Vec<_> = (0..HONEST).map(|node| watch.height(node).clone()).collect();
    let load = Load::start(&net, &heights, &genesis_hash, mark_ticks).await?;
    let busy = Floods::busy(&mut share).await?;
    let baseline = pace(&watch, &load, (seconds / 4).clamp(10, 60), busy, "busy loop").await?;

    let plan = plan(&net, seconds, seed, mark_ticks, &genesis_hash).await;
    let path = plan.home.join("hostile.json");
    plan.write(&path)?;
    fs::write(plan.home.join("hostile"), "").map_err(|e| format!("cannot begin: {e}"))?;
    watch.forget();
    let floods = Floods::start(&path, &mut share).await?;
    let attack = pace(&watch, &load, seconds, floods, "attack").await?;
    let memory = [Program::Node, Program::Comet].map(|program| watch.peak(program));
    let newcomers = watch.newcomers();
    // The misbehaving validator comes to rest, so that the last transactions are looked for in
    // peace; what was sent in the attack counts.
    fs::remove_file(plan.home.join("hostile")).map_err(|e| format!("cannot end: {e}"))?;
    let (fates, proof) = load.stop(&client).await?;
    let head = watch.head();
    let proposed = Proposed::by(&net, VALIDATOR, attack.from_height, head).await?;
    let log = net.log(VALIDATOR);
    let attacked = Attacked {
        unseen_blocks: log.matches("unseen transactions is decided").count() as u64,
        misvotes: log.matches(" votes ").count() as u64,
        blanked_power: power(&net, "tidemark_oracle_blanked_power_total").await,
        rejected: power(&net, "tidemark_proposals_rejected_total").await,
        newcomers,
        memory,
    };
    let means = share.means();
    net.stop(PEER);
    let figures = Figures { seconds, means, baseline, attack, fates, proof, proposed, attacked };
    verdict::tell(&figures, judges_time)
}

/// A count of the first node.
async fn power(net: &Net, metric: &str) -> f64 {
    let metrics = net.metrics(0).await.ok();
    metrics.and_then(|metrics| metrics.sum(metric, &[])).unwrap_or(0.0)
}

/// Three honest validators, one that can misbehave, and a peer that is none.
async fn start(has_allowances: bool) -> Result<Net, String> {
    let mut options = NetOptions::validators(HONEST + 1);
    options.timeout_commit_ms = 200;
    if has_allowances {
        options.allowance_base = ChainParams::default().allowance_base;
    }
    options.nodes[VALIDATOR].program = Some(of_tests("hostile-validator")?);
    let program = Some(of_tests("hostile-peer")?);
    options.nodes.push(NodeOptions { power: 0, program, ..NodeOptions::default() });
    Net::start(options).await
}

async fn deposit_for_all(client: &Client) -> Result<(), String> {
    let mut names = honest::names();
    names.extend(ATTACKS.iter().flat_map(|attack| owners(attack)));
    names.extend((0..BOOK_BATCHES).map(maker));
    progress(&format!("deposits for {} owners", names.len()));
    fund(client, &names, 100_000).await
}

/// Orders far from the mark, so that a book order by order takes a while to read.
async fn fill_the_book(client: &Client, mark_ticks: u64) -> Result<(), String> {
    for batch in 0..BOOK_BATCHES {
        let mut maker = tidemark_client::Sender::new(client.clone(), signer(&maker(batch)));
        let price = |order: u64| mark_ticks * 8 / 10 - batch * BATCH - order;
        let orders = (0..BATCH).map(|order| place(limit(0, v1::Side::Buy, price(order), 1)));
        let sent = maker.orders(0, orders.collect(), v1::WaitFor::Committed).await;
        sent.map_err(|e| format!("the book: {e}"))?;
    }
    Ok(())
}

async fn plan(
    net: &Net,
    seconds: u64,
    seed: u64,
    mark_ticks: u64,
    genesis_hash: &[u8; 32],
) -> Plan {
    let home: PathBuf = net.home(VALIDATOR).to_owned();
    Plan {
        grpc: (0..HONEST).map(|node| net.grpc(node)).collect(),
        comet: (0..HONEST).map(|node| net.comet_rpc(node)).collect(),
        peer: net.comet_rpc(PEER),
        home,
        genesis_hash: hex::encode(genesis_hash),
        mark_ticks,
        seconds,
        seed,
    }
}

/// Lets the honest owners trade beside other processes for a time, with a line of progress now and
/// then.
async fn pace(
    watch: &Watch,
    load: &Load,
    seconds: u64,
    mut beside: Floods,
    name: &'static str,
) -> Result<Pace, String> {
    let (start, from_height) = (Instant::now(), watch.head());
    let time = Duration::from_secs(seconds);
    while start.elapsed() < time {
        tokio::time::sleep(PROGRESS.min(time.saturating_sub(start.elapsed()))).await;
        if let Some(why) = beside.ended() {
            return Err(why);
        }
        tell_progress(watch, &load.since(start), &beside, (start, from_height), name);
    }
    let elapsed = start.elapsed();
    let pace =
        Pace { start, elapsed, from_height, to_height: watch.head(), floods: beside.counts() };
    beside.stop().await;
    Ok(pace)
}

fn tell_progress(
    watch: &Watch,
    fates: &[Fate],
    beside: &Floods,
    (start, from_height): (Instant, u64),
    name: &str,
) {
    let seconds = start.elapsed().as_secs_f64();
    let mut blocks: Vec<u64> = fates.iter().filter_map(verdict::blocks).collect();
    blocks.sort_unstable();
    let counts = beside.counts();
    let sent: u64 = counts.iter().map(|(_, counts)| counts.sent).sum();
    let refused: u64 = counts.iter().map(|(_, counts)| counts.refusals()).sum();
    let mib = |program| watch.peak(program).0 >> 20;
    let height = watch.height(0).load(Ordering::Relaxed);
    progress(&format!(
        "{name}, {seconds:.0} s: height {height}, {:.2} blocks/s; {} honest, p99 {} blocks; \
         {sent} hostile, {refused} refused; tidemarkd {} MiB, CometBFT {} MiB",
        watch.head().saturating_sub(from_height) as f64 / seconds,
        fates.len(),
        verdict::percentile(&blocks, 99),
        mib(Program::Node),
        mib(Program::Comet),
    ));
}
