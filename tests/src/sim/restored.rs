//! Node D: its state is written and read back at every so many blocks.

use tidemark_engine::events::BlockEvents;
use tidemark_engine::state::State;

use super::audit::{ensure, Finding};
use super::ShadowNode;
use crate::harness::{BlockInput, ResultsHash};
use crate::snapshot::{restored, snapshot_bytes};

/// A node that lives by its snapshots.
pub struct Restored {
    node: ShadowNode,
    /// Blocks from one snapshot to the next.
    interval: u64,
}

impl Restored {
    /// A node at genesis.
    #[must_use]
    pub fn new(node: ShadowNode, interval: u64) -> Self {
        Self { node, interval }
    }

    /// Carries out a block, which must do what it did to a state that was never read back.
    ///
    /// # Errors
    /// The first thing that is otherwise.
    pub fn block(
        &mut self,
        input: &BlockInput,
        (state, events): (&State, &BlockEvents),
    ) -> Finding {
        let own = self.node.run(input);
        let parted = |what: &str| format!("node D, which was read from a snapshot, has {what}");
        ensure(own.app_hash == events.app_hash, || parted("another app hash"))?;
        ensure(own.events == events.events, || parted("other events"))?;
        ensure(own.books == events.books, || parted("other changes of books"))?;
        ensure(results(&own) == results(events), || parted("other results"))?;
        ensure(own.work == events.work, || parted("visited another number of orders"))?;
        if input.block.height % self.interval != 0 {
            return Ok(());
        }
        let bytes = snapshot_bytes(&self.node.state);
        self.node.state = restored(&self.node.state);
        ensure(snapshot_bytes(&self.node.state) == bytes, || parted("other bytes"))?;
        match self.node.state.derived_differs(state) {
            None => Ok(()),
            Some(part) => Err(parted(&format!("other {part}"))),
        }
    }
}

fn results(events: &BlockEvents) -> [u8; 32] {
    let mut results = ResultsHash::default();
    results.add(events);
    results.hash()
}
