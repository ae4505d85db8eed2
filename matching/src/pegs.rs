//! Pegged orders, and the levels with an order that is not pegged: pegged orders that follow the
//! best price of their side do not follow each other (rules §2.15).

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::units::{OrderId, Side};

use crate::bounded;
use crate::by_side::BySide;

/// Empty until the first order is pegged: a book without pegged orders pays a comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pegs(Option<Box<Kept>>);

#[derive(Clone, Debug)]
struct Kept {
    /// Pegged orders, in the book or about to enter it.
    ids: BTreeSet<OrderId>,
    /// Orders that are not pegged, by the key of their level; no level has 0.
    plain: BySide<BTreeMap<u64, u32>>,
}

impl Pegs {
    /// Returns true if any order was ever pegged.
    #[inline(always)]
    pub(crate) const fn are_kept(&self) -> bool {
        self.0.is_some()
    }

    /// Begins to keep, with the orders of each level, of which none is pegged.
    pub(crate) fn begin(plain: BySide<BTreeMap<u64, u32>>) -> Self {
        Self(Some(Box::new(Kept { ids: BTreeSet::new(), plain })))
    }

    /// Marks an order as pegged.
    pub(crate) fn mark(&mut self, order_id: OrderId) {
        if let Some(kept) = &mut self.0 {
            kept.ids.insert(order_id);
        }
    }

    /// Returns true if an order is pegged.
    pub(crate) fn contains(&self, order_id: OrderId) -> bool {
        self.0.as_ref().is_some_and(|kept| kept.ids.contains(&order_id))
    }

    /// Returns the keys of a side's levels with an order that is not pegged, best first; `None`
    /// where nothing is kept: all levels are.
    pub(crate) fn plain(&self, side: Side) -> Option<impl Iterator<Item = u64> + '_> {
        self.0.as_ref().map(|kept| kept.plain.get(side).keys().rev().copied())
    }

    /// An order has come to the back of a level.
    #[inline(always)]
    pub(crate) fn enter(&mut self, order_id: OrderId, side: Side, key: u64) {
        if let Some(kept) = &mut self.0 {
            kept.enter(order_id, side, key);
        }
    }

    /// An order has left its level.
    #[inline(always)]
    pub(crate) fn leave(&mut self, order_id: OrderId, side: Side, key: u64) {
        if let Some(kept) = &mut self.0 {
            kept.leave(order_id, side, key);
        }
    }

    /// An order of a level counts as pegged from now on.
    pub(crate) fn leave_plain(&mut self, side: Side, key: u64) {
        if let Some(kept) = &mut self.0 {
            kept.uncount(side, key);
        }
    }

    /// An order has left the book.
    #[inline(always)]
    pub(crate) fn forget(&mut self, order_id: OrderId) {
        if let Some(kept) = &mut self.0 {
            kept.ids.remove(&order_id);
        }
    }
}

impl Kept {
    #[cold]
    fn enter(&mut self, order_id: OrderId, side: Side, key: u64) {
        if !self.ids.contains(&order_id) {
            let count = self.plain.get_mut(side).entry(key).or_default();
            *count = bounded::increment(*count);
        }
    }

    #[cold]
    fn leave(&mut self, order_id: OrderId, side: Side, key: u64) {
        if !self.ids.contains(&order_id) {
            self.uncount(side, key);
        }
    }

    fn uncount(&mut self, side: Side, key: u64) {
        let plain = self.plain.get_mut(side);
        match plain.get_mut(&key) {
            Some(count) if *count > 1 => *count = bounded::decrement(*count),
            _ => {
                plain.remove(&key);
            }
        }
    }
}
