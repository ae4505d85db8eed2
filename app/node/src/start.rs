//! `tidemarkd start`: the application, its services, and CometBFT as a supervised child.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tendermint_abci::Application;
use tidemark_comet::cometbft::{self, Comet};
use tidemark_comet::rpc_client::RpcClient;
use tidemark_comet::tools::ensure_installed;
use tidemark_consensus::abci::server::{Server, ServerOptions};
use tidemark_consensus::abci::Node;
use tidemark_consensus::journal::Journal;
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::TxQueue;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::state::View;
use tidemark_event_log::{EventLog, Options};
use tidemark_feed::Feed;
use tidemark_market_data::metrics::{self, Metrics};
use tidemark_market_data::readiness::Readiness;
use tidemark_market_data::MarketData;
use tidemark_rpc::forward::Forward;
use tidemark_rpc::server::{serve, Deps};

use super::config::{FeedConfig, NodeConfig};
use super::node_key;
use super::snapshots;
use super::watch::disk::free_bytes;
use super::watch::{Parts, Watch};

/// The event log's folder, in the home's `data` folder.
const EVENTS: &str = "events";

/// How `tidemarkd start` runs.
#[derive(Clone, Debug)]
pub struct StartOptions {
    /// CometBFT runs elsewhere and connects to us.
    pub external_comet: bool,
    /// Overrides the configured number of threads.
    pub threads: Option<u16>,
    /// Overrides the configured feed: the price sidecar at this address.
    pub sidecar: Option<SocketAddr>,
}

/// Why a node that nobody told to end has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// A sentence that says what to do: a busy port, a missing file, CometBFT's end with its log.
    #[error("{0}")]
    Failed(String),
    /// The disk is nearly full: the node ended in order, or did not start.
    #[error("{0}")]
    DiskFull(String),
}

