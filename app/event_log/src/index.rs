//! The index of one segment: where each height begins, and which block has the answer of a digest.
//! In memory while the segment grows; afterwards a file whose pages are read when they are needed.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::format::{take, Body, Hash, VERSION};

/// First bytes of an index file.
const MAGIC: [u8; 8] = *b"TMEVIDX\0";

/// Entries of a page: 4 KiB.
const PAGE_ENTRIES: usize = 256;

/// Bytes of an entry: digest, block after the segment's first, position in the block.
const ENTRY_BYTES: usize = 8 + 4 + 4;

/// Bytes of a page's mark: its first digest, and CRC-32 of the page.
const MARK_BYTES: usize = 8 + 4;

/// Bytes of the fields before the marks.
const HEAD_BYTES: usize = 8 + 4 + 8 + 8 + 8 + 32 + 8 + 8;

/// Where an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The block.
    pub height: u64,
    /// Which of the block's transactions it is.
    pub position: u32,
}

/// Digest, block after the segment's first, position.
type Entry = (u64, u32, u32);

/// Figures of a segment, growing or sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub first_height: u64,
    pub heights: u64,
    /// Bytes of the segment's file.
    pub bytes: u64,
    pub last_hash: Hash,
    pub newest_ms: u64,
}

impl Summary {
    /// The height after the last.
    pub fn end(&self) -> u64 {
        self.first_height.saturating_add(self.heights)
    }
}

/// The index of a segment that grows: at most [`crate::MAX_OPEN_KEYS`] keys.
#[derive(Debug)]
pub(crate) struct OpenIndex {
    pub summary: Summary,
    offsets: Vec<u64>,
    entries: BTreeSet<Entry>,
}

impl OpenIndex {
    pub fn new(first_height: u64, bytes: u64, previous: Hash) -> Self {
        let summary =
            Summary { first_height, heights: 0, bytes, last_hash: previous, newest_ms: 0 };
        Self { summary, offsets: Vec::new(), entries: BTreeSet::new() }
    }

    /// Takes the record that begins at the segment's end.
    pub fn push(&mut self, hash: Hash, record_bytes: u64, body: &Body) {
        let block = u32::try_from(self.offsets.len()).unwrap_or(u32::MAX);
        self.entries.extend(body.keys.iter().map(|key| (key.digest, block, key.position)));
        self.offsets.push(self.summary.bytes);
        self.summary.bytes += record_bytes;
        self.summary.heights += 1;
        self.summary.last_hash = hash;
        self.summary.newest_ms = self.summary.newest_ms.max(body.time_ms);
    }

    pub fn keys(&self) -> usize {
        self.entries.len()
    }

    pub fn offset(&self, height: u64) -> Option<u64> {
        let block = height.checked_sub(self.summary.first_height)?;
        self.offsets.get(usize::try_from(block).ok()?).copied()
    }

    /// Places of a digest, newest first.
    pub fn find(&self, digest: u64, most: usize) -> Vec<Place> {
        let range = (digest, 0, 0)..=(digest, u32::MAX, u32::MAX);
        let newest = self.entries.range(range).rev().take(most);
        newest.map(|entry| place(self.summary.first_height, entry)).collect()
    }

    /// Writes the index file in one piece: whoever sees it sees all of it.
    pub fn seal(&self, path: &Path) -> io::Result<SealedIndex> {
        let entries: Vec<&Entry> = self.entries.iter().collect();
        let pages: Vec<Vec<u8>> = entries.chunks(PAGE_ENTRIES).map(page).collect();
        let mut head = Vec::new();
        let summary = &self.summary;
        head.extend(MAGIC);
        head.extend(VERSION.to_le_bytes());
        head.extend(summary.first_height.to_le_bytes());
        head.extend(summary.heights.to_le_bytes());
        head.extend(summary.bytes.to_le_bytes());
        head.extend(summary.last_hash);
        head.extend(summary.newest_ms.to_le_bytes());
        head.extend((entries.len() as u64).to_le_bytes());
        for (page, chunk) in pages.iter().zip(entries.chunks(PAGE_ENTRIES)) {
            head.extend(chunk.first().map_or(0, |entry| entry.0).to_le_bytes());
            head.extend(crc32fast::hash(page).to_le_bytes());
        }
        let check = Sha256::digest(&head);
        let made = path.with_extension("tmp");
        let mut file = io::BufWriter::new(File::create(&made)?);
        file.write_all(&head)?;
        file.write_all(&check)?;
        for offset in &self.offsets {
            file.write_all(&offset.to_le_bytes())?;
        }
        for page in &pages {
            file.write_all(page)?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&made, path)?;
        SealedIndex::open(path)
    }
}

