//! Transactions: Cosmos `TxRaw` in SIGN_MODE_DIRECT with one of our messages (rules §10).

mod address;
mod decode;
mod message;
mod sign;

pub use address::{Address, ADDRESS_PREFIX};
pub use decode::{decode, DecodedTx, TxHash, MAX_MEMO_BYTES};
pub use message::{
    chain_tag, CancelBy, Class, Message, Operation, OrderType, Place, PostOnly, TimeInForce, MAX_OPERATIONS,
};
pub use sign::{Sendable, Signer, TxOptions};
