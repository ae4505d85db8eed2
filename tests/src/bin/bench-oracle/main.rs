//! `bench-oracle`: what prices cost in a block. The parts in this process, for 100 validators that
//! each report 50 markets; and the mean time of an empty block of four validators under CometBFT,
//! with 50 markets in every vote extension and with empty extensions.
#![allow(clippy::float_arithmetic)]

mod parts;

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::Serialize;
use tidemark_client::Client;
use tidemark_node::config::FeedConfig;
use tidemark_proto::params::MarketParams;
use tidemark_tests::measures::{self, Measure};
use tidemark_tests::net::{progress, target_folder, unix_ms, wait_for, Net, NetOptions};

const USAGE: &str =
    "usage: bench-oracle [--seconds N]  (of each network; 0 leaves the networks out)";
const VALIDATORS: usize = 100;
const MARKETS: u16 = 50;

/// The figures.
#[derive(Serialize)]
struct Figures {
    validators: usize,
    markets: u16,
    extension_bytes: usize,
    commit_bytes: usize,
    parts: Vec<parts::Part>,
    /// Mean time of an empty block of four validators: with empty extensions, and with 50 markets
    /// in each.
    block_ms: Option<(f64, f64)>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-oracle: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seconds: u64 = match words.as_slice() {
        [] => 20,
        [option, value] if option == "--seconds" => value
            .parse()
            .ok()
            .filter(|n| *n <= 600)
            .ok_or_else(|| format!("--seconds {value}; {USAGE}"))?,
        _ => return Err(USAGE.into()),
    };
    let (extension_bytes, commit_bytes, parts) = parts::measure(VALIDATORS, MARKETS);
    let block_ms =
        if seconds == 0 { None } else { Some(networks(Duration::from_secs(seconds)).await?) };
    let figures = Figures {
        validators: VALIDATORS,
        markets: MARKETS,
        extension_bytes,
        commit_bytes,
        parts,
        block_ms,
    };
    print(&figures);
    let part = |part: &parts::Part| Measure::cost(part.what, part.micros, "µs");
    let mut all: Vec<Measure> = figures.parts.iter().map(part).collect();
    if let Some((without, with)) = figures.block_ms {
        all.push(Measure::cost("empty block, empty extensions", without, "ms"));
        all.push(Measure::cost("empty block, all markets in each extension", with, "ms"));
    }
    let path = measures::write(&target_folder()?.join("bench"), "oracle", &all, &figures)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

fn print(figures: &Figures) {
    println!(
        "{} validators × {} markets, index and external price of each:\n",
        figures.validators, figures.markets
    );
    println!("| part of a block | µs |\n|---|---:|");
    for part in &figures.parts {
        println!("| {} | {:.1} |", part.what, part.micros);
    }
    println!(
        "\none vote extension {} B, the extended commit {} B",
        figures.extension_bytes, figures.commit_bytes
    );
    if let Some((without, with)) = figures.block_ms {
        println!("\n| four validators | empty block |\n|---|---:|");
        println!(
            "| empty extensions | {without:.1} ms |\n| {MARKETS} markets in each | {with:.1} ms |"
        );
    }
}

/// Mean times of an empty block: with empty extensions, and with 50 markets in each.
async fn networks(time: Duration) -> Result<(f64, f64), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = folder.path().join("prices.csv");
    std::fs::write(&file, prices()).map_err(|e| e.to_string())?;
    let replay = FeedConfig::Replay { file, speed: 1, start_at_ms: unix_ms(), repeat: true };
    let mut means = Vec::new();
    for feed in [FeedConfig::Off, replay] {
        let mut options = NetOptions { timeout_commit_ms: 0, ..NetOptions::validators(4) };
        options.markets = (0..MARKETS).map(market).collect();
        options.nodes.iter_mut().for_each(|node| node.feed = Some(feed.clone()));
        let net = Net::start(options).await?;
        let client = net.client(0).await?;
        if feed != FeedConfig::Off {
            wait_for("all prices", || async {
                let markets = client.markets().await.ok()?;
                let all = markets.iter().all(|(_, state)| state.index_ticks > 0);
                all.then_some(())
            })
            .await;
        }
        progress(&format!("four validators, {feed:?}"));
        means.push(mean_block_ms(&client, time).await?);
    }
    Ok((means[0], means[1]))
}

fn market(id: u16) -> MarketParams {
    MarketParams::with_defaults(&format!("M{id:02}-USD"), 1_000_000, 1_000_000_000, 20)
}

/// A minute of prices of 50 markets that move by some basis points a second, on spot and perpetual.
fn prices() -> String {
    let mut text = String::from("time_ms,market,price\n");
    for second in 0..60_u64 {
        for id in 0..u64::from(MARKETS) {
            let price = 100_000 + 1_000 * id + (second * (7 + id)) % 90;
            for (perp, price) in [("", price), ("_PERP", price + 40)] {
                let _ = writeln!(
                    text,
                    "{},M{id:02}-USD{perp},{}.{:03}",
                    second * 1_000,
                    price / 1_000,
                    price % 1_000
                );
            }
        }
    }
    text
}

async fn mean_block_ms(client: &Client, time: Duration) -> Result<f64, String> {
    let height =
        || async { client.status().await.map(|status| status.height).map_err(|e| e.to_string()) };
    let (first, start) = (height().await?, Instant::now());
    tokio::time::sleep(time).await;
    let blocks = height().await?.saturating_sub(first).max(1);
    Ok(start.elapsed().as_secs_f64() * 1e3 / blocks as f64)
}
