//! Commit: the block becomes visible.

use std::sync::Arc;
use std::time::Duration;

use tendermint_proto::v0_38::abci::ResponseCommit;
use tidemark_engine::phase::Phase;

use super::{Consensus, Node};
use crate::publish::{PublishedBlock, BEHIND};
use crate::timing::Stopwatch;

/// Publishes the view and the events of the finalized block, once, and freezes its state if a
/// snapshot is due.
pub(super) fn commit(node: &Node) -> ResponseCommit {
    let mut watch = Stopwatch::start();
    let mut consensus = node.consensus();
    let Consensus { state, executed, times, params, retained } = &mut *consensus;
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
        let age_ms = node.inner.clock.wall_ms().saturating_sub(events.time_ms.get());
        let is_replayed = Duration::from_millis(age_ms) > BEHIND;
        node.inner.publisher.publish(PublishedBlock { view, events, times, is_replayed });
        node.inner.queue.committed(&executed.events.txs);
        if let Some(snapshots) = node.inner.snapshots.get() {
            *retained = snapshots.committed(state, params, *retained);
        }
    }
    ResponseCommit { retain_height: i64::try_from(*retained).unwrap_or(0) }
}
