//! The gRPC server: every service on one port, with health and reflection, so that `grpcurl` works
//! as it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cosmos_sdk_proto::cosmos::auth::v1beta1::query_server::QueryServer as AuthServer;
use tidemark_comet::rpc_client::RpcClient;
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::TxQueue;
use tidemark_market_data::metrics::Metrics;
use tidemark_market_data::readiness::Readiness;
use tidemark_market_data::MarketData;
use tidemark_proto::v1;
use tidemark_proto::v1::order_service_server::OrderServiceServer;
use tidemark_proto::v1::query_service_server::QueryServiceServer;
use tidemark_proto::v1::stream_service_server::StreamServiceServer;
use tokio::sync::{watch, Notify};
use tokio::task::JoinHandle;
use tonic::server::NamedService;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::Server;
use tonic_health::server::HealthReporter;
use tonic_health::ServingStatus;
use tower::layer::util::{Identity, Stack};

use super::auth::AuthQuery;
use super::budget::{self, Budget};
use super::connection::Accepted;
use super::count::CountLayer;
use super::forward::Forward;
use super::offer::Carrier;
use super::one_export::Exports;
use super::order::OrderServer;
use super::query::QueryServer;
use super::standing::Standing;
use super::stream::StreamServer;

/// Most bytes of a request: a transaction of the largest size that governance would sensibly set.
const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Most requests of one connection at once, streams included.
const MAX_STREAMS_PER_CONNECTION: u32 = 1_000;

/// Most bytes of a request's headers.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// A connection that does not answer a ping is closed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long open requests may take to end when the server stops.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// Sources that the services read.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The committed state.
    pub publisher: Arc<Publisher>,
    /// Books, orders, history.
    pub market_data: Arc<MarketData>,
    /// Transactions that wait for a block, shared with CheckTx.
    pub queue: Arc<TxQueue>,
    /// The node's CometBFT.
    pub comet: RpcClient,
    /// The nodes to which a node that is no validator's hands on what its clients bring.
    pub forward: Forward,
    /// Counters of requests and streams.
    pub metrics: Arc<Metrics>,
    /// Name of the node's price feed.
    pub feed: String,
    /// The node's condition, which gRPC health follows.
    pub readiness: Readiness,
}

/// A running server. Dropping it stops it at once; [`ServerHandle::stop`] lets requests end.
#[derive(Debug)]
pub struct ServerHandle {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl ServerHandle {
    /// Where it listens; with port 0 in the configuration, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the streams with UNAVAILABLE, lets requests end, and closes the port.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(STOP_WITHIN, &mut self.task).await.is_err() {
            tracing::warn!("gRPC connections stayed open for {STOP_WITHIN:?} and are closed");
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves everything on `address`. Needs a tokio runtime.
///
/// # Errors
/// A sentence when the port is taken or cannot be opened.
pub fn serve(address: SocketAddr, deps: Deps) -> Result<ServerHandle, String> {
    let incoming = TcpIncoming::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!(
                "gRPC cannot listen on {address}: another process does; set grpc_addr in \
                 config/tidemarkd.toml to a free port"
            )
        }
        _ => format!("gRPC cannot listen on {address}: {error}"),
    })?;
    let incoming = incoming.with_nodelay(Some(true)).with_keepalive(Some(KEEPALIVE_INTERVAL));
    let address = incoming.local_addr().map_err(|error| format!("gRPC has no address: {error}"))?;
    let (stop, stopped) = watch::channel(false);
    let router = router(deps, &stopped)?;
    let server = router.serve_with_incoming_shutdown(Accepted::new(incoming), is_stopped(stopped));
    Ok(ServerHandle { address, stop, task: tokio::spawn(server) })
}

async fn is_stopped(mut stopped: watch::Receiver<bool>) {
    // An error means that the handle is gone: stop then too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn router(
    deps: Deps,
    stopped: &watch::Receiver<bool>,
) -> Result<Router<Stack<CountLayer, Identity>>, String> {
    let Deps { publisher, market_data, queue, comet, forward, metrics, feed, readiness } = deps;
    let more = Arc::new(Notify::new());
    let carrier = Carrier { queue: Arc::clone(&queue), comet, forward };
    tokio::spawn(carrier.run(Arc::clone(&more), stopped.clone()));
    let orders = OrderServer::new(
        Arc::clone(&publisher),
        Arc::clone(&market_data),
        Arc::clone(&queue),
        more,
    );
    let standing = Standing::new(Arc::clone(&publisher));
    let counted = CountLayer {
        metrics: Arc::clone(&metrics),
        market_data: Arc::clone(&market_data),
        standing: standing.clone(),
    };
    let budget = Budget::new(budget::MAX_BYTES);
    let queries = QueryServer {
        publisher: Arc::clone(&publisher),
        queue,
        market_data: Arc::clone(&market_data),
        feed,
        exports: Exports::new(Arc::clone(&budget)),
        standing: standing.clone(),
    };
    let streams =
        StreamServer::new(Arc::clone(&publisher), market_data, metrics, budget, stopped.clone());
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| format!("gRPC reflection cannot start: {error}"))?;
    let (reporter, health) = tonic_health::server::health_reporter();
    tokio::spawn(report_health(reporter, readiness, stopped.clone()));
    Ok(Server::builder()
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .http2_max_header_list_size(MAX_HEADER_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .layer(counted)
        .add_service(OrderServiceServer::new(orders).max_decoding_message_size(MAX_REQUEST_BYTES))
        .add_service(QueryServiceServer::new(queries))
        .add_service(StreamServiceServer::new(streams))
        .add_service(AuthServer::new(AuthQuery { publisher, standing }))
        .add_service(health)
        .add_service(reflection))
}

/// The node as a whole, then each service by name.
const HEALTH_OF: [&str; 4] = [
    "",
    <OrderServiceServer<OrderServer> as NamedService>::NAME,
    <QueryServiceServer<QueryServer> as NamedService>::NAME,
    <StreamServiceServer<StreamServer> as NamedService>::NAME,
];

/// Lets gRPC health follow readiness until the server stops: it serves while the node is ready.
async fn report_health(
    reporter: HealthReporter,
    readiness: Readiness,
    mut stopped: watch::Receiver<bool>,
) {
    let mut told = None;
    loop {
        let is_ready = readiness.is_ready();
        if told != Some(is_ready) {
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            for service in HEALTH_OF {
                reporter.set_service_status(service, status).await;
            }
            told = Some(is_ready);
        }
        tokio::select! {
            () = readiness.told() => {}
            // An error means that the server is gone.
            _ = stopped.wait_for(|stopped| *stopped) => return,
        }
    }
}
