//! What the machine's memory allows: a load that waits for the one before it, and loads that need
//! not wait.

use std::hint::black_box;

use serde::{Deserialize, Serialize};

use crate::process::cpu_ns;

/// Sizes of the memory that is read: in the first cache, in the second, beyond.
const KIB: [usize; 4] = [16, 1_024, 16_384, 131_072];
/// Loads that are timed.
const LOADS: usize = 4_000_000;
/// Repetitions; the fastest counts.
const REPEATS: usize = 3;

/// One cache line; its first word is the next one's number.
type Line = [u32; 16];

/// Loads of random cache lines of one memory.
#[derive(Debug, Serialize, Deserialize)]
pub struct Floor {
    /// Its size.
    pub kib: usize,
    /// A load whose address the one before it gives, ns.
    pub dependent_ns: f64,
    /// A load whose address is known beforehand, ns.
    pub independent_ns: f64,
}

/// Loads from memories of each size.
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

/// Time of a load, ns.
fn fastest(loads: impl Fn() -> u32) -> f64 {
    let once = || {
        let start = cpu_ns();
        black_box(loads());
        cpu_ns() - start
    };
    (0..REPEATS).map(|_| once()).min().unwrap_or(0) as f64 / LOADS as f64
}