impl From<String> for Ended {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

/// Runs the node at `home` until it is told to stop or CometBFT ends.
///
/// # Errors
/// [`Ended`].
pub async fn start(home: &Path, options: &StartOptions) -> Result<(), Ended> {
    start_with(home, options, |node| node).await
}

/// As [`start`], with `wrap` around the application: for a node that misbehaves in a test.
///
/// # Errors
/// As [`start`].
pub async fn start_with<A: Application>(
    home: &Path,
    options: &StartOptions,
    wrap: impl FnOnce(Node) -> A,
) -> Result<(), Ended> {
    let config = NodeConfig::load(home).map_err(|e| e.to_string())?;
    has_room(home, &config)?;
    let chain_id = chain_id(home)?;
    let feed_config = options.sidecar.map_or_else(|| config.feed.clone(), FeedConfig::sidecar);
    feed_config.check()?;
    let feed: Box<dyn Feed> = feed_config.build(home)?;
    let feed_name = feed.name();
    let threads = threads(options.threads.unwrap_or(config.threads));

    let publisher = Arc::new(Publisher::new(Arc::new(View::empty(&chain_id))));
    let log = EventLog::open(&home.join("data").join(EVENTS), Options::of_chain(&chain_id))
        .map_err(|e| format!("cannot open the event log: {e}"))?;
    let known_height = log.held().map_or(0, |held| *held.end());
    let snapshots = snapshots::open(home, config.snapshots, &chain_id)?;
    let mut loaded = snapshots::newest(home, (&snapshots, &log), options.external_comet);
    let market_data = MarketData::start(&publisher, log).map_err(|e| no_thread(&e))?;
    loaded.iter_mut().for_each(|loaded| market_data.restore(&mut loaded.state));
    let queue = queue(&publisher, &market_data, &chain_id, home)?;
    let metrics = metrics(&publisher, &market_data, &queue)?;
    metrics.watch_snapshots(Arc::clone(&snapshots));
    let node = Node::new(Arc::clone(&publisher), Arc::clone(&queue), feed, threads);
    node.make_snapshots(snapshots);
    loaded.into_iter().for_each(|loaded| node.resume(loaded));
    let readiness = Readiness::default();
    let pages = (Arc::clone(&metrics), readiness.clone());
    let metrics_server = metrics::serve(config.metrics_addr, pages.0, pages.1).await?;
    let deps = Deps {
        publisher: Arc::clone(&publisher),
        market_data,
        queue: Arc::clone(&queue),
        comet: RpcClient::new(&config.comet_rpc_addr)?,
        forward: Forward::to(&config.forward_to)?,
        metrics,
        feed: feed_name.clone(),
        readiness,
    };
    let has_feed = feed_config != FeedConfig::Off;
    let watch = watch(home, &config, &deps, has_feed, known_height)?;
    let grpc = serve(config.grpc_addr, deps)?;

    let address = config.abci_addr(home);
    let server =
        Server::start(&address, ServerOptions::default(), wrap(node)).map_err(|e| e.to_string())?;
    let (grpc_at, metrics_at) = (grpc.address(), metrics_server.address());
    tracing::info!(chain_id, feed_name, threads, %grpc_at, %metrics_at, %address, "the node is up");
    let result = if options.external_comet {
        until_end(watch).await
    } else {
        supervise(home, &address, watch).await
    };
    grpc.stop().await;
    drop(metrics_server);
    server.stop();
    result
}

/// Refuses to start on a disk on which the node would end at once.
fn has_room(home: &Path, config: &NodeConfig) -> Result<(), Ended> {
    let free_bytes = free_bytes(home)
        .map_err(|e| format!("cannot read the free room of {}: {e}", home.display()))?;
    config.disk.ends(free_bytes).map_or(Ok(()), |why| Err(Ended::DiskFull(why)))
}

fn no_thread(error: &std::io::Error) -> String {
    format!("cannot start a thread: {error}")
}

fn metrics(
    publisher: &Publisher,
    market_data: &Arc<MarketData>,
    queue: &Arc<TxQueue>,
) -> Result<Arc<Metrics>, String> {
    let metrics = Metrics::new().map_err(|e| e.to_string())?;
    metrics.start(publisher, Arc::clone(market_data)).map_err(|e| no_thread(&e))?;
    metrics.watch_queue(Arc::clone(queue));
    Ok(metrics)
}

/// The node's watch over itself, on what it serves.
fn watch(
    home: &Path,
    config: &NodeConfig,
    deps: &Deps,
    has_feed: bool,
    known_height: u64,
) -> Result<Watch, String> {
    Watch::start(Parts {
        home: home.to_owned(),
        publisher: Arc::clone(&deps.publisher),
        market_data: Arc::clone(&deps.market_data),
        queue: Arc::clone(&deps.queue),
        metrics: Arc::clone(&deps.metrics),
        readiness: deps.readiness.clone(),
        comet: deps.comet.clone(),
        disk: config.disk,
        validator: node_key::validator(home)?,
        has_feed,
        known_height,
    })
}

/// The queue of transactions, with the journal and the node's key in its home; what it drops is
/// answered.
fn queue(
    publisher: &Arc<Publisher>,
    market_data: &MarketData,
    chain_id: &str,
    home: &Path,
) -> Result<Arc<TxQueue>, String> {
    let cache = Arc::new(TxCache::new(chain_id));
    let (journal, recovered) =
        Journal::open(&home.join("journal")).map_err(|error| error.to_string())?;
    let outcomes = Arc::clone(market_data.outcomes());
    let queue = TxQueue::new(Arc::clone(publisher), cache).with_journal(journal, recovered);
    let queue = queue.with_drops(outcomes);
    let identity = node_key::identity(home)?;
    Ok(Arc::new(match identity {
        Some(identity) => queue.with_identity(identity),
        None => queue,
    }))
}

/// Starts CometBFT and waits until it ends or we are told to stop; in either case both are down
/// afterwards.
async fn supervise(
    home: &Path,
    address: &tidemark_consensus::abci::server::Address,
    watch: Watch,
) -> Result<(), Ended> {
    let binary = tokio::task::spawn_blocking(|| {
        ensure_installed(&cometbft::COMETBFT, &mut |line| eprintln!("{line}"))
            .map_err(|e| e.to_string())
    })
    .await
    .map_err(|e| e.to_string())??;
    let (home, proxy_app) = (home.to_owned(), address.to_string());
    // It may have to end one that a kill has left.
    let comet = tokio::task::spawn_blocking(move || Comet::spawn(&binary, &home, &proxy_app))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| format!("cannot start CometBFT: {e}"))?;
    let mut ended = comet.ended();
    let result = tokio::select! {
        result = until_end(watch) => result,
        end = ended.wait_for(Option::is_some) => {
            let how = end.ok().and_then(|end| end.clone()).unwrap_or_default();
            Err(Ended::Failed(format!("CometBFT ended by itself: {how}")))
        }
    };
    tokio::task::spawn_blocking(move || comet.stop()).await.map_err(|e| e.to_string())?;
    result
}

/// Until the node is told to stop, or must end by itself.
async fn until_end(mut watch: Watch) -> Result<(), Ended> {
    tokio::select! {
        () = wait_for_signal() => Ok(()),
        why = watch.must_end() => Err(Ended::DiskFull(why)),
    }
}

/// Until Ctrl-C or SIGTERM.
pub async fn wait_for_signal() {
    use tokio::signal::unix::{signal, SignalKind};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn threads(configured: u16) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => usize::from(threads),
    }
}

/// The chain id of the home's genesis file.
fn chain_id(home: &Path) -> Result<String, String> {
    let path = home.join("config").join("genesis.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|e| format!("cannot read {}: {e}; `tidemarkd init` makes it", path.display()))?;
    let genesis: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| format!("{} is not JSON: {e}", path.display()))?;
    let chain_id = genesis["chain_id"]
        .as_str()
        .ok_or_else(|| format!("{} has no chain_id", path.display()))?;
    Ok(chain_id.to_owned())
}
