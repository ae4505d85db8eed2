//! A replica of one book order by order, kept from the blocks' events.

use std::collections::{BTreeMap, HashMap};

use sha2::{Digest as _, Sha256};
use tidemark_engine::events::{BookDelta, Event};
use tidemark_engine::state::merkle::Hash;
use tidemark_proto::units::{Lots, MarketId, OrderId, Side, Ticks};
use tidemark_proto::v1::order_book_change::Change;
use tidemark_proto::v1::{self, RestingOrder};

/// Orders of a snapshot in one message: some 30 KB, of which a client that does not read holds one.
pub const SNAPSHOT_ORDERS: usize = 500;

/// One book, order by order.
#[derive(Debug, Default)]
pub struct L3Book {
    /// Orders with their places in the queues.
    orders: HashMap<OrderId, (RestingOrder, u64)>,
    /// Orders of bids and of asks by price, then by place.
    queues: [BTreeMap<Ticks, BTreeMap<u64, OrderId>>; 2],
    next_place: u64,
    next_order_id: OrderId,
    root: Hash,
    /// Changes by the current block so far.
    changes: Vec<v1::OrderBookChange>,
}

impl L3Book {
    /// A book with its root, whose orders are then to be restored.
    pub(super) fn restored(root: Hash, next_order_id: OrderId) -> Self {
        Self { root, next_order_id, ..Self::default() }
    }

    /// Puts an order behind those of its price, without telling anybody.
    pub(super) fn restore_order(&mut self, order: RestingOrder) {
        self.rest(order);
        self.changes.clear();
    }

    /// Takes one of the book's events, in order; others change nothing.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Rested {
                order_id,
                account,
                client_id,
                side,
                price_ticks,
                lots,
                reduce_only,
                expires_ms,
                display_lots,
                post_only,
                ..
            } => {
                let shown_lots =
                    if display_lots.is_zero() { *lots } else { *lots.min(display_lots) };
                self.rest(RestingOrder {
                    order_id: order_id.get(),
                    account: account.get(),
                    side: v1::Side::from(*side).into(),
                    price_ticks: price_ticks.get(),
                    shown_lots: shown_lots.get(),
                    hidden_lots: (*lots - shown_lots).get(),
                    display_lots: display_lots.get(),
                    reduce_only: *reduce_only,
                    post_only: v1::PostOnly::from(*post_only).into(),
                    client_id: client_id.get(),
                    expires_ms: expires_ms.get(),
                });
            }
            Event::Reduced { order_id, lots, .. } => self.reduce(*order_id, *lots),
            Event::Removed { order_id, .. } => self.remove(*order_id),
            Event::Fill(fill) => self.fill(fill.maker_order_id, fill.lots),
            _ => {}
        }
    }

    /// Ends a block: what it changed, as streams tell it.
    pub fn end_block(
        &mut self,
        delta: &BookDelta,
        height: u64,
        sequence: u64,
    ) -> v1::OrderBookUpdate {
        (self.root, self.next_order_id) = (delta.l3_root, delta.next_order_id);
        let changes = std::mem::take(&mut self.changes);
        v1::OrderBookUpdate {
            changes,
            snapshot: false,
            more: false,
            ..self.update(delta.market, height, sequence)
        }
    }

    /// The whole book in as many messages as it takes, best prices first.
    pub fn snapshot(
        &self,
        market: MarketId,
        height: u64,
        sequence: u64,
    ) -> Vec<v1::OrderBookUpdate> {
        let orders: Vec<_> = self.orders().map(|order| change(Change::Rests(*order))).collect();
        let mut parts: Vec<_> = orders.chunks(SNAPSHOT_ORDERS).map(<[_]>::to_vec).collect();
        if parts.is_empty() {
            parts.push(Vec::new());
        }
        let last = parts.len() - 1;
        let message = |(at, changes)| v1::OrderBookUpdate {
            changes,
            snapshot: true,
            more: at < last,
            ..self.update(market, height, sequence)
        };
        parts.into_iter().enumerate().map(message).collect()
    }

    /// Every order: bids from the best price down, then asks from the best up, each price in the
    /// order of its queue.
    fn orders(&self) -> impl Iterator<Item = &RestingOrder> {
        let [bids, asks] = &self.queues;
        let queues = bids.values().rev().chain(asks.values());
        queues
            .flat_map(BTreeMap::values)
            .filter_map(|id| self.orders.get(id).map(|(order, _)| order))
    }

    fn update(&self, market: MarketId, height: u64, sequence: u64) -> v1::OrderBookUpdate {
        v1::OrderBookUpdate {
            market: u32::from(market.get()),
            height,
            sequence,
            next_order_id: self.next_order_id.get(),
            checksum: self.root.to_vec(),
            ..Default::default()
        }
    }

    fn rest(&mut self, order: RestingOrder) {
        let order_id = OrderId::new(order.order_id);
        self.take(order_id);
        let place = self.next_place;
        self.next_place += 1;
        self.queues[side_of(&order) as usize]
            .entry(Ticks::new(order.price_ticks))
            .or_default()
            .insert(place, order_id);
        self.orders.insert(order_id, (order, place));
        self.changes.push(change(Change::Rests(order)));
    }

    fn remove(&mut self, order_id: OrderId) {
        // The rest of a taker that never rested is told as removed too.
        if self.take(order_id).is_some() {
            self.changes.push(change(Change::Gone(order_id.get())));
        }
    }

    /// Less of an order without a trade: hidden lots go first.
    fn reduce(&mut self, order_id: OrderId, left: Lots) {
        let Some((order, _)) = self.orders.get_mut(&order_id) else { return };
        let by = (order.shown_lots + order.hidden_lots).saturating_sub(left.get());
        let hidden = by.min(order.hidden_lots);
        order.hidden_lots -= hidden;
        order.shown_lots = order.shown_lots.saturating_sub(by - hidden);
        let (shown_lots, hidden_lots) = (order.shown_lots, order.hidden_lots);
        self.changes.push(change(Change::Left(v1::OrderLeft {
            order_id: order_id.get(),
            shown_lots,
            hidden_lots,
        })));
    }

    /// A trade takes shown lots; when none is left, hidden ones are shown at the back of the queue.
    fn fill(&mut self, order_id: OrderId, lots: Lots) {
        let Some((order, _)) = self.orders.get_mut(&order_id) else { return };
        order.shown_lots = order.shown_lots.saturating_sub(lots.get());
        let order = *order;
        match (order.shown_lots, order.hidden_lots) {
            (0, 0) => self.remove(order_id),
            (0, hidden) => {
                let shown_lots = order.display_lots.min(hidden);
                self.rest(RestingOrder { shown_lots, hidden_lots: hidden - shown_lots, ..order });
            }
            (shown_lots, hidden_lots) => {
                self.changes.push(change(Change::Left(v1::OrderLeft {
                    order_id: order_id.get(),
                    shown_lots,
                    hidden_lots,
                })));
            }
        }
    }

    fn take(&mut self, order_id: OrderId) -> Option<RestingOrder> {
        let (order, place) = self.orders.remove(&order_id)?;
        let side = &mut self.queues[side_of(&order) as usize];
        let price_ticks = Ticks::new(order.price_ticks);
        if let Some(queue) = side.get_mut(&price_ticks) {
            queue.remove(&place);
            if queue.is_empty() {
                side.remove(&price_ticks);
            }
        }
        Some(order)
    }
}

