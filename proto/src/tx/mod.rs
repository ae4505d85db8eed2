//! Transactions: Cosmos `TxRaw` in SIGN_MODE_DIRECT with one of our messages (rules §10).

mod address;
mod decode;
mod message;
mod operation;
mod place;
mod scale;
mod sign;

pub use address::{Address, ADDRESS_PREFIX};
pub use decode::{decode, DecodedTx, TxHash, MAX_MEMO_BYTES};
pub use message::{chain_tag, Class, Message, MAX_OPERATIONS};
pub use operation::{CancelBy, Operation, Twap, MAX_SLICES, MAX_SLICE_MS, MIN_SLICE_MS};
pub use place::{
    OrderType, Peg, PegTo, Place, PostOnly, TimeInForce, Trigger, TriggerKind, MAX_PEG_OFFSET_TICKS,
};
pub use scale::{Scale, MAX_RUNGS};
pub use sign::{Sendable, Signer, TxOptions};
