//! Refusals of agents: of what they sign, and of their authorisation.

use thiserror::Error;
use tidemark_proto::types::{Address, AgentKey};
use tidemark_proto::units::TimeMs;
use tidemark_proto::Code;

/// Reason why an agent, or what it signed, is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentence of a variant documents its fields, which carry their units
pub enum AgentRefusal {
    #[error("{} is no agent of {}: it was never authorised, or it was revoked", .0.0, .0.1)]
    Unknown(Box<(AgentKey, Address)>),
    #[error("agent {0} was revoked, or authorised anew, in this block")]
    Revoked(Box<AgentKey>),
    #[error("the agent's authorisation ended at {until_ms}, block time is {now_ms}")]
    Expired { until_ms: TimeMs, now_ms: TimeMs },
    #[error("an agent signs batches of orders and a keeper's messages, not {0}")]
    Message(&'static str),
    #[error("the agent is not authorised for subaccount {0}")]
    Subaccount(u32),
    #[error("operation {operation} is no cancel, and the agent may only cancel")]
    CancelsOnly { operation: usize },
    #[error("{0} is no cancel, and the agent may only cancel")]
    NoCancel(&'static str),
    #[error("until_ms is {until_ms}, must be after block time, {now_ms}")]
    UntilPast { until_ms: TimeMs, now_ms: TimeMs },
    #[error("the owner has {0} agents, at most {0}: revoke one first")]
    TooMany(usize),
    #[error("the key is another owner's agent until {until_ms}")]
    KeyTaken { until_ms: TimeMs },
    #[error("nonce is {nonce_ms}, must be {from_ms} to {to_ms}")]
    NonceTooOld { nonce_ms: u64, from_ms: u64, to_ms: u64 },
    #[error("nonce is {nonce_ms}, must be {from_ms} to {to_ms}")]
    NonceTooNew { nonce_ms: u64, from_ms: u64, to_ms: u64 },
    #[error("another transaction of the block has nonce {nonce_ms}")]
    NonceTwice { nonce_ms: u64 },
    #[error("nonce {nonce_ms} is used; it must be a new one from {from_ms} to {to_ms}")]
    NonceUsed { nonce_ms: u64, from_ms: u64, to_ms: u64 },
}

impl AgentRefusal {
    /// The code that clients match on.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::UnknownAgent,
            Self::Revoked(_) => Code::AgentRevoked,
            Self::Expired { .. } => Code::AgentExpired,
            Self::Message(_)
            | Self::Subaccount(_)
            | Self::CancelsOnly { .. }
            | Self::NoCancel(_) => Code::AgentScope,
            Self::UntilPast { .. } => Code::InvalidArgument,
            Self::TooMany(_) => Code::TooManyAgents,
            Self::KeyTaken { .. } => Code::AgentKeyTaken,
            Self::NonceTooOld { .. } => Code::NonceTooOld,
            Self::NonceTooNew { .. } => Code::NonceTooNew,
            Self::NonceTwice { .. } | Self::NonceUsed { .. } => Code::NonceUsed,
        }
    }
}
