//! The last liquidation steps by account: what a node can explain of the past.

use std::collections::{BTreeMap, VecDeque};

use tidemark_proto::units::AccountId;
use tidemark_proto::v1;

/// Most steps that are kept, over all accounts: at some 400 bytes each, tens of megabytes.
pub const MAX_STEPS: usize = 100_000;

/// The newest steps of all accounts, without gaps from a height on.
#[derive(Debug)]
pub struct PastLiquidations {
    steps: BTreeMap<(AccountId, u64), v1::Liquidation>,
    /// Keys in order of time: the oldest goes first.
    oldest_first: VecDeque<(AccountId, u64)>,
    most: usize,
    since_height: u64,
}

impl Default for PastLiquidations {
    fn default() -> Self {
        Self::with_bound(MAX_STEPS)
    }
}

impl PastLiquidations {
    /// A history that keeps at most `most` steps.
    #[must_use]
    pub fn with_bound(most: usize) -> Self {
        Self { steps: BTreeMap::new(), oldest_first: VecDeque::new(), most, since_height: 0 }
    }

    /// Takes the steps of the block at `height`, in order, and forgets the oldest beyond the bound.
    pub fn apply<'a>(
        &mut self,
        height: u64,
        steps: impl IntoIterator<Item = (AccountId, &'a v1::Liquidation)>,
    ) {
        if self.since_height == 0 {
            self.since_height = height;
        }
        for (account, step) in steps {
            let key = (account, step.sequence);
            self.steps.insert(key, step.clone());
            self.oldest_first.push_back(key);
        }
        while self.oldest_first.len() > self.most {
            let Some(gone) = self.oldest_first.pop_front() else { break };
            if let Some(step) = self.steps.remove(&gone) {
                self.since_height = step.height.saturating_add(1);
            }
        }
    }

    /// Every step from this height on is kept; 0 before the first block.
    #[must_use]
    pub fn since_height(&self) -> u64 {
        self.since_height
    }

    /// An account's steps, newest first.
    pub fn of(&self, account: AccountId) -> impl Iterator<Item = &v1::Liquidation> + '_ {
        self.steps.range((account, 0)..=(account, u64::MAX)).rev().map(|(_, step)| step)
    }

    /// One step of an account by its sequence.
    #[must_use]
    pub fn get(&self, account: AccountId, sequence: u64) -> Option<&v1::Liquidation> {
        self.steps.get(&(account, sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accounts 1 and 2.
    const ONE: AccountId = AccountId::new(1);
    const TWO: AccountId = AccountId::new(2);

    fn step(height: u64, position: u64) -> v1::Liquidation {
        v1::Liquidation { height, sequence: (height << 24) | position, ..Default::default() }
    }

    #[test]
    fn steps_are_kept_by_account_newest_first() {
        let mut past = PastLiquidations::with_bound(10);
        past.apply(5, []);
        past.apply(6, [(ONE, &step(6, 0)), (TWO, &step(6, 1)), (ONE, &step(6, 2))]);
        past.apply(7, [(ONE, &step(7, 0))]);
        assert_eq!(
            past.of(ONE).map(|step| step.sequence).collect::<Vec<_>>(),
            [step(7, 0).sequence, step(6, 2).sequence, step(6, 0).sequence]
        );
        assert_eq!((past.of(AccountId::new(3)).count(), past.since_height()), (0, 5));
        assert_eq!(past.get(TWO, step(6, 1).sequence), Some(&step(6, 1)));
        assert_eq!(past.get(ONE, step(6, 1).sequence), None, "it is another account's");
    }

    #[test]
    fn the_oldest_go_and_the_height_says_so() {
        let mut past = PastLiquidations::with_bound(2);
        past.apply(3, [(ONE, &step(3, 0)), (ONE, &step(3, 1)), (TWO, &step(3, 2))]);
        assert_eq!((past.of(ONE).count(), past.of(TWO).count()), (1, 1));
        assert_eq!(past.since_height(), 4, "of block 3 a step is missing");
        past.apply(9, [(TWO, &step(9, 0))]);
        assert_eq!((past.of(ONE).count(), past.of(TWO).count(), past.since_height()), (0, 2, 4));
    }
}
