//! Each block as it comes: the clock that it tells of, and this validator's vote in it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidemark_consensus::publish::{PublishedBlock, Publisher};
use tidemark_consensus::timing::BlockTimes;
use tidemark_engine::events::VoteReport;
use tidemark_engine::phase::Phase;

use super::{millis, wall_ms};
use crate::watch::clock::ClockWatch;

/// The address of this node's validator.
pub(super) type Validator = [u8; 20];

/// Figures of the blocks so far. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct BlockWatch(Arc<Mutex<Blocks>>);

#[derive(Debug)]
struct Blocks {
    clock: ClockWatch,
    /// When the last block came; at first the node's start.
    last_at: Instant,
    missed_votes: u64,
}

/// The figures at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockFigures {
    /// Time since the last block came, or since the start.
    pub without_block: Duration,
    /// How far this clock is ahead of the validators', in ms.
    pub ahead_ms: Option<i64>,
    /// Blocks without this validator's vote since the start.
    pub missed_votes: u64,
}

impl BlockWatch {
    /// Takes every block from now on, on a thread of its own.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn start(publisher: &Publisher, validator: Option<Validator>) -> std::io::Result<Self> {
        let watch = Self(Arc::new(Mutex::new(Blocks::new())));
        let (blocks, fed) = (publisher.subscribe(), watch.clone());
        let feed = move || {
            while let Some(block) = blocks.next() {
                fed.lock().take(&block, validator.as_ref(), wall_ms());
            }
        };
        std::thread::Builder::new().name("watch".into()).spawn(feed)?;
        Ok(watch)
    }

    fn lock(&self) -> MutexGuard<'_, Blocks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn figures(&self) -> BlockFigures {
        let blocks = self.lock();
        BlockFigures {
            without_block: blocks.last_at.elapsed(),
            ahead_ms: blocks.clock.ahead_ms(),
            missed_votes: blocks.missed_votes,
        }
    }
}

impl Blocks {
    fn new() -> Self {
        Self { clock: ClockWatch::default(), last_at: Instant::now(), missed_votes: 0 }
    }

    fn take(&mut self, block: &PublishedBlock, validator: Option<&Validator>, now_ms: u64) {
        let events = &block.events;
        self.last_at = Instant::now();
        let decided_ms = now_ms.saturating_sub(millis(since_decided(&block.times)));
        self.clock.block(events.height, events.time_ms.get(), decided_ms);
        let is_late = |own: &Validator| {
            let mut votes = events.prices.votes.iter();
            votes.any(|vote| vote.validator == *own && vote.report == VoteReport::Late)
        };
        // What was missed before the start is no news.
        if !block.is_replayed && validator.is_some_and(is_late) {
            self.missed_votes = self.missed_votes.saturating_add(1);
        }
    }
}

/// The time that the block took from its decision on.
fn since_decided(times: &BlockTimes) -> Duration {
    let phases = Phase::ALL.into_iter();
    let after = phases.filter(|phase| !matches!(phase, Phase::Prepare | Phase::Process));
    after.map(|phase| times.get(phase)).sum()
}

#[cfg(test)]
mod tests {
    use tidemark_engine::events::{BlockEvents, PriceRound, PriceVote};
    use tidemark_engine::state::View;
    use tidemark_proto::units::TimeMs;

    use super::*;

    const OWN: Validator = [7; 20];

    fn block(height: u64, own: VoteReport, is_replayed: bool) -> PublishedBlock {
        let vote = |validator, report| PriceVote { validator, power: 1, report };
        let votes = vec![vote([1; 20], VoteReport::Late), vote(OWN, own)];
        let prices = PriceRound { votes, ..PriceRound::default() };
        let time_ms = TimeMs::new(1_000_000 + height * 100);
        let events = BlockEvents { height, time_ms, prices, ..BlockEvents::default() };
        let mut times = BlockTimes::default();
        times.add(Phase::Prepare, Duration::from_millis(500));
        times.add(Phase::Transactions, Duration::from_millis(30));
        let view = Arc::new(View::empty("test-1"));
        PublishedBlock { view, events: Arc::new(events), times, is_replayed }
    }

    #[test]
    fn own_votes_that_are_missing_are_counted_and_others_and_replayed_ones_are_not() {
        let mut blocks = Blocks::new();
        for (height, report, is_replayed) in [
            (1, VoteReport::Late, true),
            (2, VoteReport::Late, false),
            (3, VoteReport::Nothing, false),
            (4, VoteReport::Late, false),
        ] {
            blocks.take(&block(height, report, is_replayed), Some(&OWN), 0);
        }
        assert_eq!(blocks.missed_votes, 2);
        blocks.take(&block(5, VoteReport::Late, false), None, 0);
        assert_eq!(blocks.missed_votes, 2, "a node without a validator misses no vote");
    }

    #[test]
    fn the_time_that_a_block_takes_here_is_not_the_clocks() {
        let mut blocks = Blocks::new();
        for height in 1..=40 {
            // Decided 5 ms after the next block's time, published 30 ms later.
            let now_ms = 1_000_000 + (height + 1) * 100 + 5 + 30;
            blocks.take(&block(height, VoteReport::Nothing, false), None, now_ms);
        }
        assert_eq!(blocks.clock.ahead_ms(), Some(5));
    }
}
