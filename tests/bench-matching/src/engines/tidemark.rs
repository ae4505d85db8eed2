//! Tidemark's own book, with everything that an exchange needs: owners, self-trade prevention,
//! client ids, expiries, and every event in a reused buffer.

use tidemark_matching::{Book, Event, Host, NewOrder, PostOnly, Replace, TimeInForce};
use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::Code;

use super::Engine;
use crate::stream::{Kind, Record, Tape, EXPIRES, HAS_CLIENT_ID, POST_ONLY};

/// Most makers that an order meets, as by default on the chain.
const MAX_FILLS: u32 = 500;
/// Number of operations after which the events are dropped.
const BLOCK: usize = 256;

/// Collects events in a reused buffer.
#[derive(Default)]
pub struct Events(pub Vec<Event>);

impl Host for Events {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::ZERO
    }
    #[inline(always)]
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

/// Collects events, and reports each trade to the tape.
struct TapeHost<'a, T> {
    events: &'a mut Events,
    tape: &'a mut T,
}

impl<T: Tape> Host for TapeHost<'_, T> {
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        self.events.reducible_lots(owner, side)
    }
    #[inline(always)]
    fn event(&mut self, event: Event) {
        if let Event::Fill { maker_order_id, price_ticks, lots, .. } = event {
            self.tape.trade(maker_order_id.get(), price_ticks.get(), lots.get());
        }
        self.events.event(event);
    }
}

/// A book and its events.
#[derive(Default)]
pub struct Tidemark {
    /// The book.
    pub book: Book,
    events: Events,
}

impl Engine for Tidemark {
    fn run<T: Tape>(&mut self, records: &[Record], tape: &mut T) {
        for (at, record) in records.iter().enumerate() {
            look_ahead(&self.book, records, at);
            apply(&mut self.book, record, &mut TapeHost { events: &mut self.events, tape });
            if at % BLOCK == BLOCK - 1 {
                self.events.0.clear();
            }
        }
        self.events.0.clear();
    }

    fn live(&self) -> u64 {
        u64::from(self.book.live_orders())
    }
}

/// Prefetches the orders of the records after one, as a node can: it has the whole block.
#[inline]
pub fn look_ahead(book: &Book, records: &[Record], at: usize) {
    book.look_ahead(|places| records.get(at + places).map(|record| OrderId::new(record.id)));
}

/// Carries out a record, which must not be refused.
#[inline]
pub fn apply(book: &mut Book, record: &Record, host: &mut impl Host) {
    let (id, owner) = (OrderId::new(record.id), AccountId::new(record.owner));
    let done = match record.kind {
        Kind::Add | Kind::Take => book.place(&new_order(record), host).is_ok(),
        Kind::Cancel => book.cancel(id, owner, Code::Cancelled, host).is_ok(),
        Kind::Move => {
            let change = Replace {
                order_id: id,
                owner,
                price_ticks: Some(price_ticks(record)),
                lots: None,
                stp: SelfTradePrevention::CancelTaker,
                max_fills: MAX_FILLS,
                max_visits: u32::MAX,
            };
            book.replace(&change, host).is_ok()
        }
    };
    debug_assert!(done, "refused: {record:?}");
}

#[inline]
fn price_ticks(record: &Record) -> Ticks {
    Ticks::new(u64::from(record.price_ticks))
}

#[inline]
fn new_order(record: &Record) -> NewOrder {
    let has = |flag: u8| record.flags & flag != 0;
    NewOrder {
        owner: AccountId::new(record.owner),
        client_id: if has(HAS_CLIENT_ID) { ClientId::new(record.id) } else { ClientId::NONE },
        side: if record.sell { Side::Sell } else { Side::Buy },
        price_ticks: price_ticks(record),
        lots: Lots::new(u64::from(record.lots)),
        display_lots: Lots::ZERO,
        time_in_force: match record.kind {
            Kind::Take => TimeInForce::Ioc,
            _ if has(EXPIRES) => {
                TimeInForce::Gtt { expires_ms: TimeMs::new(1_000_000_000_000 + record.id) }
            }
            _ => TimeInForce::Gtc,
        },
        post_only: if has(POST_ONLY) { PostOnly::Reject } else { PostOnly::Off },
        reduce_only: false,
        stp: SelfTradePrevention::CancelTaker,
        max_fills: MAX_FILLS,
        max_visits: u32::MAX,
    }
}
