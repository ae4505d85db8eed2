//! Counts requests by method and status, for metrics, and by connection, and tells the node's
//! newest block with each answer: a layer around every service.
//!
//! `TraceLayer` of tower-http does not serve here: its callbacks do not see the request's path, and
//! none of them runs when the client drops an answer that has not ended, as clients of streams do.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{ready, Context, Poll};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tidemark_market_data::metrics::Metrics;
use tidemark_market_data::MarketData;
use tidemark_proto::Code;
use tonic::body::Body;
use tonic::Status;
use tower::{Layer, Service};

use super::connection::Handle;
use super::standing::Standing;
use super::status::refuse;

/// Of the library's sentence for a request above the bound.
const TOO_LARGE: &str = "decoded message length too large";

/// Adds the count to a service.
#[derive(Clone)]
pub(super) struct CountLayer {
    pub metrics: Arc<Metrics>,
    pub market_data: Arc<MarketData>,
    pub standing: Standing,
}

/// A service whose answers are counted.
#[derive(Clone)]
pub(super) struct CountService<S> {
    service: S,
    metrics: Arc<Metrics>,
    market_data: Arc<MarketData>,
    standing: Standing,
}

impl<S> Layer<S> for CountLayer {
    type Service = CountService<S>;

    fn layer(&self, service: S) -> Self::Service {
        let (metrics, market_data) = (Arc::clone(&self.metrics), Arc::clone(&self.market_data));
        CountService { service, metrics, market_data, standing: self.standing.clone() }
    }
}

type Answer<E> = Pin<Box<dyn Future<Output = Result<Response<Body>, E>> + Send>>;

impl<S, B> Service<Request<B>> for CountService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let connection = request.extensions().get::<Handle>().cloned();
        connection.iter().for_each(Handle::begin);
        let mut ticket = Ticket {
            method: request.uri().path().to_owned(),
            metrics: Arc::clone(&self.metrics),
            code: None,
            connection,
        };
        if let Some(height) = self.market_data.left_out_from() {
            let refused = stands_still(height);
            ticket.code = Some(refused.code());
            return Box::pin(async move { Ok(refused.into_http()) });
        }
        let (answer, standing) = (self.service.call(request), self.standing.clone());
        Box::pin(async move {
            let mut response = answer.await?;
            tell_too_large(response.headers_mut());
            standing.tell(response.headers_mut());
            ticket.read(response.headers());
            Ok(response.map(|inner| Body::new(CountBody { inner, ticket })))
        })
    }
}

/// One request; counted when it is dropped, which is when its answer has been sent or nobody wants
/// it any more.
struct Ticket {
    method: String,
    metrics: Arc<Metrics>,
    code: Option<tonic::Code>,
    connection: Option<Handle>,
}

/// The answer to everything once the node's market data stands still.
fn stands_still(height: u64) -> Status {
    Status::unavailable(format!(
        "this node's market data took blocks too slowly and stands still before block {height}; \
         consensus goes on. Start the node again"
    ))
}

/// The library's own word for a request above the bound is `OUT_OF_RANGE`, which here means a
/// position that the node does not have.
fn tell_too_large(headers: &mut HeaderMap) {
    let Some(status) = Status::from_header_map(headers) else { return };
    if status.code() == tonic::Code::OutOfRange && status.message().contains(TOO_LARGE) {
        let sentence = status.message().trim_start_matches("Error, ");
        let refused = refuse(Code::InvalidArgument, sentence);
        // Names and values of a status always make headers.
        let _ = refused.add_header(headers);
    }
}

impl Ticket {
    /// The status is in the headers of an answer without a body, else in the trailers.
    fn read(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.code = Some(tonic::Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(tonic::Code::Cancelled);
        self.metrics.grpc_request(&self.method, code);
        self.connection.iter().for_each(Handle::end);
    }
}

struct CountBody {
    inner: Body,
    ticket: Ticket,
}

impl HttpBody for CountBody {
    type Data = <Body as HttpBody>::Data;
    type Error = <Body as HttpBody>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(trailers) =
            frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::trailers_ref)
        {
            self.ticket.read(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
