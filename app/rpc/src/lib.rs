//! The node's gRPC: orders in, queries and streams out. Reads the published view and the
//! market-data replica; nothing here can reach into consensus.
#![allow(clippy::result_large_err)] // tonic's Status is what its traits return

mod account;
mod agents;
mod answer;
pub mod auth;
mod budget;
mod connection;
mod count;
mod explain;
mod export;
pub mod forward;
mod offer;
mod one_export;
mod oracle;
mod order;
mod query;
pub mod server;
mod shared_book;
pub mod standing;
pub mod status;
mod stream;
#[cfg(test)]
mod tests;
mod walk;
