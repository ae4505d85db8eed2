//! All metrics of a node, and the thread that keeps them up to date.

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::{Encoder as _, Error, Registry, TextEncoder};
use tidemark_consensus::publish::{OwnReport, PublishedBlock, Publisher};
use tidemark_engine::events::BlockEvents;
use tidemark_engine::state::View;

use super::chain::ChainMetrics;
use super::grpc::GrpcMetrics;
use super::market::MarketMetrics;
use super::oracle::OracleMetrics;
use crate::MarketData;

/// Gauges are recomputed at most this often.
const REFRESH: Duration = Duration::from_secs(1);

/// A node without a block for this long is not healthy.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);

/// Every metric of the node.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    last_block: Mutex<Option<Instant>>,
    chain: ChainMetrics,
    market: MarketMetrics,
    oracle: OracleMetrics,
    grpc: GrpcMetrics,
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    /// Never with the names as they are: a name taken twice or not allowed.
    pub fn new() -> Result<Arc<Self>, Error> {
        let registry = Registry::new();
        Ok(Arc::new(Self {
            last_block: Mutex::default(),
            chain: ChainMetrics::register(&registry)?,
            market: MarketMetrics::register(&registry)?,
            oracle: OracleMetrics::register(&registry)?,
            grpc: GrpcMetrics::register(&registry)?,
            registry,
        }))
    }

    /// Takes every block from now on, on a thread of its own.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn start(
        self: &Arc<Self>,
        publisher: &Publisher,
        market_data: Arc<MarketData>,
    ) -> std::io::Result<()> {
        let (blocks, metrics) = (publisher.subscribe(), Arc::clone(self));
        let own_report = publisher.own_report_cell();
        let watch = move || {
            let mut newest: Option<PublishedBlock> = None;
            let mut due = Instant::now();
            loop {
                match blocks.recv_timeout(REFRESH) {
                    Ok(block) => {
                        metrics.count_block(&block);
                        newest = Some(block);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                let started = Instant::now();
                if started < due {
                    continue;
                }
                if let Some(block) = newest.take() {
                    metrics.refresh(
                        &block.view,
                        &block.events,
                        &market_data,
                        own_report.get().as_ref(),
                    );
                    // With very many accounts it takes long: a tenth of a core is enough.
                    due = Instant::now() + REFRESH.max(started.elapsed() * 9);
                }
            }
        };
        std::thread::Builder::new().name("metrics".into()).spawn(watch)?;
        Ok(())
    }

    /// Counts a block.
    pub(super) fn count_block(&self, block: &PublishedBlock) {
        *self.last_block.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
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

    /// The last height, and whether its block came within the last minute.
    #[must_use]
    pub fn health(&self) -> (i64, bool) {
        let last = *self.last_block.lock().unwrap_or_else(PoisonError::into_inner);
        (self.chain.height(), last.is_some_and(|at| at.elapsed() < HEALTHY_WITHIN))
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
