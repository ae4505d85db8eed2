//! Counts requests by method and status, for metrics: a layer around every service.
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
use tonic::body::Body;
use tower::{Layer, Service};

/// Adds the count to a service.
#[derive(Clone)]
pub(super) struct CountLayer(pub Arc<Metrics>);

/// A service whose answers are counted.
#[derive(Clone)]
pub(super) struct CountService<S> {
    service: S,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for CountLayer {
    type Service = CountService<S>;

    fn layer(&self, service: S) -> Self::Service {
        CountService { service, metrics: Arc::clone(&self.0) }
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
        let mut ticket = Ticket {
            method: request.uri().path().to_owned(),
            metrics: Arc::clone(&self.metrics),
            code: None,
        };
        let answer = self.service.call(request);
        Box::pin(async move {
            let response = answer.await?;
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
