//! A local network for end-to-end tests and benchmarks: real `tidemarkd` processes under real
//! CometBFT, in a temporary folder, on ports of their own. Dropping it ends every process that it
//! started.

mod block_results;
mod metrics;
mod options;
pub mod orders;
mod process;
mod program;
mod relay;
mod reserve;
mod start;
pub mod traffic;

use std::future::Future;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use tidemark_client::Client;
use tidemark_comet::ports::Ports;
use tidemark_comet::rpc_client::RpcClient;
use tidemark_node::config::{FeedConfig, NodeConfig, ShockConfig, FILE_NAME};
use tidemark_proto::params::MarketParams;

use crate::harness::test_market;

pub use block_results::transactions;
pub use metrics::Metrics;
pub use options::{NetOptions, NodeOptions};
use process::{Launch, Process};
pub use process::{Program, Running};
pub use program::{of_tests, target_folder};
pub use relay::Flow;
use relay::Relays;

/// How long a node may take from its start to its first answer, and the chain to make a block: also
/// on a busy machine.
const READY: Duration = Duration::from_secs(90);
/// Between two looks at something that is waited for.
const POLL: Duration = Duration::from_millis(50);

/// The markets of a network, which the synthetic feed knows: BTC-USD, ETH-USD and SOL-USD, ids 0 to
/// 2.
#[must_use]
pub fn markets() -> Vec<MarketParams> {
    vec![
        test_market("BTC-USD", 100_000_000, 100_000, 50),
        test_market("ETH-USD", 10_000_000, 1_000_000, 50),
        test_market("SOL-USD", 1_000_000, 10_000_000, 20),
    ]
}

/// Made-up prices that start now, after these moves.
#[must_use]
pub fn feed(validator: u32, shocks: Vec<ShockConfig>) -> FeedConfig {
    FeedConfig::Synthetic { seed: 7, start_at_ms: unix_ms(), validator, shocks }
}

/// Now, in milliseconds since the Unix epoch.
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A line for whoever waits. Not by `println!`, which the test runner keeps to itself.
pub fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "  … {line}");
}

/// A node's place, and its process while it runs.
struct Node {
    home: PathBuf,
    ports: Ports,
    options: NodeOptions,
    process: Option<Process>,
    /// Its CometBFT, where that is external.
    comet: Option<Process>,
}

/// The network. The chain's id, and the key of its admin and minter, are those of
/// [`crate::harness`].
pub struct Net {
    nodes: Vec<Node>,
    program: PathBuf,
    comet: PathBuf,
    folder: Option<TempDir>,
    relays: Option<Relays>,
    /// Keeps other networks off these ports.
    _ports: reserve::Reserved,
}

impl Net {
    fn folder(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }

    /// Sets the way of bytes from each node to each other, in a network with relays.
    pub fn set_flows(&self, flow: impl Fn(usize, usize) -> Flow) {
        if let Some(relays) = &self.relays {
            relays.set(flow);
        }
    }

