//! The engine under consensus: the ABCI application that CometBFT drives, admission of
//! transactions, the extended commit with the validators' prices, and the publisher of committed
//! blocks.

pub mod abci;
pub mod block_txs;
pub mod cosmos_account;
pub mod encode;
pub mod journal;
pub mod lag;
pub mod node_key;
pub mod own_report;
pub mod publish;
pub mod queue;
pub mod snapshots;
pub mod timing;
pub mod tx_cache;
pub mod votes;
