//! Lines of the log about the node: each change once, how a replay gets on, and a line a minute.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tidemark_consensus::publish::BEHIND;
use tidemark_consensus::queue::QueueStats;
use tidemark_market_data::readiness::Condition;

use super::heartbeat::beat;
use super::progress::{pace, Pace, Point};
use super::Sight;

/// Between two heartbeats.
const BEAT_EVERY: Duration = Duration::from_secs(60);

/// Between two lines of a replay's progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Missed votes are told together, so often at most.
const MISSED_EVERY: Duration = Duration::from_secs(10);

/// Checks that a node fails until it has come up.
const FAIL_AT_FIRST: [&str; 2] = ["synced", "blocks"];

/// Remembers what it has told.
pub(super) struct Teller {
    /// A height that the chain is known to have.
    known_height: u64,
    started: Instant,
    beat_at: Instant,
    /// The last point of a replay that was told; `None` while the node is not behind.
    replay: Option<Point>,
    missed_votes: u64,
    missed_at: Instant,
    peers: Option<u64>,
    /// The checks, true for those that held.
    held: BTreeMap<&'static str, bool>,
}

impl Teller {
    pub fn new(known_height: u64) -> Self {
        let now = Instant::now();
        Self {
            known_height,
            started: now,
            beat_at: now,
            replay: None,
            missed_votes: 0,
            missed_at: now,
            peers: None,
            held: FAIL_AT_FIRST.into_iter().map(|name| (name, false)).collect(),
        }
    }

    pub fn tell(&mut self, sight: &Sight, condition: &Condition, queue: &QueueStats) {
        self.tell_checks(condition);
        self.tell_replay(sight);
        self.tell_votes(sight);
        self.tell_peers(sight);
        if self.beat_at.elapsed() >= BEAT_EVERY {
            self.beat_at = Instant::now();
            beat(sight, queue);
        }
    }

    /// Each check that begins to fail, or holds again.
    fn tell_checks(&mut self, condition: &Condition) {
        for check in condition.health.iter().chain(&condition.ready) {
            let held = self.held.insert(check.name, check.ok).unwrap_or(true);
            match (held, check.ok) {
                (true, false) => tracing::warn!(check = check.name, "{}", check.reason),
                (false, true) => tracing::info!(check = check.name, "again: {}", check.reason),
                _ => {}
            }
        }
    }

    /// The pace of a replay or a sync, and its end.
    fn tell_replay(&mut self, sight: &Sight) {
        let here = Point { at: Instant::now(), height: sight.height, age: sight.age };
        let is_behind = sight.age > BEHIND;
        let Some(last) = self.replay else {
            // Nothing is replayed before the first block comes.
            self.replay = Some(here).filter(|_| is_behind && sight.height > 0);
            return;
        };
        if !is_behind {
            let (height, took_s) = (sight.height, self.started.elapsed().as_secs());
            tracing::info!(height, "the node has caught up, {took_s} s after its start");
            self.replay = None;
            return;
        }
        if here.at.saturating_duration_since(last.at) < PROGRESS_EVERY {
            return;
        }
        let known_height = self.known_height.max(sight.height);
        let Pace { blocks_per_s, left } = pace(last, here, known_height);
        self.replay = Some(here);
        let left_s = left.map(|left| left.as_secs());
        tracing::info!(
            height = sight.height,
            known_height,
            blocks_per_s,
            behind_s = sight.age.as_secs(),
            left_s,
            "{}",
            if here.height > last.height { "catching up" } else { "no block comes" }
        );
    }

    fn tell_votes(&mut self, sight: &Sight) {
        let missed = sight.blocks.missed_votes;
        let blocks = missed.saturating_sub(self.missed_votes);
        if blocks == 0 || self.missed_at.elapsed() < MISSED_EVERY {
            return;
        }
        (self.missed_votes, self.missed_at) = (missed, Instant::now());
        tracing::warn!(
            height = sight.height,
            "this validator's vote is missing in {blocks} of the last blocks, {missed} since the \
             start"
        );
    }

    fn tell_peers(&mut self, sight: &Sight) {
        let Some(now) = sight.comet.map(|comet| comet.peers) else { return };
        match self.peers.replace(now) {
            Some(before) if now < before => {
                tracing::warn!(peers = now, "a peer is lost, there were {before}");
            }
            Some(before) if now > before => {
                tracing::info!(peers = now, "a peer is there, there were {before}");
            }
            _ => {}
        }
    }
}
