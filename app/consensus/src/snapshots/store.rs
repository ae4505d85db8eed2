//! The folder of snapshots: a folder for each, named by its height. A name without digits first is
//! of one that is being written or was put aside.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use prost::Message as _;
use tendermint_proto::v0_38::types::ConsensusParams;
use tidemark_engine::snapshot::{self, Frozen, FORMAT};
use tidemark_engine::state::{State, PROTOCOL_VERSION};

use super::chunks::{ChunkReader, ChunkWriter};
use super::manifest::{Manifest, MAX_MANIFEST_BYTES};
use super::KEPT;

/// The manifest's file in a snapshot's folder.
pub const MANIFEST_FILE: &str = "manifest";

/// Prefix of a folder that is being written.
const UNFINISHED: &str = "writing-";

/// Prefix of a folder that is used no more.
const ASIDE: &str = "aside-";

/// A state and where it comes from.
#[derive(Debug)]
pub struct Loaded {
    /// The state.
    pub state: State,
    /// Its manifest.
    pub manifest: Manifest,
    /// CometBFT's parameters of consensus.
    pub consensus_params: ConsensusParams,
}

/// The folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    chain_id: String,
    /// Heights of the snapshots that count, ascending.
    heights: Mutex<Vec<u64>>,
}

fn is_folder_of(path: &Path, prefix: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(prefix))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

impl Store {
    pub fn open(folder: &Path, chain_id: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut heights = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if is_folder_of(&path, UNFINISHED) {
                fs::remove_dir_all(&path)?;
            }
            let name = path.file_name().and_then(|name| name.to_str());
            heights.extend(name.and_then(|name| name.parse::<u64>().ok()));
        }
        heights.sort_unstable();
        let heights = Mutex::new(heights);
        Ok(Self { folder: folder.to_owned(), chain_id: chain_id.to_owned(), heights })
    }

    /// Heights of the snapshots that count, ascending.
    pub fn heights(&self) -> Vec<u64> {
        self.heights.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn path(&self, height: u64) -> PathBuf {
        self.folder.join(format!("{height:020}"))
    }

    /// The newest whole snapshot, of those up to `reaches` if there is one, and how many damaged
    /// ones were met.
    pub fn load(&self, reaches: Option<u64>) -> (Option<Loaded>, u64) {
        let newest_first = || self.heights().into_iter().rev();
        let within = newest_first().filter(|height| reaches.is_some_and(|end| *height <= end));
        let beyond = newest_first().filter(|height| reaches.is_none_or(|end| *height > end));
        let mut damaged = 0;
        for height in within.chain(beyond) {
            match self.read(height) {
                Ok(loaded) => return (Some(loaded), damaged),
                Err(why) => {
                    damaged += 1;
                    self.put_aside(height, &why);
                }
            }
        }
        (None, damaged)
    }

    fn read(&self, height: u64) -> Result<Loaded, String> {
        let folder = self.path(height);
        let manifest = read_manifest(&folder)?;
        let expected = (FORMAT, PROTOCOL_VERSION, self.chain_id.as_str(), height);
        let found =
            (manifest.format, manifest.protocol_version, &*manifest.chain_id, manifest.height);
        if found != expected {
            return Err(format!(
                "it is of layout {}, rules {}, chain {:?}, height {}; must be {}, {}, {:?}, {}",
                found.0, found.1, found.2, found.3, expected.0, expected.1, expected.2, expected.3
            ));
        }
        let params = hex::decode(&manifest.consensus_params).map_err(|error| error.to_string())?;
        let consensus_params =
            ConsensusParams::decode(&*params).map_err(|error| error.to_string())?;
        let mut chunks = ChunkReader::new(&folder, &manifest.chunks);
        let state =
            snapshot::read(&mut chunks, &manifest.hash()?).map_err(|error| error.to_string())?;
        if state.chain.height != height || state.chain.chain_id != self.chain_id {
            return Err(format!("its state is of height {}", state.chain.height));
        }
        Ok(Loaded { state, manifest, consensus_params })
    }

    /// Uses a snapshot no more; its folder stays until the next snapshot counts.
    pub fn put_aside(&self, height: u64, why: &str) {
        tracing::error!(height, "snapshot {} is put aside: {why}", self.path(height).display());
        self.heights.lock().unwrap_or_else(PoisonError::into_inner).retain(|of| *of != height);
        let aside = self.folder.join(format!("{ASIDE}{height:020}"));
        if let Err(error) = fs::rename(self.path(height), &aside) {
            tracing::error!("{} cannot be renamed: {error}", self.path(height).display());
        }
    }

    /// Writes a snapshot that does not count yet; returns its folder and manifest.
    pub fn write(
        &self,
        frozen: &Frozen,
        (consensus_params, retain_height): (&[u8], u64),
        is_over: &dyn Fn() -> bool,
    ) -> io::Result<(PathBuf, Manifest)> {
        let chain = frozen.chain();
        let folder = self.folder.join(format!("{UNFINISHED}{:020}", chain.height));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir(&folder)?;
        let mut chunks = ChunkWriter::new(&folder, is_over);
        frozen.write(&mut chunks)?;
        let manifest = Manifest {
            format: FORMAT,
            protocol_version: chain.protocol_version,
            chain_id: chain.chain_id.clone(),
            height: chain.height,
            time_ms: chain.time_ms.get(),
            app_hash: hex::encode(frozen.app_hash()),
            consensus_params: hex::encode(consensus_params),
            retain_height,
            chunks: chunks.finish()?,
        };
        let path = folder.join(MANIFEST_FILE);
        fs::write(&path, manifest.to_file())?;
        File::open(&path)?.sync_all()?;
        sync_folder(&folder)?;
        Ok((folder, manifest))
    }

    /// Lets a snapshot count, and forgets the oldest beyond [`KEPT`].
    pub fn keep(&self, unfinished: &Path, height: u64) -> io::Result<()> {
        let path = self.path(height);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        fs::rename(unfinished, &path)?;
        sync_folder(&self.folder)?;
        let gone = {
            let mut heights = self.heights.lock().unwrap_or_else(PoisonError::into_inner);
            heights.retain(|of| *of != height);
            heights.push(height);
            heights.sort_unstable();
            let beyond = heights.len().saturating_sub(KEPT);
            heights.drain(..beyond).collect::<Vec<_>>()
        };
        for height in gone {
            fs::remove_dir_all(self.path(height))?;
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            if is_folder_of(&path, ASIDE) {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}

fn read_manifest(folder: &Path) -> Result<Manifest, String> {
    let path = folder.join(MANIFEST_FILE);
    let told = |why: String| format!("{}: {why}", path.display());
    let length = fs::metadata(&path).map_err(|error| told(error.to_string()))?.len();
    if length > MAX_MANIFEST_BYTES {
        return Err(told(format!("{length} bytes, at most {MAX_MANIFEST_BYTES}")));
    }
    let bytes = fs::read(&path).map_err(|error| told(error.to_string()))?;
    Manifest::from_file(&bytes).map_err(told)
}
