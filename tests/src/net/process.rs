//! A node's process, and the crash of one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tidemark_comet::cometbft::GUARD;

/// A running node, or the CometBFT of one. Dropping it asks its processes to end and waits until
/// they have.
pub(super) struct Process {
    /// Ends the program when its standard input closes, which also happens when this process dies,
    /// however it dies.
    guard: Child,
}

/// A program that runs on a node's home.
pub(super) struct Launch<'a> {
    /// The program.
    pub program: &'a Path,
    /// The home.
    pub home: &'a Path,
    /// The file of its output, there.
    pub log: &'a str,
    /// Arguments after `start --home HOME`.
    pub arguments: Vec<String>,
    /// A variable of its environment.
    pub variable: Option<(&'a str, String)>,
}

impl Process {
    /// Starts a program.
    pub fn start(launch: Launch<'_>) -> io::Result<Self> {
        let Launch { program, home, log, arguments, variable } = launch;
        let log = OpenOptions::new().create(true).append(true).open(home.join(log))?;
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", GUARD, "tidemarkd-guard"])
            .arg(program)
            .args(["start", "--home"])
            .arg(home)
            .args(arguments);
        command.env("NO_COLOR", "1").envs(variable);
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

    /// SIGKILL to everything that it started, at once; returns when all of it has ended.
    pub fn kill(mut self) {
        let mut doomed = vec![self.guard.id()];
        // The guard is our child and not yet waited for, so its id is its own; so are its
        // descendants'.
        descendants(&parents(), self.guard.id(), &mut doomed);
        let ids = doomed.iter().map(ToString::to_string);
        let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
        let _ = self.guard.wait();
        // Whatever starts next needs the locks of their files.
        while doomed.iter().any(|process| is_alive(*process)) {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
        let _ = self.guard.wait();
    }
}

/// True if a process has not ended. One that has, and that nobody has waited for, has state Z.
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
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
