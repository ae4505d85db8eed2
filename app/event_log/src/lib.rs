//! The event log: every block's events and answers by height, on disk.
//!
//! Append-only segments of consecutive records, each chained to the one before by a hash, each with
//! an index file once it is full. The log knows nothing of what a payload means. It holds what the
//! chain can make again: a block that is lost with an unsynced page is written again when
//! CometBFT's blocks are replayed at the next start, so nothing waits for the disk.

pub mod format;
mod index;
mod segment;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use sha2::{Digest as _, Sha256};

use format::{Body, Hash, Header, RecordHead, MAX_BODY_BYTES};
pub use index::Place;
use segment::{Found, Segment, Unreadable};

/// A segment with this many keys is full: some 30 MB of memory while it grows.
pub const MAX_OPEN_KEYS: usize = 1_000_000;

/// How much a log keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The chain's id.
    pub chain_id: String,
    /// Most bytes on disk; whole segments go, the oldest first.
    pub max_bytes: u64,
    /// Most age of a segment's newest block.
    pub max_age_ms: u64,
    /// A segment of this size is full.
    pub segment_bytes: u64,
}

impl Options {
    /// 20 GB and 7 days, in segments of 128 MiB.
    #[must_use]
    pub fn of_chain(chain_id: &str) -> Self {
        Self {
            chain_id: chain_id.to_owned(),
            max_bytes: 20_000_000_000,
            max_age_ms: 7 * 24 * 3_600_000,
            segment_bytes: 128 << 20,
        }
    }
}

/// Why the log cannot do what it is asked.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system's error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The log's folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{}: another process writes this event log", .0.display())]
    InUse(PathBuf),
    /// The folder belongs to another chain.
    #[error(
        "{} is of another chain than {chain_id}: move the folder away, the log is made again from \
         the chain's blocks", path.display()
    )]
    OtherChain {
        /// A segment.
        path: PathBuf,
        /// This node's chain.
        chain_id: String,
    },
    /// A body beyond the format's bound.
    #[error("block {height} has {bytes} bytes of events, at most {MAX_BODY_BYTES}")]
    TooLarge {
        /// The block.
        height: u64,
        /// Of its body.
        bytes: usize,
    },
    /// A record with a wrong byte.
    #[error("the record of block {0} is not as it was written")]
    Broken(u64),
}

/// The fate of a block that was to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is the newest record now, or fills a gap.
    Written,
    /// The log has it: the same bytes.
    Same,
    /// The log has other bytes at this height, and keeps them.
    Differs,
    /// It lies before what the log keeps.
    TooOld,
}

/// The log. Readers share it with one writer.
#[derive(Debug)]
pub struct EventLog {
    folder: PathBuf,
    options: Options,
    chain: Hash,
    /// By first height.
    segments: RwLock<BTreeMap<u64, Arc<Segment>>>,
    /// The first height of the segment that grows.
    growing: Mutex<Option<u64>>,
    _lock: File,
}

