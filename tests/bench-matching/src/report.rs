//! The figures, as tables and as JSON.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::compare::Row;
use crate::engines::exchange_core;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What the streams were made from.
    pub seed: u64,
    /// Operations timed.
    pub operations: usize,
    /// Side by side.
    pub engines: Vec<Row>,
}

/// Prints the tables.
pub fn print(report: &Report) {
    print_engines(&report.engines);
}

fn print_engines(rows: &[Row]) {
    println!("| engine | orders before | M operations/s, median | slowest–fastest run | × exchange-core | trades | lots | cross-check | bytes per order |");
    println!("|---|---:|---:|---:|---:|---:|---:|---|---:|");
    for row in rows {
        let name = format!("{} {}", row.engine, row.version);
        let Some(outcome) = row.outcome else {
            let why = row.skipped.as_deref().unwrap_or("no figures");
            println!("| {name} | {} | | | | | | skipped: {why} | |", row.warm);
            continue;
        };
        let peer = rows.iter().find(|other| other.warm == row.warm && other.engine == exchange_core::NAME);
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

/// Writes `matching.json` in a folder.
pub fn write(report: &Report, folder: &Path) -> Result<PathBuf, String> {
    let path = folder.join("matching.json");
    let text = serde_json::to_string_pretty(report).map_err(|e| e.to_string())?;
    std::fs::write(&path, text + "\n").map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    Ok(path)
}