fn change(change: Change) -> v1::OrderBookChange {
    v1::OrderBookChange { change: Some(change) }
}

fn side_of(order: &RestingOrder) -> Side {
    if order.side() == v1::Side::Sell {
        Side::Sell
    } else {
        Side::Buy
    }
}

/// The L3 root of a book, from its orders alone, those of a price in the order of their queue: what
/// a client recomputes (docs/streams.md).
#[must_use]
pub fn l3_root<'a>(orders: impl Iterator<Item = &'a RestingOrder>, next_order_id: OrderId) -> Hash {
    let mut last: BTreeMap<(Side, u64), u64> = BTreeMap::new();
    let mut by_id: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for order in orders {
        let place = (side_of(order), order.price_ticks);
        let ahead = last.insert(place, order.order_id).unwrap_or(0);
        by_id.insert(order.order_id, order_bytes(order, ahead));
    }
    let by_id: Vec<(u64, Vec<u8>)> = by_id.into_iter().collect();
    let hash = Sha256::new_with_prefix([4]).chain_update(orders_digest(&by_id));
    hash.chain_update(next_order_id.get().to_le_bytes()).finalize().into()
}

/// The digest of orders, given by ascending id with the bytes that stand for each.
fn orders_digest(orders: &[(u64, Vec<u8>)]) -> Hash {
    let (Some((first, _)), Some((last, _))) = (orders.first(), orders.last()) else {
        return [0; 32];
    };
    let mut hash = Sha256::new();
    if orders.len() <= 8 {
        hash.update([5]);
        orders.iter().for_each(|(_, order)| hash.update(order));
        return hash.finalize().into();
    }
    // The highest octal digit at which the ids differ. An id has 56 bits, so at most 18 are below.
    let height = (first ^ last).ilog2() / 3;
    let digits = |id: u64| id >> (3 * height);
    hash.update([6, u8::try_from(height).unwrap_or(u8::MAX)]);
    hash.update((digits(*first) / 8).to_le_bytes());
    for child in orders.chunk_by(|(a, _), (b, _)| digits(*a) == digits(*b)) {
        let digit = child.first().map_or(0, |(id, _)| digits(*id) % 8);
        hash.update([u8::try_from(digit).unwrap_or(u8::MAX)]);
        hash.update(orders_digest(child));
    }
    hash.finalize().into()
}

/// An order with the id of the order ahead of it at its price, as the root covers it.
fn order_bytes(order: &RestingOrder, ahead: u64) -> Vec<u8> {
    let flags = side_of(order) as u8
        | u8::from(order.reduce_only) << 1
        | (order.post_only as u8) << 2
        | u8::from(order.expires_ms != 0) << 4
        | u8::from(order.client_id != 0) << 5
        | u8::from(order.display_lots != 0) << 6;
    let mut bytes = Vec::with_capacity(69);
    bytes.extend(order.order_id.to_le_bytes());
    bytes.extend(order.account.to_le_bytes());
    bytes.extend(order.shown_lots.to_le_bytes());
    bytes.extend(order.client_id.to_le_bytes());
    bytes.extend(order.expires_ms.to_le_bytes());
    bytes.push(flags);
    bytes.extend(order.price_ticks.to_le_bytes());
    bytes.extend(ahead.to_le_bytes());
    if order.display_lots != 0 {
        bytes.extend(order.display_lots.to_le_bytes());
        bytes.extend(order.hidden_lots.to_le_bytes());
    }
    bytes
}
