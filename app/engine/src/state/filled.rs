//! Lots that the resting orders of a market have traded, so that a replacement can name an order's
//! total quantity (rules §2.9).

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::units::{Lots, OrderId};

use super::merkle::Hash;
use super::table::{Table, TableView};

/// An order and the lots that it has traded; `None` in a slot that is free.
pub(crate) type FilledRow = Option<(OrderId, Lots)>;

/// Rows with a Merkle root: of an order on the book that has traded, and of no other, so that there
/// are no more rows than orders.
#[derive(Clone, Debug, Default)]
pub struct FilledLots {
    rows: Table<u32, FilledRow>,
    /// Slots without a row; a new row takes the lowest.
    free: BTreeSet<u32>,
    slots: BTreeMap<OrderId, u32>,
}

impl FilledLots {
    /// Lots that an order has traded since it was placed, under whatever terms.
    #[must_use]
    pub fn get(&self, order_id: OrderId) -> Lots {
        let slot = self.slots.get(&order_id);
        let row = slot.and_then(|slot| self.rows.get(*slot)).copied().flatten();
        row.map_or(Lots::ZERO, |(_, lots)| lots)
    }

    /// The orders that have traded.
    pub fn ids(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.slots.keys().copied()
    }

    /// Adds to what an order has traded. Returns false if there is no room for one more order.
    pub fn add(&mut self, order_id: OrderId, lots: Lots) -> bool {
        let filled_lots = self.get(order_id).saturating_add(lots);
        let known = self.slots.get(&order_id).copied();
        let Some(slot) = known.or_else(|| self.free.pop_first()).or_else(|| self.rows.push(None))
        else {
            return false;
        };
        self.slots.insert(order_id, slot);
        if let Some(row) = self.rows.get_mut(slot) {
            *row = Some((order_id, filled_lots));
        }
        true
    }

    /// Forgets an order that has left the book.
    pub fn forget(&mut self, order_id: OrderId) {
        if self.slots.is_empty() {
            return;
        }
        let Some(slot) = self.slots.remove(&order_id) else { return };
        if let Some(row) = self.rows.get_mut(slot) {
            *row = None;
        }
        self.free.insert(slot);
    }

    /// The rows as they are now.
    pub(crate) fn view(&self) -> TableView<u32, FilledRow> {
        self.rows.view()
    }

    /// The rows of a snapshot, found by order again; `None` if an order has two.
    pub(crate) fn restored(rows: Table<u32, FilledRow>) -> Option<Self> {
        let free = rows.iter().filter(|(_, row)| row.is_none()).map(|(slot, _)| slot).collect();
        let named = rows.iter().filter_map(|(slot, row)| Some((row.as_ref()?.0, slot)));
        let slots: BTreeMap<_, _> = named.collect();
        let rows_of_orders = rows.iter().filter(|(_, row)| row.is_some()).count();
        let is_whole = slots.len() == rows_of_orders && rows.rows() == rows.len();
        is_whole.then_some(Self { rows, free, slots })
    }

    /// Commits to every row in its slot.
    pub fn root(&mut self) -> Hash {
        self.rows.root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Against a map of sums.
        #[test]
        fn what_an_order_has_traded_is_known_until_it_leaves(
            steps in prop::collection::vec((0_u64..12, 0_u64..4), 0..200),
        ) {
            let (mut filled, mut sums) = (FilledLots::default(), BTreeMap::new());
            for (order, lots) in steps {
                let id = OrderId::new(order);
                if lots == 0 {
                    filled.forget(id);
                    sums.remove(&id);
                } else {
                    prop_assert!(filled.add(id, Lots::new(lots)));
                    *sums.entry(id).or_insert(0) += lots;
                }
                prop_assert!(filled.ids().eq(sums.keys().copied()));
                for id in (0..12).map(OrderId::new) {
                    let sum = sums.get(&id).copied().unwrap_or(0);
                    prop_assert_eq!(filled.get(id), Lots::new(sum));
                }
            }
        }
    }
}
