//! Snapshots of the state on disk: what a start begins with instead of the first block
//! (docs/snapshots.md).
//!
//! Every so many blocks the state is frozen at Commit, and a thread writes the bytes in chunks
//! while blocks go on. A snapshot counts once it is whole, on the disk, and the next block has
//! come: CometBFT hands on a block only if its header carries the app hash of the one before.

mod chunks;
mod manifest;
mod retain;
mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use tendermint_proto::v0_38::types::ConsensusParams;
use tidemark_engine::snapshot::Frozen;
use tidemark_engine::state::State;

use crate::timing::Stopwatch;

pub use chunks::CHUNK_BYTES;
pub use manifest::Manifest;
use store::Store;
pub use store::{Loaded, MANIFEST_FILE};
use writer::{Job, Writer};

/// Snapshots that are kept.
pub const KEPT: usize = 3;

/// Least blocks from one snapshot to the next: CometBFT prunes at most so fast.
pub const MIN_INTERVAL: u64 = 10;

/// The place of snapshots, and their pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The folder, which is made.
    pub folder: PathBuf,
    /// The chain's id.
    pub chain_id: String,
    /// Blocks from one to the next; 0 makes none.
    pub interval: u64,
    /// No block is ever pruned.
    pub is_archive: bool,
}

/// Counts and figures of a node's snapshots, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Height of the newest that counts; 0 without one.
    pub height: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Time that it took to be written, in ms.
    pub write_ms: u64,
    /// Time for which the last one held blocks up, in µs.
    pub pause_us: u64,
    /// Those that could not be written.
    pub failures: u64,
    /// Those that were left out because the one before was not yet written.
    pub left_out: u64,
    /// Damaged ones that were found at a start.
    pub damaged: u64,
    /// The height from which on CometBFT keeps its blocks; 0 keeps all.
    pub retain_height: u64,
}

/// A node's snapshots.
#[derive(Debug)]
pub struct Snapshots {
    options: Options,
    shared: Arc<Shared>,
    writer: Writer,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    stats: Mutex<Stats>,
}

impl Shared {
    fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Snapshots {
    /// Opens the folder, and forgets what a crash left half-written there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(options: Options) -> io::Result<Self> {
        let store = Store::open(&options.folder, &options.chain_id)?;
        let shared = Arc::new(Shared { store, stats: Mutex::default() });
        let writer = Writer::start(Arc::clone(&shared))?;
        Ok(Self { options, shared, writer })
    }

    /// The newest snapshot that is whole, of those up to `reaches` if there is one: later ones
    /// leave a gap in the event log, which ends there. Damaged ones are named in the log and put
    /// aside.
    #[must_use]
    pub fn load(&self, reaches: Option<u64>) -> Option<Loaded> {
        let (loaded, damaged) = self.shared.store.load(reaches);
        let mut stats = self.shared.stats();
        stats.damaged = damaged;
        if let Some(loaded) = &loaded {
            stats.height = loaded.manifest.height;
            stats.bytes = loaded.manifest.bytes();
        }
        loaded
    }

    /// Puts all aside: the chain begins anew, and is not to meet a state that is ahead of it.
    pub fn put_aside(&self) {
        for height in self.shared.store.heights() {
            self.shared.store.put_aside(height, "the chain begins at its first block");
        }
        *self.shared.stats() = Stats::default();
    }

    /// A block comes, whose header carries the app hash of this height.
    pub(crate) fn confirm(&self, height: u64) {
        self.writer.confirm(height);
    }

    /// A block was committed: freezes its state if it is its turn. Returns the height from which on
    /// CometBFT is to keep its blocks, 0 for all; `retained` is the last one.
    pub(crate) fn committed(&self, state: &State, params: &ConsensusParams, retained: u64) -> u64 {
        let height = state.chain.height;
        let retain_height = self.retain_height(height, params, retained);
        self.shared.stats().retain_height = retain_height;
        let is_due = height.checked_rem(self.options.interval) == Some(0);
        if is_due && self.shared.stats().height < height {
            self.freeze(state, params, retain_height);
        }
        retain_height
    }

    fn freeze(&self, state: &State, params: &ConsensusParams, retain_height: u64) {
        let begun = Stopwatch::start();
        let height = state.chain.height;
        if !self.writer.is_idle() {
            self.shared.stats().left_out += 1;
            tracing::warn!(height, "no snapshot: the one before is not yet written");
            return;
        }
        let frozen = Frozen::of(state);
        let pause_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.shared.stats().pause_us = pause_us;
        let job = Job { frozen, consensus_params: params.encode_to_vec(), retain_height };
        self.writer.write(job);
    }

    fn retain_height(&self, height: u64, params: &ConsensusParams, retained: u64) -> u64 {
        let heights = self.shared.store.heights();
        let (Some(oldest), Some(newest)) = (heights.first(), heights.last()) else {
            return retained;
        };
        if self.options.is_archive {
            return 0;
        }
        let bounds = retain::Bounds { height, oldest: *oldest, newest: *newest };
        retain::next(&bounds, retain::evidence_blocks(params), retained)
    }

    /// Counts and figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats().clone()
    }

    /// Waits until nothing is being written: for tests.
    pub fn wait_idle(&self) {
        self.writer.wait_idle();
    }
}
