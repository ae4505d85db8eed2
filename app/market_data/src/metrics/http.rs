//! `/metrics` for Prometheus, `/health` and `/ready` for supervisors and load balancers, over plain
//! HTTP.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{header, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::Metrics;
use crate::readiness::Readiness;

/// Most connections at once; more wait.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send a request's head.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A running server; dropping it stops it.
#[derive(Debug)]
pub struct MetricsServer {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves metrics on `address`.
///
/// # Errors
/// A sentence when the port is taken or cannot be opened.
pub async fn serve(
    address: SocketAddr,
    metrics: Arc<Metrics>,
    readiness: Readiness,
) -> Result<MetricsServer, String> {
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => format!(
            "metrics cannot listen on {address}: another process does; set metrics_addr in \
             config/tidemarkd.toml to a free port"
        ),
        _ => format!("metrics cannot listen on {address}: {error}"),
    })?;
    let address =
        listener.local_addr().map_err(|error| format!("metrics have no address: {error}"))?;
    let pages = Pages { metrics, readiness };
    Ok(MetricsServer { address, task: tokio::spawn(accept(listener, pages)) })
}

/// Sources of the pages.
#[derive(Clone)]
struct Pages {
    metrics: Arc<Metrics>,
    readiness: Readiness,
}

async fn accept(listener: TcpListener, pages: Pages) {
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(seat) = Arc::clone(&seats).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let pages = pages.clone();
                tokio::spawn(async move {
                    connection(stream, pages).await;
                    drop(seat);
                });
            }
            Err(error) => {
                // Out of file descriptors, mostly: try again when some are free.
                tracing::warn!(%error, "metrics cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, pages: Pages) {
    let service = service_fn(move |request| {
        let response = answer(&request, &pages);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a metrics connection broke");
    }
}

fn answer(request: &Request<Incoming>, pages: &Pages) -> Response<Full<Bytes>> {
    let plain = |status, text: String| respond(status, "text/plain; charset=utf-8", text.into());
    let checks = |(ok, text): (bool, String)| {
        let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        respond(status, "application/json", text.into())
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/metrics") => match pages.metrics.text() {
            Ok(text) => respond(StatusCode::OK, prometheus::TEXT_FORMAT, text.into()),
            Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        (&Method::GET, "/health") => checks(pages.readiness.health_page()),
        (&Method::GET, "/ready") => checks(pages.readiness.ready_page()),
        _ => plain(StatusCode::NOT_FOUND, "/metrics, /health and /ready are here\n".to_owned()),
    }
}

fn respond(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
