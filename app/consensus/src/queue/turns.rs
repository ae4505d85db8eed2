//! Whose transactions come into a block: cancels first, then owners in turn.

use std::cell::Cell;
use std::iter::Peekable;

use tidemark_engine::admission::{tx_bytes, BlockBudget};
use tidemark_engine::state::allowance::Left;
use tidemark_proto::types::DecodedTx;

use super::owner::{only_cancels, Waiting};

/// A whole block. A transaction's share of it is the larger one of its share of the bytes and of
/// the gas.
const BLOCK: u64 = 1 << 20;

/// The part of a block that an owner has in the first turn. Each further turn is twice as large, so
/// that few of them give out a block, however little each owner takes.
const FIRST_TURN: u64 = BLOCK / 1_024;

/// The most of a block that cancels have before everything else, and that owners' first
/// transactions have before turns begin.
const AHEAD: u64 = BLOCK / 4;

/// Takes what a transaction draws from what its owner has left; returns false if that is too
/// little.
pub(super) fn take(left: &Cell<Left>, tx: &DecodedTx) -> bool {
    let mut after = left.get();
    let is_there = after.take(&tx.message).is_ok();
    left.set(after);
    is_there
}

/// Chooses among the ready transactions of owners, who come in the order of their turns.
///
/// Cancels that are next of their owner have the first quarter of the block; then, within another
/// quarter, each owner has one transaction of any size; then each has an equal part in turn. What
/// one owner does not use, the others have.
pub(super) fn choose<'a, I>(
    owners: impl Iterator<Item = I>,
    budget: BlockBudget,
) -> Vec<&'a Waiting>
where
    I: Iterator<Item = &'a Waiting>,
{
    let mut deal = Deal {
        owners: owners.map(Iterator::peekable).collect(),
        budget,
        left: budget,
        chosen: Vec::new(),
    };
    deal.in_turns(AHEAD, only_cancels);
    deal.first_of_each(AHEAD);
    deal.in_turns(u64::MAX, |_| true);
    deal.chosen
}

struct Deal<'a, I: Iterator<Item = &'a Waiting>> {
    owners: Vec<Peekable<I>>,
    budget: BlockBudget,
    left: BlockBudget,
    chosen: Vec<&'a Waiting>,
}

impl<'a, I: Iterator<Item = &'a Waiting>> Deal<'a, I> {
    /// The share of the block that a transaction takes.
    fn share(&self, waiting: &Waiting) -> u64 {
        let bytes = share(tx_bytes(waiting.tx.size), self.budget.bytes);
        bytes.max(share(waiting.tx.gas_limit, self.budget.gas))
    }

    /// Takes an owner's next transaction if the block has room for it.
    fn take(&mut self, owner: usize) -> bool {
        let Some(owner) = self.owners.get_mut(owner) else { return false };
        let Some(waiting) = owner.peek() else { return false };
        let bytes = self.left.bytes.checked_sub(tx_bytes(waiting.tx.size));
        let gas = self.left.gas.checked_sub(waiting.tx.gas_limit);
        let (Some(bytes), Some(gas)) = (bytes, gas) else { return false };
        self.left = BlockBudget { bytes, gas };
        self.chosen.extend(owner.next());
        true
    }

    /// Gives each owner one transaction, up to a share of the block.
    fn first_of_each(&mut self, mut most: u64) {
        for owner in 0..self.owners.len() {
            let Some(&waiting) = self.owners.get_mut(owner).and_then(Peekable::peek) else {
                continue;
            };
            let share = self.share(waiting);
            if share <= most && self.take(owner) {
                most = most.saturating_sub(share);
            }
        }
    }

    /// Gives owners equal parts in turn of what `wanted` says is to be had, up to a share of the
    /// block.
    fn in_turns(&mut self, mut most: u64, wanted: impl Fn(&Waiting) -> bool) {
        let mut turn = FIRST_TURN;
        let mut waiting_owners: Vec<usize> = (0..self.owners.len()).collect();
        while !waiting_owners.is_empty() {
            waiting_owners.retain(|&owner| {
                let mut credit = turn;
                loop {
                    let next = self.owners.get_mut(owner).and_then(Peekable::peek).copied();
                    let Some(waiting) = next.filter(|waiting| wanted(waiting)) else {
                        return false;
                    };
                    let share = self.share(waiting);
                    if share > credit {
                        // A later turn is large enough, unless no block is.
                        return share <= BLOCK;
                    }
                    if share > most || !self.take(owner) {
                        return false;
                    }
                    credit = credit.saturating_sub(share);
                    most = most.saturating_sub(share);
                }
            });
            turn = turn.saturating_mul(2).min(BLOCK);
        }
    }
}

/// A part of a whole, of [`BLOCK`], rounded up.
fn share(part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return u64::MAX;
    }
    let share = u128::from(part).saturating_mul(BLOCK.into()).div_ceil(whole.into());
    u64::try_from(share).unwrap_or(u64::MAX)
}
