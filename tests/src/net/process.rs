//! A node's process, and the crash of one.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tidemark_comet::cometbft::GUARD;

/// A program of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `tidemarkd`, or one in its place that misbehaves.
    Node,
    /// CometBFT.
    Comet,
}

/// A program that runs.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// The program.
    pub program: Program,
    /// The id of its process.
    pub id: u32,
}

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
    pub fn kill(self) {
        let all = self.everything();
        self.kill_some(&all);
    }

    /// SIGKILL to one program; the others see that it has gone, and end by themselves. Returns when
    /// all of them have ended.
    pub fn kill_one(self, program: Program) {
        let doomed = self.running().into_iter().filter(|running| running.program == program);
        let doomed: Vec<u32> = doomed.map(|running| running.id).collect();
        self.kill_some(&doomed);
    }

    fn kill_some(mut self, doomed: &[u32]) {
        let all = self.everything();
        let ids = doomed.iter().map(ToString::to_string);
        let _ = Command::new("kill").arg("-KILL").args(ids).stderr(Stdio::null()).status();
        let _ = self.guard.wait();
        // Whatever starts next needs the locks of their files.
        while all.iter().any(|process| is_alive(*process)) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The guard and all that it started. The guard is our child and not yet waited for, so its id
    /// is its own; so are its descendants'.
    fn everything(&self) -> Vec<u32> {
        let mut found = vec![self.guard.id()];
        descendants(&parents(), self.guard.id(), &mut found);
        found
    }

    /// Its programs, without the guards.
    pub fn running(&self) -> Vec<Running> {
        let running = self.everything().into_iter().filter_map(|id| {
            let name = fs::read_to_string(format!("/proc/{id}/comm")).ok()?;
            let program = match name.trim() {
                "sh" | "dash" | "bash" | "sleep" => return None,
                "cometbft" => Program::Comet,
                _ => Program::Node,
            };
            Some(Running { program, id })
        });
        running.collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.ask_to_end();
        let _ = self.guard.wait();
    }
}

/// True if a process has not ended: one of its threads runs. Those that have ended, and that nobody
/// has waited for, have state Z; the first thread may have it while others still hold files.
fn is_alive(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut stats = threads.map(|thread| fs::read_to_string(thread.path().join("stat")));
    stats.any(|stat| {
        let stat = stat.unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    })
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
