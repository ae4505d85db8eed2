//! VerifyVoteExtension: total and cheap.

use tendermint_proto::v0_38::abci::response_verify_vote_extension::VerifyStatus;
use tendermint_proto::v0_38::abci::{RequestVerifyVoteExtension, ResponseVerifyVoteExtension};

use super::Node;
use crate::votes::MAX_EXTENSION_BYTES;

/// Accepts whatever is small enough. A report that does not decode costs its validator only its say
/// in the prices; refusing the vote would cost the chain its liveness.
pub(super) fn verify_vote_extension(
    _node: &Node,
    request: &RequestVerifyVoteExtension,
) -> ResponseVerifyVoteExtension {
    let small = request.vote_extension.len() <= MAX_EXTENSION_BYTES;
    let status = if small { VerifyStatus::Accept } else { VerifyStatus::Reject };
    ResponseVerifyVoteExtension { status: status as i32 }
}
