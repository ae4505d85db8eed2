//! An account's reduce-only orders of a side share the position that they reduce (rules §2.5): the
//! better price first, then the earlier arrival. An order shows its part; what is beyond the
//! position goes, the last part first.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use tidemark_proto::types::MAX_REDUCE_ONLY_ORDERS;
use tidemark_proto::units::{AccountId, Lots, Side};
use tidemark_proto::Code;

use crate::book::Book;
use crate::bounded::checked;
use crate::matcher::Taker;
use crate::types::{Host, Reject};

impl Book {
    /// Charges a taker, beside its visits of the makers themselves, for the reduce-only orders that
    /// its trade with a maker may shrink: those of the maker's account and its own, a visit for
    /// each but the first, once a walk. The orders have paid for that at their placement, in
    /// earlier blocks perhaps: this bounds what one block has to do. `charged` holds the accounts
    /// that the walk has met. Returns the visits then; `None` if they would be more than
    /// `max_visits`.
    #[inline]
    pub(crate) fn charge_shrinks(
        &self,
        charged: &mut BTreeSet<AccountId>,
        taker: &Taker,
        maker: AccountId,
        visits: u32,
    ) -> Option<u32> {
        if !self.owners.any_reduce_only() {
            return Some(visits);
        }
        let mut of = |owner, side| {
            let visits = self.owners.count_reduce_only(owner, side).saturating_sub(1);
            if visits > 0 && charged.insert(owner) {
                visits
            } else {
                0
            }
        };
        let more = of(maker, taker.side.opposite()).saturating_add(of(taker.owner, taker.side));
        Some(visits.saturating_add(more)).filter(|visits| *visits <= taker.max_visits)
    }

    /// Checks that one more reduce-only order of an account may rest on a side.
    pub(crate) fn check_reduce_only_room(
        &self,
        owner: AccountId,
        side: Side,
    ) -> Result<(), Reject> {
        let resting = self.reduce_only_orders(owner, side);
        if resting < MAX_REDUCE_ONLY_ORDERS {
            return Ok(());
        }
        let (bound, resting) = (MAX_REDUCE_ONLY_ORDERS.into(), resting.into());
        Err(Reject::new(Code::TooManyOpenOrders, bound, resting))
    }

    /// Returns the part of `lots` that a reduce-only order has at the back of the level at `key`:
    /// what the account's orders ahead of it leave of the position.
    pub(crate) fn part_of(
        &self,
        owner: AccountId,
        side: Side,
        key: u64,
        lots: Lots,
        host: &impl Host,
    ) -> Lots {
        let ahead = self
            .owners
            .reduce_only_of(owner, side)
            .filter(|order| self.key_of_order(order.slot) >= key)
            .map(|order| u128::from(self.total_lots(order.slot).get()))
            .fold(0_u128, u128::saturating_add);
        let ahead = u64::try_from(ahead).map_or(Lots::MAX, Lots::new);
        lots.min(host.reducible_lots(owner, side).saturating_sub(ahead))
    }

    /// Shrinks an account's reduce-only orders on a side until they are together no more than the
    /// position, the last in order of price and arrival first; one without lots is cancelled with
    /// `NOTHING_TO_REDUCE`. Call this when the account's position has changed other than by a fill
    /// in this book. Returns how many orders shrank or went, at most
    /// [`MAX_REDUCE_ONLY_ORDERS`].
    pub fn fit_reduce_only(&mut self, owner: AccountId, side: Side, host: &mut impl Host) -> u32 {
        if !self.owners.has_reduce_only(owner, side) {
            return 0;
        }
        let position = u128::from(host.reducible_lots(owner, side).get());
        let resting = self.owners.reduce_only_lots(owner, side);
        let Some(excess) = resting.checked_sub(position).filter(|excess| *excess > 0) else {
            return 0;
        };
        self.take_off_last(owner, side, excess, host)
    }

    #[inline(never)]
    fn take_off_last(
        &mut self,
        owner: AccountId,
        side: Side,
        mut excess: u128,
        host: &mut impl Host,
    ) -> u32 {
        let rank = |(slot, arrival)| (Reverse(self.key_of_order(slot)), arrival, slot);
        let mut best_first: Vec<_> = self
            .owners
            .reduce_only_of(owner, side)
            .map(|order| rank((order.slot, order.arrival)))
            .collect();
        best_first.sort_unstable();
        let mut changed = 0;
        while excess > 0 {
            let Some((_, _, slot)) = best_first.pop() else { break };
            let lots = self.total_lots(slot);
            let by_lots = u64::try_from(excess).map_or(lots, |excess| lots.min(Lots::new(excess)));
            excess = excess.saturating_sub(by_lots.get().into());
            self.reduce_or_evict(slot, by_lots, Code::NothingToReduce, host);
            changed = checked::increment(changed);
        }
        changed
    }

    fn key_of_order(&self, slot: u32) -> u64 {
        self.levels.get(self.orders.get(slot).level).key
    }
}
