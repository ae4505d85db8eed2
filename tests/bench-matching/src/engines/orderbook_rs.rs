//! `orderbook-rs` is made for many threads at once; here it has one. Owners and its self-trade
//! prevention are off, which is its fastest setting.

use orderbook_rs::{OrderBook, TradeResult};
use pricelevel::{
    Hash32, Id, OrderType, OrderUpdate, Price, Quantity, Side, TimeInForce, TimestampMs,
};

use super::Engine;
use crate::stream::{Kind, Record, Tape};

/// An engine with one book.
pub struct OrderbookRs {
    book: OrderBook<()>,
}

impl Default for OrderbookRs {
    fn default() -> Self {
        Self { book: OrderBook::new("BENCH") }
    }
}

fn read(result: Option<&TradeResult>, tape: &mut impl Tape) {
    let Some(result) = result else { return };
    for trade in result.match_result.trades().as_vec() {
        let Id::Sequential(maker) = trade.maker_order_id() else { continue };
        tape.trade(maker, trade.price().as_u128() as u64, trade.quantity().as_u64());
    }
}

impl Engine for OrderbookRs {
    fn run<T: Tape>(&mut self, records: &[Record], tape: &mut T) {
        for record in records {
            let id = Id::Sequential(record.id);
            let price = Price::new(u128::from(record.price_ticks));
            match record.kind {
                Kind::Add | Kind::Take => {
                    let taker = record.kind == Kind::Take;
                    let order = OrderType::Standard {
                        id,
                        price,
                        quantity: Quantity::new(u64::from(record.lots)),
                        side: if record.sell { Side::Sell } else { Side::Buy },
                        user_id: Hash32::zero(),
                        timestamp: TimestampMs::new(0),
                        time_in_force: if taker { TimeInForce::Ioc } else { TimeInForce::Gtc },
                        extra_fields: (),
                    };
                    // The rest of an immediate order comes back as an error, with the trades made
                    // before it.
                    match self.book.add_order_with_committed(order) {
                        Ok((_, result)) => read(result.as_ref(), tape),
                        Err(failure) => read(failure.committed.as_deref(), tape),
                    }
                }
                Kind::Cancel => drop(self.book.cancel_order(id)),
                Kind::Move => {
                    drop(
                        self.book.update_order(OrderUpdate::UpdatePrice {
                            order_id: id,
                            new_price: price,
                        }),
                    );
                }
            }
        }
    }

    fn live(&self) -> u64 {
        self.book.get_order_locations_arc().len() as u64
    }
}
