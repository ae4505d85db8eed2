//! The figures, as a table and as JSON.

use std::path::PathBuf;

use serde::Serialize;
use tidemark_tests::measures::{self, Measure};
use tidemark_tests::net::target_folder;

/// One network.
#[derive(Debug, Serialize)]
pub struct Run {
    /// Its validators.
    pub validators: usize,
    /// Mean time from one empty block to the next.
    pub empty_block_ms: f64,
    /// Its figures under each load.
    pub loads: Vec<LoadResult>,
}

/// One load.
#[derive(Debug, Serialize)]
pub struct LoadResult {
    pub load: &'static str,
    pub orders_per_second: f64,
    pub refused_per_second: f64,
    pub txs_per_second: f64,
    pub trades_per_second: f64,
    pub latency_p50_ms: f64,
    pub latency_p99_ms: f64,
    pub blocks: u64,
    pub block_ms: f64,
    pub phases: Vec<PhaseTime>,
}

/// One phase on the first node.
#[derive(Debug, Serialize)]
pub struct PhaseTime {
    pub phase: &'static str,
    pub ms_per_block: f64,
    /// Of the whole time, 1 is 100 %.
    pub share: f64,
}

/// The value below which `percent` of 100 lie; 0 of none. `sorted` ascends.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// Prints two tables.
pub fn print(runs: &[Run]) {
    println!(
        "| validators | load | orders/s | tx/s | trades/s | submit→commit p50 | p99 | block | \
         application's share |"
    );
    println!("|---:|---|---:|---:|---:|---:|---:|---:|---:|");
    for Run { validators, empty_block_ms, loads } in runs {
        println!("| {validators} | none | | | | | | {empty_block_ms:.1} ms | |");
        for load in loads {
            let share: f64 = load.phases.iter().map(|phase| phase.share).sum();
            println!(
                "| {validators} | {} | {:.0} | {:.0} | {:.0} | {:.1} ms | {:.1} ms | {:.1} ms | \
                 {:.0} % |",
                load.load,
                load.orders_per_second,
                load.txs_per_second,
                load.trades_per_second,
                load.latency_p50_ms,
                load.latency_p99_ms,
                load.block_ms,
                share * 100.0,
            );
        }
    }
    println!("\nThe application's time by phase, ms a block on the first node:\n");
    let columns: Vec<(usize, &LoadResult)> =
        runs.iter().flat_map(|run| run.loads.iter().map(|load| (run.validators, load))).collect();
    let heads = columns.iter().map(|(validators, load)| format!(" {validators} × {} |", load.load));
    println!("| phase |{}", heads.collect::<String>());
    println!("|---|{}", "---:|".repeat(columns.len()));
    let phases = columns.first().map_or(0, |(_, load)| load.phases.len());
    for index in 0..phases {
        let cells =
            columns.iter().map(|(_, load)| format!(" {:.2} |", load.phases[index].ms_per_block));
        println!("| {} |{}", columns[0].1.phases[index].phase, cells.collect::<String>());
    }
}

/// Writes `bench/chain.json` in the target folder.
pub fn write(runs: &[Run]) -> Result<PathBuf, String> {
    let mut all = Vec::new();
    for Run { validators, empty_block_ms, loads } in runs {
        all.push(Measure::cost(format!("empty block, {validators}"), *empty_block_ms, "ms"));
        for load in loads {
            let name = |what: &str| format!("{what}, {}, {validators}", load.load);
            all.push(Measure::throughput(name("orders"), load.orders_per_second, "orders/s"));
            all.push(Measure::cost(name("latency p50"), load.latency_p50_ms, "ms"));
            all.push(Measure::cost(name("latency p99"), load.latency_p99_ms, "ms"));
        }
    }
    measures::write(&target_folder()?.join("bench"), "chain", &all, &runs)
}
