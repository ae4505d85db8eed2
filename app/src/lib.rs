//! The Tidemark node: the state machine that CometBFT drives, and what watches it.

pub mod abci;
pub mod cli;
pub mod client;
pub mod comet;
pub mod cosmos_account;
pub mod devnet;
pub mod events;
pub mod exec;
pub mod genesis;
pub mod keeper;
pub mod market_data;
pub mod metrics;
pub mod node;
pub mod own_report;
pub mod phase;
pub mod publish;
pub mod rpc;
pub mod state;
pub mod timing;
pub mod tx_cache;
pub mod votes;
