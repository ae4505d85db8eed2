//! A decided block, as execution takes it.

use std::sync::Arc;

use tidemark_proto::types::DecodedTx;
use tidemark_proto::units::TimeMs;
use tidemark_proto::Refusal;

use crate::state::merkle::Hash;

/// A transaction after its stateless check, which states its refusals itself.
pub type CheckedTx = Result<Arc<DecodedTx>, Refusal>;

/// A decided block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// Its time, from the header.
    pub time_ms: TimeMs,
    /// Its hash.
    pub hash: Hash,
    /// The address of the validator that proposed it; zeros where the block does not say.
    pub proposer: [u8; 20],
    /// The validators' votes on the block before, with their price reports; empty where there are
    /// none.
    pub ballots: Vec<PriceBallot>,
    /// Its transactions after their stateless check: those of its own list, then the others.
    pub txs: Vec<CheckedTx>,
}

/// A validator's vote in the commit of the block before, as prices are taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceBallot {
    /// The validator's address; zeros where the commit does not say.
    pub validator: [u8; 20],
    /// Its voting power.
    pub power: u64,
    /// Its extension, as far as the commit has it.
    pub extension: BallotExtension,
}

/// The extension of a vote in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BallotExtension {
    /// The vote is not for the block: it came late, or for nothing.
    Missing,
    /// The proposer left the extension out (rules §4.8).
    Blanked,
    /// Its bytes; empty where the validator sent none.
    Bytes(Vec<u8>),
}
