//! The form in which every benchmark writes its figures: `target/bench/NAME.json`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{clock_gettime, ClockId};
use serde::{Deserialize, Serialize};

/// The direction in which a measure improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// A throughput.
    Higher,
    /// A time or a size.
    Lower,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measure {
    /// Says what was measured; unique in its file.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit, e.g. `operations/s`.
    pub unit: String,
    /// The direction in which it improves.
    pub better: Better,
    /// The worst figure that is accepted, where one is set.
    pub floor: Option<f64>,
    /// The figure that is aimed at, where one is set.
    pub goal: Option<f64>,
}

impl Measure {
    /// A throughput, without floor and goal.
    #[must_use]
    pub fn throughput(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self::new(name, value, unit, Better::Higher)
    }

    /// A time or a size, without floor and goal.
    #[must_use]
    pub fn cost(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self::new(name, value, unit, Better::Lower)
    }

    fn new(name: impl Into<String>, value: f64, unit: &str, better: Better) -> Self {
        let (name, unit) = (name.into(), unit.to_owned());
        Self { name, value, unit, better, floor: None, goal: None }
    }
}

/// Returns the processor time of this thread: other programs on the machine do not count.
#[must_use]
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0))
}

/// Writes `NAME.json` into a folder: the measures, and the tables that they are taken from.
///
/// # Errors
/// The sentence that names the file which cannot be written.
pub fn write(
    folder: &Path,
    name: &str,
    measures: &[Measure],
    tables: &impl Serialize,
) -> Result<PathBuf, String> {
    let path = folder.join(format!("{name}.json"));
    let cannot = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    std::fs::create_dir_all(folder).map_err(cannot)?;
    let figures = serde_json::json!({ "bench": name, "measures": measures, "tables": tables });
    let text = serde_json::to_string_pretty(&figures).map_err(|e| e.to_string())?;
    std::fs::write(&path, text + "\n").map_err(cannot)?;
    Ok(path)
}
