//! The one way out of consensus: at Commit, the new read view and the block's events.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use tidemark_engine::events::BlockEvents;
use tidemark_engine::state::View;
use tidemark_oracle::report::Report;

use crate::timing::BlockTimes;

/// A committed block as watchers see it.
#[derive(Clone, Debug)]
pub struct PublishedBlock {
    /// The state after it.
    pub view: Arc<View>,
    /// Events of the block.
    pub events: Arc<BlockEvents>,
    /// How long its phases took on this node.
    pub times: BlockTimes,
    /// The block lies behind this node's clock: it is replayed, or the node catches up.
    pub is_replayed: bool,
}

/// A node whose newest block is older than this is replaying, syncing or cut off: the block is none
/// that is being decided now.
pub const BEHIND: Duration = Duration::from_secs(30);

/// How many blocks may wait for a watcher. Each keeps old pages of the state alive.
pub const MAX_WAITING_BLOCKS: usize = 64;

/// How long publishing waits for a watcher that has as many blocks before it as may wait, in ms: in
/// a row, over blocks as they are decided.
const LIVE_PATIENCE_MS: u64 = 2_000;

/// Its bound for each block of a replay, for which nobody waits, in ms.
const REPLAY_PATIENCE_MS: u64 = 60_000;

/// A watcher of blocks, on consensus' side.
#[derive(Debug)]
struct Subscriber {
    blocks: SyncSender<PublishedBlock>,
    /// The height from which on it was left out; 0 while it is not.
    left_out_from: Arc<AtomicU64>,
    /// Waited for it in a row, in ms.
    waited_ms: u64,
}

impl Subscriber {
    /// Hands a block on. Returns false if nobody takes it any more.
    fn send(&mut self, published: &PublishedBlock) -> bool {
        let (height, is_replayed) = (published.events.height, published.is_replayed);
        let mut block = published.clone();
        let mut waited_ms: u64 = 0;
        loop {
            block = match self.blocks.try_send(block) {
                Ok(()) => {
                    let is_in_a_row = waited_ms > 0 && !is_replayed;
                    let in_a_row_ms = self.waited_ms.saturating_add(waited_ms);
                    self.waited_ms = if is_in_a_row { in_a_row_ms } else { 0 };
                    return true;
                }
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(block)) => block,
            };
            let is_over = if is_replayed {
                waited_ms >= REPLAY_PATIENCE_MS
            } else {
                self.waited_ms.saturating_add(waited_ms) >= LIVE_PATIENCE_MS
            };
            if is_over {
                tracing::error!(
                    height,
                    "a watcher of blocks has {MAX_WAITING_BLOCKS} before it and takes none: it is \
                     left out until the next start"
                );
                self.left_out_from.store(height, Ordering::Release);
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
            waited_ms = waited_ms.saturating_add(1);
        }
    }
}

/// A watcher's blocks.
#[derive(Debug)]
pub struct Subscription {
    blocks: Receiver<PublishedBlock>,
    left_out_from: Arc<AtomicU64>,
}

/// Holds the newest view, and hands every block to each subscriber. Publishing waits for a watcher
/// that is behind for two seconds in a row at most, and then leaves it out for good.
#[derive(Debug)]
pub struct Publisher {
    view: RwLock<Arc<View>>,
    subscribers: Mutex<Vec<Subscriber>>,
    own_report: OwnReportCell,
}

/// Where a node keeps its [`OwnReport`]; clones share it.
#[derive(Clone, Debug, Default)]
pub struct OwnReportCell(Arc<Mutex<Option<OwnReport>>>);

impl OwnReportCell {
    /// Stores this node's price report.
    pub fn set(&self, own: OwnReport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(own);
    }

    /// This node's last price report; `None` if it has not voted since its start.
    #[must_use]
    pub fn get(&self) -> Option<OwnReport> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// This node's price report in its last vote.
#[derive(Clone, Debug)]
pub struct OwnReport {
    /// The height that it voted on.
    pub height: u64,
    /// The prices.
    pub report: Report,
}

impl Subscription {
    /// The next block, when it comes; `None` after the last.
    #[must_use]
    pub fn next(&self) -> Option<PublishedBlock> {
        self.blocks.recv().ok()
    }

    /// The blocks that wait, without waiting for more.
    pub fn ready(&self) -> impl Iterator<Item = PublishedBlock> + '_ {
        self.blocks.try_iter()
    }

    /// The height from which on this watcher was left out because it took blocks too slowly.
    #[must_use]
    pub fn left_out_from(&self) -> Option<u64> {
        Some(self.left_out_from.load(Ordering::Acquire)).filter(|height| *height > 0)
    }
}

impl Publisher {
    /// Starts with a view.
    #[must_use]
    pub fn new(view: Arc<View>) -> Self {
        Self {
            view: RwLock::new(view),
            subscribers: Mutex::default(),
            own_report: OwnReportCell::default(),
        }
    }

    /// The newest committed state.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// All blocks from now on, in order, as long as the watcher keeps up: of blocks that it has not
    /// taken, [`MAX_WAITING_BLOCKS`] wait.
    pub fn subscribe(&self) -> Subscription {
        let (blocks, taken) = sync_channel(MAX_WAITING_BLOCKS);
        let left_out_from = Arc::new(AtomicU64::new(0));
        let subscriber =
            Subscriber { blocks, left_out_from: Arc::clone(&left_out_from), waited_ms: 0 };
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(subscriber);
        Subscription { blocks: taken, left_out_from }
    }

    /// This node's own report.
    #[must_use]
    pub fn own_report_cell(&self) -> OwnReportCell {
        self.own_report.clone()
    }

    /// Makes a view the newest, and hands the block on.
    pub fn publish(&self, published: PublishedBlock) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&published.view);
        let mut subscribers = self.subscribers.lock().unwrap_or_else(PoisonError::into_inner);
        subscribers.retain_mut(|subscriber| subscriber.send(&published));
    }

    /// Replaces the view without a block, for InitChain.
    pub fn reset(&self, view: Arc<View>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }
}

#[cfg(test)]
mod tests {
    use tidemark_engine::events::BlockEvents;

    use super::*;

    fn block(height: u64) -> PublishedBlock {
        PublishedBlock {
            view: Arc::new(View::empty("test-1")),
            events: Arc::new(BlockEvents { height, ..BlockEvents::default() }),
            times: BlockTimes::default(),
            is_replayed: false,
        }
    }

    #[test]
    fn a_watcher_that_takes_no_block_is_left_out_and_told_and_others_are_not() {
        let publisher = Publisher::new(Arc::new(View::empty("test-1")));
        let (stuck, quick) = (publisher.subscribe(), publisher.subscribe());
        let last = MAX_WAITING_BLOCKS as u64 + 3;
        for height in 1..=last {
            publisher.publish(block(height));
            assert_eq!(quick.next().map(|block| block.events.height), Some(height));
        }
        assert_eq!((stuck.left_out_from(), quick.left_out_from()), (Some(last - 2), None));
        let seen: Vec<u64> =
            std::iter::from_fn(|| stuck.next()).map(|it| it.events.height).collect();
        assert_eq!(seen, (1..last - 2).collect::<Vec<_>>(), "what waited is not lost");
        drop(quick);
        publisher.publish(block(last + 1));
        assert!(publisher.subscribers.lock().unwrap().is_empty());
    }
}
