//! The node's gRPC: orders in, queries and streams out. Reads the published view and the
//! market-data replica; nothing here can reach into consensus.
#![allow(clippy::result_large_err)] // tonic's Status is what its traits return

mod account;
pub mod auth;
mod count;
mod explain;
mod export;
mod oracle;
mod order;
mod query;
pub mod server;
pub mod status;
mod stream;
#[cfg(test)]
mod tests;
