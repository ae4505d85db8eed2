//! Latency of single operations on Tidemark's book: two readings of the clock around each
//! operation, less the time of the readings.
//!
//! On a shared machine the tail of one run belongs to the machine: an interrupt, a neighbour. So
//! the stream is played several times, and the tables show the percentiles of all runs beside those
//! of each operation's fastest run, which belong to the book.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::engines::tidemark::{apply, look_ahead, Events};
use crate::stream::{Kind, Stream};
use tidemark_matching::Book;

/// Number of runs.
const RUNS: usize = 9;
/// Number of operations after which the events are dropped, between two operations.
const BLOCK: usize = 256;

/// Percentiles, ns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    /// Name of the operations that were timed.
    #[serde(rename = "of")]
    pub operations: String,
    /// Half of the operations take at most this time.
    pub p50: u32,
    /// 99 of 100 operations take at most this time.
    pub p99: u32,
    /// 999 of 1000 operations take at most this time.
    pub p999: u32,
    /// The longest time.
    pub max: u32,
}

/// Latency of single operations.
#[derive(Debug, Serialize, Deserialize)]
pub struct Latency {
    /// Time of two readings of the clock, already subtracted: median of many.
    pub clock_ns: u32,
    /// Number of times that each stream was played.
    pub runs: usize,
    /// All runs together, each operation's fastest run, and the fastest runs by kind; then the
    /// first two with client ids and expiries.
    pub rows: Vec<Percentiles>,
}

/// Times each operation of the stream, without client ids and expiries and then with them.
pub fn latency(stream: Stream) -> Latency {
    let clock_ns = clock_ns();
    let with_extras = rows(&stream, clock_ns, ", client ids and expiries").into_iter().take(2);
    let mut rows = rows(&stream.plain(), clock_ns, "");
    rows.extend(with_extras);
    Latency { clock_ns, runs: RUNS, rows }
}

/// Returns the percentiles of all runs, of each operation's fastest run, and of the fastest runs by
/// kind.
fn rows(stream: &Stream, clock_ns: u32, which: &str) -> Vec<Percentiles> {
    let runs: Vec<Vec<u32>> = (0..RUNS).map(|_| run(stream, clock_ns)).collect();
    let fastest: Vec<u32> = (0..stream.operations.len())
        .map(|at| runs.iter().map(|run| run[at]).min().unwrap_or(0))
        .collect();
    let kinds = [
        (Kind::Add, "adds"),
        (Kind::Cancel, "cancels"),
        (Kind::Take, "takers"),
        (Kind::Move, "moves"),
    ];
    let by_kind = kinds.map(|(kind, name)| {
        let of_kind =
            stream.operations.iter().zip(&fastest).filter(|(record, _)| record.kind == kind);
        percentiles(
            format!("{name}{which}, fastest of {RUNS} runs"),
            of_kind.map(|(_, ns)| *ns).collect(),
        )
    });
    let came = percentiles(format!("all operations{which}, as they came"), runs.concat());
    let all = percentiles(format!("all operations{which}, fastest of {RUNS} runs"), fastest);
    [came, all].into_iter().chain(by_kind).collect()
}

/// Returns the median time between two readings of the clock.
fn clock_ns() -> u32 {
    let mut pairs: Vec<u32> = (0..100_000).map(|_| since(Instant::now())).collect();
    pairs.sort_unstable();
    pairs[pairs.len() / 2]
}

#[inline]
fn since(start: Instant) -> u32 {
    u32::try_from(start.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

fn run(stream: &Stream, clock_ns: u32) -> Vec<u32> {
    let (mut book, mut events) = (Book::new(), Events::default());
    for record in &stream.warm {
        apply(&mut book, record, &mut events);
    }
    let mut times = Vec::with_capacity(stream.operations.len());
    for (at, record) in stream.operations.iter().enumerate() {
        if at % BLOCK == 0 {
            events.0.clear();
        }
        let start = Instant::now();
        look_ahead(&book, &stream.operations, at);
        apply(&mut book, record, &mut events);
        times.push(since(start).saturating_sub(clock_ns));
    }
    times
}

/// `times` must not be empty.
fn percentiles(operations: String, mut times: Vec<u32>) -> Percentiles {
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() * per_mille).div_ceil(1000).max(1) - 1];
    Percentiles { operations, p50: at(500), p99: at(990), p999: at(999), max: at(1000) }
}
