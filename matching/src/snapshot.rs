//! Snapshots: the book as bytes. They hold all that a book needs to continue and nothing that
//! depends on its history. A book is frozen first, which copies what the bytes are made of: it goes
//! on while another thread writes them.

use std::io;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::PostOnly;
use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, Side, Ticks, TimeMs};
use tidemark_proto::Refusal;

use crate::arena::{Arena, Flags, Order, MAX_ORDER_ID, NONE};
use crate::attributes::{AttributeTable, Attributes};
use crate::book::{view, Book};
use crate::bounded;
use crate::icebergs::{Iceberg, Icebergs};
use crate::ids::IdTable;
use crate::ladder::key_of;
use crate::order_tree::OrderTree;
use crate::types::{OrderView, MAX_ORDER_LOTS};

/// Version of the layout.
const VERSION: u8 = 2;

/// One resting order. The list that contains the record gives the side.
#[derive(BorshSerialize, BorshDeserialize)]
struct Record {
    order_id: OrderId,
    owner: AccountId,
    client_id: ClientId,
    price_ticks: Ticks,
    /// All unfilled lots.
    lots: Lots,
    hidden_lots: Lots,
    display_lots: Lots,
    reduce_only: bool,
    post_only: PostOnly,
    expires_ms: Option<TimeMs>,
}

impl Record {
    fn of(order: &OrderView) -> Self {
        Self {
            order_id: order.order_id,
            owner: order.owner,
            client_id: order.client_id,
            price_ticks: order.price_ticks,
            lots: order.lots,
            hidden_lots: order.hidden_lots,
            display_lots: order.display_lots,
            reduce_only: order.reduce_only,
            post_only: order.post_only,
            expires_ms: order.expires_ms,
        }
    }
}

/// A level of a frozen book.
#[derive(Debug)]
struct FrozenLevel {
    key: u64,
    /// First order in the queue.
    head: u32,
    count: u32,
}

/// The orders of a book as they were: 32 bytes an order and 24 more where some has a client id or
/// an expiry.
#[derive(Debug)]
pub struct FrozenBook {
    next_order_id: OrderId,
    orders: Arena,
    attributes: AttributeTable,
    icebergs: Icebergs,
    /// Of bids and of asks, best first.
    levels: [Vec<FrozenLevel>; 2],
}

impl FrozenBook {
    /// Writes the book in borsh: version, next order id, then bids and asks, each best level first
    /// and in queue order.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, out: &mut impl io::Write) -> io::Result<()> {
        VERSION.serialize(out)?;
        self.next_order_id.serialize(out)?;
        for levels in &self.levels {
            let count: u32 = levels.iter().map(|level| level.count).sum();
            count.serialize(out)?;
            for level in levels {
                for order in self.queue(level) {
                    Record::of(&order).serialize(out)?;
                }
            }
        }
        Ok(())
    }

    fn queue<'a>(&'a self, level: &FrozenLevel) -> impl Iterator<Item = OrderView> + 'a {
        let (key, some) = (level.key, |slot: u32| Some(slot).filter(|slot| *slot != NONE));
        let slots =
            std::iter::successors(some(level.head), move |slot| some(self.orders.get(*slot).next));
        slots.map(move |slot| {
            let order = self.orders.get(slot);
            let flags = order.flags();
            let hidden = if flags.iceberg() { self.icebergs.get(slot) } else { Iceberg::default() };
            view(order, self.attributes.get(slot, flags), key, hidden)
        })
    }
}

impl Book {
    /// Copies what a snapshot is made of.
    #[must_use]
    pub fn freeze(&self) -> FrozenBook {
        FrozenBook {
            next_order_id: self.next_order_id,
            orders: self.orders.clone(),
            attributes: self.attributes.clone(),
            icebergs: self.icebergs.clone(),
            levels: [Side::Buy, Side::Sell].map(|side| self.frozen_levels(side)),
        }
    }

    fn frozen_levels(&self, side: Side) -> Vec<FrozenLevel> {
        let ladder = self.ladders.get(side);
        let levels =
            std::iter::successors(ladder.best(), |level| ladder.next_worse(&self.levels, *level));
        let frozen = |level| {
            let level = self.levels.get(level);
            FrozenLevel { key: level.key, head: level.head, count: level.count }
        };
        levels.map(frozen).collect()
    }

