//! Tables and JSON of the figures.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::commitment::Blocks;
use crate::compare::Row;
use crate::engines::exchange_core;
use crate::floor::Floor;
use crate::latency::Latency;
use crate::measures::{self, Measure};
use crate::memory::Memory;
use crate::worst::Case;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Seed of the streams.
    pub seed: u64,
    /// Number of operations that were timed.
    pub operations: usize,
    /// The engines side by side.
    pub engines: Vec<Row>,
    /// Single operations of Tidemark's book, on the first stream.
    pub latency: Latency,
    /// Worst cases of Tidemark's book.
    pub worst: Vec<Case>,
    /// Cost of the commitment, on each stream.
    pub blocks: Vec<Blocks>,
    /// Memory of an order.
    pub memory: Vec<Memory>,
    /// Latency of the machine's memory.
    pub floor: Vec<Floor>,
}

/// Prints the tables.
pub fn print(report: &Report) {
    print_engines(&report.engines);
    print_latency(&report.latency);
    print_worst(&report.worst);
    print_blocks(&report.blocks);
    print_memory(&report.memory);
    print_floor(&report.floor);
}

fn print_latency(latency: &Latency) {
    println!(
        "\nOne operation, ns, {} runs; {} ns for reading the clock are taken off:\n",
        latency.runs, latency.clock_ns
    );
    println!("| of | p50 | p99 | p99.9 | max |\n|---|---:|---:|---:|---:|");
    for row in &latency.rows {
        println!("| {} | {} | {} | {} | {} |", row.operations, row.p50, row.p99, row.p999, row.max);
    }
}

fn print_worst(cases: &[Case]) {
    println!("\nWorst cases:\n\n| what | N | ns | per |\n|---|---:|---:|---|");
    for case in cases {
        println!("| {} | {} | {:.0} | {} |", case.what, case.size, case.ns, case.per);
    }
}

fn print_blocks(blocks: &[Blocks]) {
    println!("\nCommitment, means over the blocks:\n");
    println!(
        "| orders before | operations in a block | levels changed | operations, µs | L2 and L3 \
         root, µs | a level, µs | changed levels read, µs | first roots, µs | bytes per order |"
    );
    println!("|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for row in blocks {
        println!(
            "| {} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {:.0} | {:.0} | {} |",
            row.warm,
            row.operations,
            row.changed_levels,
            row.operations_us,
            row.roots_us,
            row.roots_us / row.changed_levels.max(1.0),
            row.dirty_us,
            row.first_roots_us,
            row.bytes_per_order,
        );
    }
}

fn print_memory(shapes: &[Memory]) {
    println!(
        "\nMemory, as the book counts it:\n\n| orders | where | bytes per order |\n|---:|---|---:|"
    );
    for row in shapes {
        println!("| {} | {} | {} |", row.orders, row.what, row.bytes_per_order);
    }
}

fn print_floor(floor: &[Floor]) {
    println!("\nThe machine's memory, one load of a random cache line:\n");
    println!(
        "| memory, KiB | waiting for the load before, ns | not waiting, ns |\n|---:|---:|---:|"
    );
    for row in floor {
        println!("| {} | {:.1} | {:.1} |", row.kib, row.dependent_ns, row.independent_ns);
    }
}

/// Prints the engines side by side.
pub fn print_engines(rows: &[Row]) {
    println!(
        "| engine | orders before | M operations/s, median | slowest–fastest run | × \
         exchange-core | trades | lots | cross-check | bytes per order |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---|---:|");
    for row in rows {
        let name = format!("{} {}", row.engine, row.version);
        let Some(outcome) = row.outcome else {
            let why = row.skipped.as_deref().unwrap_or("no figures");
            println!("| {name} | {} | | | | | | skipped: {why} | |", row.warm);
            continue;
        };
        let peer =
            rows.iter().find(|other| other.warm == row.warm && other.engine == exchange_core::NAME);
        let times = peer.map(Row::median_mops).filter(|mops| *mops > 0.0);
        println!(
            "| {name} | {} | {:.2} | {:.2}–{:.2} | {} | {} | {} | {} | {} |",
            row.warm,
            row.median_mops(),
            row.mops.first().unwrap_or(&0.0),
            row.mops.last().unwrap_or(&0.0),
            times.map_or_else(String::new, |mops| format!("{:.2}", row.median_mops() / mops)),
            outcome.trades,
            outcome.lots,
            if row.agrees { "same" } else { "differs" },
            if row.bytes_per_order > 0 { row.bytes_per_order.to_string() } else { String::new() },
        );
    }
}

/// Writes `matching.json` in a folder: the rates of the engines as measures, and all tables.
pub fn write(engines: &[Row], tables: &impl Serialize, folder: &Path) -> Result<PathBuf, String> {
    let mut all = Vec::new();
    for row in engines.iter().filter(|row| row.outcome.is_some()) {
        let name = format!("{}, {} orders before", row.engine, row.warm);
        all.push(Measure::throughput(name.clone(), row.median_mops(), "M operations/s"));
        all.push(Measure::cost(name, row.bytes_per_order as f64, "bytes an order"));
    }
    measures::write(folder, "matching", &all, tables)
}
