//! Prices from the price sidecar: kept with their ages, so that a vote never waits for them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use tidemark_feed::{Feed, FeedPrice};
use tidemark_proto::oracle_v1 as wire;
use tidemark_proto::oracle_v1::sidecar_service_client::SidecarServiceClient;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;

/// To connect, and between two messages of the stream, which come whether prices change or not.
const SILENCE: Duration = Duration::from_secs(15);

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// The sidecar's last prices. A task follows its stream; dropping this ends it.
#[derive(Debug)]
pub struct SidecarFeed {
    address: SocketAddr,
    max_age_ms: u64,
    known: Arc<Mutex<LatestPrices>>,
    task: JoinHandle<()>,
}

/// The last message and when it came.
#[derive(Debug, Default)]
struct LatestPrices(Option<(Instant, Vec<MarketPrice>)>);

/// A market's prices with their ages in milliseconds when they came.
#[derive(Debug)]
struct MarketPrice {
    symbol: String,
    index: Option<(Decimal, u64)>,
    external: Option<(Decimal, u64)>,
}

impl SidecarFeed {
    /// Follows the sidecar at `address` on `runtime`. A price older than `max_age_ms` is not given
    /// out.
    #[must_use]
    pub fn start(runtime: &Handle, address: SocketAddr, max_age_ms: u64) -> Self {
        let known = Arc::new(Mutex::new(LatestPrices::default()));
        let task = runtime.spawn(follow(address, Arc::clone(&known)));
        Self { address, max_age_ms, known, task }
    }
}

impl Drop for SidecarFeed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Feed for SidecarFeed {
    fn name(&self) -> String {
        format!("sidecar({})", self.address)
    }

    /// Ages are those that the sidecar gave, and the time since: a sidecar that hangs makes them
    /// grow.
    fn snapshot(&self, _now_ms: u64) -> Vec<FeedPrice> {
        let known = lock(&self.known);
        let Some((received, markets)) = &known.0 else { return Vec::new() };
        let since_ms = u64::try_from(received.elapsed().as_millis()).unwrap_or(u64::MAX);
        let fresh = |price: Option<(Decimal, u64)>| {
            let (price, age_ms) = price?;
            let age_ms = age_ms.saturating_add(since_ms);
            (age_ms <= self.max_age_ms).then_some((price, age_ms))
        };
        let prices = markets.iter().map(|market| {
            let (index, external) = (fresh(market.index), fresh(market.external));
            FeedPrice {
                symbol: market.symbol.clone(),
                index: index.map(|(price, _)| price),
                external: external.map(|(price, _)| price),
                age_ms: index
                    .into_iter()
                    .chain(external)
                    .map(|(_, age_ms)| age_ms)
                    .max()
                    .unwrap_or(since_ms),
            }
        });
        prices.collect()
    }
}

fn lock(known: &Mutex<LatestPrices>) -> MutexGuard<'_, LatestPrices> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects for ever. Says so when it begins to work and when it ceases to, not at every attempt.
async fn follow(address: SocketAddr, known: Arc<Mutex<LatestPrices>>) {
    let mut told = String::new();
    loop {
        let why = stream(address, &known, &mut told).await;
        if why != told {
            tracing::warn!(%address, why, "no prices from the sidecar");
            told = why;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Follows one stream until it breaks; says why. Clears `told` once prices come.
async fn stream(address: SocketAddr, known: &Mutex<LatestPrices>, told: &mut String) -> String {
    let endpoint = match Endpoint::from_shared(format!("http://{address}")) {
        Ok(endpoint) => endpoint.connect_timeout(SILENCE),
        Err(error) => return error.to_string(),
    };
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => return with_source(&error),
    };
    let mut prices =
        match SidecarServiceClient::new(channel).stream_prices(wire::PricesRequest {}).await {
            Ok(response) => response.into_inner(),
            Err(status) => return status.to_string(),
        };
    loop {
        match tokio::time::timeout(SILENCE, prices.message()).await {
            Ok(Ok(Some(message))) => {
                if lock(known).0.is_none() || !told.is_empty() {
                    let markets = message.markets.len();
                    tracing::info!(%address, markets, "prices come from the sidecar");
                    told.clear();
                }
                let markets = message.markets.into_iter().map(MarketPrice::from).collect();
                lock(known).0 = Some((Instant::now(), markets));
            }
            Ok(Ok(None)) => return "the sidecar ended the stream".to_owned(),
            Ok(Err(status)) => return status.to_string(),
            Err(_) => return format!("the sidecar was silent for {SILENCE:?}"),
        }
    }
}

/// An error with what caused it: tonic's own words are "transport error" only.
fn with_source(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), |source| format!("{error}: {}", with_source(source)))
}

impl From<wire::MarketPrices> for MarketPrice {
    /// A price that is no decimal is none.
    fn from(market: wire::MarketPrices) -> Self {
        let price = |price: Option<wire::Price>| {
            let price = price?;
            Some((price.price.parse().ok()?, price.age_ms))
        };
        Self { symbol: market.symbol, index: price(market.index), external: price(market.external) }
    }
}
