//! The bytes of a snapshot in files of bounded length, each with its hash.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::manifest::{hash, Chunk};

/// Most bytes of one chunk; one is in memory while it is written or read.
pub const CHUNK_BYTES: usize = 10 << 20;

/// The file of a chunk.
pub fn chunk_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("{number:05}.chunk"))
}

/// Writes chunks into a folder, each brought to the disk before the next.
pub struct ChunkWriter<'a> {
    folder: &'a Path,
    chunk: Vec<u8>,
    chunks: Vec<Chunk>,
    /// Asked before each chunk: says if the rest is wanted no more.
    is_over: &'a dyn Fn() -> bool,
}

impl<'a> ChunkWriter<'a> {
    pub fn new(folder: &'a Path, is_over: &'a dyn Fn() -> bool) -> Self {
        Self { folder, chunk: Vec::new(), chunks: Vec::new(), is_over }
    }

    /// Writes the last chunk; returns all.
    pub fn finish(mut self) -> io::Result<Vec<Chunk>> {
        if !self.chunk.is_empty() {
            self.end_chunk()?;
        }
        Ok(self.chunks)
    }

    fn end_chunk(&mut self) -> io::Result<()> {
        if (self.is_over)() {
            return Err(io::Error::other("the node ends"));
        }
        let mut file = File::create(chunk_path(self.folder, self.chunks.len()))?;
        file.write_all(&self.chunk)?;
        file.sync_all()?;
        let sha256 = hex::encode(Sha256::digest(&self.chunk));
        self.chunks.push(Chunk { bytes: self.chunk.len() as u64, sha256 });
        self.chunk.clear();
        Ok(())
    }
}

impl Write for ChunkWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CHUNK_BYTES - self.chunk.len();
        let taken = bytes.len().min(room);
        self.chunk.extend_from_slice(&bytes[..taken]);
        if taken == room {
            self.end_chunk()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads chunks, each checked before a byte of it is handed on.
pub struct ChunkReader<'a> {
    folder: &'a Path,
    chunks: &'a [Chunk],
    next: usize,
    chunk: io::Cursor<Vec<u8>>,
}

impl<'a> ChunkReader<'a> {
    pub fn new(folder: &'a Path, chunks: &'a [Chunk]) -> Self {
        Self { folder, chunks, next: 0, chunk: io::Cursor::default() }
    }

    fn read_chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let path = chunk_path(self.folder, self.next);
        let broken = |why: &str| {
            let name = path.display();
            io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {why}"))
        };
        let length = fs::metadata(&path).map_err(|error| broken(&error.to_string()))?.len();
        if length != chunk.bytes {
            return Err(broken(&format!("{length} bytes, the manifest says {}", chunk.bytes)));
        }
        let bytes = fs::read(&path).map_err(|error| broken(&error.to_string()))?;
        let expected = hash(&chunk.sha256).map_err(|why| broken(&why))?;
        if Sha256::digest(&bytes)[..] != expected {
            return Err(broken("it does not have the hash in the manifest"));
        }
        self.chunk = io::Cursor::new(bytes);
        Ok(())
    }
}

impl Read for ChunkReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(into)?;
            let Some(chunk) = self.chunks.get(self.next).filter(|_| read == 0 && !into.is_empty())
            else {
                return Ok(read);
            };
            self.read_chunk(chunk)?;
            self.next += 1;
        }
    }
}
