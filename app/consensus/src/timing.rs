//! How long the phases of a block take on this node. Outside consensus: times are measured, never
//! used.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // the one place that measures

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidemark_engine::phase::Phase;

/// This node's clock: for its own price feed and proposals, never for results.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, as the machine has them.
    fn wall_ms(&self) -> u64;

    /// Milliseconds since some time, at an even pace: no correction of the machine's time moves
    /// them.
    fn steady_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn wall_ms(&self) -> u64 {
        whole_ms(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    fn steady_ms(&self) -> u64 {
        whole_ms(self.start.elapsed())
    }
}

fn whole_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Time spent in each phase of one block, and what else this node noted on the way to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockTimes {
    phases: [Duration; Phase::ALL.len()],
    /// Proposals for this block that this node rejected.
    pub rejected_proposals: u32,
}

impl BlockTimes {
    /// Time spent in a phase.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Duration {
        self.phases[phase as usize]
    }

    /// Adds to a phase.
    pub fn add(&mut self, phase: Phase, time: Duration) {
        self.phases[phase as usize] += time;
    }
}

/// A stopwatch that books the time since its last lap.
#[derive(Debug)]
pub struct Stopwatch {
    last: Instant,
    /// Time booked so far, by phase.
    pub times: BlockTimes,
}

impl Stopwatch {
    /// Starts.
    #[must_use]
    pub fn start() -> Self {
        Self { last: Instant::now(), times: BlockTimes::default() }
    }

    /// Time since the start or the last lap.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.last.elapsed()
    }

    /// Books the time since the start or the last lap to a phase.
    pub fn lap(&mut self, phase: Phase) {
        let now = Instant::now();
        self.times.add(phase, now - self.last);
        self.last = now;
    }
}
