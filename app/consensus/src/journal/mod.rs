//! The journal of accepted transactions: what a client was told is accepted outlives the process.
//!
//! Segments of at most 8 MiB, `accepted-N.journal`, hold records in the order of their writing:
//!
//! - 4 bytes: the length of what follows the checksum, little endian
//! - 4 bytes: the CRC-32 of that, little endian
//! - 1 byte: 1 for accepted, 2 for ended
//! - accepted: the last height at which the transaction may be in a block, and the node's height
//!   when it was accepted, 8 bytes each, little endian; then the transaction
//! - ended: SHA-256 of the bytes of a transaction that the node has dropped
//!
//! A record is written with one call before the client hears of it, and is on the disk at most
//! [`SYNC_WITHIN`] later: the end of the process loses nothing, a power cut what was not synced.

mod record;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use record::Record;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tidemark_proto::types::TxHash;

/// How long a record may be in the system's memory alone, beside the time that the disk takes.
pub const SYNC_WITHIN: Duration = Duration::from_millis(50);

/// Bounds of the journal in bytes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// A segment that has so many is followed by another.
    segment: u64,
    /// Most of all segments.
    all: u64,
}

const BOUNDS: Bounds = Bounds { segment: 8 << 20, all: 512 << 20 };

/// Reason why the journal does not take a record, or does not open.
#[derive(Debug, Error)]
pub enum JournalError {
    /// As many bytes as it may have are for transactions that may still be in a block.
    #[error("the journal has {bytes} bytes, at most {most_bytes}; blocks make room")]
    #[allow(missing_docs)] // the sentence documents the fields
    Full { bytes: u64, most_bytes: u64 },
    /// The disk.
    #[error("the journal in {}: {error}", .folder.display())]
    Disk {
        /// Where it is.
        folder: PathBuf,
        /// The system's own error.
        error: io::Error,
    },
}

/// A transaction that was accepted before a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The last height at which it may be in a block, as far as this node goes.
    pub last_height: u64,
    /// Height of the node when it was accepted.
    pub accepted_height: u64,
}

/// The journal. Dropping it syncs what was written.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    syncer: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    bounds: Bounds,
    segments: Mutex<Segments>,
    written: Condvar,
}

#[derive(Debug)]
struct Segments {
    /// Those that are complete, oldest first.
    old: VecDeque<Segment>,
    current: Segment,
    file: File,
    is_dirty: bool,
    stops: bool,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// After this height nothing in it may be in a block.
    last_height: u64,
}

impl Segment {
    fn path(&self, folder: &Path) -> PathBuf {
        folder.join(format!("accepted-{:016}.journal", self.number))
    }

    fn note(&mut self, record: &Record<'_>, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.last_height = self.last_height.max(record.last_height());
    }
}

impl Segments {
    fn bytes(&self) -> u64 {
        self.old.iter().map(|segment| segment.bytes).fold(self.current.bytes, u64::saturating_add)
    }
}

impl Journal {
    /// Opens the journal in a folder, which it makes, and reads what was accepted and has not
    /// ended. A torn record at the end of a segment ends the segment: no client has heard of it.
    ///
    /// # Errors
    /// [`JournalError::Disk`].
    pub fn open(folder: &Path) -> Result<(Self, Vec<Recovered>), JournalError> {
        Self::open_with(folder, BOUNDS)
            .map_err(|error| JournalError::Disk { folder: folder.into(), error })
    }

