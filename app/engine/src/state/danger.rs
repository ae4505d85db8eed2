//! The accounts that the last sweep left below maintenance, and those that are frozen (rules
//! §§7.12, 7.13).

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{AccountId, MarketId};
use tidemark_risk::Account;

use super::table::TableView;

/// From so many blocks running on, what the bound of a turn or the budget kept open goes on to the
/// later stages.
pub const OVERDUE_BLOCKS: u8 = 3;

/// Accounts in danger, as the last sweep left them; every sweep makes it anew, but for the reviews.
#[derive(Clone, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Danger {
    /// Accounts below maintenance, or in debt without a position; by account, ascending.
    pub listed: Vec<EndangeredAccount>,
    /// Accounts that a budget did not reach: frozen to the block's end.
    pub frozen: BTreeSet<AccountId>,
    /// Markets whose margin parameters have changed, with the account from which on holders are
    /// still to be looked at.
    pub reviews: BTreeMap<MarketId, AccountId>,
}

impl Danger {
    /// Returns true if some account may be frozen.
    #[must_use]
    pub fn any_frozen(&self) -> bool {
        !self.frozen.is_empty() || !self.reviews.is_empty()
    }

    /// Returns true if the account is frozen: a budget did not reach it, or the review of a market
    /// that it has an entry for has not come to it.
    #[must_use]
    pub fn is_frozen(&self, id: AccountId, accounts: &TableView<AccountId, Account>) -> bool {
        if !self.any_frozen() {
            return false;
        }
        let awaits = |account: &Account| {
            account.positions.iter().any(|position| self.awaits(id, position.market))
        };
        self.frozen.contains(&id)
            || !self.reviews.is_empty() && accounts.get(id).is_some_and(awaits)
    }

    /// Returns true if the market is under a review that has not come to an account of this id.
    #[must_use]
    pub fn awaits(&self, id: AccountId, market: MarketId) -> bool {
        self.reviews.get(&market).is_some_and(|from| *from <= id)
    }
}

/// One account below maintenance.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct EndangeredAccount {
    /// The account.
    pub account: AccountId,
    /// The height from which on every sweep has found it.
    pub since: u64,
    /// Blocks running in which the budget did not reach it; at most [`OVERDUE_BLOCKS`].
    pub unreached: u8,
    /// Positions that the bound of a turn or the budget, not the price, kept open; by market.
    pub kept: Vec<KeptOpen>,
}

/// A position that was kept open though the book had not refused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct KeptOpen {
    /// Its market.
    pub market: MarketId,
    /// Blocks running; at most [`OVERDUE_BLOCKS`].
    pub blocks: u8,
}

impl EndangeredAccount {
    /// An account that was found for the first time.
    #[must_use]
    pub const fn new(account: AccountId, since: u64) -> Self {
        Self { account, since, unreached: 0, kept: Vec::new() }
    }

    /// Returns true if the position was kept open for so long that it goes on to the later stages.
    #[must_use]
    pub fn is_overdue(&self, market: MarketId) -> bool {
        self.blocks_kept(market) >= OVERDUE_BLOCKS
    }

    fn blocks_kept(&self, market: MarketId) -> u8 {
        let kept = self.kept.iter().find(|kept| kept.market == market);
        kept.map_or(self.unreached, |kept| kept.blocks)
    }

    /// The account after a sweep that did not reach it.
    #[must_use]
    pub fn after_unreached(&self) -> Self {
        let longer = |blocks: u8| blocks.saturating_add(1).min(OVERDUE_BLOCKS);
        let kept = self.kept.iter().map(|kept| KeptOpen { blocks: longer(kept.blocks), ..*kept });
        Self { unreached: longer(self.unreached), kept: kept.collect(), ..*self }
    }

    /// The account after a sweep that reached it and kept it open in these markets.
    #[must_use]
    pub fn after_step(&self, kept_open: &[MarketId]) -> Self {
        let kept = |market: &MarketId| KeptOpen {
            market: *market,
            blocks: self.blocks_kept(*market).saturating_add(1).min(OVERDUE_BLOCKS),
        };
        Self { unreached: 0, kept: kept_open.iter().map(kept).collect(), ..*self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_running_are_counted_by_position_and_end_with_a_step_that_the_price_ended() {
        let (one, two) = (MarketId::new(1), MarketId::new(2));
        let mut of = EndangeredAccount::new(AccountId::new(7), 10);
        of = of.after_step(&[one]);
        of = of.after_unreached();
        assert!(!of.is_overdue(one) && !of.is_overdue(two));
        of = of.after_step(&[one, two]);
        assert!(of.is_overdue(one), "kept, unreached, kept");
        assert!(!of.is_overdue(two), "unreached, kept");
        of = of.after_step(&[one, two]);
        assert!(of.is_overdue(one) && of.is_overdue(two), "no more than three are counted");
        assert_eq!(of.kept.first().map(|kept| kept.blocks), Some(OVERDUE_BLOCKS));
        of = of.after_step(&[two]);
        assert!(!of.is_overdue(one) && of.is_overdue(two), "the book refused the first");
        assert_eq!(of.since, 10);
        let mut of = EndangeredAccount::new(AccountId::new(7), 10);
        for _ in 0..3 {
            assert!(!of.is_overdue(one));
            of = of.after_unreached();
        }
        assert!(of.is_overdue(one));
    }
}
