//! Room on the disk: a node that runs out of it ends in order while it still can.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Bytes of a MiB, in which the configuration states bounds.
pub(super) const MIB: u64 = 1 << 20;

/// Folders of the home that may be on disks of their own.
const FOLDERS: [&str; 3] = ["", "data", "journal"];

/// Bounds on the room that is free on the home's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiskBounds {
    /// With less, in MiB, the node warns, and is not ready.
    pub warn_mib: u64,
    /// With less, in MiB, the node ends in order, and does not start.
    pub stop_mib: u64,
}

impl Default for DiskBounds {
    /// 1 GiB is more than CometBFT and the node write within a second; 5 GiB are a warning hours
    /// ahead.
    fn default() -> Self {
        Self { warn_mib: 5 * 1024, stop_mib: 1024 }
    }
}

impl DiskBounds {
    /// Checks what the file's syntax does not.
    ///
    /// # Errors
    /// A sentence that names the settings and the values.
    pub fn check(self) -> Result<(), String> {
        let Self { warn_mib, stop_mib } = self;
        if stop_mib > warn_mib {
            return Err(format!("disk stop_mib = {stop_mib} is above warn_mib = {warn_mib}"));
        }
        Ok(())
    }

    /// The sentence with which a node ends that has no more room than this.
    pub(crate) fn ends(self, free_bytes: u64) -> Option<String> {
        let (free_mib, stop_mib) = (free_bytes / MIB, self.stop_mib);
        (free_mib < stop_mib).then(|| {
            format!(
                "{free_mib} MiB are free on the home's disk, the node ends below {stop_mib} (disk \
                 stop_mib in tidemarkd.toml); it starts again once there is room"
            )
        })
    }
}

/// The bytes that are free on the disk of a home: the least, where its folders are on several.
///
/// # Errors
/// The system's error when the home is not there.
pub(crate) fn free_bytes(home: &Path) -> io::Result<u64> {
    let mut least = u64::MAX;
    for folder in FOLDERS {
        match rustix::fs::statvfs(home.join(folder)) {
            Ok(disk) => least = least.min(disk.f_bavail.saturating_mul(disk.f_frsize)),
            // A folder that is not made yet will be on the home's disk.
            Err(rustix::io::Errno::NOENT) if !folder.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_in_order_and_the_sentence_names_them() {
        let bounds = DiskBounds { warn_mib: 10, stop_mib: 3 };
        assert_eq!((bounds.check(), bounds.ends(3 * MIB)), (Ok(()), None));
        let why = bounds.ends(3 * MIB - 1).unwrap();
        assert!(why.starts_with("2 MiB are free") && why.contains("below 3"), "{why}");
        let why = DiskBounds { warn_mib: 1, stop_mib: 2 }.check().unwrap_err();
        assert_eq!(why, "disk stop_mib = 2 is above warn_mib = 1");
    }

    #[test]
    fn room_is_that_of_the_home_with_or_without_its_folders() {
        let home = tempfile::tempdir().unwrap();
        assert!(free_bytes(home.path()).unwrap() < u64::MAX);
        std::fs::create_dir(home.path().join("data")).unwrap();
        assert!(free_bytes(home.path()).unwrap() < u64::MAX);
        assert!(free_bytes(&home.path().join("nowhere")).is_err());
    }
}
