//! Reasons why a node does not take a bundle.

use thiserror::Error;
use tidemark_proto::{Code, Refusal};

use super::TX_LIFETIME_BLOCKS;

/// Reason why a node does not take a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[allow(missing_docs)] // the sentence of a variant documents its fields
pub enum BundleRefusal {
    #[error("bundle of {bytes} bytes, at most {most_bytes}")]
    TooLarge { bytes: u64, most_bytes: u64 },
    #[error("bundle of {maker}, which is no validator that has registered a node key")]
    NotRegistered { maker: String },
    #[error(
        "bundle made at height {made_at_height}; at height {height} it must be of the last \
         {TX_LIFETIME_BLOCKS} blocks, or the next as many"
    )]
    Height { made_at_height: u64, height: u64 },
    #[error("bundle with counter {counter}, which its maker has used, or which is below the last")]
    CounterUsed { counter: u64 },
    #[error("bundle of {bytes} bytes; of its maker's {waiting_bytes} bytes wait, at most {share}")]
    MakerFull { bytes: u64, waiting_bytes: u64, share: u64 },
    #[error("bundle of which nothing is left to carry")]
    NothingLeft,
}

impl BundleRefusal {
    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TxTooLarge,
            Self::NotRegistered { .. } => Code::NotAuthorised,
            Self::Height { .. } | Self::NothingLeft => Code::TxExpired,
            Self::CounterUsed { .. } => Code::NonceUsed,
            Self::MakerFull { .. } => Code::RateLimited,
        }
    }
}

impl From<BundleRefusal> for Refusal {
    fn from(refusal: BundleRefusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}
