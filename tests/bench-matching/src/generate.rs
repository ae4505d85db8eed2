//! Generation of a stream from a seed. A book that plays along knows the live orders and the
//! levels; the other engines then check that book.

use tidemark_matching::{Book, Event, Host};
use tidemark_proto::units::{AccountId, Lots, OrderId, Side};

use crate::engines::tidemark;
use crate::stream::{Kind, Record, Stream, EXPIRES, HAS_CLIENT_ID, POST_ONLY};

/// First mid price. The mid moves one tick up or down with probability 1 in [`MID_STEP_ONE_IN`] at
/// each operation.
const FIRST_MID_TICKS: i64 = 1_000_000;
const MID_STEP_ONE_IN: u32 = 500;
/// Mean distance of an add from the mid.
const MEAN_DISTANCE_TICKS: f64 = 100.0;
/// Most lots of an add.
const MAX_LOTS: u32 = 100;
/// Most lots of a taker, whose rest is cancelled. With this number 50 adds balance 40 cancels and
/// the orders that 8 takers fill, so 20 000 orders stay about as many.
const MAX_TAKER_LOTS: u32 = 190;
/// Makers are owners 0 to 2 999, takers 3 000 to 3 999. Every taker is checked against every maker
/// and no trade is prevented, so engines without self-trade prevention trade the same.
const MAKERS: u32 = 3_000;
const OWNERS: u32 = 4_000;

/// Orders in the book, for a uniform choice.
#[derive(Default)]
struct LiveOrders {
    ids: Vec<u64>,
    /// Index in `ids` of each order, by id.
    place: Vec<u32>,
    /// Position in the stream of each order's first record, by id.
    at: Vec<u64>,
}

impl LiveOrders {
    fn add(&mut self, id: u64) {
        self.place[id as usize] = self.ids.len() as u32;
        self.ids.push(id);
    }

    fn remove(&mut self, id: u64) {
        let place = self.place[id as usize] as usize;
        self.ids.swap_remove(place);
        if let Some(moved) = self.ids.get(place) {
            self.place[*moved as usize] = place as u32;
        }
    }
}

impl Host for LiveOrders {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::ZERO
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Fill { maker_order_id, maker_remaining_lots: Lots::ZERO, .. } => {
                self.remove(maker_order_id.get())
            }
            Event::Removed { order, .. } => self.remove(order.order_id.get()),
            Event::Rested(order) => self.add(order.order_id.get()),
            _ => {}
        }
    }
}

struct Generator {
    random: fastrand::Rng,
    book: Book,
    live: LiveOrders,
    mid_ticks: i64,
    /// Number of records generated.
    made: u64,
}

/// Returns the stream of a seed: `warm` adds, then `operations`: 50 % adds, 40 % cancels, 8 %
/// takers, 2 % moves.
pub fn generate(seed: u64, warm: usize, operations: usize) -> Stream {
    let live = LiveOrders { ids: Vec::new(), place: vec![0], at: vec![0] };
    let random = fastrand::Rng::with_seed(seed);
    let mut generator =
        Generator { random, book: Book::new(), live, mid_ticks: FIRST_MID_TICKS, made: 0 };
    Stream {
        warm: (0..warm).map(|_| generator.step(0)).collect(),
        operations: (0..operations)
            .map(|_| {
                let kind = generator.random.u32(..100);
                generator.step(kind)
            })
            .collect(),
        seed,
    }
}

impl Generator {
    fn step(&mut self, kind: u32) -> Record {
        if self.random.u32(..MID_STEP_ONE_IN) == 0 {
            self.mid_ticks += if self.random.bool() { 1 } else { -1 };
        }
        let record = match kind {
            50..=89 if !self.live.ids.is_empty() => self.cancel(),
            90..=97 if !self.live.ids.is_empty() => self.take(),
            98.. if !self.live.ids.is_empty() => self.replace(),
            _ => self.add(),
        };
        self.made += 1;
        tidemark::apply(&mut self.book, &record, &mut self.live);
        record
    }