fn page(entries: &[&Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (digest, block, position) in entries {
        bytes.extend(digest.to_le_bytes());
        bytes.extend(block.to_le_bytes());
        bytes.extend(position.to_le_bytes());
    }
    bytes
}

fn place(first_height: u64, (_, block, position): &Entry) -> Place {
    Place { height: first_height.saturating_add(u64::from(*block)), position: *position }
}

/// The index of a segment that is full: in memory are the marks of its pages, 12 bytes for 256
/// entries.
#[derive(Debug)]
pub(crate) struct SealedIndex {
    pub summary: Summary,
    /// Bytes of the index file.
    pub file_bytes: u64,
    path: PathBuf,
    entries: u64,
    /// First digest and CRC-32 of each page.
    marks: Vec<(u64, u32)>,
}

impl SealedIndex {
    /// Opens an index file.
    ///
    /// # Errors
    /// `InvalidData` if a byte of its head is wrong or it has another length than it says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut head = vec![0; HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let (summary, entries) = Self::fields(&head).ok_or_else(broken)?;
        let pages = usize::try_from(entries).map_err(|_| broken())?.div_ceil(PAGE_ENTRIES);
        let marks_bytes = pages.checked_mul(MARK_BYTES).ok_or_else(broken)?;
        let expected = entries
            .checked_mul(ENTRY_BYTES as u64)
            .and_then(|bytes| bytes.checked_add(summary.heights.checked_mul(8)?))
            .and_then(|bytes| bytes.checked_add((HEAD_BYTES + marks_bytes + 32) as u64));
        if expected != Some(file_bytes) {
            return Err(broken());
        }
        let mut rest = vec![0; marks_bytes + 32];
        file.read_exact_at(&mut rest, HEAD_BYTES as u64)?;
        let (marks, check) = rest.split_at(marks_bytes);
        if Sha256::new().chain_update(&head).chain_update(marks).finalize()[..] != *check {
            return Err(broken());
        }
        let mark = |mut mark: &[u8]| {
            let digest = u64::from_le_bytes(take(&mut mark)?);
            Some((digest, u32::from_le_bytes(take(&mut mark)?)))
        };
        let marks = marks.chunks(MARK_BYTES).map(mark).collect::<Option<_>>().ok_or_else(broken)?;
        Ok(Self { summary, file_bytes, path: path.to_owned(), entries, marks })
    }

    /// The fields of a head, and the number of entries.
    fn fields(head: &[u8]) -> Option<(Summary, u64)> {
        let mut rest = head.strip_prefix(&MAGIC)?;
        if take(&mut rest).map(u32::from_le_bytes)? != VERSION {
            return None;
        }
        let summary = Summary {
            first_height: u64::from_le_bytes(take(&mut rest)?),
            heights: u64::from_le_bytes(take(&mut rest)?),
            bytes: u64::from_le_bytes(take(&mut rest)?),
            last_hash: take(&mut rest)?,
            newest_ms: u64::from_le_bytes(take(&mut rest)?),
        };
        Some((summary, u64::from_le_bytes(take(&mut rest)?)))
    }

    fn offsets_at(&self) -> u64 {
        (HEAD_BYTES + self.marks.len() * MARK_BYTES + 32) as u64
    }

    pub fn offset(&self, height: u64) -> io::Result<Option<u64>> {
        let Some(block) = height.checked_sub(self.summary.first_height) else { return Ok(None) };
        if block >= self.summary.heights {
            return Ok(None);
        }
        let mut offset = [0; 8];
        File::open(&self.path)?.read_exact_at(&mut offset, self.offsets_at() + block * 8)?;
        Ok(Some(u64::from_le_bytes(offset)))
    }

    /// Places of a digest, newest first.
    ///
    /// # Errors
    /// `InvalidData` if a page is not as it was written; the system's otherwise.
    pub fn find(&self, digest: u64, most: usize) -> io::Result<Vec<Place>> {
        // A digest's entries may begin in the page before the first that begins with it.
        let first = self.marks.partition_point(|mark| mark.0 < digest).saturating_sub(1);
        let end = self.marks.partition_point(|mark| mark.0 <= digest);
        let mut found = Vec::new();
        if first >= end {
            return Ok(found);
        }
        let file = File::open(&self.path)?;
        for page in (first..end).rev() {
            let entries = self.page(&file, page)?;
            let of_it = entries.iter().rev().filter(|entry| entry.0 == digest);
            found.extend(of_it.map(|entry| place(self.summary.first_height, entry)));
            if found.len() >= most {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    fn page(&self, file: &File, page: usize) -> io::Result<Vec<Entry>> {
        let before = (page * PAGE_ENTRIES) as u64;
        let count = self.entries.saturating_sub(before).min(PAGE_ENTRIES as u64);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(0) * ENTRY_BYTES];
        let at = self.offsets_at() + self.summary.heights * 8 + before * ENTRY_BYTES as u64;
        file.read_exact_at(&mut bytes, at)?;
        if self.marks.get(page).map(|mark| mark.1) != Some(crc32fast::hash(&bytes)) {
            return Err(broken());
        }
        let entry = |mut entry: &[u8]| {
            let digest = u64::from_le_bytes(take(&mut entry)?);
            let block = u32::from_le_bytes(take(&mut entry)?);
            Some((digest, block, u32::from_le_bytes(take(&mut entry)?)))
        };
        bytes.chunks(ENTRY_BYTES).map(entry).collect::<Option<_>>().ok_or_else(broken)
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the index is not as it was written")
}
