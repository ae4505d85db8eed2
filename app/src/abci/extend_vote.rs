//! ExtendVote: this validator's prices, from what its feed last knew. Never waits.

use tendermint_proto::v0_38::abci::{RequestExtendVote, ResponseExtendVote};

use super::{height, Node};
use crate::exec::prices;
use crate::timing::wall_clock_ms;

/// The report; empty when the feed knows nothing.
pub(super) fn extend_vote(node: &Node, request: &RequestExtendVote) -> ResponseExtendVote {
    let view = node.inner.publisher.view();
    let known = node.feed().snapshot(wall_clock_ms());
    ResponseExtendVote { vote_extension: prices::report(&view, &known, height(request.height)).into() }
}