    /// Returns the id of a new order, and makes room for it in `live`.
    fn next_id(&mut self) -> u64 {
        self.live.place.push(0);
        self.live.at.push(self.made);
        self.book.next_order_id().get()
    }

    /// Returns a price of `side` that crosses nothing, at an exponential distance from the mid.
    fn passive_price(&mut self, side: Side) -> u64 {
        let distance = (-MEAN_DISTANCE_TICKS * (1.0 - self.random.f64()).ln()) as i64 + 1;
        let opposite = self.book.best(side.opposite()).map(|level| level.price_ticks.get());
        match side {
            Side::Buy => {
                let price = (self.mid_ticks - distance) as u64;
                opposite.map_or(price, |ask| price.min(ask - 1))
            }
            Side::Sell => {
                let price = (self.mid_ticks + distance) as u64;
                opposite.map_or(price, |bid| price.max(bid + 1))
            }
        }
    }

    fn side(&mut self) -> Side {
        if self.random.bool() {
            Side::Sell
        } else {
            Side::Buy
        }
    }

    fn add(&mut self) -> Record {
        let side = self.side();
        // One order in ten has a client id, one in twenty an expiry, one in five is post-only.
        let flag = |random: &mut fastrand::Rng, one_in: u32, flag| {
            if random.u32(..one_in) == 0 {
                flag
            } else {
                0
            }
        };
        let flags = flag(&mut self.random, 10, HAS_CLIENT_ID)
            | flag(&mut self.random, 20, EXPIRES)
            | flag(&mut self.random, 5, POST_ONLY);
        Record {
            kind: Kind::Add,
            sell: side == Side::Sell,
            flags,
            owner: self.random.u32(..MAKERS),
            price_ticks: self.passive_price(side) as u32,
            lots: self.random.u32(1..=MAX_LOTS),
            at: self.made,
            id: self.next_id(),
        }
    }

    fn cancel(&mut self) -> Record {
        let (id, owner, side) = self.any_live();
        let at = self.live.at[id as usize];
        Record {
            kind: Kind::Cancel,
            sell: side == Side::Sell,
            flags: 0,
            owner,
            id,
            at,
            price_ticks: 0,
            lots: 0,
        }
    }

    fn take(&mut self) -> Record {
        let side = self.side();
        let skip = match self.random.u32(..10) {
            0..=5 => 0,
            6..=8 => 1,
            _ => 2,
        };
        let reached = self.book.levels(side.opposite()).take(skip + 1).last();
        let Some(level) = reached else { return self.add() };
        Record {
            kind: Kind::Take,
            sell: side == Side::Sell,
            flags: 0,
            owner: self.random.u32(MAKERS..OWNERS),
            price_ticks: level.price_ticks.get() as u32,
            lots: self.random.u32(1..=MAX_TAKER_LOTS),
            at: self.made,
            id: self.next_id(),
        }
    }

    /// Moves an order, never to its own price: engines differ in whether such a move costs the
    /// place in the queue.
    fn replace(&mut self) -> Record {
        let (id, owner, side) = self.any_live();
        let Some(order) = self.book.order(OrderId::new(id)) else { return self.add() };
        let mut price = self.passive_price(side);
        for _ in 0..100 {
            if price != order.price_ticks.get() {
                break;
            }
            price = self.passive_price(side);
        }
        if price == order.price_ticks.get() {
            return self.add();
        }
        let at = self.live.at[id as usize];
        let (price_ticks, lots) = (price as u32, order.lots.get() as u32);
        Record {
            kind: Kind::Move,
            sell: side == Side::Sell,
            flags: 0,
            owner,
            id,
            at,
            price_ticks,
            lots,
        }
    }

    fn any_live(&mut self) -> (u64, u32, Side) {
        let id = self.live.ids[self.random.usize(..self.live.ids.len())];
        let order = self.book.order(OrderId::new(id)).expect("live orders are in the book");
        (id, order.owner.get(), order.side)
    }
}
