//! Commit: the block becomes visible.

use std::sync::Arc;

use tendermint_proto::v0_38::abci::ResponseCommit;
use tidemark_engine::phase::Phase;

use super::{Consensus, Node};
use crate::publish::PublishedBlock;
use crate::timing::Stopwatch;

/// Publishes the view and the events of the finalized block, once.
pub(super) fn commit(node: &Node) -> ResponseCommit {
    let mut watch = Stopwatch::start();
    let mut consensus = node.consensus();
    let Consensus { state, executed, times } = &mut *consensus;
    let uncommitted = executed.as_mut().filter(|executed| !executed.committed);
    if let (Some(state), Some(executed)) = (state, uncommitted) {
        executed.committed = true;
        for violation in &executed.events.violations {
            let height = executed.events.height;
            tracing::error!(height, "an invariant is broken: {violation}");
        }
        let view = Arc::new(state.view());
        let mut times = std::mem::take(times);
        watch.lap(Phase::Commit);
        times.add(Phase::Commit, watch.times.get(Phase::Commit));
        let events = Arc::clone(&executed.events);
        node.inner.publisher.publish(PublishedBlock { view, events, times });
    }
    // Nothing is pruned: until there are snapshots, a restart replays every block.
    ResponseCommit { retain_height: 0 }
}
