//! This machine's clock against the validators', by what the chain itself tells: the time of block
//! H + 1 is the median of the validators' clocks as they signed block H, which is the moment at
//! which this node carries H out.

use std::collections::VecDeque;

/// Blocks that are looked at: the quickest of the newer half counts.
const BLOCKS: usize = 64;

/// With fewer there is no verdict.
const LEAST: usize = 16;

/// A distance that shrinks by more within the window is that of a node that catches up.
const SHRINKS_MS: i64 = 500;

/// The distance between two clocks, block by block.
#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    decided: Option<Decided>,
    distances_ms: VecDeque<i64>,
}

/// A block as this machine's clock had it.
#[derive(Clone, Copy, Debug)]
struct Decided {
    height: u64,
    at_ms: u64,
}

impl ClockWatch {
    /// Takes a block: its time, and when this machine's clock had it decided.
    pub fn block(&mut self, height: u64, time_ms: u64, decided_ms: u64) {
        let last = self.decided.replace(Decided { height, at_ms: decided_ms });
        let Some(last) = last.filter(|last| last.height.checked_add(1) == Some(height)) else {
            self.distances_ms.clear();
            return;
        };
        if self.distances_ms.len() == BLOCKS {
            self.distances_ms.pop_front();
        }
        self.distances_ms.push_back(distance(last.at_ms, time_ms));
    }

    /// How far this machine's clock is ahead of the validators', in ms; negative when it is behind.
    /// A node that takes each block late seems ahead by that much. `None` without enough blocks,
    /// and while the node catches up.
    pub fn ahead_ms(&self) -> Option<i64> {
        let blocks = self.distances_ms.len();
        if blocks < LEAST {
            return None;
        }
        let least = |distances: &mut dyn Iterator<Item = &i64>| distances.min().copied();
        let older = least(&mut self.distances_ms.iter().take(blocks / 2))?;
        let newer = least(&mut self.distances_ms.iter().skip(blocks / 2))?;
        (older.saturating_sub(newer) <= SHRINKS_MS).then_some(newer)
    }
}

fn distance(ours_ms: u64, theirs_ms: u64) -> i64 {
    let ahead = i64::try_from(ours_ms.saturating_sub(theirs_ms)).unwrap_or(i64::MAX);
    let behind = i64::try_from(theirs_ms.saturating_sub(ours_ms)).unwrap_or(i64::MAX);
    ahead.saturating_sub(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 1_700_000_000_000;

    /// Blocks every 200 ms, each decided at `clock` of the moment at which validators sign it.
    fn watched(blocks: u64, clock: impl Fn(u64, u64) -> u64) -> Option<i64> {
        let mut watch = ClockWatch::default();
        for height in 1..=blocks {
            let signed_ms = START_MS + height * 200;
            watch.block(height, signed_ms - 200, clock(height, signed_ms));
        }
        watch.ahead_ms()
    }

    #[test]
    fn a_clock_is_measured_whatever_the_pace_and_some_late_blocks() {
        assert_eq!(watched(100, |_, signed_ms| signed_ms + 20), Some(20));
        assert_eq!(watched(100, |_, signed_ms| signed_ms + 60_020), Some(60_020));
        assert_eq!(watched(100, |_, signed_ms| signed_ms - 3_000), Some(-3_000));
        let some_late = |height, signed_ms| signed_ms + if height % 3 == 0 { 15 } else { 4_000 };
        assert_eq!(watched(100, some_late), Some(15));
    }

    #[test]
    fn there_is_no_verdict_at_first_and_none_while_blocks_are_caught_up() {
        assert_eq!(watched(LEAST as u64, |_, signed_ms| signed_ms), None);
        // A day behind, ten blocks for each that the chain makes.
        let replay = |height, _| START_MS + 86_400_000 + height * 20;
        assert_eq!(watched(500, replay), None);
    }

    #[test]
    fn a_clock_that_was_set_right_is_right_once_the_window_has_passed() {
        let mut watch = ClockWatch::default();
        for height in 1..=300_u64 {
            let signed_ms = START_MS + height * 200;
            let ahead_ms = if height < 200 { 60_000 } else { 10 };
            watch.block(height, signed_ms - 200, signed_ms + ahead_ms);
            match height {
                190 => assert_eq!(watch.ahead_ms(), Some(60_000)),
                220 => assert_eq!(watch.ahead_ms(), None),
                300 => assert_eq!(watch.ahead_ms(), Some(10)),
                _ => {}
            }
        }
    }
}
