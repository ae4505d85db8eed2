//! The proposer's side: an extended commit that every validator accepts, made from any last commit.
//!
//! CometBFT asks VerifyVoteExtension for precommits of the current height only. A precommit that
//! comes during `timeout_commit` goes into the last commit after a check of its signatures alone,
//! with up to 1 MiB of extension; the commit never changes afterwards, in any round, on any node.
//! So the proposer **blanks** a vote that a block cannot carry: its flag stays, for the block's
//! commit has it, and extension and signature are left empty.

use std::cmp::Reverse;

use prost::encoding::message;
use prost::Message as _;
use tendermint_proto::v0_38::abci::{ExtendedCommitInfo, ExtendedVoteInfo};
use tidemark_engine::admission;
use tidemark_engine::state::Validator;
use tidemark_proto::tx::block::{self, BLOCK_PRICES};

use super::signatures::{self, Signed};
use super::{encode, has_no_extension, is_committed};

/// The field number of `ExtendedCommitInfo.votes`.
const VOTES_TAG: u32 = 2;

/// The injected transaction of a proposal: the last commit of `height` with those votes blanked
/// that [`super::check`] would refuse, and then the largest, until it takes at most `max_tx_bytes`
/// of a block. Every proposer with the same commit makes the same of it.
#[must_use]
pub fn propose(
    mut commit: ExtendedCommitInfo,
    validators: &[Validator],
    chain_id: &str,
    height: i64,
    max_tx_bytes: u64,
) -> Vec<u8> {
    let round = commit.round;
    blank_refused(&mut commit, &Signed { validators, chain_id, height, round });
    blank_largest(&mut commit, max_tx_bytes);
    encode(&commit)
}

fn blank(vote: &mut ExtendedVoteInfo) {
    vote.vote_extension = Default::default();
    vote.extension_signature = Default::default();
}

/// Blanks each vote whose extension is above the bound or whose signature does not verify, and
/// clears those of votes that are not for the block.
fn blank_refused(commit: &mut ExtendedCommitInfo, signed: &Signed<'_>) {
    let mut signatures = Vec::with_capacity(commit.votes.len());
    for (index, vote) in commit.votes.iter_mut().enumerate() {
        match signed.of(vote) {
            Ok(item) if is_committed(vote) => signatures.push((index, item)),
            _ if has_no_extension(vote) => {}
            refused => {
                if is_committed(vote) {
                    let why = refused.err().unwrap_or_default();
                    tracing::warn!(height = signed.height, "blanks vote {index}: it {why}");
                }
                blank(vote);
            }
        }
    }
    if !signatures::all_right(&signatures) {
        for index in signatures::wrong(&signatures) {
            tracing::warn!(height = signed.height, "blanks vote {index}: its signature is wrong");
            blank(&mut commit.votes[index]);
        }
    }
}

/// Blanks the votes with the longest extensions, of equal ones the first, until the transaction
/// takes at most `max_tx_bytes`. The check at InitChain leaves this to a chain whose block size was
/// lowered later.
fn blank_largest(commit: &mut ExtendedCommitInfo, max_tx_bytes: u64) {
    let in_block =
        |value_bytes: usize| admission::tx_bytes(block::wrapped_bytes(BLOCK_PRICES, value_bytes));
    let mut value_bytes = commit.encoded_len();
    if in_block(value_bytes) <= max_tx_bytes {
        return;
    }
    let votes = commit.votes.iter().enumerate().filter(|(_, vote)| !has_no_extension(vote));
    let mut largest: Vec<_> =
        votes.map(|(index, vote)| (Reverse(vote.vote_extension.len()), index)).collect();
    largest.sort_unstable();
    for (_, index) in largest {
        if in_block(value_bytes) <= max_tx_bytes {
            return;
        }
        let vote = &mut commit.votes[index];
        let before = message::encoded_len(VOTES_TAG, vote);
        blank(vote);
        let after = message::encoded_len(VOTES_TAG, vote);
        value_bytes = value_bytes.saturating_sub(before.saturating_sub(after));
    }
    let bytes = in_block(value_bytes);
    if bytes > max_tx_bytes {
        tracing::error!("the commit takes {bytes} bytes, a block has {max_tx_bytes}");
    }
}
