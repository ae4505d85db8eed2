//! The pace of a chain of four validators while one of them is away.

use std::time::Duration;

use serde::Serialize;
use tidemark_tests::measures::{self, Measure};
use tidemark_tests::net::traffic::mark;
use tidemark_tests::net::{progress, target_folder, wait_for, Net, NetOptions};

use super::empty_blocks;

/// The pause after a block of a chain that is made with defaults, in ms.
const TIMEOUT_COMMIT_MS: u64 = 100;
/// How long a pace is measured: some 40 blocks and more.
const TIME: Duration = Duration::from_secs(20);
/// The least part of the pace that is left.
const FLOOR: f64 = 0.5;

/// The time from block to block.
#[derive(Serialize)]
struct Table {
    all_ms: f64,
    one_absent_ms: f64,
}

/// Measures, prints and writes `bench/absent.json`.
///
/// # Errors
/// A sentence when the net does not run.
pub async fn run() -> Result<(), String> {
    let options = NetOptions { timeout_commit_ms: TIMEOUT_COMMIT_MS, ..NetOptions::validators(4) };
    let mut net = Net::start(options).await?;
    let client = net.client(0).await?;
    wait_for("a mark", || mark(&client)).await;
    progress("four of four validators");
    let all_ms = empty_blocks(&client, TIME).await?;
    net.stop(3);
    progress("three of four validators");
    // The round in which it left is not its absence.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let one_absent_ms = empty_blocks(&client, TIME).await?;
    let mut part = Measure::throughput("pace, one of four absent", all_ms / one_absent_ms, "");
    part.floor = Some(FLOOR);
    let all = [
        Measure::throughput("blocks, four of four", 1_000.0 / all_ms, "blocks/s"),
        Measure::throughput("blocks, three of four", 1_000.0 / one_absent_ms, "blocks/s"),
        part,
    ];
    println!("\n| figure | value |\n|---|---:|");
    for measure in &all {
        println!("| {} | {:.2} {} |", measure.name, measure.value, measure.unit);
    }
    let table = Table { all_ms, one_absent_ms };
    let path = measures::write(&target_folder()?.join("bench"), "absent", &all, &table)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}