    /// A node's home.
    #[must_use]
    pub fn home(&self, node: usize) -> &Path {
        &self.nodes[node].home
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// True if the network has no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node's gRPC address, `host:port`.
    #[must_use]
    pub fn grpc(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].ports.grpc())
    }

    /// A client of a node.
    ///
    /// # Errors
    /// A sentence when it does not answer.
    pub async fn client(&self, node: usize) -> Result<Client, String> {
        Client::connect(&self.grpc(node)).await.map_err(|e| e.to_string())
    }

    /// The address of the JSON-RPC of a node's CometBFT, `host:port`.
    #[must_use]
    pub fn comet_rpc(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].ports.comet_rpc())
    }

    /// The JSON-RPC of a node's CometBFT.
    #[must_use]
    pub fn comet(&self, node: usize) -> RpcClient {
        RpcClient::new(&self.comet_rpc(node)).expect("an address of host and port")
    }

    /// A node's metrics page.
    ///
    /// # Errors
    /// A sentence when it does not answer.
    pub async fn metrics(&self, node: usize) -> Result<Metrics, String> {
        Metrics::read(self.nodes[node].ports.metrics()).await
    }

    /// Ends a node's two processes at once, as a crash of the machine would: no handler of theirs
    /// runs.
    pub fn kill(&mut self, node: usize) {
        if let Some(process) = self.nodes[node].process.take() {
            process.kill();
        }
    }

    /// Ends one of a node's two programs at once, and waits until the other has ended by itself.
    pub fn kill_one(&mut self, node: usize, program: Program) {
        if let Some(process) = self.nodes[node].process.take() {
            process.kill_one(program);
        }
    }

    /// The programs of a node that run: `tidemarkd` and its CometBFT.
    #[must_use]
    pub fn running(&self, node: usize) -> Vec<Running> {
        self.nodes[node].process.as_ref().map(Process::running).unwrap_or_default()
    }

    /// Asks a node to end, and waits until it and its CometBFT have.
    pub fn stop(&mut self, node: usize) {
        drop(self.nodes[node].process.take());
    }

    /// Starts a node that does not run. Use [`Net::ready`] to wait for it.
    ///
    /// # Errors
    /// A sentence when the process cannot be made.
    pub fn restart(&mut self, node: usize) -> Result<(), String> {
        let node = &mut self.nodes[node];
        let options = &node.options;
        let program = options.program.as_ref().unwrap_or(&self.program);
        let threads = options.threads.map(|threads| format!("--threads={threads}"));
        let external = options.external_comet.then(|| "--external-comet".to_owned());
        let arguments = threads.into_iter().chain(external).collect();
        let log = "tidemarkd.log";
        let launch = Launch { program, home: &node.home, log, arguments, variable: None };
        node.process = Some(
            Process::start(launch)
                .map_err(|e| format!("cannot start {}: {e}", node.home.display()))?,
        );
        Ok(())
    }

    /// Starts the external CometBFT of a node. With `crash_at` CometBFT ends by itself, as a crash
    /// would end it, at this one of the points that its authors set for tests of crashes: eleven a
    /// block, numbered from 0 since its start.
    ///
    /// # Errors
    /// A sentence when the process cannot be made.
    pub fn start_comet(&mut self, node: usize, crash_at: Option<u32>) -> Result<(), String> {
        let node = &mut self.nodes[node];
        let variable = crash_at.map(|point| ("FAIL_TEST_INDEX", point.to_string()));
        let launch = Launch {
            program: &self.comet,
            home: &node.home,
            log: "cometbft.log",
            arguments: Vec::new(),
            variable,
        };
        let comet = Process::start(launch);
        node.comet = Some(comet.map_err(|e| format!("cannot start CometBFT: {e}"))?);
        Ok(())
    }

    /// Ends the external CometBFT of a node at once.
    pub fn kill_comet(&mut self, node: usize) {
        if let Some(comet) = self.nodes[node].comet.take() {
            comet.kill();
        }
    }

    /// Returns true if the external CometBFT of a node does not run.
    pub fn comet_has_ended(&mut self, node: usize) -> bool {
        self.nodes[node].comet.as_mut().is_none_or(Process::has_ended)
    }

    /// Gives a node other prices from its next start on.
    ///
    /// # Errors
    /// A sentence when its options cannot be read or written.
    pub fn set_feed(&self, node: usize, feed: FeedConfig) -> Result<(), String> {
        let home = &self.nodes[node].home;
        let mut config = NodeConfig::load(home).map_err(|e| e.to_string())?;
        config.feed = feed;
        let path = home.join("config").join(FILE_NAME);
        std::fs::write(&path, config.to_text())
            .map_err(|e| format!("cannot write {}: {e}", path.display()))
    }

    /// Waits until every running node answers with a block.
    ///
    /// # Errors
    /// A sentence with the log's end, when a node has ended or stays silent.
    pub async fn ready(&mut self) -> Result<(), String> {
        for index in 0..self.nodes.len() {
            if self.nodes[index].process.is_none() {
                continue;
            }
            let end = Instant::now() + READY;
            loop {
                let process = self.nodes[index].process.as_mut();
                if process.is_some_and(Process::has_ended) {
                    return Err(format!("node {index} has ended\n{}", self.log_end(index)));
                }
                if matches!(self.height(index).await, Ok(height) if height > 0) {
                    break;
                }
                if Instant::now() > end {
                    let seconds = READY.as_secs();
                    return Err(format!(
                        "node {index} made no block in {seconds} s\n{}",
                        self.log_end(index)
                    ));
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// The height of a node's last committed block.
    ///
    /// # Errors
    /// A sentence when it does not answer.
    pub async fn height(&self, node: usize) -> Result<u64, String> {
        let client = self.client(node).await?;
        client.status().await.map(|status| status.height).map_err(|e| e.to_string())
    }

    /// Waits until a node has a block of this height.
    ///
    /// # Errors
    /// A sentence with the node's log when no block comes for `READY`.
    pub async fn wait_height(&self, node: usize, height: u64) -> Result<(), String> {
        let (mut best, mut since) = (0, Instant::now());
        loop {
            // A node that was just started does not answer yet.
            let now = self.height(node).await.unwrap_or(0);
            if now >= height {
                return Ok(());
            }
            if now > best {
                (best, since) = (now, Instant::now());
            }
            if since.elapsed() > READY {
                let log = self.log_end(node);
                return Err(format!(
                    "node {node} stands at height {best}, {height} is waited for\n{log}"
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// All that was started; a CometBFT before its application.
    fn processes(&mut self) -> impl Iterator<Item = &mut Option<Process>> {
        self.nodes.iter_mut().flat_map(|node| [&mut node.comet, &mut node.process])
    }

    /// The log of a node.
    #[must_use]
    pub fn log(&self, node: usize) -> String {
        let log = std::fs::read(self.nodes[node].home.join("tidemarkd.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The last lines of a node's two logs.
    fn log_end(&self, node: usize) -> String {
        let home = &self.nodes[node].home;
        let end = |name: &str| {
            let text = std::fs::read(home.join(name)).unwrap_or_default();
            let text =
                String::from_utf8_lossy(&text[text.len().saturating_sub(3_000)..]).into_owned();
            format!("--- end of node {node}'s {name}\n{text}\n")
        };
        end("tidemarkd.log") + &end("cometbft.log")
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (0..self.nodes.len()).for_each(|node| progress(&self.log_end(node)));
        }
        // All at once, then each is waited for.
        self.processes().filter_map(Option::as_mut).for_each(Process::ask_to_end);
        self.processes().for_each(|process| drop(process.take()));
        if std::thread::panicking() {
            if let Some(folder) = self.folder.take() {
                progress(&format!("the network's folder is kept: {}", folder.keep().display()));
            }
        }
    }
}

/// Asks until the answer is there.
///
/// # Panics
/// When it is not within `READY`; the message names `what`.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ask: impl FnMut() -> F,
) -> T {
    let end = Instant::now() + READY;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < end, "{what}: not within {} s", READY.as_secs());
        tokio::time::sleep(POLL).await;
    }
}