    /// Reads one book from bytes that [`FrozenBook::write`] wrote, and leaves `input` after them.
    /// The new book has the same roots and behaves in the same way; no order of it is marked as
    /// pegged ([`Book::restore_pegs`]).
    ///
    /// # Errors
    /// `InvalidData` for any bytes that a book would not write: an unknown version, an order out of
    /// place or outside its bounds, an id used twice or not yet given, a crossed book. Memory grows
    /// with the bytes read, by at most a page of prices an order.
    pub fn from_snapshot(input: &mut impl io::Read) -> io::Result<Self> {
        let version = u8::deserialize_reader(input)?;
        if version != VERSION {
            return Err(invalid(format!("book version is {version}, must be {VERSION}")));
        }
        let mut book = Self::new();
        book.next_order_id = OrderId::deserialize_reader(input)?;
        let (next, most) = (book.next_order_id, bounded::next_id(MAX_ORDER_ID));
        if next == OrderId::NONE || next > most {
            return Err(invalid(format!("next order id is {next}, must be 1 to {most}")));
        }
        book.ids = IdTable::ending_at(book.next_order_id);
        book.order_tree = OrderTree::ending_at(book.next_order_id);
        let mut arrived = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            let mut key = u64::MAX;
            for _ in 0..u32::deserialize_reader(input)? {
                let record = Record::deserialize_reader(input)?;
                let next = key_of(side, record.price_ticks);
                if next > key {
                    return Err(invalid(format!(
                        "order {} is not in order of price",
                        record.order_id
                    )));
                }
                key = next;
                arrived.push((record.order_id, book.restore(side, &record)?));
            }
        }
        if let (Some(bid), Some(ask)) = (book.best_bid(), book.best_ask()) {
            if bid.price_ticks >= ask.price_ticks {
                return Err(invalid(format!(
                    "best bid {} is not below best ask {}",
                    bid.price_ticks, ask.price_ticks
                )));
            }
        }
        book.restore_owners(arrived)?;
        book.take_dirty_levels();
        Ok(book)
    }

    /// Enters orders, given in order of price and arrival, among those of their accounts.
    fn restore_owners(&mut self, arrived: Vec<(OrderId, u32)>) -> io::Result<()> {
        let mut by_id = arrived.clone();
        by_id.sort_unstable();
        for (_, slot) in by_id {
            self.owners.push(self.orders.get(slot).owner, slot);
        }
        for (id, slot) in arrived {
            let (owner, flags) = (self.orders.get(slot).owner, self.orders.get(slot).flags());
            if flags.reduce_only() {
                self.check_reduce_only_room(owner, flags.side()).map_err(|reject| {
                    invalid(format!("order {id}: {}", Refusal::from(reject).message))
                })?;
            }
            self.enter_reduce_only(slot);
        }
        Ok(())
    }

    fn restore(&mut self, side: Side, record: &Record) -> io::Result<u32> {
        let Record {
            order_id: id,
            owner,
            client_id,
            price_ticks,
            reduce_only,
            post_only,
            expires_ms,
            ..
        } = *record;
        if id == OrderId::NONE || id >= self.next_order_id || self.ids.get(id).is_some() {
            return Err(invalid(format!(
                "order id {id} is used twice, or not below {}",
                self.next_order_id
            )));
        }
        let insert_position = self.client_id_position(owner, client_id).map_err(|_| {
            invalid(format!("client id {client_id} of account {owner} is used twice"))
        })?;
        let (lots, iceberg) = shown(record).ok_or_else(|| {
            invalid(format!("order {id} of {} lots shows or hides too many", record.lots))
        })?;
        let level = self
            .check_room(side, price_ticks, record.lots, Lots::ZERO)
            .map_err(|reject| invalid(format!("order {id}: {}", Refusal::from(reject).message)))?;
        let key = key_of(side, price_ticks);
        let named = client_id != ClientId::NONE;
        let flags = Flags::new(side, reduce_only, post_only, expires_ms.is_some(), named)
            .with_iceberg(!iceberg.display_lots.is_zero());
        let slot = self.orders.allocate();
        self.ids.insert(id, slot);
        self.append(slot, Order::new(id, owner, lots, flags), key, level);
        self.index(slot, key, Attributes::new(client_id, expires_ms), iceberg, insert_position);
        Ok(slot)
    }
}

/// Splits a record into the lots that the order shows and its iceberg part. `None` if no book would
/// hold such an order.
fn shown(record: &Record) -> Option<(Lots, Iceberg)> {
    let Record { lots, hidden_lots, display_lots, .. } = *record;
    let shown = lots.checked_sub(hidden_lots).filter(|_| lots <= MAX_ORDER_LOTS)?;
    let most = if display_lots.is_zero() { lots } else { display_lots };
    let fits =
        !shown.is_zero() && shown <= most && (hidden_lots.is_zero() || !display_lots.is_zero());
    fits.then_some((shown, Iceberg { display_lots, hidden_lots }))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}
