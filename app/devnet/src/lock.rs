//! One devnet a folder.

use std::fs;
use std::path::Path;

use rustix::fs::{flock, FlockOperation};

/// Held while a devnet runs in a folder; the system gives it back however the process ends.
pub struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes the folder, which is made if it is missing.
    ///
    /// # Errors
    /// A sentence that says what to do when a devnet runs there.
    pub fn take(home: &Path) -> Result<Self, String> {
        let cannot = |error: std::io::Error| format!("cannot write in {}: {error}", home.display());
        fs::create_dir_all(home).map_err(cannot)?;
        let file = fs::File::create(home.join("devnet.lock")).map_err(cannot)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(_) => Err(format!(
                "a devnet is running in {}: end it with Ctrl-C in its terminal, or choose another \
                 --home and --ports",
                home.display()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_taken_once_and_again_after() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::take(folder.path()).unwrap();
        assert!(Lock::take(folder.path()).err().unwrap().contains("--home"));
        drop(lock);
        assert!(Lock::take(folder.path()).is_ok());
    }
}
