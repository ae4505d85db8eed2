//! CometBFT outside of consensus: installing it, its configuration, its process, its ports, and a
//! client of its RPC.

pub mod cometbft;
pub mod config;
mod leftover;
mod log_file;
pub mod ports;
pub mod rpc_client;
pub mod tools;
