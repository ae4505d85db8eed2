//! `matchcore` names an order by the place of its command, from 0, and has limit orders, times in
//! force and amendments that keep the id. No owners or client ids.

use matchcore::{
    AmendCmd, AmendPatch, CancelCmd, Command, CommandKind, CommandMeta, CommandOutcome,
    CommandReport, LimitOrder, LimitOrderPatch, NewOrder, OrderBook, OrderFlags, OrderId,
    OrderKind, Price, Quantity, QuantityPolicy, SequenceNumber, Side, SubmitCmd, TimeInForce,
    Timestamp,
};

use super::Engine;
use crate::stream::{Kind, Record, Tape};

/// An engine with one book.
pub struct Matchcore {
    book: OrderBook,
    /// Number of commands carried out.
    done: u64,
    /// Order number of each command, by the command's position. Filled only if the tape needs
    /// makers.
    numbers: Vec<u64>,
}

impl Default for Matchcore {
    fn default() -> Self {
        Self { book: OrderBook::new("BENCH"), done: 0, numbers: Vec::new() }
    }
}

fn command(record: &Record) -> CommandKind {
    let price = Price(u64::from(record.price_ticks));
    match record.kind {
        Kind::Add | Kind::Take => {
            let side = if record.sell { Side::Sell } else { Side::Buy };
            let tif = if record.kind == Kind::Take { TimeInForce::Ioc } else { TimeInForce::Gtc };
            let quantity_policy =
                QuantityPolicy::Standard { quantity: Quantity(u64::from(record.lots)) };
            let order = LimitOrder::new(price, quantity_policy, OrderFlags::new(side, false, tif));
            CommandKind::Submit(SubmitCmd { order: NewOrder::Limit(order) })
        }
        Kind::Cancel => CommandKind::Cancel(CancelCmd {
            order_id: OrderId(record.at),
            order_kind: OrderKind::Limit,
        }),
        Kind::Move => CommandKind::Amend(AmendCmd {
            order_id: OrderId(record.at),
            patch: AmendPatch::Limit(LimitOrderPatch::new().with_price(price)),
        }),
    }
}

impl Engine for Matchcore {
    fn run<T: Tape>(&mut self, records: &[Record], tape: &mut T) {
        for record in records {
            if T::NEEDS_MAKER {
                self.numbers.push(record.id);
            }
            let meta = CommandMeta {
                sequence_number: SequenceNumber(self.done),
                timestamp: Timestamp(self.done),
            };
            self.done += 1;
            let outcome = self.book.execute(&Command { meta, kind: command(record) });
            let CommandOutcome::Applied(
                CommandReport::Submit(effects) | CommandReport::Amend(effects),
            ) = &outcome
            else {
                continue;
            };
            let Some(matched) = effects.target_order().match_result() else { continue };
            for trade in matched.trades() {
                let maker = if T::NEEDS_MAKER {
                    self.numbers[trade.maker_order_id().0 as usize]
                } else {
                    0
                };
                tape.trade(maker, trade.price().0, trade.quantity().0);
            }
        }
    }

    fn live(&self) -> u64 {
        self.book.limit().orders().len() as u64
    }
}
