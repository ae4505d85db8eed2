//! Transactions on the wire: Cosmos `TxRaw` in SIGN_MODE_DIRECT with one of our messages
//! (rules §10), or in the short form of agents. Decoding gives the plain values of
//! [`crate::types`]; signing makes the bytes.

mod agent_key;
pub mod block;
mod bracket;
pub mod bundle;
mod decode;
mod fields;
mod message;
mod operation;
mod place;
mod result;
mod scale;
mod short;
mod sign;
mod timeout;

pub use decode::{decode, SignedTx, MAX_MEMO_BYTES};
pub use message::chain_tag;
pub use result::{list_data, list_rows, operation_results, result_data, type_url};
pub use short::{usual_gas, AgentSigner, SignedOrders, PURPOSE, SIGNED};
pub use sign::{Sendable, Signer, TxOptions};
pub use timeout::timeout_height;
