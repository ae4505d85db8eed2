//! Readers of blocks: from the ring of the last ones, and before it from the event log.

use std::sync::Arc;

use tidemark_event_log::LogError;
use tokio::sync::watch;

use super::history::{Block, TooOld};
use super::{logged, LogCounts, MarketData};

/// Which of the chain's blocks a node can tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The oldest; the next one while there is none.
    pub oldest: u64,
    /// The newest; 0 while there is none.
    pub newest: u64,
}

/// A block is asked for that the node does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutOfRange {
    /// It lies before those that the node has.
    Before(Held),
    /// It lies beyond the next one.
    Beyond(Held),
}

impl MarketData {
    /// A block of the ring; `None` when it is yet to come.
    ///
    /// # Errors
    /// [`TooOld`] when the ring has passed it.
    pub(super) fn recent(&self, height: u64) -> Result<Option<Arc<Block>>, TooOld> {
        self.read().history.get(height)
    }

    /// A block of the event log; `None` when the log does not have it, or cannot read it.
    async fn logged(&self, height: u64) -> Option<Arc<Block>> {
        let log = self.log.as_ref()?;
        let state = Arc::clone(&log.state);
        let read = move || {
            let Some(body) = state.log.read(height)? else { return Ok(None) };
            let block = logged::decode(&body.payload).ok_or(LogError::Broken(height))?;
            Ok(Some(Arc::new(block)))
        };
        let found: Result<_, LogError> = log.of_streams.run(read).await?;
        found.inspect_err(|error| tracing::error!(height, "{error}")).ok()?
    }

    /// The oldest and the newest block that readers can have.
    #[must_use]
    pub fn held(&self) -> Held {
        let (newest, recent) = {
            let replica = self.read();
            (replica.height, replica.history.oldest())
        };
        let oldest = recent.unwrap_or(newest.saturating_add(1));
        let logged = self.log.as_ref().and_then(|log| log.state.log.held());
        match logged {
            // Its end meets the ring.
            Some(held) if *held.start() < oldest && held.end().saturating_add(1) >= oldest => {
                Held { oldest: *held.start(), newest }
            }
            _ => Held { oldest, newest },
        }
    }

    /// Counts of the event log's writer, its size in bytes and its first height; `None` without a
    /// log.
    #[must_use]
    pub fn log_counts(&self) -> Option<(LogCounts, u64, u64)> {
        let state = &self.log.as_ref()?.state;
        let first = state.log.held().map_or(0, |held| *held.start());
        Some((state.counts(), state.log.disk_bytes(), first))
    }

    /// A reader of all blocks from the next on.
    #[must_use]
    pub fn reader(self: &Arc<Self>) -> Reader {
        self.reader_from(self.read().height.saturating_add(1))
    }

    /// A reader of all blocks from `height` on.
    ///
    /// # Errors
    /// [`OutOfRange`] when the node does not have that block and it is not the next.
    pub fn reader_since(self: &Arc<Self>, height: u64) -> Result<Reader, OutOfRange> {
        let held = self.held();
        if height > held.newest.saturating_add(1) {
            return Err(OutOfRange::Beyond(held));
        }
        if height < held.oldest {
            return Err(OutOfRange::Before(held));
        }
        Ok(self.reader_from(height))
    }

    pub(super) fn reader_from(self: &Arc<Self>, next: u64) -> Reader {
        let (heights, left_out) = (self.height.subscribe(), self.left_out.subscribe());
        Reader { data: Arc::clone(self), next, heights, left_out }
    }
}

/// Walks the blocks in order, each once.
#[derive(Debug)]
pub struct Reader {
    data: Arc<MarketData>,
    next: u64,
    heights: watch::Receiver<u64>,
    left_out: watch::Receiver<Option<u64>>,
}

impl Reader {
    /// The next block, when it comes; `None` when the node stops, or its market data stands still.
    ///
    /// # Errors
    /// [`TooOld`] when the reader was so slow that it is no longer kept.
    pub async fn next(&mut self) -> Result<Option<Arc<Block>>, TooOld> {
        loop {
            // Seen before looking, so that a block that comes meanwhile wakes.
            self.heights.borrow_and_update();
            let found = match self.data.recent(self.next) {
                Ok(found) => found,
                Err(_) => match self.data.logged(self.next).await {
                    Some(block) => Some(block),
                    None => return Err(TooOld { oldest: self.data.held().oldest }),
                },
            };
            if let Some(block) = found {
                self.next = block.height.saturating_add(1);
                return Ok(Some(block));
            }
            tokio::select! {
                changed = self.heights.changed() => if changed.is_err() {
                    return Ok(None);
                },
                _ = self.left_out.wait_for(Option::is_some) => return Ok(None),
            }
        }
    }
}
