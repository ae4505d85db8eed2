//! The one way out of consensus: at Commit, the new read view and the block's events.

use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

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
}

/// Holds the newest view, and hands every block to each subscriber. Publishing never waits.
#[derive(Debug)]
pub struct Publisher {
    view: RwLock<Arc<View>>,
    subscribers: Mutex<Vec<Sender<PublishedBlock>>>,
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

    /// All blocks from now on, in order. The receiver must keep up: it is for the node's own
    /// market-data thread, which bounds what it hands on to clients.
    pub fn subscribe(&self) -> Receiver<PublishedBlock> {
        let (sender, receiver) = std::sync::mpsc::channel();
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        receiver
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
        subscribers.retain(|subscriber| subscriber.send(published.clone()).is_ok());
    }

    /// Replaces the view without a block, for InitChain.
    pub fn reset(&self, view: Arc<View>) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }
}
