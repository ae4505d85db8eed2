//! The exchange's terms and its wire.
//!
//! [`types`], [`units`], [`codes`] and [`params`] are plain values that build for any target. The
//! feature `wire` adds the edge: protobuf messages and gRPC services ([`v1`]), transactions
//! ([`tx`]), and the conversions between the two.

pub mod codes;
#[cfg(feature = "wire")]
mod convert;
pub mod defence;
#[cfg(feature = "wire")]
pub mod grpc;
pub mod params;
#[cfg(feature = "wire")]
pub mod tx;
pub mod types;

pub use codes::{Code, Refusal};
// `types::units` under the short name that most of the tree uses.
pub use types::units;

/// Generated from `proto/tidemark/v1/*.proto`.
#[cfg(feature = "wire")]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod v1 {
    tonic::include_proto!("tidemark.v1");

    /// The descriptor set, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}

/// Generated from `proto/tidemark/oracle/v1/*.proto`: the service of the price sidecar, on
/// loopback.
#[cfg(feature = "wire")]
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod oracle_v1 {
    tonic::include_proto!("tidemark.oracle.v1");

    /// The descriptor set, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] =
        include_bytes!(concat!(env!("OUT_DIR"), "/sidecar_descriptors.bin"));
}
