//! A segment: a file of consecutive records, and its index.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::format::{Body, Hash, Header, RecordHead, HEADER_BYTES, RECORD_HEAD_BYTES};
use crate::index::{OpenIndex, Place, SealedIndex, Summary};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// A byte of it is wrong.
    #[error("the record of block {0} is not as it was written")]
    Broken(u64),
    /// The system's error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Debug)]
enum Index {
    Open(OpenIndex),
    Sealed(SealedIndex),
}

/// A segment.
#[derive(Debug)]
pub(crate) struct Segment {
    path: PathBuf,
    index: RwLock<Index>,
}

/// A segment's file as it was found.
pub(crate) enum Found {
    /// Its records, and how many bytes behind them were cut away.
    Segment { segment: Segment, cut_bytes: u64 },
    /// A byte of its header is wrong, or there is no whole record: nothing of it can be used.
    Useless,
    /// It is of another chain.
    OtherChain,
}

impl Segment {
    /// A new file.
    pub fn create(folder: &Path, header: &Header) -> io::Result<Self> {
        let path = folder.join(format!("{:020}.log", header.first_height));
        let file = File::create(&path)?;
        file.write_all_at(&header.encode(), 0)?;
        let index = OpenIndex::new(header.first_height, HEADER_BYTES as u64, header.previous);
        Ok(Self { path, index: RwLock::new(Index::Open(index)) })
    }

    /// Opens a file: by its index if that fits, else record by record up to the first that is not
    /// whole, where the file is cut.
    pub fn open(path: &Path, chain: &Hash) -> io::Result<Found> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let file_bytes = file.metadata()?.len();
        let mut header = vec![0; HEADER_BYTES];
        let header = match file.read_exact_at(&mut header, 0) {
            Ok(()) => Header::decode(&header),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let Some(header) = header else { return Ok(Found::Useless) };
        if header.chain != *chain {
            return Ok(Found::OtherChain);
        }
        let segment = |index| Self { path: path.to_owned(), index: RwLock::new(index) };
        if let Ok(sealed) = SealedIndex::open(&index_path(path)) {
            let summary = &sealed.summary;
            if summary.first_height == header.first_height && summary.bytes == file_bytes {
                let segment = segment(Index::Sealed(sealed));
                return Ok(Found::Segment { segment, cut_bytes: 0 });
            }
        }
        let index = scan(&file, &header, u64::MAX)?;
        if index.summary.heights == 0 {
            return Ok(Found::Useless);
        }
        let cut_bytes = file_bytes.saturating_sub(index.summary.bytes);
        if cut_bytes > 0 {
            file.set_len(index.summary.bytes)?;
            file.sync_all()?;
        }
        Ok(Found::Segment { segment: segment(Index::Open(index)), cut_bytes })
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn summary(&self) -> Summary {
        match &*self.index() {
            Index::Open(open) => open.summary,
            Index::Sealed(sealed) => sealed.summary,
        }
    }

    /// Bytes on disk.
    pub fn disk_bytes(&self) -> u64 {
        match &*self.index() {
            Index::Open(open) => open.summary.bytes,
            Index::Sealed(sealed) => sealed.summary.bytes.saturating_add(sealed.file_bytes),
        }
    }

    /// Keys of a segment that grows; `None` of one that is sealed.
    pub fn open_keys(&self) -> Option<usize> {
        match &*self.index() {
            Index::Open(open) => Some(open.keys()),
            Index::Sealed(_) => None,
        }
    }

    /// Appends a record. Readers see it once all of it is written; what a failed attempt left
    /// behind the last record, the next one overwrites.
    pub fn append(&self, head: &RecordHead, body: &Body, bytes: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(&self.path)?;
        let at = self.summary().bytes;
        file.write_all_at(&head.encode(), at)?;
        file.write_all_at(bytes, at + RECORD_HEAD_BYTES as u64)?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Index::Open(open) = &mut *index {
            open.push(head.hash, (RECORD_HEAD_BYTES + bytes.len()) as u64, body);
        }
        Ok(())
    }

    /// Brings what is written to the disk.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_data()
    }

