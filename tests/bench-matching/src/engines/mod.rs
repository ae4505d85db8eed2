//! The engines, and the way in which an engine plays a stream.

pub mod exchange_core;
#[cfg(feature = "lobster")]
mod lobster;
#[cfg(feature = "matchcore")]
mod matchcore;
#[cfg(feature = "orderbook-rs")]
mod orderbook_rs;
pub mod tidemark;

use serde::{Deserialize, Serialize};

use crate::process::{cpu_ns, rss_bytes};
use crate::stream::{Outcome, Record, Stream, Tape};

/// Name and version of each engine, ours first.
pub const ENGINES: [(&str, &str); 6] = [
    ("tidemark", env!("CARGO_PKG_VERSION")),
    (WITH_EXTRAS, env!("CARGO_PKG_VERSION")),
    (exchange_core::NAME, "0.5.3"),
    ("matchcore", "0.4.0"),
    ("lobster", "0.7.0"),
    ("orderbook-rs", "0.15.3"),
];

/// Our book, with the stream's client ids and expiries, which the other engines do not know.
const WITH_EXTRAS: &str = "tidemark, client ids and expiries";

/// True if the engine of a name is ours.
pub fn is_ours(name: &str) -> bool {
    name == "tidemark" || name == WITH_EXTRAS
}

/// An engine with one book.
pub trait Engine: Default {
    /// Plays records and reports each trade to `tape`.
    fn run<T: Tape>(&mut self, records: &[Record], tape: &mut T);
    /// Returns the number of orders in the book.
    fn live(&self) -> u64;
}

/// Result of one process of an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlayResult {
    /// Outcome of the run that was not timed.
    pub outcome: Outcome,
    /// Time of the stream's operations in each timed run, ns.
    pub ns: Vec<u64>,
    /// Memory that the warm orders added to the process, for each order. Java: to the heap, after
    /// collection.
    pub bytes_per_order: u64,
}

/// Plays the stream once for the cross-check and the memory, then `runs` times for the time.
fn play<E: Engine>(stream: &Stream, runs: usize) -> Result<PlayResult, String> {
    let before = rss_bytes()?;
    let (mut engine, mut outcome) = (E::default(), Outcome::default());
    engine.run(&stream.warm, &mut outcome);
    let bytes_per_order = rss_bytes()?.saturating_sub(before) / (stream.warm.len() as u64).max(1);
    engine.run(&stream.operations, &mut outcome);
    outcome.live = engine.live();
    drop(engine);
    let ns = (0..runs).map(|_| time::<E>(stream, &outcome)).collect::<Result<_, _>>()?;
    Ok(PlayResult { outcome, ns, bytes_per_order })
}

fn time<E: Engine>(stream: &Stream, expected: &Outcome) -> Result<u64, String> {
    let (mut engine, mut counts) = (E::default(), (0, 0));
    engine.run(&stream.warm, &mut counts);
    let start = cpu_ns();
    engine.run(&stream.operations, &mut counts);
    let ns = cpu_ns() - start;
    if counts != (expected.trades, expected.lots) {
        return Err(format!("a timed run traded {counts:?}, the run before it {expected:?}"));
    }
    Ok(ns)
}

/// Returns true if this program contains the engine.
pub fn has(name: &str) -> bool {
    match name {
        "matchcore" => cfg!(feature = "matchcore"),
        "lobster" => cfg!(feature = "lobster"),
        "orderbook-rs" => cfg!(feature = "orderbook-rs"),
        _ => is_ours(name),
    }
}

/// Plays the stream with a named engine, in this process.
pub fn play_named(name: &str, stream: Stream, runs: usize) -> Result<PlayResult, String> {
    match name {
        "tidemark" => play::<tidemark::Tidemark>(&stream.plain(), runs),
        WITH_EXTRAS => play::<tidemark::Tidemark>(&stream, runs),
        #[cfg(feature = "matchcore")]
        "matchcore" => play::<matchcore::Matchcore>(&stream, runs),
        #[cfg(feature = "lobster")]
        "lobster" => play::<lobster::Lobster>(&stream, runs),
        #[cfg(feature = "orderbook-rs")]
        "orderbook-rs" => play::<orderbook_rs::OrderbookRs>(&stream, runs),
        other => Err(format!("no engine {other:?} in this program")),
    }
}
