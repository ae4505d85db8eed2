//! The last blocks as streams send them: one ring that is both history and the buffer of every
//! reader.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tidemark_proto::units::{AccountId, TimeMs};
use tidemark_proto::v1;

use super::outcomes::CommittedTx;

/// Most rows (trades, account events, levels, changes of orders, liquidations, answers) that are
/// kept: at some 150 bytes each, tens of megabytes.
const MAX_ROWS: usize = 500_000;

/// Most blocks that are kept, however empty.
const MAX_BLOCKS: usize = 10_000;

/// The newest blocks are kept whatever they weigh, so that a reader who keeps up misses nothing,
/// and the event log's writer misses none of a replay.
const MIN_BLOCKS: usize = 4;

/// Bits of an event sequence below the height.
pub const SEQUENCE_BITS: u32 = 24;

/// The sequence of a block's event: `height · 2²⁴ + position`, ascending, the same on every node.
/// Events beyond 2²⁴ of one block share the last.
#[must_use]
pub fn event_sequence(height: u64, position: usize) -> u64 {
    let last = (1_u64 << SEQUENCE_BITS) - 1;
    (height << SEQUENCE_BITS) | u64::try_from(position).unwrap_or(last).min(last)
}

/// Events of one block as wire messages.
#[derive(Debug, Default)]
pub struct Block {
    /// Its height.
    pub height: u64,
    /// Its time.
    pub time_ms: TimeMs,
    /// Its counts.
    pub summary: v1::BlockSummary,
    /// Trades in order.
    pub trades: Vec<v1::Trade>,
    /// Liquidation steps in order.
    pub liquidations: Vec<v1::Liquidation>,
    /// Markets whose listed positions changed, with all of them.
    pub listed: Vec<v1::ListedUpdate>,
    /// One update for each book that changed.
    pub books: Vec<v1::BookUpdate>,
    /// One order-by-order update for each book that changed.
    pub order_books: Vec<v1::OrderBookUpdate>,
    /// Orders and fills by account, in order.
    pub accounts: HashMap<AccountId, Vec<v1::AccountEvent>>,
    /// Answers to transactions, in order.
    pub txs: Vec<Arc<CommittedTx>>,
}

impl Block {
    fn rows(&self) -> usize {
        let levels: usize = self.books.iter().map(|book| book.bids.len() + book.asks.len()).sum();
        let events: usize = self.accounts.values().map(Vec::len).sum();
        let listed: usize = self.listed.iter().map(|update| update.positions.len()).sum();
        let orders: usize = self.order_books.iter().map(|book| book.changes.len()).sum();
        let answers: usize = self.txs.iter().map(|tx| 1 + tx.operations()).sum();
        levels + orders + events + listed + answers + self.trades.len() + self.liquidations.len()
    }
}

/// The last blocks, without gaps.
#[derive(Debug, Default)]
pub struct History {
    blocks: VecDeque<(usize, Arc<Block>)>,
    rows: usize,
}

/// A block that is asked for is no longer kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooOld {
    /// The oldest height that is.
    pub oldest: u64,
}

impl History {
    /// Adds the next block, and forgets the oldest beyond the bounds. A height that does not follow
    /// the last starts anew.
    pub fn push(&mut self, block: Arc<Block>) {
        if self.newest().is_some_and(|newest| newest.checked_add(1) != Some(block.height)) {
            *self = Self::default();
        }
        let rows = block.rows();
        self.rows += rows;
        self.blocks.push_back((rows, block));
        while self.blocks.len() > MAX_BLOCKS
            || (self.rows > MAX_ROWS && self.blocks.len() > MIN_BLOCKS)
        {
            let Some((rows, _)) = self.blocks.pop_front() else { break };
            self.rows -= rows;
        }
    }

    /// The newest height; `None` before the first block.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.blocks.back().map(|(_, block)| block.height)
    }

    /// The oldest height that is kept.
    #[must_use]
    pub fn oldest(&self) -> Option<u64> {
        self.blocks.front().map(|(_, block)| block.height)
    }

    /// A block; `None` when it is yet to come.
    ///
    /// # Errors
    /// [`TooOld`] when it is no longer kept.
    pub fn get(&self, height: u64) -> Result<Option<Arc<Block>>, TooOld> {
        let Some(oldest) = self.oldest() else { return Ok(None) };
        let index = height.checked_sub(oldest).ok_or(TooOld { oldest })?;
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(self.blocks.get(index).map(|(_, block)| Arc::clone(block)))
    }
}
