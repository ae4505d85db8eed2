//! ExtendVote: this validator's prices, from what its feed last knew, and the key of its node until
//! that is registered. Never waits.

use tendermint_proto::v0_38::abci::{RequestExtendVote, ResponseExtendVote};

use super::{height, Node};
use crate::own_report;
use crate::publish::OwnReport;

/// The report; empty when the feed knows nothing and there is no key to register.
pub(super) fn extend_vote(node: &Node, request: &RequestExtendVote) -> ResponseExtendVote {
    let view = node.inner.publisher.view();
    let known = node.feed().snapshot(node.inner.clock.wall_ms());
    let height = height(request.height);
    let key = node.inner.queue.key_to_register(&view);
    let (report, bytes) = own_report::report(&view, &known, height, key.as_ref());
    node.inner.publisher.own_report_cell().set(OwnReport { height, report });
    ResponseExtendVote { vote_extension: bytes.into() }
}
