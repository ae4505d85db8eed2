//! The attackers' share of the machine: half a core, all of them together.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The group's time in each period, in microseconds: half a core.
const QUOTA_US: u64 = 5_000;
const PERIOD_US: u64 = 10_000;

/// Processes that share half a core. Dropping it lets them go.
pub struct Share {
    means: Means,
}

enum Means {
    /// A folder of a cpu cgroup.
    Group(PathBuf),
    /// Signals to stop and go on, in turns of 10 ms; one shell sends them.
    Turns { all: Vec<u32>, shell: Option<Child> },
}

impl Share {
    /// An empty share: by a cpu cgroup where one can be made, else by signals.
    pub fn new() -> Self {
        let name = format!("tidemark-hostile-{}", std::process::id());
        let group = first_version(&name).or_else(|| second_version(&name));
        let turns = || Means::Turns { all: Vec::new(), shell: None };
        Self { means: group.map_or_else(turns, Means::Group) }
    }

    /// The means, for the report.
    pub fn means(&self) -> &'static str {
        match self.means {
            Means::Group(_) => "a cpu cgroup of half a core",
            Means::Turns { .. } => "signals to stop and go on, in turns of 10 ms",
        }
    }

    /// Takes processes in.
    ///
    /// # Errors
    /// A sentence when the system refuses.
    pub fn add(&mut self, processes: &[u32]) -> Result<(), String> {
        match &mut self.means {
            Means::Group(folder) => {
                let file = folder.join("cgroup.procs");
                for process in processes {
                    fs::write(&file, process.to_string()).map_err(|e| {
                        format!("cannot take process {process} into {}: {e}", file.display())
                    })?;
                }
                Ok(())
            }
            Means::Turns { all, shell } => {
                all.extend(processes);
                end(shell);
                *shell = Some(take_turns(all).map_err(|e| format!("cannot start a shell: {e}"))?);
                Ok(())
            }
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        match &mut self.means {
            // A group goes when its processes have; they end with this program.
            Means::Group(folder) => drop(fs::remove_dir(folder)),
            Means::Turns { all, shell } => {
                end(shell);
                signal("-CONT", all);
            }
        }
    }
}

/// Ends the shell that sends signals.
fn end(shell: &mut Option<Child>) {
    if let Some(mut shell) = shell.take() {
        let _ = shell.kill();
        let _ = shell.wait();
    }
}

fn signal(signal: &str, processes: &[u32]) {
    let ids = processes.iter().map(ToString::to_string);
    let _ = Command::new("kill").arg(signal).args(ids).stderr(Stdio::null()).status();
}

/// Of two cores, a quarter of the time is half a core.
fn take_turns(processes: &[u32]) -> std::io::Result<Child> {
    const TURNS: &str = "while :; do kill -CONT \"$@\"; sleep 0.01; kill -STOP \"$@\"; \
                         for turn in $PAUSES; do sleep 0.01; done; done 2>/dev/null";
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let pauses = "x ".repeat((2 * cores).saturating_sub(1));
    let ids = processes.iter().map(ToString::to_string);
    Command::new("/bin/sh").args(["-c", TURNS, "turns"]).args(ids).env("PAUSES", pauses).spawn()
}

/// The line of this process's group, e.g. `/helpers` of `1:cpu:/helpers`.
fn own_group(is_wanted: impl Fn(&str) -> bool) -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        is_wanted(controllers).then(|| path.trim_start_matches('/').to_owned())
    })
}

/// A group below this process's own, by the first version of cgroups.
fn first_version(name: &str) -> Option<PathBuf> {
    let path = own_group(|controllers| controllers.split(',').any(|name| name == "cpu"))?;
    let folder = Path::new("/sys/fs/cgroup/cpu").join(path).join(name);
    fs::create_dir(&folder).ok()?;
    let period = fs::write(folder.join("cpu.cfs_period_us"), PERIOD_US.to_string());
    let quota = fs::write(folder.join("cpu.cfs_quota_us"), QUOTA_US.to_string());
    made(folder, period.is_ok() && quota.is_ok())
}

/// A group beside all others, by the second version.
fn second_version(name: &str) -> Option<PathBuf> {
    own_group(str::is_empty)?;
    let folder = Path::new("/sys/fs/cgroup").join(name);
    fs::create_dir(&folder).ok()?;
    let set = fs::write(folder.join("cpu.max"), format!("{QUOTA_US} {PERIOD_US}"));
    made(folder, set.is_ok())
}

fn made(folder: PathBuf, is_set: bool) -> Option<PathBuf> {
    if !is_set {
        let _ = fs::remove_dir(&folder);
    }
    is_set.then_some(folder)
}
