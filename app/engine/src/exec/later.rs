//! Orders that an operation may not name, because the owner placed them later (rules §8.3).

use tidemark_proto::units::{MarketId, OrderId};

/// An operation's place among those of its owner in the block: transactions by sequence, and the
/// operations of each in their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// The transaction's number among the owner's in the block.
    pub tx: usize,
    /// The operation's number in the transaction. Of a batch of all or none what it names is 0 and
    /// what it places is 1.
    pub operation: usize,
}

/// Ids that the orders of one operation in one market have got.
#[derive(Clone, Copy, Debug)]
pub struct PlacedIds {
    /// The market.
    pub market: MarketId,
    /// The operation.
    pub rank: Rank,
    /// The first id.
    pub first: OrderId,
    /// The id after the last.
    pub next: OrderId,
}

/// Orders that the owner whose turn it is has placed in class 2 of the block by later operations
/// than the one that is carried out. Empty but in class 3: in no other class has a later operation
/// placed anything.
#[derive(Clone, Debug, Default)]
pub struct LaterOrders {
    /// Orders that the owner's operations have placed in class 2, by market and rank.
    placed: Vec<PlacedIds>,
    /// The operation that is carried out.
    pub rank: Rank,
}

impl LaterOrders {
    /// Of all that an owner has placed in class 2.
    #[must_use]
    pub fn of(mut placed: Vec<PlacedIds>) -> Self {
        placed.sort_by_key(|ids| (ids.market, ids.rank));
        Self { placed, rank: Rank::default() }
    }

    /// The first later operation that has placed an order in a market.
    fn first_in(&self, market: MarketId) -> Option<&PlacedIds> {
        if self.placed.is_empty() {
            return None;
        }
        let from = self.placed.partition_point(|ids| (ids.market, ids.rank) <= (market, self.rank));
        self.placed.get(from).filter(|ids| ids.market == market)
    }

    /// Returns true if a later operation has placed an order in a market.
    #[must_use]
    pub fn any_in(&self, market: MarketId) -> bool {
        self.first_in(market).is_some()
    }

    /// Returns true if a later operation has placed this order. An owner's turn in class 2 is of
    /// nobody else, so a market's ids of the turn are the owner's without a gap, and rise with
    /// rank.
    #[must_use]
    pub fn contains(&self, market: MarketId, order_id: OrderId) -> bool {
        let Some(first) = self.first_in(market) else { return false };
        let to = self.placed.partition_point(|ids| ids.market <= market);
        let last = to.checked_sub(1).and_then(|at| self.placed.get(at)).unwrap_or(first);
        (first.first..last.next).contains(&order_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_later_if_a_later_operation_of_the_turn_has_placed_it() {
        let ids = |market, tx, operation, first, next| PlacedIds {
            market: MarketId::new(market),
            rank: Rank { tx, operation },
            first: OrderId::new(first),
            next: OrderId::new(next),
        };
        let mut later = LaterOrders::of(vec![
            ids(1, 0, 0, 10, 12),
            ids(0, 0, 1, 3, 4),
            ids(1, 2, 0, 12, 13),
            ids(1, 2, 1, 13, 16),
        ]);
        let named = |later: &LaterOrders, market| {
            let is_later = |id: &u64| later.contains(MarketId::new(market), OrderId::new(*id));
            (0..20).filter(is_later).collect::<Vec<u64>>()
        };
        later.rank = Rank { tx: 1, operation: 7 };
        assert_eq!(named(&later, 1), [12, 13, 14, 15]);
        assert_eq!(named(&later, 0), [0; 0]);
        assert!(later.any_in(MarketId::new(1)) && !later.any_in(MarketId::ZERO));
        later.rank = Rank { tx: 2, operation: 0 };
        assert_eq!(named(&later, 1), [13, 14, 15]);
        later.rank = Rank::default();
        assert_eq!((named(&later, 0), named(&later, 2)), (vec![3], vec![]));
        assert_eq!(named(&LaterOrders::default(), 1), [0; 0]);
    }
}
