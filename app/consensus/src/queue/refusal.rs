//! Reasons why the queue does not take a transaction. They are this node's, not the chain's.

use thiserror::Error;
use tidemark_engine::refusal::AllowanceRefusal;
use tidemark_proto::{Code, Refusal};

/// Reason why the queue does not take a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentence of a variant documents its fields
pub enum QueueRefusal {
    #[error(
        "another transaction with sequence {sequence} waits; the next free one is {next_free}"
    )]
    SequencePending { sequence: u64, next_free: u64 },
    #[error("another transaction of the agent with nonce {nonce_ms} waits")]
    NoncePending { nonce_ms: u64 },
    #[error(
        "sequence {sequence} comes before its turn, the next free one is {next_free}; behind a \
         missing sequence {waiting_bytes} bytes of the account wait, at most {owner_bytes}, and \
         {all_bytes} of all accounts, at most {most_bytes}"
    )]
    GapFull {
        sequence: u64,
        next_free: u64,
        waiting_bytes: usize,
        owner_bytes: usize,
        all_bytes: usize,
        most_bytes: usize,
    },
    #[error(
        "{bytes} bytes of the account's transactions would wait, at most {most_bytes}; blocks make \
         room"
    )]
    OwnerFull { bytes: usize, most_bytes: usize },
    #[error(
        "the node's queue is full with {transactions} transactions of {bytes} bytes, and no \
         account has more there than this one"
    )]
    QueueFull { transactions: usize, bytes: usize },
    #[error(
        "it has waited here for as long as it may and was dropped; sign it anew, with another \
         timeout height or gas limit"
    )]
    DroppedBefore,
    #[error("{0}")]
    Allowance(#[from] AllowanceRefusal),
}

impl QueueRefusal {
    /// The code on the wire.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::SequencePending { .. } => Code::SequencePending,
            Self::NoncePending { .. } => Code::NonceUsed,
            Self::GapFull { .. } => Code::SequenceGap,
            Self::OwnerFull { .. } | Self::Allowance(_) => Code::RateLimited,
            Self::QueueFull { .. } => Code::Overloaded,
            Self::DroppedBefore => Code::TxExpired,
        }
    }
}

impl From<QueueRefusal> for Refusal {
    fn from(refusal: QueueRefusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}
