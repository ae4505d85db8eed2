//! Processes: each measurement runs in its own process, without memory left behind by another, and
//! a failing engine fails alone.

use std::process::{Command, Stdio};

use rustix::time::{clock_gettime, ClockId};
use serde::de::DeserializeOwned;

/// Returns the processor time of this thread, ns: other programs on the machine do not count.
pub fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns the resident memory of this process, in bytes.
pub fn rss_bytes() -> Result<u64, String> {
    let read = || {
        let text = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    read()
        .map(|kib| kib * 1024)
        .ok_or_else(|| "cannot read VmRSS from /proc/self/status".to_owned())
}

/// Runs a command to its end and reads the JSON of its last line.
pub fn json_of<T: DeserializeOwned>(command: &mut Command) -> Result<T, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("cannot start {command:?}: {e}"))?;
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        let why = errors.lines().chain(text.lines()).rfind(|line| !line.trim().is_empty());
        return Err(format!("{}: {}", output.status, why.unwrap_or("no message")));
    }
    let line = text.lines().next_back().unwrap_or_default();
    serde_json::from_str(line).map_err(|e| format!("{e} in its answer {line:?}"))
}

/// Runs this program again with other words, and reads its answer.
pub fn again<T: DeserializeOwned>(words: &[&str]) -> Result<T, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    json_of(Command::new(program).args(words))
}