    /// Writes the index file; nothing is appended any more.
    pub fn seal(&self) -> io::Result<()> {
        self.sync()?;
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if let Index::Open(open) = &*index {
            // What a failed attempt left behind the last record.
            OpenOptions::new().write(true).open(&self.path)?.set_len(open.summary.bytes)?;
            *index = Index::Sealed(open.seal(&index_path(&self.path))?);
        }
        Ok(())
    }

    /// The record of a height, checked; `None` if the segment has no such height.
    pub fn read(&self, height: u64) -> Result<Option<(RecordHead, Vec<u8>)>, Unreadable> {
        let offset = match &*self.index() {
            Index::Open(open) => open.offset(height),
            Index::Sealed(sealed) => sealed.offset(height)?,
        };
        let Some(offset) = offset else { return Ok(None) };
        let end = self.summary().bytes;
        let file = File::open(&self.path)?;
        match record(&file, offset, end)? {
            Some((head, body)) if head.height == height => Ok(Some((head, body))),
            _ => Err(Unreadable::Broken(height)),
        }
    }

    /// Places of a digest, newest first. An index file with a wrong byte is made again.
    pub fn find(&self, digest: u64, most: usize) -> io::Result<Vec<Place>> {
        let found = match &*self.index() {
            Index::Open(open) => Ok(open.find(digest, most)),
            Index::Sealed(sealed) => sealed.find(digest, most),
        };
        match found {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::error!("{}: {error}; it is made again", self.path.display());
                self.rebuild(u64::MAX)?;
                self.seal()?;
                match &*self.index() {
                    Index::Open(open) => Ok(open.find(digest, most)),
                    Index::Sealed(sealed) => sealed.find(digest, most),
                }
            }
            found => found,
        }
    }

    /// Cuts away the record of a height and all that follow.
    pub fn cut_before(&self, height: u64) -> io::Result<()> {
        self.rebuild(height)?;
        self.seal()
    }

    /// Reads the segment anew, up to a height or the first record that is not whole.
    fn rebuild(&self, end_height: u64) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let mut header = vec![0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)?;
        let header = Header::decode(&header)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the header is broken"))?;
        let open = scan(&file, &header, end_height)?;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = Index::Open(open);
        Ok(())
    }

    /// Deletes its files.
    pub fn remove(&self) -> io::Result<()> {
        remove(&self.path)
    }
}

/// Deletes a segment's file and its index.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(index_path(path)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::remove_file(path)
}

fn index_path(path: &Path) -> PathBuf {
    path.with_extension("idx")
}

/// The record at an offset; `None` if there is no whole one before `end`.
fn record(file: &File, offset: u64, end: u64) -> io::Result<Option<(RecordHead, Vec<u8>)>> {
    let body_at = offset.saturating_add(RECORD_HEAD_BYTES as u64);
    if body_at > end {
        return Ok(None);
    }
    let mut head = vec![0; RECORD_HEAD_BYTES];
    file.read_exact_at(&mut head, offset)?;
    let Some(head) = RecordHead::decode(&head) else { return Ok(None) };
    // A wrong length makes no more room than the file has bytes.
    if body_at.saturating_add(u64::from(head.length)) > end {
        return Ok(None);
    }
    let mut body = vec![0; usize::try_from(head.length).unwrap_or(0)];
    file.read_exact_at(&mut body, body_at)?;
    Ok(head.fits(&body).then_some((head, body)))
}

/// Reads records that follow one another from the first on, up to a height or the first that is
/// not whole or does not follow.
fn scan(file: &File, header: &Header, end_height: u64) -> io::Result<OpenIndex> {
    let end = file.metadata()?.len();
    let mut index = OpenIndex::new(header.first_height, HEADER_BYTES as u64, header.previous);
    while index.summary.end() < end_height {
        let Some((head, bytes)) = record(file, index.summary.bytes, end)? else { break };
        let follows =
            head.height == index.summary.end() && head.previous == index.summary.last_hash;
        let Some(body) = Body::decode(&bytes).filter(|_| follows) else { break };
        index.push(head.hash, (RECORD_HEAD_BYTES + bytes.len()) as u64, &body);
    }
    Ok(index)
}

/// The names of the segments of a folder, oldest first.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Brings a folder's list of files to the disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Takes the folder for this process until the file is dropped.
pub(crate) fn lock(folder: &Path) -> io::Result<File> {
    let path = folder.join("LOCK");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}
