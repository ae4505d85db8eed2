//! gRPC for the node and people, and `/metrics` for Prometheus, on one loopback port.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::{header, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::get;
use tidemark_proto::oracle_v1 as wire;
use tidemark_proto::oracle_v1::sidecar_service_server::{SidecarService, SidecarServiceServer};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::service::Routes;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::state::Sidecar;
use super::{metrics, status};

/// Most requests of one connection at once, streams included.
const MAX_STREAMS_PER_CONNECTION: u32 = 64;

/// The service.
#[derive(Clone, Debug)]
struct Service {
    sidecar: Arc<Sidecar>,
    published: watch::Receiver<wire::PricesResponse>,
}

#[tonic::async_trait]
impl SidecarService for Service {
    async fn prices(
        &self,
        _: Request<wire::PricesRequest>,
    ) -> Result<Response<wire::PricesResponse>, Status> {
        Ok(Response::new(status::prices(&self.sidecar)))
    }

    type StreamPricesStream =
        Pin<Box<dyn Stream<Item = Result<wire::PricesResponse, Status>> + Send>>;

    async fn stream_prices(
        &self,
        _: Request<wire::PricesRequest>,
    ) -> Result<Response<Self::StreamPricesStream>, Status> {
        // A reader that is slow misses messages and gets the newest: a watch keeps one.
        Ok(Response::new(Box::pin(WatchStream::new(self.published.clone()).map(Ok))))
    }

    async fn status(
        &self,
        _: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        Ok(Response::new(status::status(&self.sidecar)))
    }
}

/// Opens the port.
///
/// # Errors
/// A sentence when it is taken or cannot be opened.
pub fn bind(address: SocketAddr) -> Result<(TcpIncoming, SocketAddr), String> {
    let incoming = TcpIncoming::bind(address).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("cannot listen on {address}: another process does; set listen to a free port")
        }
        _ => format!("cannot listen on {address}: {error}"),
    })?;
    let address = incoming.local_addr().map_err(|error| format!("no address: {error}"))?;
    Ok((incoming.with_nodelay(Some(true)), address))
}

/// Routes of the server: the service with reflection, and metrics.
///
/// # Errors
/// A sentence when reflection cannot start.
pub fn router(
    sidecar: &Arc<Sidecar>,
    published: watch::Receiver<wire::PricesResponse>,
) -> Result<Router, String> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(wire::DESCRIPTORS)
        .build_v1()
        .map_err(|error| format!("gRPC reflection cannot start: {error}"))?;
    let service = Service { sidecar: Arc::clone(sidecar), published };
    let scraped = Arc::clone(sidecar);
    let scrape = get(move || async move {
        match metrics::text(&status::status(&scraped)) {
            Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        }
    });
    let grpc = Routes::new(SidecarServiceServer::new(service)).add_service(reflection);
    let routes = Routes::from(grpc.into_axum_router().route("/metrics", scrape));
    // Prometheus speaks HTTP/1.1, gRPC speaks HTTP/2.
    Ok(Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .add_routes(routes))
}
