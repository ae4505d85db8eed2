//! The event log's writer: a thread that walks the ring of the last blocks and appends each.
//!
//! The ring is its queue, so nothing waits for the disk but the replay at a node's start. A disk
//! that stalls for longer than the ring lasts leaves a gap, which the replay of the next start
//! fills.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidemark_event_log::{Appended, EventLog, LogError};

use super::history::Block;
use super::{logged, MarketData};

/// How often what was appended is brought to the disk; what a power cut takes, the next start's
/// replay writes again.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// How many blocks a replay may be ahead of the writer: fewer than the ring keeps in any case.
const REPLAY_AHEAD: u64 = 3;

/// How long a replay waits for the writer to take a block.
const REPLAY_WAITS: Duration = Duration::from_secs(10);

/// Counts of the writer, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogCounts {
    /// Blocks that the log had with other bytes.
    pub differences: u64,
    /// Blocks that are missing, until a replay.
    pub missed: u64,
    /// Attempts to write that failed.
    pub failures: u64,
}

/// A node's event log, and how far it is.
#[derive(Debug)]
pub(super) struct LogState {
    pub log: Arc<EventLog>,
    /// The height after the last that the writer has dealt with.
    next: Mutex<u64>,
    moved: Condvar,
    /// A replay has waited for it in vain.
    stuck: AtomicBool,
    differences: AtomicU64,
    missed: AtomicU64,
    failures: AtomicU64,
}

impl LogState {
    pub fn new(log: Arc<EventLog>) -> Self {
        Self {
            log,
            next: Mutex::new(0),
            moved: Condvar::new(),
            stuck: AtomicBool::new(false),
            differences: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub fn counts(&self) -> LogCounts {
        LogCounts {
            differences: self.differences.load(Ordering::Relaxed),
            missed: self.missed.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
        }
    }

    /// Lets the writer come near a height of a replay; not again once it has taken nothing for the
    /// whole time, until it takes something.
    pub fn wait_near(&self, height: u64) {
        if self.stuck.load(Ordering::Relaxed) {
            return;
        }
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let is_far = |next: &mut u64| next.saturating_add(REPLAY_AHEAD) < height;
        let waited = self.moved.wait_timeout_while(next, REPLAY_WAITS, is_far);
        if waited.is_ok_and(|(_, limit)| limit.timed_out()) {
            self.stuck.store(true, Ordering::Relaxed);
            tracing::warn!(height, "the event log takes no blocks; the replay goes on without it");
        }
    }

    /// The writer has dealt with everything before a height: else a replay would wait for it.
    pub fn reached(&self, next: u64) {
        self.stuck.store(false, Ordering::Relaxed);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.moved.notify_all();
    }

    /// Appends a block. Returns false if it is to be tried again.
    fn append(&self, block: &Block) -> bool {
        let (height, body) = (block.height, logged::encode(block));
        match self.log.append(height, &body, wall_ms()) {
            Ok(Appended::Written | Appended::Same | Appended::TooOld) => true,
            Ok(Appended::Differs) => {
                if self.differences.fetch_add(1, Ordering::Relaxed) == 0 {
                    self.tell_difference(block);
                }
                true
            }
            Err(error @ LogError::TooLarge { .. }) => {
                tracing::error!("{error}; the event log goes on without the block");
                self.missed.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                tracing::error!(height, "the event log cannot be written: {error}");
                false
            }
        }
    }

    /// Says, of the first difference, what it means.
    fn tell_difference(&self, block: &Block) {
        let height = block.height;
        let known = self.log.read(height).ok().flatten();
        let known = known.and_then(|body| logged::decode(&body.payload));
        let same_state =
            known.is_some_and(|known| known.summary.app_hash == block.summary.app_hash);
        if same_state {
            tracing::warn!(
                height,
                "the event log has this block in other words, of another build, and keeps them"
            );
        } else {
            tracing::error!(
                height,
                "the event log has another block here: it is of another history than CometBFT's \
                 blocks. It keeps what it has; move its folder away to have it made again"
            );
        }
    }
}

/// Walks the ring until the node's market data is gone.
pub(super) fn run(data: &Weak<MarketData>, state: &LogState, wake: &Receiver<()>) {
    let (mut next, mut synced) = (0, Instant::now());
    loop {
        let woken = wake.recv_timeout(SYNC_EVERY);
        if woken == Err(RecvTimeoutError::Disconnected) {
            break;
        }
        let Some(data) = data.upgrade() else { break };
        next = take_new(&data, state, next);
        drop(data);
        if synced.elapsed() >= SYNC_EVERY {
            sync(state);
            synced = Instant::now();
        }
    }
    sync(state);
}

/// Appends what the ring has from a height on; returns the height that is next.
fn take_new(data: &MarketData, state: &LogState, mut next: u64) -> u64 {
    loop {
        match data.recent(next) {
            Ok(Some(block)) if state.append(&block) => next = next.saturating_add(1),
            Ok(_) => break,
            Err(too_old) => {
                if next > 0 {
                    let missed = too_old.oldest.saturating_sub(next);
                    state.missed.fetch_add(missed, Ordering::Relaxed);
                    tracing::error!(
                        height = next,
                        "the event log was written too slowly: {missed} blocks are missing until \
                         the next start replays them"
                    );
                }
                next = too_old.oldest;
            }
        }
        state.reached(next);
    }
    next
}

fn sync(state: &LogState) {
    if let Err(error) = state.log.sync() {
        state.failures.fetch_add(1, Ordering::Relaxed);
        tracing::error!("the event log cannot be brought to the disk: {error}");
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
