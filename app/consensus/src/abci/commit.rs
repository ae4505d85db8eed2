//! Commit: the block becomes visible.

use std::sync::Arc;

use tendermint_proto::v0_38::abci::ResponseCommit;
use tidemark_engine::phase::Phase;

use super::Node;
use crate::publish::PublishedBlock;
use crate::timing::Stopwatch;

/// Publishes the view and the events of the finalized block.
pub(super) fn commit(node: &Node) -> ResponseCommit {
    let mut watch = Stopwatch::start();
    let mut consensus = node.consensus();
    let view = consensus.state.as_ref().map(|state| Arc::new(state.view()));
    if let (Some(view), Some(events)) = (view, consensus.finalized.take()) {
        let mut times = std::mem::take(&mut consensus.times);
        watch.lap(Phase::Commit);
        times.add(Phase::Commit, watch.times.get(Phase::Commit));
        node.inner.publisher.publish(PublishedBlock { view, events: Arc::new(events), times });
    }
    // Nothing is pruned: until there are snapshots, a restart replays every block.
    ResponseCommit { retain_height: 0 }
}
