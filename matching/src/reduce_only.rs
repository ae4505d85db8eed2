//! Resting reduce-only orders by account: the book finds them, and the sum of their lots, without a
//! look at the account's other orders.

use std::collections::BTreeMap;

use tidemark_proto::units::{AccountId, Lots, OrderId, Side};

use crate::by_side::BySide;
use crate::memory::map_bytes;

/// A resting reduce-only order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReduceOnlyOrder {
    pub(crate) slot: u32,
    /// Orders the orders of a level as its queue does.
    pub(crate) arrival: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct ReduceOnly {
    orders: BySide<BTreeMap<(AccountId, OrderId), ReduceOnlyOrder>>,
    /// Unfilled lots of an account's orders, hidden lots included: 20 orders of 64 bits fit.
    lots: BySide<BTreeMap<AccountId, u128>>,
    arrivals: u64,
}

impl ReduceOnly {
    pub(crate) const fn new() -> Self {
        Self {
            orders: BySide::new(BTreeMap::new(), BTreeMap::new()),
            lots: BySide::new(BTreeMap::new(), BTreeMap::new()),
            arrivals: 0,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self, side: Side) -> bool {
        self.orders.get(side).is_empty()
    }

    /// Enters an order that has come to the back of its level.
    pub(crate) fn add(&mut self, owner: AccountId, side: Side, id: OrderId, slot: u32, lots: Lots) {
        let arrival = self.next_arrival();
        self.orders.get_mut(side).insert((owner, id), ReduceOnlyOrder { slot, arrival });
        let sum = self.lots.get_mut(side).entry(owner).or_default();
        *sum = sum.saturating_add(lots.get().into());
    }

    /// Takes out an order with `lots` unfilled. Returns false if it is not here: an order that is
    /// being replaced has left before.
    pub(crate) fn remove(&mut self, owner: AccountId, side: Side, id: OrderId, lots: Lots) -> bool {
        let found = self.orders.get_mut(side).remove(&(owner, id)).is_some();
        if found {
            self.less(owner, side, lots);
        }
        found
    }

    /// Takes lots off an account's sum.
    pub(crate) fn less(&mut self, owner: AccountId, side: Side, by_lots: Lots) {
        let sums = self.lots.get_mut(side);
        let Some(sum) = sums.get_mut(&owner) else { return };
        let by_lots = u128::from(by_lots.get());
        debug_assert!(*sum >= by_lots, "only lots that were added are subtracted");
        *sum = sum.saturating_sub(by_lots);
        if *sum == 0 {
            sums.remove(&owner);
        }
    }

    /// Notes that an order has moved to the back of its level.
    pub(crate) fn requeued(&mut self, owner: AccountId, side: Side, id: OrderId) {
        let arrival = self.next_arrival();
        if let Some(order) = self.orders.get_mut(side).get_mut(&(owner, id)) {
            order.arrival = arrival;
        }
    }

    /// Returns the sum of an account's unfilled lots, hidden lots included.
    #[inline(never)]
    pub(crate) fn lots(&self, owner: AccountId, side: Side) -> u128 {
        self.lots.get(side).get(&owner).copied().unwrap_or_default()
    }

    /// Returns an account's orders, at most
    /// [`MAX_REDUCE_ONLY_ORDERS`](tidemark_proto::types::MAX_REDUCE_ONLY_ORDERS).
    pub(crate) fn of(
        &self,
        owner: AccountId,
        side: Side,
    ) -> impl Iterator<Item = ReduceOnlyOrder> + '_ {
        let ids = (owner, OrderId::NONE)..=(owner, OrderId::MAX);
        self.orders.get(side).range(ids).map(|(_, order)| *order)
    }

    #[expect(clippy::arithmetic_side_effects, reason = "2⁶⁴ orders do not come")]
    fn next_arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Bytes held.
    #[expect(clippy::arithmetic_side_effects, reason = "memory that exists can be counted")]
    pub(crate) fn memory_bytes(&self) -> usize {
        let orders = self.orders.iter().map(BTreeMap::len).sum();
        let sums = self.lots.iter().map(BTreeMap::len).sum();
        map_bytes(orders, size_of::<((AccountId, OrderId), ReduceOnlyOrder)>())
            + map_bytes(sums, size_of::<(AccountId, u128)>())
    }
}
