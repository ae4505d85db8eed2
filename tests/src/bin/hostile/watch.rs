//! The net as it is seen during a run: heights, the memory of each process, and whether a newcomer
//! is served.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tidemark_client::Client;
use tidemark_tests::net::{Net, Program};
use tokio::task::JoinSet;

/// Between two looks at processes and as a newcomer.
const LOOK: Duration = Duration::from_secs(2);
/// How long a newcomer waits for an answer.
const NEWCOMER: Duration = Duration::from_secs(5);

/// A process, and the most memory that it had.
#[derive(Debug)]
struct Watched {
    node: usize,
    program: Program,
    id: u32,
    peak_bytes: AtomicU64,
}

/// Looks until it is dropped.
#[derive(Debug)]
pub struct Watch {
    heights: Vec<Arc<AtomicU64>>,
    processes: Arc<Vec<Watched>>,
    newcomers: Arc<Newcomers>,
    _tasks: JoinSet<()>,
}

/// Clients that connected anew.
#[derive(Debug, Default)]
pub struct Newcomers {
    served: AtomicU64,
    not_served: AtomicU64,
}

impl Watch {
    /// Watches the first `nodes` nodes of a net.
    ///
    /// # Errors
    /// A sentence when a node does not answer.
    pub async fn start(net: &Net, nodes: usize) -> Result<Self, String> {
        let mut tasks = JoinSet::new();
        let (mut heights, mut processes) = (Vec::new(), Vec::new());
        for node in 0..nodes {
            let height = Arc::new(AtomicU64::new(net.height(node).await?));
            tasks.spawn(follow(net.client(node).await?, Arc::clone(&height)));
            heights.push(height);
            processes.extend(net.running(node).into_iter().map(|running| Watched {
                node,
                program: running.program,
                id: running.id,
                peak_bytes: AtomicU64::new(0),
            }));
        }
        let (processes, newcomers) = (Arc::new(processes), Arc::<Newcomers>::default());
        tasks.spawn(look(Arc::clone(&processes)));
        let addresses = (0..nodes).map(|node| net.grpc(node)).collect();
        tasks.spawn(come_anew(addresses, Arc::clone(&newcomers)));
        Ok(Self { heights, processes, newcomers, _tasks: tasks })
    }

    /// The height of a node's newest block, as its stream told it.
    pub fn height(&self, node: usize) -> &Arc<AtomicU64> {
        &self.heights[node]
    }

    /// The greatest height.
    pub fn head(&self) -> u64 {
        self.heights.iter().map(|height| height.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    /// The most memory that a process of this program had since the last [`Self::forget`], with its
    /// node.
    pub fn peak(&self, program: Program) -> (u64, usize) {
        let those = self.processes.iter().filter(|watched| watched.program == program);
        let peaks = those.map(|watched| (watched.peak_bytes.load(Ordering::Relaxed), watched.node));
        peaks.max().unwrap_or_default()
    }

    /// Newcomers that were served, and that were not, since the last [`Self::forget`].
    pub fn newcomers(&self) -> (u64, u64) {
        let Newcomers { served, not_served } = &*self.newcomers;
        (served.load(Ordering::Relaxed), not_served.load(Ordering::Relaxed))
    }

    /// Begins anew, but for heights.
    pub fn forget(&self) {
        for watched in self.processes.iter() {
            watched.peak_bytes.store(0, Ordering::Relaxed);
        }
        self.newcomers.served.store(0, Ordering::Relaxed);
        self.newcomers.not_served.store(0, Ordering::Relaxed);
    }
}

/// Follows the blocks of a node, anew where the stream ends.
async fn follow(client: Client, height: Arc<AtomicU64>) {
    loop {
        if let Ok(mut blocks) = client.block_stream().await {
            while let Ok(Some(block)) = blocks.message().await {
                height.fetch_max(block.height, Ordering::Relaxed);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn look(processes: Arc<Vec<Watched>>) {
    loop {
        for watched in processes.iter() {
            watched.peak_bytes.fetch_max(resident_bytes(watched.id), Ordering::Relaxed);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The resident memory of a process; 0 where it has ended.
fn resident_bytes(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0).saturating_mul(1_024)
}

async fn come_anew(addresses: Vec<String>, newcomers: Arc<Newcomers>) {
    for address in addresses.iter().cycle() {
        let served = async { Client::connect(address).await.ok()?.status().await.ok() };
        let served = tokio::time::timeout(NEWCOMER, served).await.ok().flatten();
        let count = if served.is_some() { &newcomers.served } else { &newcomers.not_served };
        count.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(LOOK).await;
    }
}
