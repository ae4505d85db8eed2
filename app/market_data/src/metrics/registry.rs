//! All metrics of a node, and the thread that keeps them up to date.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Encoder as _, Error, Registry, TextEncoder};
use tidemark_consensus::publish::{OwnReport, PublishedBlock, Publisher};
use tidemark_consensus::queue::TxQueue;
use tidemark_consensus::snapshots::Snapshots;
use tidemark_engine::events::BlockEvents;
use tidemark_engine::state::View;

use super::carriage::CarriageMetrics;
use super::chain::ChainMetrics;
use super::event_log::EventLogMetrics;
use super::grpc::GrpcMetrics;
use super::market::MarketMetrics;
use super::node::{NodeFigures, NodeMetrics};
use super::oracle::OracleMetrics;
use super::queue::QueueMetrics;
use super::snapshots::SnapshotMetrics;
use crate::MarketData;

/// Gauges are recomputed at most this often.
const REFRESH: Duration = Duration::from_secs(1);

/// Every metric of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    chain: ChainMetrics,
    market: MarketMetrics,
    oracle: OracleMetrics,
    grpc: GrpcMetrics,
    event_log: EventLogMetrics,
    pub(super) queue: QueueMetrics,
    watched_queue: OnceLock<Arc<TxQueue>>,
    pub(super) carriage: CarriageMetrics,
    node: NodeMetrics,
    snapshots: SnapshotMetrics,
    watched_snapshots: OnceLock<Arc<Snapshots>>,
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    /// Never with the names as they are: a name taken twice or not allowed.
    pub fn new() -> Result<Arc<Self>, Error> {
        let registry = Registry::new();
        Ok(Arc::new(Self {
            chain: ChainMetrics::register(&registry)?,
            market: MarketMetrics::register(&registry)?,
            oracle: OracleMetrics::register(&registry)?,
            grpc: GrpcMetrics::register(&registry)?,
            event_log: EventLogMetrics::register(&registry)?,
            queue: QueueMetrics::register(&registry)?,
            watched_queue: OnceLock::new(),
            carriage: CarriageMetrics::register(&registry)?,
            node: NodeMetrics::register(&registry)?,
            snapshots: SnapshotMetrics::register(&registry)?,
            watched_snapshots: OnceLock::new(),
            registry,
        }))
    }

    /// Takes every block from now on: one thread counts, and keeps up with consensus; another sets
    /// gauges to the newest block that it finds.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn start(
        self: &Arc<Self>,
        publisher: &Publisher,
        market_data: Arc<MarketData>,
    ) -> std::io::Result<()> {
        let newest: Arc<Mutex<Option<PublishedBlock>>> = Arc::default();
        let (blocks, metrics, put) = (publisher.subscribe(), Arc::clone(self), Arc::clone(&newest));
        let count = move || {
            while let Some(block) = blocks.next() {
                metrics.count_block(&block);
                *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(block);
            }
        };
        let (metrics, own_report) = (Arc::clone(self), publisher.own_report_cell());
        let refresh = move || {
            // Until nobody counts any more.
            while Arc::strong_count(&newest) > 1 {
                let block = newest.lock().unwrap_or_else(PoisonError::into_inner).take();
                let started = Instant::now();
                if let Some(PublishedBlock { view, events, .. }) = block {
                    metrics.refresh(&view, &events, &market_data, own_report.get().as_ref());
                }
                // With very many accounts it takes long: a tenth of a core is enough.
                std::thread::sleep(REFRESH.max(started.elapsed() * 9));
            }
        };
        std::thread::Builder::new().name("metrics".into()).spawn(count)?;
        std::thread::Builder::new().name("metrics-gauges".into()).spawn(refresh)?;
        Ok(())
    }

    /// Counts a block.
    pub(super) fn count_block(&self, block: &PublishedBlock) {
        self.chain.count(block);
        self.oracle.count(&block.view, &block.events);
    }

    /// Sets the gauges to a block's state.
    pub(super) fn refresh(
        &self,
        view: &View,
        events: &BlockEvents,
        market_data: &MarketData,
        own_report: Option<&OwnReport>,
    ) {
        self.chain.refresh(view, market_data);
        self.market.refresh(view, &events.prices, market_data);
        self.oracle.refresh(view, &events.prices, own_report);
        self.event_log.refresh(market_data);
        if let Some(queue) = self.watched_queue.get() {
            self.queue.refresh(&queue.stats());
            self.carriage.refresh(queue.bundle_counts());
        }
        if let Some(snapshots) = self.watched_snapshots.get() {
            self.snapshots.refresh(&snapshots.stats());
        }
    }

    /// Tells of the node's queue from now on; of the first one that is given.
    pub fn watch_queue(&self, queue: Arc<TxQueue>) {
        self.watched_queue.get_or_init(|| queue);
    }

    /// Takes the figures of the node's watch over itself.
    pub fn tell_node(&self, figures: &NodeFigures<'_>) {
        self.node.tell(figures);
    }

    /// Tells of the node's snapshots from now on; of the first ones that are given.
    pub fn watch_snapshots(&self, snapshots: Arc<Snapshots>) {
        self.watched_snapshots.get_or_init(|| snapshots);
    }

    /// Counts an answered request.
    pub fn grpc_request(&self, method: &str, code: tonic::Code) {
        self.grpc.request(method, code);
    }

    /// Counts an opened stream.
    pub fn stream_opened(&self, stream: &str) {
        self.grpc.stream_opened(stream);
    }

    /// Counts a stream that has ended.
    pub fn stream_closed(&self, stream: &str) {
        self.grpc.stream_closed(stream);
    }

    /// All metrics in Prometheus' text format.
    ///
    /// # Errors
    /// The encoder's error; never with metrics of one registry.
    pub fn text(&self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    #[cfg(test)]
    pub(super) fn families(&self) -> Vec<prometheus::proto::MetricFamily> {
        self.registry.gather()
    }
}