impl EventLog {
    /// Opens the log in a folder, which is made if it is not there. A torn end is cut; index files
    /// that are missing or do not fit are made again.
    ///
    /// # Errors
    /// [`LogError::OtherChain`], [`LogError::InUse`], or the system's.
    pub fn open(folder: &Path, options: Options) -> Result<Arc<Self>, LogError> {
        let failed = |source| LogError::Io { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        let lock = segment::lock(folder).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => LogError::InUse(folder.to_owned()),
            _ => failed(source),
        })?;
        let chain: Hash = Sha256::digest(options.chain_id.as_bytes()).into();
        let mut segments = BTreeMap::new();
        for path in segment::list(folder).map_err(failed)? {
            match Segment::open(&path, &chain).map_err(failed)? {
                Found::Segment { segment, cut_bytes } => {
                    if cut_bytes > 0 {
                        let name = path.display();
                        tracing::warn!("{name}: {cut_bytes} bytes of a torn end are cut away");
                    }
                    segments.insert(segment.summary().first_height, Arc::new(segment));
                }
                Found::Useless => {
                    tracing::warn!("{}: holds no whole record and is removed", path.display());
                    segment::remove(&path).map_err(failed)?;
                }
                Found::OtherChain => {
                    return Err(LogError::OtherChain { path, chain_id: options.chain_id })
                }
            }
        }
        let growing = seal_all_but_last(&segments).map_err(failed)?;
        Ok(Arc::new(Self {
            folder: folder.to_owned(),
            options,
            chain,
            segments: RwLock::new(segments),
            growing: Mutex::new(growing),
            _lock: lock,
        }))
    }

    fn failed(&self, source: io::Error) -> LogError {
        LogError::Io { path: self.folder.clone(), source }
    }

    fn segments(&self) -> RwLockReadGuard<'_, BTreeMap<u64, Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn growing(&self) -> MutexGuard<'_, Option<u64>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Heights without a gap up to the newest; `None` while the log is empty.
    #[must_use]
    pub fn held(&self) -> Option<RangeInclusive<u64>> {
        let segments = self.segments();
        let mut newest_first = segments.values().rev().map(|segment| segment.summary());
        let newest = newest_first.next()?;
        let mut first = newest.first_height;
        for summary in newest_first {
            if summary.end() != first {
                break;
            }
            first = summary.first_height;
        }
        Some(first..=newest.end().saturating_sub(1))
    }

    /// Bytes on disk.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.segments().values().map(|segment| segment.disk_bytes()).sum()
    }

    /// The segment whose range has a height.
    fn segment_of(&self, height: u64) -> Option<Arc<Segment>> {
        let segments = self.segments();
        let (_, segment) = segments.range(..=height).next_back()?;
        (height < segment.summary().end()).then(|| Arc::clone(segment))
    }

    /// The body of a block; `None` if the log does not have it.
    ///
    /// # Errors
    /// [`LogError::Broken`] if a byte of it is wrong; the system's.
    pub fn read(&self, height: u64) -> Result<Option<Body>, LogError> {
        let Some((_, bytes)) = self.record(height)? else { return Ok(None) };
        Body::decode(&bytes).ok_or(LogError::Broken(height)).map(Some)
    }

    fn record(&self, height: u64) -> Result<Option<(RecordHead, Vec<u8>)>, LogError> {
        let Some(segment) = self.segment_of(height) else { return Ok(None) };
        segment.read(height).or_else(|error| match error {
            Unreadable::Broken(height) => Err(LogError::Broken(height)),
            // Dropped by age or size between the two.
            Unreadable::Io(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Unreadable::Io(error) => Err(self.failed(error)),
        })
    }

    /// At most `most` places of a digest, newest first. The payload decides which of them is meant.
    ///
    /// # Errors
    /// The system's.
    pub fn find(&self, digest: u64, most: usize) -> Result<Vec<Place>, LogError> {
        let segments: Vec<_> = self.segments().values().rev().cloned().collect();
        let mut found = Vec::new();
        for segment in segments {
            match segment.find(digest, most - found.len()) {
                Ok(places) => found.extend(places),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed(error)),
            }
            if found.len() >= most {
                break;
            }
        }
        Ok(found)
    }

    /// Appends a block, or compares it with what the log has at its height. A height that does not
    /// follow the newest begins a segment of its own and leaves a gap, which the same call fills
    /// when the blocks between come later. A record with a wrong byte is cut away with all that
    /// follow in its segment, and written anew.
    ///
    /// # Errors
    /// [`LogError::TooLarge`], or the system's: then nothing of the block is in the log.
    pub fn append(&self, height: u64, body: &Body, now_ms: u64) -> Result<Appended, LogError> {
        let bytes = body.encode();
        if bytes.len() > MAX_BODY_BYTES {
            return Err(LogError::TooLarge { height, bytes: bytes.len() });
        }
        let mut growing = self.growing();
        match self.record(height) {
            Ok(Some((_, known))) if known == bytes => return Ok(Appended::Same),
            Ok(Some(_)) => return Ok(Appended::Differs),
            Ok(None) => {}
            Err(LogError::Broken(_)) => self.cut_before(&mut growing, height)?,
            Err(error) => return Err(error),
        }
        let is_before = self.segments().keys().next().is_some_and(|first| height < *first);
        if is_before || body.time_ms.saturating_add(self.options.max_age_ms) < now_ms {
            return Ok(Appended::TooOld);
        }
        let segment = self.segment_for(&mut growing, height)?;
        let head = RecordHead::of(height, &segment.summary().last_hash, &bytes);
        segment.append(&head, body, &bytes).map_err(|error| self.failed(error))?;
        self.forget_old(&growing, now_ms)?;
        Ok(Appended::Written)
    }

    /// The segment that takes a height: the growing one if the height follows and there is room.
    fn segment_for(
        &self,
        growing: &mut Option<u64>,
        height: u64,
    ) -> Result<Arc<Segment>, LogError> {
        if let Some(segment) = growing.and_then(|first| self.segments().get(&first).cloned()) {
            let summary = segment.summary();
            let has_room = summary.bytes < self.options.segment_bytes
                && segment.open_keys().is_some_and(|keys| keys < MAX_OPEN_KEYS);
            if has_room && summary.end() == height {
                return Ok(segment);
            }
            segment.seal().map_err(|error| self.failed(error))?;
            *growing = None;
        }
        let before = height.checked_sub(1).and_then(|before| self.segment_of(before));
        let before = before.map(|segment| segment.summary());
        let previous = before.filter(|before| before.end() == height);
        let header = Header {
            first_height: height,
            chain: self.chain,
            previous: previous.map_or([0; 32], |before| before.last_hash),
        };
        let made = Segment::create(&self.folder, &header).map_err(|error| self.failed(error))?;
        segment::sync_folder(&self.folder).map_err(|error| self.failed(error))?;
        let made = Arc::new(made);
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(height, Arc::clone(&made));
        *growing = Some(height);
        Ok(made)
    }

    fn cut_before(&self, growing: &mut Option<u64>, height: u64) -> Result<(), LogError> {
        let Some(segment) = self.segment_of(height) else { return Ok(()) };
        let first = segment.summary().first_height;
        tracing::error!(height, "a record of the event log is broken; it is written anew");
        if *growing == Some(first) {
            *growing = None;
        }
        if first == height {
            self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&first);
            return segment.remove().map_err(|error| self.failed(error));
        }
        segment.cut_before(height).map_err(|error| self.failed(error))
    }

    /// Drops the oldest segments beyond the bounds, never the one that grows.
    fn forget_old(&self, growing: &Option<u64>, now_ms: u64) -> Result<(), LogError> {
        let mut bytes = self.disk_bytes();
        loop {
            let oldest = self.segments().first_key_value().map(|(first, it)| (*first, it.clone()));
            let Some((first, oldest)) = oldest.filter(|(first, _)| *growing != Some(*first)) else {
                return Ok(());
            };
            let is_old =
                oldest.summary().newest_ms.saturating_add(self.options.max_age_ms) < now_ms;
            if bytes <= self.options.max_bytes && !is_old {
                return Ok(());
            }
            bytes = bytes.saturating_sub(oldest.disk_bytes());
            self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&first);
            oldest.remove().map_err(|error| self.failed(error))?;
        }
    }

    /// Brings what was appended to the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn sync(&self) -> Result<(), LogError> {
        let growing = *self.growing();
        let segment = growing.and_then(|first| self.segments().get(&first).cloned());
        segment.map_or(Ok(()), |segment| segment.sync()).map_err(|error| self.failed(error))
    }
}

/// Seals what a crash left open; returns the newest segment if it may still grow.
fn seal_all_but_last(segments: &BTreeMap<u64, Arc<Segment>>) -> io::Result<Option<u64>> {
    let last = segments.keys().next_back().copied();
    for (first, segment) in segments {
        if Some(*first) != last && segment.open_keys().is_some() {
            segment.seal()?;
        }
    }
    let grows = |first: &u64| segments[first].open_keys().is_some();
    Ok(last.filter(grows))
}

#[cfg(test)]
mod tests;
