//! The attackers' processes as the run sees them.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinSet;

use crate::plan::ATTACKS;
use crate::share::Share;
use crate::tally::Counts;

/// Processes that attack, or only use their share.
pub struct Floods {
    all: Vec<Flood>,
    _readers: JoinSet<()>,
}

struct Flood {
    name: &'static str,
    child: Child,
    input: Option<ChildStdin>,
    counts: Arc<Mutex<Counts>>,
}

impl Floods {
    /// Starts every attack within the share.
    ///
    /// # Errors
    /// A sentence when a process cannot be made.
    pub async fn start(plan: &Path, share: &mut Share) -> Result<Self, String> {
        let commands = ATTACKS.map(|name| (name, vec!["attack".into(), plan.into(), name.into()]));
        Self::spawn(commands.into(), share).await
    }

    /// Starts busy loops within the share, as many as there are cores.
    ///
    /// # Errors
    /// As of [`Self::start`].
    pub async fn busy(share: &mut Share) -> Result<Self, String> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self::spawn(vec![("busy loop", vec!["busy".into()]); cores], share).await
    }

    async fn spawn(
        commands: Vec<(&'static str, Vec<std::ffi::OsString>)>,
        share: &mut Share,
    ) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|e| e.to_string())?;
        let (mut all, mut readers, mut ids) = (Vec::new(), JoinSet::new(), Vec::new());
        for (name, arguments) in commands {
            let mut child = Command::new(&program)
                .args(arguments)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|e| format!("cannot start {name}: {e}"))?;
            ids.extend(child.id());
            let counts = Arc::<Mutex<Counts>>::default();
            if let Some(out) = child.stdout.take() {
                readers.spawn(read(BufReader::new(out), Arc::clone(&counts)));
            }
            all.push(Flood { name, input: child.stdin.take(), child, counts });
        }
        share.add(&ids)?;
        // Each begins with a line, when all of them are in the share.
        for flood in &mut all {
            if let Some(input) = &mut flood.input {
                use tokio::io::AsyncWriteExt as _;
                input.write_all(b"\n").await.map_err(|e| format!("{}: {e}", flood.name))?;
            }
        }
        Ok(Self { all, _readers: readers })
    }

    /// The counts of each, as it told them last.
    pub fn counts(&self) -> Vec<(&'static str, Counts)> {
        let counts = |flood: &Flood| {
            let counts = flood.counts.lock().unwrap_or_else(PoisonError::into_inner);
            (flood.name, counts.clone())
        };
        self.all.iter().map(counts).collect()
    }

    /// A sentence that names one that has ended by itself, if one has.
    pub fn ended(&mut self) -> Option<String> {
        self.all.iter_mut().find_map(|flood| {
            let status = flood.child.try_wait().ok()??;
            (!status.success()).then(|| format!("{} has ended: {status}", flood.name))
        })
    }

    /// Ends all.
    pub async fn stop(mut self) {
        for flood in &mut self.all {
            drop(flood.input.take());
            let _ = flood.child.kill().await;
        }
        let _ = std::io::stdout().flush();
    }
}

/// Keeps the last counts that a process told.
async fn read(out: BufReader<tokio::process::ChildStdout>, counts: Arc<Mutex<Counts>>) {
    let mut lines = out.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(told) = serde_json::from_str(&line) {
            *counts.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
    }
}

/// The program `hostile busy`: uses what it gets until whoever started it has gone.
pub fn busy() {
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(7));
    }
}
