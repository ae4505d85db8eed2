//! The node processes that the devnet started.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tidemark_client::Client;
use tidemark_comet::cometbft::GUARD;

use super::setup::Setup;

/// Between two looks at whether nodes answer or still run.
const POLL: Duration = Duration::from_millis(100);

struct Running {
    number: usize,
    /// The guard, which ends the node when we close its standard input, also by dying.
    guard: Child,
    log: PathBuf,
    grpc: String,
}

/// All nodes. Dropping them ends them.
pub struct Nodes {
    running: Vec<Running>,
}

impl Nodes {
    /// Starts a process a node, of this same program.
    ///
    /// # Errors
    /// A sentence when a process or its log cannot be made.
    pub fn start(setup: &Setup) -> Result<Self, String> {
        let program = std::env::current_exe()
            .map_err(|error| format!("cannot find this program: {error}"))?;
        let mut nodes = Self { running: Vec::new() };
        for (number, (home, grpc)) in setup.nodes().into_iter().enumerate() {
            let log = home.join("tidemarkd.log");
            let started = spawn(&program, &home, &log);
            let guard = started.map_err(|error| {
                format!("cannot start node {number} in {}: {error}", home.display())
            })?;
            nodes.running.push(Running { number, guard, log, grpc });
        }
        Ok(nodes)
    }

    /// Waits until every node answers and makes blocks.
    ///
    /// # Errors
    /// A sentence with the node, its log and its last line, when one ends or stays silent.
    pub async fn ready(&mut self, timeout: Duration) -> Result<Vec<Client>, String> {
        let end = Instant::now() + timeout;
        let mut clients = Vec::new();
        let mut seen = None;
        while clients.len() < self.running.len() {
            if let Some(sentence) = self.ended() {
                return Err(sentence);
            }
            let next = &self.running[clients.len()];
            // A node that goes on with its chain answers while it replays, before it can take
            // transactions: a new block counts.
            match answers(&next.grpc).await {
                Some((client, height)) if height > *seen.get_or_insert(height) => {
                    clients.push(client);
                    seen = None;
                }
                _ if Instant::now() > end => {
                    let (number, log, seconds) =
                        (next.number, next.log.display(), timeout.as_secs());
                    return Err(format!(
                        "node {number} made no block within {seconds} s; see {log}"
                    ));
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
        Ok(clients)
    }

    /// Waits until a node has ended by itself, and says how.
    pub async fn failed(&mut self) -> String {
        loop {
            if let Some(sentence) = self.ended() {
                return sentence;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn ended(&mut self) -> Option<String> {
        self.running.iter_mut().find_map(|node| {
            let status = node.guard.try_wait().ok().flatten()?;
            let (number, log) = (node.number, node.log.display());
            let words = last_line(&node.log)
                .map_or(String::new(), |line| format!("; its last line: {line}"));
            Some(format!("node {number} stopped by itself ({status}), see {log}{words}"))
        })
    }

    /// Ends all nodes at once and waits until they are gone.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.running.iter_mut().for_each(|node| drop(node.guard.stdin.take()));
        for node in &mut self.running {
            let _ = node.guard.wait();
        }
        self.running.clear();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.end();
    }
}

fn spawn(program: &Path, home: &Path, log: &Path) -> std::io::Result<Child> {
    let log = fs::OpenOptions::new().create(true).append(true).open(log)?;
    Command::new("/bin/sh")
        .args(["-c", GUARD, "tidemarkd-guard"])
        .arg(program)
        .arg("start")
        .arg("--home")
        .arg(home)
        // Its log is a file.
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(log.try_clone()?)
        .stderr(log)
        // Ctrl-C in a terminal reaches the devnet only, which then ends its nodes in order.
        .process_group(0)
        .spawn()
}

async fn answers(grpc: &str) -> Option<(Client, u64)> {
    let client = Client::connect(grpc).await.ok()?;
    let status = client.status().await.ok()?;
    Some((client, status.height))
}

fn last_line(log: &Path) -> Option<String> {
    let text = fs::read(log).ok()?;
    let end = &text[text.len().saturating_sub(4096)..];
    let end = String::from_utf8_lossy(end);
    end.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}
