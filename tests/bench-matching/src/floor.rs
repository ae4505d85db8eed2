//! Latency of the machine's memory: loads that depend on the load before, and independent loads.

use std::hint::black_box;

use serde::{Deserialize, Serialize};

use crate::process::cpu_ns;

/// Sizes of the memory that is read: first-level cache, second-level cache, beyond.
const KIB: [usize; 4] = [16, 1_024, 16_384, 131_072];
/// Number of loads that are timed.
const LOADS: usize = 4_000_000;
/// Repetitions; the fastest counts.
const REPEATS: usize = 3;

/// One cache line; its first word is the number of the next line.
type Line = [u32; 16];

/// Loads of random cache lines of one memory.
#[derive(Debug, Serialize, Deserialize)]
pub struct Floor {
    /// Size of the memory.
    pub kib: usize,
    /// Time of a load whose address the load before it returns, ns.
    pub dependent_ns: f64,
    /// Time of a load whose address is known beforehand, ns.
    pub independent_ns: f64,
}

/// Measures loads from memories of each size.
pub fn floor() -> Vec<Floor> {
    KIB.iter().map(|kib| of_size(*kib)).collect()
}

fn of_size(kib: usize) -> Floor {
    let mut random = fastrand::Rng::with_seed(1);
    let mut ring: Vec<u32> = (0..(kib * 1024 / size_of::<Line>()) as u32).collect();
    random.shuffle(&mut ring);
    let mut lines: Vec<Line> = vec![[0; 16]; ring.len()];
    for (here, next) in ring.iter().zip(ring.iter().cycle().skip(1)) {
        lines[*here as usize][0] = *next;
    }
    let dependent = || (0..LOADS).fold(ring[0], |at, _| lines[at as usize][0]);
    let independent = || {
        let laps = ring.iter().cycle().take(LOADS);
        laps.fold(0_u32, |sum, at| sum.wrapping_add(lines[*at as usize][0]))
    };
    Floor { kib, dependent_ns: fastest(dependent), independent_ns: fastest(independent) }
}

/// Returns the time of a load, ns.
fn fastest(loads: impl Fn() -> u32) -> f64 {
    let once = || {
        let start = cpu_ns();
        black_box(loads());
        cpu_ns() - start
    };
    (0..REPEATS).map(|_| once()).min().unwrap_or(0) as f64 / LOADS as f64
}
