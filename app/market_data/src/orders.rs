//! Open orders by account, kept from the blocks' events: the consensus books are not read from
//! outside.

use std::collections::BTreeMap;

use tidemark_engine::events::Event;
use tidemark_proto::types::ConditionalOrder;
use tidemark_proto::units::{AccountId, Lots, MarketId, OrderId, Ticks};
use tidemark_proto::v1;

/// The orders of one account that reserve margin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AccountOrders {
    /// On the books, by market, then age.
    pub resting: Vec<v1::Order>,
    /// Orders that wait and could increase, by market.
    pub increasing: BTreeMap<MarketId, u32>,
}

impl AccountOrders {
    /// No orders.
    pub const NONE: Self = Self { resting: Vec::new(), increasing: BTreeMap::new() };
}

/// Every open order, by account, market and id.
#[derive(Debug, Default)]
pub struct OpenOrders {
    orders: BTreeMap<(AccountId, MarketId, OrderId), v1::Order>,
    /// Orders that wait, off the book.
    waiting: BTreeMap<(AccountId, MarketId, OrderId), v1::ConditionalOrder>,
}

impl OpenOrders {
    /// Takes one event, in order.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Rested {
                market,
                order_id,
                account,
                client_id,
                side,
                price_ticks,
                lots,
                reduce_only,
                expires_ms,
                display_lots,
                pegged,
                ..
            } => {
                let peg = pegged.map(|pegged| pegged.peg);
                let order = v1::Order {
                    market: u32::from(market.get()),
                    order_id: order_id.get(),
                    client_id: client_id.get(),
                    side: v1::Side::from(*side) as i32,
                    price_ticks: price_ticks.get(),
                    lots: lots.get(),
                    reduce_only: *reduce_only,
                    expires_ms: expires_ms.get(),
                    display_lots: display_lots.get(),
                    peg: peg.map_or(v1::Peg::None, |peg| peg.to.into()).into(),
                    peg_offset_ticks: peg.map_or(0, |peg| peg.offset_ticks),
                    peg_limit_ticks: pegged
                        .and_then(|pegged| pegged.limit_ticks)
                        .map_or(0, Ticks::get),
                };
                self.orders.insert((*account, *market, *order_id), order);
            }
            Event::Reduced { market, order_id, account, lots } => {
                self.keep(*account, *market, *order_id, *lots)
            }
            Event::Removed { market, order_id, account, .. } => {
                self.orders.remove(&(*account, *market, *order_id));
                self.waiting.remove(&(*account, *market, *order_id));
            }
            Event::Conditional { account, order } => self.wait(*account, order),
            Event::Triggered { market, order_id, account, .. }
            | Event::Slice { market, order_id, account, left: None, .. } => {
                self.waiting.remove(&(*account, *market, *order_id));
            }
            Event::Slice { account, left: Some(order), .. } => self.wait(*account, order),
            Event::Fill(fill) => {
                self.keep(fill.maker, fill.market, fill.maker_order_id, fill.maker_remaining_lots);
            }
            Event::Liquidation(_)
            | Event::Adl { .. }
            | Event::TakenOver { .. }
            | Event::Settled { .. }
            | Event::ListedPositions { .. }
            | Event::FlatFee { .. }
            | Event::Funding { .. } => {}
        }
    }

    fn wait(&mut self, account: AccountId, order: &ConditionalOrder) {
        self.waiting.insert((account, order.market, order.order_id), order.into());
    }

    /// Sets what is left of an order; with 0 lots it is gone.
    fn keep(&mut self, account: AccountId, market: MarketId, order_id: OrderId, lots: Lots) {
        let key = (account, market, order_id);
        if lots.is_zero() {
            self.orders.remove(&key);
        } else if let Some(order) = self.orders.get_mut(&key) {
            order.lots = lots.get();
        }
    }

    /// One open order.
    #[must_use]
    pub fn get(
        &self,
        account: AccountId,
        market: MarketId,
        order_id: OrderId,
    ) -> Option<&v1::Order> {
        self.orders.get(&(account, market, order_id))
    }

    /// An account's open orders, of one market or all, by market, then age.
    pub fn of(
        &self,
        account: AccountId,
        market: Option<MarketId>,
    ) -> impl Iterator<Item = &v1::Order> + '_ {
        let (first, last) =
            market.map_or((MarketId::ZERO, MarketId::MAX), |market| (market, market));
        self.orders
            .range((account, first, OrderId::MIN)..=(account, last, OrderId::MAX))
            .map(|(_, order)| order)
    }

    /// An account's orders that reserve margin.
    pub fn reserving(&self, account: AccountId) -> AccountOrders {
        let mut orders = AccountOrders {
            resting: self.of(account, None).copied().collect(),
            ..AccountOrders::NONE
        };
        let first = (account, MarketId::ZERO, OrderId::MIN);
        let waiting = self.waiting.range(first..=(account, MarketId::MAX, OrderId::MAX));
        for ((_, market, _), _) in waiting.filter(|(_, order)| !order.reduce_only) {
            let count = orders.increasing.entry(*market).or_default();
            *count = count.saturating_add(1);
        }
        orders
    }

    /// An account's orders that wait, of one market or all, by market, then age.
    pub fn waiting_of(
        &self,
        account: AccountId,
        market: Option<MarketId>,
    ) -> impl Iterator<Item = &v1::ConditionalOrder> + '_ {
        let (first, last) =
            market.map_or((MarketId::ZERO, MarketId::MAX), |market| (market, market));
        self.waiting
            .range((account, first, OrderId::MIN)..=(account, last, OrderId::MAX))
            .map(|(_, order)| order)
    }

    /// Every open order, by account, market and age.
    pub fn iter(&self) -> impl Iterator<Item = (AccountId, &v1::Order)> + '_ {
        self.orders.iter().map(|((account, _, _), order)| (*account, order))
    }

    /// Every order that waits, by account, market and age.
    pub fn waiting(&self) -> impl Iterator<Item = (AccountId, &v1::ConditionalOrder)> + '_ {
        self.waiting.iter().map(|((account, _, _), order)| (*account, order))
    }
}
