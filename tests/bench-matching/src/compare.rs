//! All engines on the same streams: their speed, and whether their trades agree.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::engines::{self, exchange_core, PlayResult, ENGINES};
use crate::generate::generate;
use crate::options::Options;
use crate::process::again;
use crate::stream::Outcome;

/// Timed runs of one process.
const RUNS: usize = 2;
/// An engine that takes longer than this time, ns, for the operations is timed in the first round
/// only, and not with larger books.
const SLOW_NS: u64 = 5_000_000_000;

/// One engine at one size of the book.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Name of the engine.
    pub engine: &'static str,
    /// Version of the engine.
    pub version: &'static str,
    /// Orders in the book before the operations.
    pub warm: usize,
    /// Trades of the engine; `None` if the engine was skipped.
    pub outcome: Option<Outcome>,
    /// True if most engines traded the same.
    pub agrees: bool,
    /// Million operations a second of each run, ascending.
    pub mops: Vec<f64>,
    /// Memory of an order, in bytes.
    pub bytes_per_order: u64,
    /// Reason why there are no figures.
    pub skipped: Option<String>,
}

impl Row {
    /// Returns the median of the runs; 0 if there is none.
    pub fn median_mops(&self) -> f64 {
        self.mops.get(self.mops.len() / 2).copied().unwrap_or(0.0)
    }
}

/// Writes the stream of each size into `folder`.
pub fn write_streams(options: &Options, folder: &Path) -> Result<Vec<(usize, PathBuf)>, String> {
    let write = |warm: &usize| {
        let path = folder.join(format!("stream-{warm}.bin"));
        let stream = generate(options.seed, *warm, options.operations);
        stream.write(&path).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        Ok((*warm, path))
    };
    options.warm.iter().map(write).collect()
}

/// Plays the streams on every engine, `rounds` times in turn, so that a slow minute of the machine
/// meets all alike.
pub fn compare(options: &Options, streams: &[(usize, PathBuf)], folder: &Path) -> Vec<Row> {
    let java = match options.own {
        true => Err("only our rows were asked for".to_owned()),
        false => exchange_core::build(&folder.join("exchange-core")),
    };
    let engines: Vec<_> =
        ENGINES.into_iter().filter(|(name, _)| !options.own || engines::is_ours(name)).collect();
    let mut rows = Vec::new();
    let mut slow = BTreeSet::new();
    for (warm, path) in streams {
        let mut found: Vec<Result<PlayResult, String>> =
            engines.iter().map(|_| Err(String::new())).collect();
        for round in 0..options.rounds {
            for ((name, _), found) in engines.iter().zip(&mut found) {
                if slow.contains(name) {
                    if round == 0 {
                        *found = Err("takes too long with smaller books".to_owned());
                    }
                    continue;
                }
                eprintln!("{warm} orders, round {} of {}: {name}", round + 1, options.rounds);
                add(found, play(name, path, &java, round == 0));
                if found.as_ref().is_ok_and(|played| played.ns.iter().any(|ns| *ns > SLOW_NS)) {
                    slow.insert(*name);
                }
            }
        }
        rows.extend(
            engines.iter().zip(found).map(|(engine, found)| row(*engine, *warm, found, options)),
        );
        mark_agreement(&mut rows, *warm);
    }
    rows
}

fn play(
    name: &str,
    path: &Path,
    java: &Result<exchange_core::JavaProgram, String>,
    first: bool,
) -> Result<PlayResult, String> {
    let runs = if first && name == "orderbook-rs" { 1 } else { RUNS };
    if name == exchange_core::NAME {
        return java.as_ref().map_err(Clone::clone)?.play(path, runs);
    }
    if !engines::has(name) {
        return Err(format!(
            "built without {name}: its crate did not build with this compiler or registry"
        ));
    }
    again(&["play", name, &path.display().to_string(), &runs.to_string()])
}

/// Adds a round's times to those before; an engine whose answers differ between rounds has failed.
fn add(found: &mut Result<PlayResult, String>, more: Result<PlayResult, String>) {
    match (&mut *found, more) {
        (Ok(before), Ok(more)) if before.outcome == more.outcome => before.ns.extend(more.ns),
        (Ok(before), Ok(more)) => {
            *found =
                Err(format!("{:?} in one round, {:?} in another", before.outcome, more.outcome));
        }
        (_, more) => *found = more,
    }
}

fn row(
    (engine, version): (&'static str, &'static str),
    warm: usize,
    found: Result<PlayResult, String>,
    options: &Options,
) -> Row {
    let empty = Row {
        engine,
        version,
        warm,
        outcome: None,
        agrees: false,
        mops: Vec::new(),
        bytes_per_order: 0,
        skipped: None,
    };
    let played = match found {
        Ok(played) => played,
        Err(why) => return Row { skipped: Some(why), ..empty },
    };
    let mut mops: Vec<f64> =
        played.ns.iter().map(|ns| options.operations as f64 * 1e3 / *ns as f64).collect();
    mops.sort_by(f64::total_cmp);
    Row { outcome: Some(played.outcome), mops, bytes_per_order: played.bytes_per_order, ..empty }
}

/// The outcome of most engines counts as right.
fn mark_agreement(rows: &mut [Row], warm: usize) {
    let outcomes: Vec<Outcome> =
        rows.iter().filter(|row| row.warm == warm).filter_map(|row| row.outcome).collect();
    let votes = |outcome: &Outcome| outcomes.iter().filter(|other| *other == outcome).count();
    let agreed = outcomes.iter().max_by_key(|outcome| votes(outcome)).copied();
    for row in rows.iter_mut().filter(|row| row.warm == warm) {
        row.agrees = row.outcome.is_some() && row.outcome == agreed;
    }
}
