//! `lobster` has limit and market orders and cancels: a taker's rest is cancelled, a move is a
//! cancel and an add. No owners, client ids or times in force.

use lobster::{FillMetadata, OrderBook, OrderEvent, OrderType, Side};

use super::Engine;
use crate::stream::{Kind, Record, Tape};

/// An engine with one book.
#[derive(Default)]
pub struct Lobster {
    book: OrderBook,
    live: u64,
}

impl Lobster {
    fn limit(&mut self, record: &Record, tape: &mut impl Tape) {
        let id = u128::from(record.id);
        let event = self.book.execute(OrderType::Limit {
            id,
            side: if record.sell { Side::Ask } else { Side::Bid },
            qty: u64::from(record.lots),
            price: u64::from(record.price_ticks),
        });
        let rests = match event {
            OrderEvent::Filled { fills, .. } => {
                self.trades(&fills, tape);
                false
            }
            OrderEvent::PartiallyFilled { fills, .. } => {
                self.trades(&fills, tape);
                true
            }
            _ => true,
        };
        if rests && record.kind == Kind::Take {
            self.book.execute(OrderType::Cancel { id });
        } else if rests {
            self.live += 1;
        }
    }

    fn trades(&mut self, fills: &[FillMetadata], tape: &mut impl Tape) {
        for fill in fills {
            self.live -= u64::from(fill.total_fill);
            tape.trade(fill.order_2 as u64, fill.price, fill.qty);
        }
    }

    fn cancel(&mut self, record: &Record) {
        self.book.execute(OrderType::Cancel { id: u128::from(record.id) });
        self.live -= 1;
    }
}

impl Engine for Lobster {
    fn run<T: Tape>(&mut self, records: &[Record], tape: &mut T) {
        for record in records {
            match record.kind {
                Kind::Add | Kind::Take => self.limit(record, tape),
                Kind::Cancel => self.cancel(record),
                Kind::Move => {
                    self.cancel(record);
                    self.limit(record, tape);
                }
            }
        }
    }

    fn live(&self) -> u64 {
        self.live
    }
}
