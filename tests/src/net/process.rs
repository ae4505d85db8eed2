//! A node's process, and the crash of one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tidemark_comet::cometbft::GUARD;

/// A running `tidemarkd` with its CometBFT. Dropping it asks both to end and waits until they have.
pub(super) struct Process {
    /// Ends the node when its standard input closes, which also happens when this process dies,
    /// however it dies.
    guard: Child,
}

impl Process {
    /// Starts the node at `home`; its log is `tidemarkd.log` there.
    pub fn start(program: &Path, home: &Path, threads: Option<u16>) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(home.join("tidemarkd.log"))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "tidemarkd-guard"])
            .arg(program)
            .args(["start", "--home"])
            .arg(home);
        command.env("NO_COLOR", "1");
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        let guard = command
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        Ok(Self { guard })
    }

    /// True if the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.guard.try_wait(), Ok(None))
    }

    /// Lets the guard send SIGTERM, without waiting.
    pub fn ask_to_end(&mut self) {
        drop(self.guard.stdin.take());
    }

    /// SIGKILL to everything that it started, at once.
    pub fn kill(mut self) {
        let mut doomed = vec![self.guard.id()];
        // The guard is our child and not yet waited for, so its id is its own; so are its
        // descendants'.
        descendants(&parents(), self.guard.id(), &mut doomed);
        let ids = doomed.iter().map(ToString::to_string);
        let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
        let _ = self.guard.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
        let _ = self.guard.wait();
    }
}

/// Every process with its parent.
fn parents() -> Vec<(u32, u32)> {
    let entries = fs::read_dir("/proc").map(Iterator::flatten).into_iter().flatten();
    let parent = |entry: fs::DirEntry| {
        let process = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // `pid (name) state parent …`; the name may hold anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((process, parent))
    };
    entries.filter_map(parent).collect()
}

fn descendants(parents: &[(u32, u32)], of: u32, found: &mut Vec<u32>) {
    for (process, _) in parents.iter().filter(|(_, parent)| *parent == of) {
        found.push(*process);
        descendants(parents, *process, found);
    }
}
