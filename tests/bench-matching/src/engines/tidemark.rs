//! Tidemark's own book, with all that an exchange asks of it: owners, self-trade prevention, client ids, expiries, and
//! every event in a reused buffer.

use tidemark_matching::{Book, Event, Host, NewOrder, PostOnly, Replace, TimeInForce, Upcoming};
use tidemark_proto::units::{AccountId, Lots, SelfTradePrevention, Side};
use tidemark_proto::Code;

use super::Engine;
use crate::stream::{Kind, Record, Tape, EXPIRES, HAS_CLIENT_ID, POST_ONLY};

/// Most makers that an order meets, as by default on the chain.
const MAX_FILLS: u32 = 500;
/// Operations after which the events so far are read.
const BLOCK: usize = 256;

/// Operations of which the book is told before they come.
const PART: usize = 64;

/// Keeps events until they are read.
#[derive(Default)]
pub struct Events(pub Vec<Event>);

impl Host for Events {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        0
    }
    #[inline(always)]
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

impl Events {
    /// Reads and drops the events so far.
    #[inline(always)]
    pub fn read(&mut self, tape: &mut impl Tape) {
        for event in &self.0 {
            if let Event::Fill { maker_order_id, price_ticks, lots, .. } = event {
                tape.trade(*maker_order_id, *price_ticks, *lots);
            }
        }
        self.0.clear();
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
        for block in records.chunks(BLOCK) {
            for part in block.chunks(PART) {
                foresee(&self.book, part);
                for record in part {
                    apply(&mut self.book, record, &mut self.events);
                }
            }
            self.events.read(tape);
        }
    }

    fn live(&self) -> u64 {
        u64::from(self.book.live_orders())
    }
}

/// Tells the book of the operations that follow, as a node can: it has the whole block.
#[inline]
pub fn foresee(book: &Book, records: &[Record]) {
    let known = records.iter().filter(|record| matches!(record.kind, Kind::Cancel | Kind::Move));
    book.prefetch(known.map(|record| record.id));
    let adds = records.iter().filter(|record| record.kind == Kind::Add);
    book.prefetch_new(adds.map(|record| {
        let NewOrder { owner, side, price_ticks, client_id, .. } = new_order(record);
        Upcoming { owner, side, price_ticks, client_id }
    }));
}

/// Carries out a record; none is refused.
#[inline]
pub fn apply(book: &mut Book, record: &Record, host: &mut impl Host) {
    let done = match record.kind {
        Kind::Add | Kind::Take => book.place(&new_order(record), host).is_ok(),
        Kind::Cancel => book.cancel(record.id, record.owner, Code::Cancelled, host).is_ok(),
        Kind::Move => {
            let change = Replace {
                order_id: record.id,
                owner: record.owner,
                price_ticks: Some(u64::from(record.price_ticks)),
                lots: None,
                stp: SelfTradePrevention::CancelTaker,
                max_fills: MAX_FILLS,
            };
            book.replace(&change, host).is_ok()
        }
    };
    debug_assert!(done, "refused: {record:?}");
}

#[inline]
fn new_order(record: &Record) -> NewOrder {
    let has = |flag: u8| record.flags & flag != 0;
    NewOrder {
        owner: record.owner,
        client_id: if has(HAS_CLIENT_ID) { record.id } else { 0 },
        side: if record.sell { Side::Sell } else { Side::Buy },
        price_ticks: u64::from(record.price_ticks),
        lots: u64::from(record.lots),
        display_lots: 0,
        time_in_force: match record.kind {
            Kind::Take => TimeInForce::Ioc,
            _ if has(EXPIRES) => TimeInForce::Gtt { expires_ms: 1_000_000_000_000 + record.id },
            _ => TimeInForce::Gtc,
        },
        post_only: if has(POST_ONLY) { PostOnly::Reject } else { PostOnly::No },
        reduce_only: false,
        stp: SelfTradePrevention::CancelTaker,
        max_fills: MAX_FILLS,
    }
}
