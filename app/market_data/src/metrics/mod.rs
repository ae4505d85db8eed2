//! Prometheus metrics of the chain and of this node, for operators and keepers
//! (docs/metrics.md).
//!
//! Fed by a thread of its own from the published blocks. Gauges show the newest block; counters
//! count every block.
#![allow(clippy::float_arithmetic)] // outside consensus: shown, never used

mod carriage;
mod chain;
mod declare;
mod distance;
mod event_log;
mod figures;
mod grpc;
mod http;
mod market;
mod node;
mod oracle;
mod queue;
mod registry;
mod snapshots;
#[cfg(test)]
mod tests;

pub use http::{serve, MetricsServer};
pub use node::NodeFigures;
pub use registry::Metrics;
