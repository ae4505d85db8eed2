//! Totals of open orders that the running block has worked out, kept up to date by the book's
//! events while it goes on.
//!
//! Margin needs them at every placement, and an account that quotes has a hundred orders. Nothing
//! of this is state: each total is exactly what the account's orders in the book add up to at the
//! block's mark, and every block starts with none.

use std::collections::BTreeMap;

use tidemark_proto::units::{AccountId, AtomsPerTickLot, Ppm, Ticks};
use tidemark_risk::orders::{OpenOrder, OrderTotals};

/// From so many open orders on, an account's totals are worth remembering.
const WORTH_IT: usize = 4;

/// The inputs of all totals of a market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalsKey {
    /// The block's mark.
    pub mark_ticks: Ticks,
    /// Atoms per tick·lot.
    pub k: AtomsPerTickLot,
    /// The highest fee rate.
    pub fee_ppm: Ppm,
}

/// Totals of some accounts in one market.
#[derive(Clone, Debug, Default)]
pub struct TotalsCache {
    key: Option<TotalsKey>,
    sums: BTreeMap<AccountId, OrderTotals>,
}

impl TotalsCache {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// An account's totals, if they are known with this key.
    #[must_use]
    pub fn get(&self, account: AccountId, key: TotalsKey) -> Option<&OrderTotals> {
        if self.key != Some(key) {
            return None;
        }
        self.sums.get(&account)
    }

    /// Returns true if the totals of an account with so many open orders are worth remembering by
    /// [`Self::insert`].
    #[must_use]
    pub fn wants(&self, account: AccountId, open_orders: usize, key: TotalsKey) -> bool {
        open_orders >= WORTH_IT && self.get(account, key).is_none()
    }

    /// Remembers an account's totals.
    pub fn insert(&mut self, account: AccountId, totals: OrderTotals, key: TotalsKey) {
        if self.key != Some(key) {
            self.sums.clear();
            self.key = Some(key);
        }
        self.sums.insert(account, totals);
    }

    /// All totals in the cache: tests compare them with the books.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, &OrderTotals, TotalsKey)> + '_ {
        self.key.into_iter().flat_map(|key| self.sums.iter().map(move |(id, sum)| (*id, sum, key)))
    }

    /// An order, or lots of it, came to rest.
    pub fn add(&mut self, account: AccountId, order: &OpenOrder) {
        self.change(account, |totals, key| {
            totals.add(order, key.mark_ticks, key.k, key.fee_ppm).is_ok()
        });
    }

    /// Subtracts an order that left the book, or the lots that left: totals are linear in lots.
    pub fn remove(&mut self, account: AccountId, order: &OpenOrder) {
        self.change(account, |totals, key| {
            totals.remove(order, key.mark_ticks, key.k, key.fee_ppm).is_ok()
        });
    }

    fn change(
        &mut self,
        account: AccountId,
        apply: impl FnOnce(&mut OrderTotals, TotalsKey) -> bool,
    ) {
        if self.sums.is_empty() {
            return;
        }
        let Some(key) = self.key else { return };
        let Some(totals) = self.sums.get_mut(&account) else { return };
        if !apply(totals, key) {
            self.sums.remove(&account);
        }
    }
}
