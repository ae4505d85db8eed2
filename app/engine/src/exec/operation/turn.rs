//! An owner's turn in a class of a block (rules §8.3).

use tidemark_proto::types::{Class, Operation};
use tidemark_proto::units::{MarketId, OrderId};

use crate::exec::ctx::Ctx;
use crate::exec::later::{LaterOrders, PlacedIds, Rank};

/// The state of an owner's turn, as one operation after the other finds it.
pub(crate) struct Turn {
    pub class: Class,
    /// Cancels go before other orders.
    pub cancels_first: bool,
    /// An operation of the turn may have placed an order: a cancel that is tried again may find it.
    pub has_placed: bool,
    /// Orders that operations of the turn have placed, if the owner's next turn asks for them.
    placed: Option<Vec<PlacedIds>>,
}

impl Turn {
    pub(crate) const fn new(class: Class, cancels_first: bool, keeps: bool) -> Self {
        let placed = if keeps { Some(Vec::new()) } else { None };
        Self { class, cancels_first, has_placed: false, placed }
    }

    /// The class in which an operation by itself is first tried.
    pub(crate) const fn first_class(&self, operation: &Operation) -> Class {
        first_class(operation, self.cancels_first)
    }

    /// The next ids of the markets in which some operations may place orders, where anybody asks.
    pub(crate) fn next_ids(
        &self,
        ctx: &Ctx<'_>,
        operations: &[Operation],
    ) -> Vec<(MarketId, OrderId)> {
        if self.placed.is_none() {
            return Vec::new();
        }
        let placing = operations.iter().filter(|operation| operation.places());
        let mut markets: Vec<MarketId> = placing.filter_map(Operation::market).collect();
        markets.sort_unstable();
        markets.dedup();
        let next = |market: MarketId| {
            let slot = ctx.exchange.markets.get(market.index())?;
            Some((market, slot.book.next_order_id()))
        };
        markets.into_iter().filter_map(next).collect()
    }

    /// Takes note of what some operations have placed: `before` are the next ids as they were.
    pub(crate) fn note(
        &mut self,
        ctx: &Ctx<'_>,
        operations: &[Operation],
        (rank, before): (Rank, Vec<(MarketId, OrderId)>),
    ) {
        self.has_placed = self.has_placed || operations.iter().any(Operation::places);
        let Some(placed) = &mut self.placed else { return };
        for (market, first) in before {
            let next = ctx.exchange.markets.slot(market).book.next_order_id();
            if next > first {
                placed.push(PlacedIds { market, rank, first, next });
            }
        }
    }

    /// The orders placed, as the owner's next turn asks for them.
    pub(crate) fn into_later(self) -> LaterOrders {
        self.placed.map_or_else(LaterOrders::default, LaterOrders::of)
    }
}

/// The class in which an operation by itself is first tried; all are one where cancels do not go
/// first.
pub(crate) const fn first_class(operation: &Operation, cancels_first: bool) -> Class {
    if cancels_first {
        operation.class()
    } else {
        Class::Orders
    }
}

/// The class of a batch of all or none: that of its highest operation. A replacement in one only
/// lowers an order, so it takes nothing.
pub(crate) fn batch_class(operations: &[Operation], cancels_first: bool) -> Class {
    if !cancels_first {
        return Class::Orders;
    }
    let class = |operation: &Operation| match operation {
        Operation::Replace { .. } => Class::PostOnly,
        _ => operation.class(),
    };
    operations.iter().map(class).max().unwrap_or(Class::Orders)
}
