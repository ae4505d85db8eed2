//! `bench-chain`: what the whole chain does on this machine: block time, committed orders per
//! second, latency, and where the application's part of a block goes. Nodes are real processes
//! under CometBFT; the load comes from this process, on the same cores. With `--absent` the pace of
//! four validators while one of them is away.
#![allow(clippy::float_arithmetic)]

mod absent;
mod load;
mod report;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use load::{Batch, Done};
use report::{LoadResult, PhaseTime, Run};
use tidemark_client::Client;
use tidemark_engine::phase::Phase;
use tidemark_tests::net::traffic::{fund, mark};
use tidemark_tests::net::{progress, wait_for, Metrics, Net, NetOptions};

const USAGE: &str = "usage: bench-chain [--seconds N] [--validators 1,4] | bench-chain --absent";

/// The options.
struct Options {
    /// Seconds of each load.
    seconds: u64,
    /// Sizes of the networks, one after another.
    validators: Vec<usize>,
}

impl Options {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { seconds: 8, validators: vec![1, 4] };
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word} needs a value; {USAGE}"))?;
            let wrong = || format!("{word} {value} is not valid; {USAGE}");
            match word.as_str() {
                "--seconds" => {
                    options.seconds =
                        value.parse().ok().filter(|n| (1..=600).contains(n)).ok_or_else(wrong)?
                }
                "--validators" => {
                    let counts =
                        value.split(',').map(|n| n.parse().ok().filter(|n| (1..=16).contains(n)));
                    options.validators = counts.collect::<Option<_>>().ok_or_else(wrong)?;
                }
                _ => return Err(format!("unknown option {word}; {USAGE}")),
            }
        }
        Ok(options)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-chain: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    if std::env::args().skip(1).eq(["--absent"]) {
        return absent::run().await;
    }
    let options = Options::parse(std::env::args().skip(1))?;
    let mut runs = Vec::new();
    for &validators in &options.validators {
        runs.push(measure(validators, options.seconds).await?);
    }
    report::print(&runs);
    let path = report::write(&runs)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

async fn measure(validators: usize, seconds: u64) -> Result<Run, String> {
    let net = Net::start(NetOptions { timeout_commit_ms: 0, ..NetOptions::validators(validators) })
        .await?;
    let mut clients = Vec::new();
    for node in 0..net.len() {
        clients.push(net.client(node).await?);
    }
    let mark_ticks = wait_for("a mark", || mark(&clients[0])).await;
    progress(&format!("{validators} validator(s): empty blocks"));
    let empty_block_ms = empty_blocks(&clients[0], Duration::from_secs(3)).await?;

    let genesis_hash = clients[0].genesis_hash().await.map_err(|error| error.to_string())?;
    let mut loads = Vec::new();
    for batch in Batch::all(seconds) {
        let names = batch.names();
        fund(&clients[0], &names, 10_000_000).await?;
        progress(&format!("{validators} validator(s): {}", batch.title));
        let signed = load::sign(&batch, mark_ticks, genesis_hash).await?;
        let before = (net.metrics(0).await?, net.height(0).await?);
        let done = load::run(&batch, signed, &clients).await?;
        let after = (net.metrics(0).await?, net.height(0).await?);
        loads.push(result(&batch, done, before, after));
    }
    Ok(Run { validators, empty_block_ms, loads })
}

/// Mean time from block to block, as the stream tells them.
async fn empty_blocks(client: &Client, time: Duration) -> Result<f64, String> {
    let mut blocks = client.block_stream().await.map_err(|e| e.to_string())?;
    let ended = || "the stream of blocks ended".to_owned();
    blocks.message().await.map_err(|e| e.to_string())?.ok_or_else(ended)?;
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < time {
        blocks.message().await.map_err(|e| e.to_string())?.ok_or_else(ended)?;
        count += 1;
    }
    Ok(start.elapsed().as_secs_f64() * 1_000.0 / f64::from(count))
}

fn result(batch: &Batch, done: Done, before: (Metrics, u64), after: (Metrics, u64)) -> LoadResult {
    let blocks = after.1.saturating_sub(before.1).max(1);
    let seconds = done.elapsed.as_secs_f64();
    let grown = |name: &str, labels: &[(&str, &str)]| {
        after.0.sum(name, labels).unwrap_or(0.0) - before.0.sum(name, labels).unwrap_or(0.0)
    };
    let phase = |phase: Phase| {
        let spent = grown("tidemark_block_phase_seconds_sum", &[("phase", phase.name())]);
        PhaseTime {
            phase: phase.name(),
            ms_per_block: spent * 1_000.0 / blocks as f64,
            share: spent / seconds,
        }
    };
    LoadResult {
        load: batch.title,
        orders_per_second: done.orders as f64 / seconds,
        refused_per_second: done.refused as f64 / seconds,
        txs_per_second: done.latencies_ms.len() as f64 / seconds,
        trades_per_second: grown("tidemark_trades_total", &[]) / seconds,
        latency_p50_ms: report::percentile(&done.latencies_ms, 50),
        latency_p99_ms: report::percentile(&done.latencies_ms, 99),
        blocks,
        block_ms: seconds * 1_000.0 / blocks as f64,
        phases: Phase::ALL.map(phase).into(),
    }
}