    fn open_with(folder: &Path, bounds: Bounds) -> io::Result<(Self, Vec<Recovered>)> {
        fs::create_dir_all(folder)?;
        let mut old = VecDeque::new();
        let mut recovered: BTreeMap<TxHash, (u64, Recovered)> = BTreeMap::new();
        let mut count = 0_u64;
        for number in numbers(folder)? {
            let mut segment = Segment { number, bytes: 0, last_height: 0 };
            let bytes = fs::read(segment.path(folder))?;
            for (record, length) in record::all(&bytes) {
                segment.note(&record, length);
                match record {
                    Record::Accepted { last_height, accepted_height, bytes } => {
                        let tx = Recovered { bytes: bytes.to_vec(), last_height, accepted_height };
                        recovered.entry(Sha256::digest(bytes).into()).or_insert((count, tx));
                        count = count.saturating_add(1);
                    }
                    Record::Ended { bytes_hash } => drop(recovered.remove(&bytes_hash)),
                }
            }
            old.push_back(segment);
        }
        let number = old.back().map_or(0, |last| last.number.saturating_add(1));
        let current = Segment { number, bytes: 0, last_height: 0 };
        let file = create(&current, folder)?;
        let segments = Segments { old, current, file, is_dirty: false, stops: false };
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            bounds,
            segments: Mutex::new(segments),
            written: Condvar::new(),
        });
        let syncer = {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("journal".into()).spawn(move || shared.sync())?
        };
        let mut recovered: Vec<_> = recovered.into_values().collect();
        recovered.sort_by_key(|(at, _)| *at);
        let recovered = recovered.into_iter().map(|(_, tx)| tx).collect();
        Ok((Self { shared, syncer: Some(syncer) }, recovered))
    }

    /// Writes that a transaction is accepted.
    ///
    /// # Errors
    /// [`JournalError`]: it is not accepted then.
    pub fn accept(
        &self,
        bytes: &[u8],
        last_height: u64,
        accepted_height: u64,
    ) -> Result<(), JournalError> {
        self.shared.append(&Record::Accepted { last_height, accepted_height, bytes })
    }

    /// Writes that a transaction has ended otherwise than in a block: it is not offered again.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn end(&self, bytes_hash: TxHash) -> Result<(), JournalError> {
        self.shared.append(&Record::Ended { bytes_hash })
    }

    /// Removes segments of which nothing may be in a block after this height.
    ///
    /// # Errors
    /// [`JournalError::Disk`].
    pub fn committed(&self, height: u64) -> Result<(), JournalError> {
        self.shared.remove_old(height).map_err(|error| self.shared.disk(error))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.lock().stops = true;
        self.shared.written.notify_all();
        if let Some(syncer) = self.syncer.take() {
            // A panic elsewhere aborts the process.
            drop(syncer.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Segments> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self, error: io::Error) -> JournalError {
        JournalError::Disk { folder: self.folder.clone(), error }
    }

    fn append(&self, record: &Record<'_>) -> Result<(), JournalError> {
        let bytes = record.encode();
        let length = bytes.len() as u64;
        let mut segments = self.lock();
        let all = segments.bytes();
        if all.saturating_add(length) > self.bounds.all {
            return Err(JournalError::Full { bytes: all, most_bytes: self.bounds.all });
        }
        if segments.current.bytes >= self.bounds.segment {
            self.next_segment(&mut segments).map_err(|error| self.disk(error))?;
        }
        if let Err(error) = segments.file.write_all(&bytes) {
            // Nothing behind a part of a record can be read: what follows goes elsewhere.
            self.next_segment(&mut segments).map_err(|error| self.disk(error))?;
            return Err(self.disk(error));
        }
        segments.current.note(record, length);
        if !std::mem::replace(&mut segments.is_dirty, true) {
            self.written.notify_one();
        }
        Ok(())
    }

    /// Ends the current segment, on the disk, and begins another.
    fn next_segment(&self, segments: &mut Segments) -> io::Result<()> {
        segments.file.sync_data()?;
        let number = segments.current.number.saturating_add(1);
        let next = Segment { number, bytes: 0, last_height: 0 };
        segments.file = create(&next, &self.folder)?;
        let ended = std::mem::replace(&mut segments.current, next);
        segments.old.push_back(ended);
        Ok(())
    }

    /// Removes the oldest segments as far as they are of no use. What ends a transaction is written
    /// behind it, so it is not removed before.
    fn remove_old(&self, height: u64) -> io::Result<()> {
        let mut segments = self.lock();
        while segments.old.front().is_some_and(|oldest| oldest.last_height <= height) {
            if let Some(oldest) = segments.old.pop_front() {
                fs::remove_file(oldest.path(&self.folder))?;
            }
        }
        Ok(())
    }

    /// Syncs what is written, until the journal is dropped.
    fn sync(&self) {
        loop {
            let segments = self.lock();
            let idle = |segments: &mut Segments| !segments.is_dirty && !segments.stops;
            let mut segments =
                self.written.wait_while(segments, idle).unwrap_or_else(PoisonError::into_inner);
            let stops = segments.stops;
            segments.is_dirty = false;
            let file = segments.file.try_clone();
            drop(segments);
            // Without the lock, so that others can write meanwhile.
            if let Err(error) = file.and_then(|file| file.sync_data()) {
                tracing::error!("{}", self.disk(error));
            }
            if stops {
                return;
            }
            std::thread::sleep(SYNC_WITHIN);
        }
    }
}

/// Makes a segment's file. The folder is synced, or a power cut could take the file with it.
fn create(segment: &Segment, folder: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create_new(true).append(true).open(segment.path(folder))?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Numbers of the segments in a folder, oldest first.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("accepted-"));
        let number = number.and_then(|name| name.strip_suffix(".journal"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

#[cfg(test)]
mod tests;
