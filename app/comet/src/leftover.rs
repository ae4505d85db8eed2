//! The record of the CometBFT that a node runs, in the node's home: with it the next start ends one
//! that a kill has left behind, before another opens the same database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The record's file, in the home.
const FILE: &str = "cometbft.pid";

/// Where the guard writes the number of the process that it runs, in the home.
const FROM_GUARD: &str = "cometbft.pid.guard";

/// How long the guard may take to start the process.
const STARTS_WITHIN: Duration = Duration::from_secs(2);

/// How long a left process may take to end when asked, and then when killed.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(5);

/// A process, told from a later one with its number by the time of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    pid: u32,
    /// Clock ticks from the machine's start to the process's.
    started_ticks: u64,
}

/// The CometBFT that a node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The machine's start, which the ticks count from.
    boot_id: String,
    /// The node that started it.
    node: Process,
    comet: Process,
    /// The words of its command line that are its own.
    binary: PathBuf,
    home: PathBuf,
}

impl Process {
    /// The process with this number; `None` if there is none, or it has ended.
    fn running(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state …`, the start as field 22; the name may hold anything.
        let mut fields = stat.rsplit_once(") ")?.1.split_whitespace();
        let state = fields.next()?;
        let started_ticks = fields.nth(18)?.parse().ok()?;
        (!state.starts_with(['Z', 'X'])).then_some(Self { pid, started_ticks })
    }

    fn runs(self) -> bool {
        Self::running(self.pid) == Some(self)
    }

    fn signal(self, signal: &str) {
        let pid = self.pid.to_string();
        let mut kill = Command::new("/bin/sh");
        kill.args(["-c", "kill \"-$0\" \"$1\"", signal, &pid]);
        let _ = kill.stdin(Stdio::null()).stderr(Stdio::null()).status();
    }

    /// Waits until it has ended; false if it has not in time.
    fn ends(self) -> bool {
        let end = Instant::now() + ENDS_WITHIN;
        while self.runs() {
            if Instant::now() > end {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

impl Record {
    /// True if the process is still there, and is what it was.
    fn runs(&self) -> bool {
        let words = fs::read(format!("/proc/{}/cmdline", self.comet.pid)).unwrap_or_default();
        let has = |path: &Path| {
            let path = path.as_os_str().as_encoded_bytes();
            words.split(|byte| *byte == 0).any(|word| word == path)
        };
        boot_id() == self.boot_id && self.comet.runs() && has(&self.binary) && has(&self.home)
    }

    /// Removes the record of a process that has ended.
    pub fn forget(&self) {
        if !self.runs() {
            let _ = fs::remove_file(self.home.join(FILE));
        }
    }
}

/// Changes whenever the machine starts.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// The file that the guard is told of by its variable `GUARD_PID_FILE`.
pub(super) fn from_guard(home: &Path) -> PathBuf {
    let path = home.join(FROM_GUARD);
    let _ = fs::remove_file(&path);
    path
}

/// Writes down the process that the guard has just started. Without a record, as on a system
/// without `/proc`, the guard still ends it with the node.
pub(super) fn record(binary: &Path, home: &Path) -> Option<Record> {
    let told = home.join(FROM_GUARD);
    let end = Instant::now() + STARTS_WITHIN;
    let pid = loop {
        let text = fs::read_to_string(&told).unwrap_or_default();
        // The line is there as a whole, or not yet.
        if let Some(pid) = text.strip_suffix('\n').and_then(|line| line.parse().ok()) {
            break pid;
        }
        if Instant::now() > end {
            return None;
        }
        thread::sleep(POLL);
    };
    let record = Record {
        boot_id: boot_id(),
        node: Process::running(std::process::id())?,
        comet: Process::running(pid)?,
        binary: binary.to_owned(),
        home: home.to_owned(),
    };
    let text = serde_json::to_string(&record).ok()?;
    let beside = home.join(FROM_GUARD);
    fs::write(&beside, text + "\n").ok()?;
    fs::rename(&beside, home.join(FILE)).ok()?;
    Some(record)
}

/// Ends the CometBFT of this home that a killed node has left: SIGTERM, then SIGKILL after five
/// seconds. Returns when it is gone.
///
/// # Errors
/// When the node that started it still runs, or it does not end.
pub(super) fn end(home: &Path) -> io::Result<()> {
    let Ok(text) = fs::read_to_string(home.join(FILE)) else { return Ok(()) };
    // A file that is no record, as after a power cut, is of a process that is gone.
    let left = serde_json::from_str(&text).ok().filter(Record::runs);
    if let Some(Record { node, comet, .. }) = left {
        let pid = comet.pid;
        if node.runs() && node.pid != std::process::id() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("tidemarkd (process {}) runs on this home already", node.pid),
            ));
        }
        tracing::warn!(pid, "a CometBFT that a killed node has left is ended");
        comet.signal("TERM");
        if !comet.ends() {
            comet.signal("KILL");
            if !comet.ends() {
                let why = format!("a CometBFT that was left (process {pid}) does not end");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }
    match fs::remove_file(home.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A process in place of CometBFT, with its record.
    fn left(home: &Path, script: &str) -> (std::process::Child, Record) {
        let binary = home.join("cometbft");
        fs::write(&binary, script).unwrap();
        let mut command = Command::new("/bin/sh");
        command.arg(&binary).args(["start", "--home"]).arg(home);
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        fs::write(home.join(FROM_GUARD), format!("{}\n", child.id())).unwrap();
        let record = record(&binary, home).unwrap();
        (child, record)
    }

    const WAITS: &str = "while :; do sleep 0.05; done";

    #[test]
    fn one_that_a_kill_has_left_is_ended_and_its_record_is_gone() {
        let home = tempfile::tempdir().unwrap();
        let (mut child, record) = left(home.path(), WAITS);
        assert!(record.runs());
        // Its exit status is taken, as the system does for an orphan.
        let waits = thread::spawn(move || child.wait().unwrap());
        end(home.path()).unwrap();
        assert!(!record.runs() && !home.path().join(FILE).exists());
        assert!(!waits.join().unwrap().success());
        end(home.path()).unwrap();
    }

    #[test]
    fn another_process_with_its_number_is_let_alone() {
        let home = tempfile::tempdir().unwrap();
        let (mut child, record) = left(home.path(), WAITS);
        let later = Process { started_ticks: record.comet.started_ticks + 1, ..record.comet };
        let of_old = [
            Record { comet: later, ..record.clone() },
            Record { boot_id: "another".into(), ..record.clone() },
            Record { binary: "/elsewhere/cometbft".into(), ..record.clone() },
        ];
        for record in of_old {
            fs::write(home.path().join(FILE), serde_json::to_string(&record).unwrap()).unwrap();
            end(home.path()).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "{record:?}");
        }
        fs::write(home.path().join(FILE), "torn").unwrap();
        end(home.path()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_whose_node_runs_is_let_alone_and_the_second_node_refused() {
        let home = tempfile::tempdir().unwrap();
        let (mut child, record) = left(home.path(), WAITS);
        // In place of the other node: a process that runs.
        let node = Process::running(child.id()).unwrap();
        let record = Record { node, ..record };
        fs::write(home.path().join(FILE), serde_json::to_string(&record).unwrap()).unwrap();
        let why = end(home.path()).unwrap_err().to_string();
        assert!(why.contains("runs on this home already"), "{why}");
        assert!(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
