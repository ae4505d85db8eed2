//! Blocks of transactions that only their proposer has: files in its home, numbered from 0. Whoever
//! signs the transactions makes the files; the proposer takes each out once it is in the chain.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Most bytes of a file: a block's.
const MAX_BYTES: u64 = 4 << 20;

/// The files of a home.
#[derive(Clone, Debug)]
pub struct UnseenBlocks(PathBuf);

impl UnseenBlocks {
    /// Those of a home.
    #[must_use]
    pub fn of(home: &Path) -> Self {
        Self(home.join("unseen"))
    }

    fn path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number}.block"))
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten();
        files.filter(|file| file.path().extension().is_some_and(|end| end == "block")).count()
    }

    /// Writes a block. Whoever reads it sees all of it or nothing.
    ///
    /// # Errors
    /// The system's error.
    pub fn write(&self, number: u64, txs: &[Vec<u8>]) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let mut bytes = Vec::new();
        for tx in txs {
            let length = u32::try_from(tx.len()).map_err(io::Error::other)?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(tx);
        }
        let unfinished = self.0.join("unfinished");
        fs::write(&unfinished, bytes)?;
        fs::rename(unfinished, self.path(number))
    }

    /// A block's transactions, if it is there.
    #[must_use]
    pub fn read(&self, number: u64) -> Option<Vec<Vec<u8>>> {
        let path = self.path(number);
        let is_small = fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_BYTES);
        let bytes = is_small.then(|| fs::read(path).ok())??;
        let (mut rest, mut txs) = (bytes.as_slice(), Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
            let (tx, after) = after.split_at_checked(length)?;
            txs.push(tx.to_vec());
            rest = after;
        }
        Some(txs)
    }

    /// Takes a block out.
    pub fn remove(&self, number: u64) {
        let _ = fs::remove_file(self.path(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_it_was_written_until_it_is_taken_out() {
        let home = tempfile::tempdir().unwrap();
        let blocks = UnseenBlocks::of(home.path());
        assert_eq!((blocks.waiting(), blocks.read(0)), (0, None));
        let txs = vec![vec![1; 300], Vec::new(), vec![2]];
        blocks.write(0, &txs).unwrap();
        assert_eq!((blocks.waiting(), blocks.read(0)), (1, Some(txs)));
        blocks.remove(0);
        assert_eq!((blocks.waiting(), blocks.read(0)), (0, None));
    }
}
