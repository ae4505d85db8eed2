//! Metrics of the gRPC server.

use prometheus::{IntCounterVec, IntGaugeVec};

use super::declare::metrics;

/// Methods that are counted by name; a client can invent others without end.
const METHODS: &[&str] = &[
    "/tidemark.v1.OrderService/Submit",
    "/tidemark.v1.OrderService/Answer",
    "/tidemark.v1.QueryService/Status",
    "/tidemark.v1.QueryService/Params",
    "/tidemark.v1.QueryService/Markets",
    "/tidemark.v1.QueryService/Account",
    "/tidemark.v1.QueryService/Agents",
    "/tidemark.v1.QueryService/Orders",
    "/tidemark.v1.QueryService/Book",
    "/tidemark.v1.QueryService/Funding",
    "/tidemark.v1.QueryService/Oracle",
    "/tidemark.v1.QueryService/Explain",
    "/tidemark.v1.QueryService/LiquidationHistory",
    "/tidemark.v1.QueryService/Backstop",
    "/tidemark.v1.QueryService/Export",
    "/tidemark.v1.StreamService/Book",
    "/tidemark.v1.StreamService/OrderBook",
    "/tidemark.v1.StreamService/Trades",
    "/tidemark.v1.StreamService/Liquidations",
    "/tidemark.v1.StreamService/Account",
    "/tidemark.v1.StreamService/Blocks",
    "/tidemark.v1.StreamService/Listed",
    "/cosmos.auth.v1beta1.Query/Account",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
];

metrics! {
    /// Metrics of the gRPC server.
    #[derive(Debug)]
    pub(super) struct GrpcMetrics {
        grpc_requests: IntCounterVec = "tidemark_grpc_requests_total" ["method", "code"]
            "gRPC requests answered, streams when they end";
        stream_subscribers: IntGaugeVec = "tidemark_stream_subscribers" ["stream"]
            "Open streams";
    }
}

impl GrpcMetrics {
    /// Counts an answered request.
    pub fn request(&self, method: &str, code: tonic::Code) {
        let method =
            METHODS.iter().find(|known| **known == method).map_or("other", |known| &known[1..]);
        self.grpc_requests.with_label_values(&[method, &format!("{code:?}")]).inc();
    }

    /// Counts a stream in.
    pub fn stream_opened(&self, stream: &str) {
        self.stream_subscribers.with_label_values(&[stream]).inc();
    }

    /// Counts a stream out.
    pub fn stream_closed(&self, stream: &str) {
        self.stream_subscribers.with_label_values(&[stream]).dec();
    }
}
