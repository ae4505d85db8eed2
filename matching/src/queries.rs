//! Reads of the book: orders, levels, queues, memory.

use tidemark_proto::units::{AccountId, ClientId, OrderId, Side, Ticks};

use crate::book::Book;
use crate::ladder::{key_of, price_of, PriceLadder};
use crate::types::{LevelView, OrderView};

impl Book {
    /// Returns the id that the next accepted order gets.
    #[must_use]
    pub const fn next_order_id(&self) -> OrderId {
        self.next_order_id
    }

    /// Returns the number of live orders in the book.
    #[must_use]
    pub const fn live_orders(&self) -> u32 {
        self.orders.live()
    }

    /// Returns the number of an account's live orders.
    #[must_use]
    pub fn open_orders(&self, owner: AccountId) -> u32 {
        self.owners.get(owner).count
    }

    /// Returns the number of an account's reduce-only orders on a side.
    #[must_use]
    pub fn reduce_only_orders(&self, owner: AccountId, side: Side) -> u32 {
        self.owners.count_reduce_only(owner, side)
    }

    /// Returns a live order.
    #[must_use]
    pub fn order(&self, order_id: OrderId) -> Option<OrderView> {
        self.ids.get(order_id).map(|slot| self.view(slot))
    }

    /// Returns the live order with an account's client id; 0 names no order.
    #[must_use]
    pub fn order_by_client_id(&self, owner: AccountId, client_id: ClientId) -> Option<OrderView> {
        self.client_ids.get(owner, client_id).map(|slot| self.view(slot))
    }

    /// Returns an account's live orders, newest (highest id) first.
    pub fn orders_of(&self, owner: AccountId) -> impl Iterator<Item = OrderView> + '_ {
        self.owners.orders_of(owner).map(|slot| self.view(slot))
    }

    /// Returns the best bid level.
    #[must_use]
    pub fn best_bid(&self) -> Option<LevelView> {
        self.best(Side::Buy)
    }

    /// Returns the best ask level.
    #[must_use]
    pub fn best_ask(&self) -> Option<LevelView> {
        self.best(Side::Sell)
    }

    /// Returns the best level of a side.
    #[must_use]
    pub fn best(&self, side: Side) -> Option<LevelView> {
        self.levels(side).next()
    }

    /// Returns a side's levels, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = LevelView> + '_ {
        let ladder = self.ladders.get(side);
        std::iter::successors(ladder.best(), |level| ladder.next_worse(&self.levels, *level)).map(
            move |level| {
                let level = self.levels.get(level);
                LevelView {
                    side,
                    price_ticks: price_of(side, level.key),
                    lots: level.lots,
                    count: level.count,
                }
            },
        )
    }

    /// Returns the level at a price; `lots` and `count` are 0 if there is no order.
    #[must_use]
    pub fn level_at(&self, side: Side, price_ticks: Ticks) -> LevelView {
        let level = self.levels.get(self.ladders.get(side).find(key_of(side, price_ticks)));
        LevelView { side, price_ticks, lots: level.lots, count: level.count }
    }

    /// Returns the orders at a price in queue order.
    pub fn queue(&self, side: Side, price_ticks: Ticks) -> impl Iterator<Item = OrderView> + '_ {
        let level = self.levels.get(self.ladders.get(side).find(key_of(side, price_ticks)));
        self.queue_slots(level.head).map(|slot| self.view(slot))
    }

    /// Returns the bytes that the book holds, spare capacity included. The sorted maps (icebergs,
    /// pages of prices, orders older than the id window) count with an upper bound; all else is
    /// exact.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "memory that exists can be counted")]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.orders.memory_bytes()
            + self.ids.memory_bytes()
            + self.owners.memory_bytes()
            + self.icebergs.memory_bytes()
            + self.levels.memory_bytes()
            + self.order_tree.memory_bytes()
            + self.ladders.iter().map(PriceLadder::memory_bytes).sum::<usize>()
            + self.attributes.memory_bytes()
            + self.client_ids.memory_bytes()
            + self.expiries.memory_bytes()
    }
}
