//! The surroundings of the owner: the index, the honest quotes and the pace of blocks, by seed.

use super::recorded;
use super::verdict::bounds;
use crate::sim::rng::Rng;

/// The index at the first block, in ticks of 0.1 USDC: 60 000 USDC.
pub const INDEX_TICKS: u64 = 600_000;

/// The most blocks of a program.
pub const HORIZON: u32 = 400;

/// The block of a jump for which a program had the time to age: 22 minutes after its first.
const LATE: u32 = 170;

/// Moves of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Index {
    /// The index stands.
    Quiet,
    /// The index jumps once.
    Jump {
        /// The block of the jump.
        at: u32,
        /// By so many hundredths of a percent.
        bps: i32,
    },
    /// The index walks, in every tenth block.
    Walk {
        /// Most of a step, in hundredths of a percent.
        bps: u32,
    },
    /// The index goes as a market went.
    Recorded {
        /// The recording.
        of: u8,
        /// Its second at the first block.
        from: u32,
    },
    /// No validator reports for a time; the index is the same afterwards.
    Silence {
        /// First silent block.
        from: u32,
        /// Silent blocks.
        blocks: u32,
    },
    /// The chain stands for a time, between two blocks.
    Halt {
        /// The block after the halt.
        at: u32,
        /// Its length.
        seconds: u32,
    },
}

/// Quotes of the honest maker on each side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Book {
    /// Nothing.
    Empty,
    /// 20 000 USDC at 0.1 % from the index.
    Thin,
    /// 800 000 USDC between 0.05 % and 0.4 %.
    Full,
}

/// The weather of a seed.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Moves of the index.
    pub index: Index,
    /// Quotes of the maker.
    pub book: Book,
    /// The validators report an external price, which is the index.
    pub has_external: bool,
    /// Block time between blocks.
    pub interval_ms: u64,
    /// Decides the steps of a walk.
    pub seed: u64,
}

impl Weather {
    /// The weather of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7469_6465);
        let index = match rng.within(0, 9) {
            0..=4 => Index::Quiet,
            5 | 6 => Index::Jump {
                at: rng.within(5, 60) as u32,
                bps: *rng.pick(&[-1_000, -300, -150, 150, 300, 1_000]),
            },
            7 => Index::Walk { bps: *rng.pick(&[10, 30, 100]) },
            8 => {
                Index::Silence { from: rng.within(5, 40) as u32, blocks: *rng.pick(&[5, 40, 100]) }
            }
            _ => {
                Index::Halt { at: rng.within(5, 60) as u32, seconds: *rng.pick(&[60, 600, 7_200]) }
            }
        };
        let weather = Self {
            index,
            book: *rng.pick(&[Book::Empty, Book::Empty, Book::Thin, Book::Full]),
            has_external: rng.chance(25),
            interval_ms: *rng.pick(&[1_000, 1_000, 1_000, 8_000]),
            seed,
        };
        if let Some(index) = recorded::piece(&mut rng, weather.interval_ms) {
            return Self { index, ..weather };
        }
        match index {
            Index::Jump { bps, .. } if rng.chance(50) => weather.late(bps),
            _ => weather,
        }
    }

    /// The jump comes when what a program has opened first is no longer fresh.
    fn late(self, bps: i32) -> Self {
        Self { index: Index::Jump { at: LATE, bps }, interval_ms: 8_000, ..self }
    }

    /// The block from which on the index stands, as far as a seed's own plan for it goes.
    #[must_use]
    pub const fn settled_at(&self) -> u32 {
        match self.index {
            Index::Jump { at, .. } => at + 1,
            _ => 0,
        }
    }

    /// The index of a block in ticks; `None` while nobody reports.
    #[must_use]
    pub fn index_ticks(&self, block: u32, before: u64) -> Option<u64> {
        match self.index {
            Index::Quiet | Index::Halt { .. } => Some(INDEX_TICKS),
            Index::Jump { at, bps } => {
                Some(if block < at { INDEX_TICKS } else { moved(INDEX_TICKS, bps) })
            }
            Index::Walk { bps } if block % 10 == 0 => {
                let mut rng = Rng::new(self.seed.wrapping_mul(1_000).wrapping_add(block.into()));
                let step = rng.around(u64::from(bps));
                Some(moved(before, i32::try_from(step).unwrap_or(0)))
            }
            Index::Walk { .. } => Some(before),
            Index::Recorded { of, from } => {
                recorded::index_ticks((of, from), u64::from(block) * self.interval_ms / 1_000)
            }
            Index::Silence { from, blocks } => {
                (block < from || block >= from + blocks).then_some(INDEX_TICKS)
            }
        }
    }

    /// Block time between a block and the one before.
    #[must_use]
    pub fn pace_ms(&self, block: u32) -> u64 {
        match self.index {
            Index::Halt { at, seconds } if at == block => u64::from(seconds) * 1_000,
            _ => self.interval_ms,
        }
    }

    /// Returns the most that the owner may gain, in USDC.
    #[must_use]
    pub fn most_gain_usdc(&self) -> i64 {
        match self.index {
            Index::Recorded { of, from }
                if recorded::largest_move_bps((of, from), self.interval_ms) > 200 =>
            {
                bounds::JUMP_GAIN_USDC
            }
            Index::Jump { bps, at: LATE } if bps.unsigned_abs() > 200 => {
                bounds::JUMP_GAIN_USDC + bounds::LATE_FUND_USDC
            }
            Index::Jump { bps, .. } if bps.unsigned_abs() > 200 => bounds::JUMP_GAIN_USDC,
            _ => bounds::GAIN_USDC,
        }
    }

    /// Returns the most that the fund may lose, in USDC; `None` where it pays for others' deficits
    /// too.
    #[must_use]
    pub fn most_fund_usdc(&self) -> Option<i64> {
        match self.index {
            Index::Jump { at: LATE, .. } => Some(bounds::LATE_FUND_USDC),
            _ => self.is_quiet().then_some(bounds::FUND_USDC),
        }
    }

    /// True if prices give nobody a reason to gain or to lose.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        matches!(self.index, Index::Quiet | Index::Silence { .. } | Index::Halt { .. })
    }
}

/// A price moved by hundredths of a percent.
#[must_use]
pub fn moved(ticks: u64, bps: i32) -> u64 {
    Rng::moved(ticks, i64::from(bps) * 100)
}
