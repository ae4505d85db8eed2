//! Snapshots of a node: their options, and the start from the newest.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidemark_consensus::snapshots::{Loaded, Options, Snapshots, MIN_INTERVAL};
use tidemark_event_log::EventLog;

/// The snapshots' folder, in the home's `data` folder.
const FOLDER: &str = "snapshots";

/// CometBFT's folder of blocks, in the home's `data` folder.
const BLOCKS: &str = "blockstore.db";

/// Blocks from one snapshot to the next, unless configured otherwise.
pub const INTERVAL: u64 = 1_000;

/// The options of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotConfig {
    /// Blocks from one to the next; 0 makes none.
    pub interval: u64,
    /// True if CometBFT keeps all its blocks.
    pub archive: bool,
}

impl Default for SnapshotConfig {
    fn default() -> Self {
        Self { interval: INTERVAL, archive: false }
    }
}

impl SnapshotConfig {
    /// Checks the settings that a file's syntax does not.
    ///
    /// # Errors
    /// A sentence that names the setting, its bound and the value.
    pub fn check(&self) -> Result<(), String> {
        match self.interval {
            1..MIN_INTERVAL => Err(format!(
                "snapshots interval = {}, must be 0 or at least {MIN_INTERVAL}",
                self.interval
            )),
            _ => Ok(()),
        }
    }

    /// The lines of the file.
    pub(crate) fn to_text(self) -> String {
        format!(
            "\n# Snapshots of the state, from which the node starts: blocks from one to the next, \
             0 for none.\n# With archive, CometBFT keeps all blocks; else it prunes those that \
             no start needs.\n[snapshots]\ninterval = {}\narchive = {}\n",
            self.interval, self.archive
        )
    }
}

/// Opens the snapshots of the node at `home`.
pub(crate) fn open(
    home: &Path,
    config: SnapshotConfig,
    chain_id: &str,
) -> Result<Arc<Snapshots>, String> {
    let options = Options {
        folder: home.join("data").join(FOLDER),
        chain_id: chain_id.to_owned(),
        interval: config.interval,
        is_archive: config.archive,
    };
    let opened = Snapshots::open(options);
    opened.map(Arc::new).map_err(|error| format!("cannot open the snapshots: {error}"))
}

/// The snapshot that the node at `home` starts from. Without CometBFT's blocks there is none: it
/// would ask for the first block, and refuse an application that is ahead of it.
pub(crate) fn newest(
    home: &Path,
    (snapshots, log): (&Snapshots, &EventLog),
    external_comet: bool,
) -> Option<Loaded> {
    if !external_comet && !home.join("data").join(BLOCKS).exists() {
        return None;
    }
    let reaches = log.held().map(|held| *held.end());
    let loaded = snapshots.load(reaches)?;
    let height = loaded.manifest.height;
    tracing::info!(height, bytes = loaded.manifest.bytes(), "the node goes on from a snapshot");
    if let Some(end) = reaches.filter(|end| *end < height) {
        tracing::warn!(
            height,
            "the event log ends at block {end}: it will lack those up to the snapshot's"
        );
    }
    Some(loaded)
}
