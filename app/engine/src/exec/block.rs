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
    /// The validators' votes on the block before, with their price reports; empty where there are
    /// none.
    pub ballots: Vec<PriceBallot>,
    /// Its transactions after their stateless check, in order.
    pub txs: Vec<CheckedTx>,
}

/// A validator's vote in the commit of the block before, as prices are taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceBallot {
    /// The validator's address; zeros where the commit does not say.
    pub validator: [u8; 20],
    /// Its voting power.
    pub power: u64,
    /// Its extension; `None` where the vote is not for the block: it came late, or for nothing.
    pub extension: Option<Vec<u8>>,
}
