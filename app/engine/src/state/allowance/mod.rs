//! Owners' allowances: how many orders and cancels a block takes of an owner (rules §10.13).
//!
//! Nothing here loops over owners. A row holds the buckets as of the block that wrote it last, and
//! whoever reads it adds what has come back since.

mod deposits;
mod left;
mod placed;
#[cfg(test)]
mod tests;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::Draw;
use tidemark_proto::units::{Atoms, TimeMs};
use tidemark_risk::Volume;

use deposits::NetDeposits;
pub use left::Left;
pub use placed::PlacedIds;

/// Blocks in which an empty bucket fills; and the parts of one operation that a bucket counts in,
/// so that each block adds a whole number of parts: as many as the bucket holds operations.
pub const REFILL_BLOCKS: u64 = 10_000;

/// Blocks that an order stands after its own before its draw comes back.
pub const STOOD_BLOCKS: u64 = 20;

/// Net deposits beyond this add nothing.
const MOST_DEPOSITS: Atoms = Atoms::from_usdc(10_000);

/// Operations that each whole USDC of net deposits adds.
const PER_DEPOSITED_USDC: u64 = 10;

/// Traded USDC beyond this add nothing: no sum below comes near 64 bits.
const MOST_TRADED_USDC: u64 = 1_000_000_000_000;

/// A block, as far as allowances depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Its height.
    pub height: u64,
    /// Its time.
    pub time_ms: TimeMs,
    /// The time by which traded volume is counted.
    pub volume_ms: TimeMs,
    /// The parameter `allowance_base`.
    pub base: u64,
}

/// An owner's two buckets, and what their size depends on.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Allowance {
    /// The block up to which the buckets were refilled.
    height: u64,
    /// Contents of the bucket of orders, in parts of [`REFILL_BLOCKS`] an operation.
    orders_parts: u64,
    /// As of the bucket of cancels.
    cancels_parts: u64,
    deposits: NetDeposits,
    traded: Volume,
    /// Orders whose draw may come back, by the block that placed them: they have neither traded nor
    /// ended. At most [`STOOD_BLOCKS`] and one more blocks, ascending.
    standing: Vec<(u64, u32)>,
    /// The last block in which it is not believed that the owner pays, because it once did not.
    unpaid_until: u64,
}

/// An owner's orders and trades in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Orders that were placed, each with a draw of its own.
    pub placed: u32,
    /// Orders that have ended without a trade, or have traded for the first time, by the block that
    /// placed them: their draws come back no more by standing.
    pub gone: Vec<(u64, u32)>,
    /// Draws that come back.
    pub back: Draw,
    /// Notional that the owner traded.
    pub traded_atoms: Atoms,
}

impl Tally {
    /// Notes that an order which was placed in a block is gone.
    pub(crate) fn note_gone(&mut self, height: u64) {
        match self.gone.iter_mut().find(|(of, _)| *of == height) {
            Some((_, orders)) => *orders = orders.saturating_add(1),
            None => self.gone.push((height, 1)),
        }
    }
}

const fn parts(operations: u64) -> u64 {
    operations.saturating_mul(REFILL_BLOCKS)
}

fn whole_usdc(atoms: Atoms) -> u64 {
    let whole = atoms.get().max(0).checked_div(Atoms::USDC.get()).unwrap_or(0);
    u64::try_from(whole).unwrap_or(u64::MAX)
}

impl Allowance {
    /// The full buckets of an owner that begins in a block.
    #[must_use]
    pub fn new(height: u64, base: u64) -> Self {
        Self {
            height,
            orders_parts: parts(base),
            cancels_parts: parts(base),
            deposits: NetDeposits::default(),
            traded: Volume::default(),
            standing: Vec::new(),
            unpaid_until: 0,
        }
    }

    /// The operations that each bucket holds when it is full.
    #[must_use]
    pub fn size(&self, at: &Moment) -> u64 {
        let deposits = self.deposits.least(at.time_ms).min(MOST_DEPOSITS);
        let deposited = whole_usdc(deposits).saturating_mul(PER_DEPOSITED_USDC);
        let traded = whole_usdc(self.traded.recent_atoms(at.volume_ms)).min(MOST_TRADED_USDC);
        at.base.saturating_add(deposited).saturating_add(traded)
    }

    /// The contents of the buckets at the admission of a block.
    #[must_use]
    pub fn left(&self, at: &Moment) -> Left {
        let size = self.size(at);
        let refill = size.saturating_mul(at.height.saturating_sub(self.height));
        let stood = self.standing.iter().filter(|(height, _)| has_stood(*height, at.height));
        let stood: u64 = stood.map(|(_, orders)| u64::from(*orders)).sum();
        let filled = |before: u64, more: u64| {
            before.saturating_add(refill).saturating_add(more).min(parts(size))
        };
        Left {
            size,
            orders_parts: filled(self.orders_parts, parts(stood)),
            cancels_parts: filled(self.cancels_parts, 0),
            is_believed: self.unpaid_until < at.height,
        }
    }

    /// Brings the row up to the admission of a block.
    fn advance(&mut self, at: &Moment) {
        let left = self.left(at);
        (self.orders_parts, self.cancels_parts) = (left.orders_parts, left.cancels_parts);
        self.standing.retain(|(height, _)| !has_stood(*height, at.height));
        self.height = self.height.max(at.height);
    }

    /// Takes what admission has found to be there.
    pub(crate) fn draw(&mut self, at: &Moment, draw: Draw) {
        self.advance(at);
        self.orders_parts = self.orders_parts.saturating_sub(parts(draw.orders));
        self.cancels_parts = self.cancels_parts.saturating_sub(parts(draw.cancels));
    }

    /// Counts what a block did with the owner's orders, at its end.
    pub(crate) fn settle(&mut self, at: &Moment, tally: &Tally) {
        self.advance(at);
        let before = self.size(at);
        if tally.traded_atoms.is_positive() {
            self.traded.add(at.volume_ms, tally.traded_atoms);
        }
        let size = self.size(at);
        // What is traded fills the buckets as it enlarges them.
        let back =
            Draw { orders: size, cancels: size }.less(Draw { orders: before, cancels: before });
        let back = back.and(tally.back);
        let filled = |level: u64, back| level.saturating_add(parts(back)).min(parts(size));
        self.orders_parts = filled(self.orders_parts, back.orders);
        self.cancels_parts = filled(self.cancels_parts, back.cancels);
        if tally.placed > 0 {
            self.standing.push((at.height, tally.placed));
        }
        for (height, gone) in &tally.gone {
            if let Some((_, orders)) = self.standing.iter_mut().find(|(of, _)| of == height) {
                *orders = orders.saturating_sub(*gone);
            }
        }
        self.standing.retain(|(_, orders)| *orders > 0);
    }

    /// Counts a deposit, or a withdrawal where it is negative.
    pub(crate) fn deposit(&mut self, at: &Moment, change_atoms: Atoms) {
        self.advance(at);
        self.deposits.change(at.time_ms, change_atoms);
    }

    /// Notes that the owner did not pay the flat fee that it had promised: until an empty bucket
    /// is full again nobody believes it.
    pub(crate) fn has_not_paid(&mut self, height: u64) {
        self.unpaid_until = height.saturating_add(REFILL_BLOCKS);
    }
}

/// Returns true if an order that was placed in one block has stood before another is admitted.
const fn has_stood(placed: u64, height: u64) -> bool {
    placed.saturating_add(STOOD_BLOCKS) < height
}
