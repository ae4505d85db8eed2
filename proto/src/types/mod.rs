//! The exchange's own terms: plain values that need no wire, so that everything between a
//! transaction's bytes and a result's bytes is computed on them alone.
//!
//! The edge is where bytes are read or written: [`crate::tx`] decodes transactions into these
//! types, `crate::convert` turns these types into messages of [`crate::v1`] and back. No type of
//! the wire goes further inside.

mod address;
mod agent;
mod allowance;
mod domain;
pub mod gas;
mod liquidation;
mod message;
mod operation;
mod order;
mod result;
mod scale;
mod transaction;
pub mod units;

pub use address::{Address, ADDRESS_PREFIX};
pub use agent::{
    AgentKey, AgentScope, Authorisation, Subaccounts, MAX_AGENTS, MAX_NONCES, NONCE_AHEAD_MS,
    NONCE_BEHIND_MS,
};
pub use allowance::Draw;
pub use domain::SigningDomain;
pub use liquidation::LiquidationStage;
pub use message::{Class, Message, MAX_OPERATIONS};
pub use operation::{
    Bracket, CancelBy, NewLots, Operation, Twap, MAX_SLICES, MAX_SLICE_MS, MIN_SLICE_MS,
};
pub use order::{
    trigger_reserve, OrderType, Peg, PegTo, Place, PostOnly, TimeInForce, Trail, Trigger,
    TriggerKind, MAX_PEG_OFFSET_TICKS, MAX_REDUCE_ONLY_ORDERS, MAX_TRAIL_PPM, MAX_TRAIL_TICKS,
    NOTIONAL_PER_EXIT, TRIGGER_FORFEIT, TRIGGER_RESERVE, WAITING_EXITS,
};
pub use result::{
    ConditionalOrder, MAX_OPERATION_RESULT_BYTES, MAX_RESULT_BYTES_PER_GAS, MAX_TX_RESULT_BYTES,
};
pub use scale::{Scale, MAX_RUNGS};
pub use transaction::{DecodedTx, TxHash, TxNumber};
