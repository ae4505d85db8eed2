//! A replacement by an order's total quantity: what has traded on the way is taken off.

use tidemark_engine::outcome::OperationResult;
use tidemark_proto::units::{Lots, OrderId};
use tidemark_proto::v1::operation::Operation;
use tidemark_proto::v1::{self, Side::Buy, Side::Sell};
use tidemark_tests::harness::{healthy, limit, lots, place, word, Chain};

use super::{one_market, send, stop};

fn total(order_id: OrderId, lots: u64) -> v1::ReplaceOrder {
    v1::ReplaceOrder { order_id: order_id.get(), total_lots: Some(lots), ..Default::default() }
}

fn replace(chain: &mut Chain, order: v1::ReplaceOrder) -> (&'static str, OperationResult) {
    send(chain, "trader", Operation::Replace(order))
}

/// A bid of `trader` for 10 at 99, of which `maker` has sold 4.
fn four_of_ten() -> (Chain, OrderId) {
    let mut chain = one_market(&["trader", "maker"]);
    let order_id = send(&mut chain, "trader", place(limit(0, Buy, 99, 10))).1.order_id;
    sell(&mut chain, 99, 4);
    (chain, order_id)
}

fn sell(chain: &mut Chain, price_ticks: u64, lots: u64) {
    assert_eq!(send(chain, "maker", place(limit(0, Sell, price_ticks, lots))).0, "OK");
}

fn open(chain: &Chain, order_id: OrderId) -> Option<Lots> {
    chain.state.markets[0].book.order(order_id).map(|order| order.lots)
}

#[test]
fn rules_2_a_replacement_by_the_total_takes_off_what_has_traded() {
    let (mut chain, order_id) = four_of_ten();
    // Signed before the fill, to end with 12 in all: 8 are open, not 12.
    assert_eq!(replace(&mut chain, total(order_id, 12)).1.order_id, order_id);
    assert_eq!(open(&chain, order_id), Some(lots(8)));
    // A new price keeps the count, and so does a fill as a taker.
    sell(&mut chain, 100, 3);
    let higher = v1::ReplaceOrder { price_ticks: 100, ..total(order_id, 12) };
    assert_eq!(replace(&mut chain, higher).1.filled_lots, lots(3));
    assert_eq!(open(&chain, order_id), Some(lots(5)));
    assert_eq!(replace(&mut chain, total(order_id, 9)).0, "OK");
    assert_eq!(open(&chain, order_id), Some(lots(2)));
    // With no more than has traded nothing is left to be open.
    let (code, result) = replace(&mut chain, total(order_id, 7));
    assert_eq!((code, result.cancelled, open(&chain, order_id)), ("OK", 1, None));
    assert_eq!(chain.lots("trader", 0), 7);
    assert_eq!(chain.state.markets[0].filled.ids().count(), 0);
}

#[test]
fn rules_2_a_replacement_by_the_total_counts_what_traded_at_once_and_not_what_was_cancelled() {
    let mut chain = one_market(&["trader", "maker"]);
    sell(&mut chain, 99, 4);
    let (_, placed) = send(&mut chain, "trader", place(limit(0, Buy, 99, 10)));
    assert_eq!((placed.filled_lots, placed.resting_lots), (lots(4), lots(6)));
    let order_id = placed.order_id;
    let less = v1::ReplaceOrder { total_lots: None, lots: Some(1), ..total(order_id, 0) };
    assert_eq!(replace(&mut chain, less).0, "OK");
    assert_eq!(replace(&mut chain, total(order_id, 10)).0, "OK");
    assert_eq!(open(&chain, order_id), Some(lots(6)));
    // An order that waits has traded nothing.
    let stop = v1::PlaceOrder { reduce_only: true, ..stop(Sell, 90, 2) };
    let stop_id = send(&mut chain, "trader", place(stop)).1.order_id;
    assert_eq!(replace(&mut chain, total(stop_id, 3)).0, "OK");
    let waits = &chain.state.markets[0].conditional;
    assert_eq!(waits.get(stop_id).map(|order| order.lots()), Some(lots(3)));
    let both = v1::ReplaceOrder { lots: Some(1), ..total(order_id, 1) };
    assert_eq!(replace(&mut chain, both).0, "INVALID_ARGUMENT");
}

#[test]
fn rules_2_a_batch_of_all_or_none_reads_a_total_as_a_replacement_by_itself() {
    for (asked, left) in [(9, Some(lots(5))), (4, None)] {
        let (mut chain, order_id) = four_of_ten();
        let operations = [Operation::Replace(total(order_id, asked)), place(limit(0, Buy, 98, 1))];
        let operations = operations.map(|operation| v1::Operation { operation: Some(operation) });
        let message = v1::MsgOrders { operations: operations.to_vec(), ..Default::default() };
        chain.send("trader", v1::MsgOrders { mode: v1::BatchMode::All.into(), ..message });
        let events = chain.block();
        healthy(&events);
        assert_eq!((word(&events.txs[0]), open(&chain, order_id)), ("OK", left));
    }
    // More than a reduction is a new order, which a batch can say.
    let (mut chain, order_id) = four_of_ten();
    let operations =
        vec![v1::Operation { operation: Some(Operation::Replace(total(order_id, 11))) }];
    let mode = v1::BatchMode::All.into();
    chain.send("trader", v1::MsgOrders { operations, mode, ..Default::default() });
    assert_eq!(word(&chain.block().txs[0]), "BATCH_DEPENDENT");
}
