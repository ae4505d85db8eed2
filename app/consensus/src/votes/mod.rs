//! The extended commit: the validators' price reports, carried as a block's first transaction.
//!
//! It is the `/tidemark.v1.BlockPrices` of a `TxRaw` that nobody has signed (rules §10.7): all of
//! a block decodes alike, and no sender's transaction can be taken for it. The proposer makes it
//! from its local last commit ([`propose`]); validators check it against the block's last commit
//! ([`check`]); the bounds of both follow from the validator set ([`room`]).

mod proposal;
pub mod room;
mod signatures;

pub use proposal::propose;

use prost::Message as _;
use tendermint_proto::v0_38::abci::{CommitInfo, ExtendedCommitInfo, ExtendedVoteInfo};
use tendermint_proto::v0_38::types::BlockIdFlag;
use tidemark_engine::exec::{BallotExtension, PriceBallot};
use tidemark_engine::state::Validator;
use tidemark_proto::tx::block::{self, BLOCK_PRICES};

use signatures::Signed;

/// Most bytes of one vote extension that a block carries.
pub const MAX_EXTENSION_BYTES: usize = 1_024;

/// Returns true if a block of this height begins with an extended commit: all but the first, which
/// has no commit before it.
#[must_use]
pub const fn required(height: u64) -> bool {
    height > 1
}

/// The extended commit as a transaction.
#[must_use]
pub fn encode(commit: &ExtendedCommitInfo) -> Vec<u8> {
    block::wrap(BLOCK_PRICES, commit.encode_to_vec())
}

/// Reads the injected transaction. A block's bytes bound the work.
///
/// # Errors
/// A sentence when it is not an extended commit, or not in the one form that [`encode`] gives.
pub fn decode(bytes: &[u8]) -> Result<ExtendedCommitInfo, String> {
    let value = block::unwrap(BLOCK_PRICES, bytes)
        .map_err(|why| format!("the first transaction is not an extended commit: {why}"))?;
    let commit =
        ExtendedCommitInfo::decode(value).map_err(|error| format!("extended commit: {error}"))?;
    if commit.encode_to_vec() != value {
        return Err("extended commit is not in its canonical form".into());
    }
    Ok(commit)
}

/// Checks an extended commit of `height` against the commit that CometBFT itself proposes for it:
/// the same round and votes, and every committed vote blanked or with its validator's signature
/// over its extension. No number of blanked votes is too many: the quorum of each price decides
/// whether there is a new one (rules §4.8).
///
/// # Errors
/// A sentence naming the first thing that does not hold.
pub fn check(
    commit: &ExtendedCommitInfo,
    proposed: &CommitInfo,
    validators: &[Validator],
    chain_id: &str,
    height: i64,
) -> Result<(), String> {
    if commit.round != proposed.round || commit.votes.len() != proposed.votes.len() {
        return Err(format!(
            "extended commit has round {} and {} votes, the commit has round {} and {}",
            commit.round,
            commit.votes.len(),
            proposed.round,
            proposed.votes.len()
        ));
    }
    let signed = Signed { validators, chain_id, height, round: commit.round };
    let mut signatures = Vec::with_capacity(commit.votes.len());
    for (index, (vote, expected)) in commit.votes.iter().zip(&proposed.votes).enumerate() {
        if vote.validator != expected.validator || vote.block_id_flag != expected.block_id_flag {
            return Err(format!("vote {index} is not the vote of the commit"));
        }
        if has_no_extension(vote) {
            continue;
        }
        if !is_committed(vote) {
            return Err(format!("vote {index} has an extension without a commit"));
        }
        let signature = signed.of(vote).map_err(|why| format!("vote {index} {why}"))?;
        signatures.push((index, signature));
    }
    signatures::first_wrong(&signatures).map_or(Ok(()), |index| {
        Err(format!("vote {index} has a signature that is not its validator's"))
    })
}

/// Every vote of an extended commit, in its order.
pub fn ballots(commit: &ExtendedCommitInfo) -> impl Iterator<Item = PriceBallot> + '_ {
    commit.votes.iter().map(|vote| {
        let (address, power) = vote
            .validator
            .as_ref()
            .map_or((&[][..], 0), |validator| (&validator.address[..], validator.power));
        let extension = if !is_committed(vote) {
            BallotExtension::Missing
        } else if has_no_extension(vote) {
            BallotExtension::Blanked
        } else {
            BallotExtension::Bytes(vote.vote_extension.to_vec())
        };
        PriceBallot {
            validator: address.try_into().unwrap_or_default(),
            power: power.max(0).unsigned_abs(),
            extension,
        }
    })
}

fn is_committed(vote: &ExtendedVoteInfo) -> bool {
    vote.block_id_flag == BlockIdFlag::Commit as i32
}

/// True if neither an extension is there nor a signature over one: a committed vote like this is
/// blanked. An empty extension that a validator sent has its signature.
fn has_no_extension(vote: &ExtendedVoteInfo) -> bool {
    vote.vote_extension.is_empty() && vote.extension_signature.is_empty()
}

#[cfg(test)]
mod tests;
