//! The replica against the chain's own book: the same levels, orders and root after every block of
//! random operations.

mod chain;
mod log;
mod restore;

use std::sync::Arc;

use proptest::prelude::*;
use tidemark_consensus::timing::BlockTimes;
use tidemark_engine::events::{BlockEvents, BookDelta, Fill};
use tidemark_engine::outcome::TxOutcome;
use tidemark_engine::state::{MarketCell, View};
use tidemark_matching::{
    Book, Event as BookEvent, Host, LevelView, NewOrder, PostOnly, Replace, TimeInForce,
};
use tidemark_proto::params::MarketParams;
use tidemark_proto::types::{Address, DecodedTx, Message};
use tidemark_proto::units::{
    AccountId, Atoms, ClientId, Lots, MarketId, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::v1::order_book_change::Change;
use tidemark_proto::{v1, Code};
use tidemark_risk::Market;

use super::book::{l2_root, Levels};
use super::history::{event_sequence, TooOld};
use super::order_book::l3_root;
use super::*;
use chain::*;

/// The copy that a client of the book stream keeps.
#[derive(Default)]
struct Client {
    sequence: u64,
    bids: Levels,
    asks: Levels,
}

impl Client {
    fn take(&mut self, update: &v1::BookUpdate) {
        assert_eq!(update.sequence, self.sequence + 1, "a gap");
        self.sequence = update.sequence;
        for (mine, changes) in [(&mut self.bids, &update.bids), (&mut self.asks, &update.asks)] {
            for level in changes {
                let price = Ticks::new(level.price_ticks);
                match Lots::new(level.lots) {
                    Lots::ZERO => mine.remove(&price),
                    lots => mine.insert(price, (lots, level.orders)),
                };
            }
        }
        assert_eq!(l2_root(&self.bids, &self.asks).to_vec(), update.checksum);
    }
}

/// The copy that a client of the order-by-order stream keeps: every price's queue.
#[derive(Default)]
struct OrderClient {
    sequence: u64,
    queues: Vec<v1::RestingOrder>,
}

impl OrderClient {
    fn take(&mut self, update: &v1::OrderBookUpdate) {
        assert_eq!(update.sequence, self.sequence + 1, "a gap");
        self.sequence = update.sequence;
        for change in &update.changes {
            match change.change.as_ref().unwrap() {
                Change::Rests(order) => {
                    self.queues.retain(|other| other.order_id != order.order_id);
                    self.queues.push(*order);
                }
                Change::Left(left) => {
                    let of = self
                        .queues
                        .iter_mut()
                        .find(|order| order.order_id == left.order_id)
                        .unwrap();
                    (of.shown_lots, of.hidden_lots) = (left.shown_lots, left.hidden_lots);
                }
                Change::Gone(id) => {
                    let live = self.queues.len();
                    self.queues.retain(|order| order.order_id != *id);
                    assert_eq!(self.queues.len() + 1, live, "{id} was not there");
                }
            }
        }
        let next_order_id = OrderId::new(update.next_order_id);
        assert_eq!(l3_root(self.queues.iter(), next_order_id).to_vec(), update.checksum);
    }
}

proptest! {
    #[test]
    fn replica_and_stream_follow_the_chain(
        blocks in prop::collection::vec(prop::collection::vec(op(), 0..12), 1..12),
    ) {
        let (mut chain, data) = (Chain::new(), MarketData::new());
        let (mut client, mut orders) = (Client::default(), OrderClient::default());
        for ops in &blocks {
            let mut host = Recorder::default();
            for op in ops {
                chain.run(op, &mut host);
            }
            data.apply(&chain.publish(host.0, Vec::new()));
            let book = data.book(BTC, 0);
            prop_assert_eq!(&book.bids, &wire_levels(&chain.book, Side::Buy));
            prop_assert_eq!(&book.asks, &wire_levels(&chain.book, Side::Sell));
            prop_assert_eq!(book.checksum, chain.book.l2_root().to_vec());
            prop_assert_eq!((book.height, book.sequence), (chain.height, chain.cell.book_sequence));
            for owner in (0..4).map(AccountId::new) {
                let resting = chain.book.orders_of(owner);
                let mut expected: Vec<_> = resting
                    .map(|order| {
                        (order.order_id.get(), order.price_ticks.get(), order.lots.get())
                    })
                    .collect();
                expected.sort_unstable();
                let found = data.orders(&[owner], None).1;
                let found: Vec<_> = found
                    .iter()
                    .map(|order| (order.order_id, order.price_ticks, order.lots))
                    .collect();
                prop_assert_eq!(found, expected);
            }
            let block = data.read().history.get(chain.height).unwrap().unwrap();
            block.books.iter().for_each(|update| client.take(update));
            block.order_books.iter().for_each(|update| orders.take(update));
            // Whoever comes now gets the same from the snapshot.
            let sequence = orders.sequence.wrapping_sub(1);
            let mut late = OrderClient { sequence, ..OrderClient::default() };
            let (snapshot, _) = data.order_book_and_reader(BTC);
            if chain.cell.book_sequence > 0 {
                late.take(&snapshot[0]);
            }
            prop_assert_eq!(late.queues.len(), orders.queues.len());
        }
        prop_assert_eq!(client.sequence, chain.cell.book_sequence);
    }
}

/// Accounts 1 and 2.
const ONE: AccountId = AccountId::new(1);
const TWO: AccountId = AccountId::new(2);

fn place(owner: AccountId, sell: bool, price: u64, lots: u64) -> Op {
    Op::Place { owner, sell, price, lots, display: 0, ioc: false }
}

#[test]
fn both_sides_of_a_trade_are_told_with_one_sequence() {
    let (mut chain, data) = (Chain::new(), MarketData::new());
    let mut host = Recorder::default();
    chain.run(&place(ONE, true, 100, 5), &mut host);
    chain.run(&place(TWO, false, 100, 3), &mut host);
    data.apply(&chain.publish(host.0, Vec::new()));
    let block = data.read().history.get(1).unwrap().unwrap();
    let (maker, taker) = (&block.accounts[&ONE], &block.accounts[&TWO]);
    let filled = |event: &v1::AccountEvent| match &event.event {
        Some(v1::account_event::Event::Filled(filled)) => *filled,
        other => panic!("{other:?}"),
    };
    assert_eq!(maker.len(), 2, "rested, filled");
    assert_eq!(
        (maker[1].sequence, taker[0].sequence),
        (event_sequence(1, 1), event_sequence(1, 1))
    );
    assert_eq!((maker[1].order_id, taker[0].order_id), (1, 2));
    let (maker, taker) = (filled(&maker[1]), filled(&taker[0]));
    assert_eq!(
        (maker.maker, maker.side(), maker.fee_atoms, maker.remaining_lots),
        (true, v1::Side::Sell, -1, 2)
    );
    assert_eq!(
        (taker.maker, taker.side(), taker.fee_atoms, taker.remaining_lots),
        (false, v1::Side::Buy, 2, 0)
    );
    assert_eq!(block.trades.len(), 1);
    assert_eq!(block.summary.trades, 1);
}

#[test]
fn a_reduced_order_is_told_as_resting_with_what_is_left() {
    let (mut chain, data) = (Chain::new(), MarketData::new());
    let mut host = Recorder::default();
    chain.run(&place(ONE, true, 100, 5), &mut host);
    chain.run(&Op::Reduce { nth: 0, by: 2 }, &mut host);
    data.apply(&chain.publish(host.0, Vec::new()));
    let block = data.read().history.get(1).unwrap().unwrap();
    let expected = v1::OrderRested { side: v1::Side::Sell as i32, price_ticks: 100, lots: 3 };
    assert_eq!(block.accounts[&ONE][1].event, Some(v1::account_event::Event::Rested(expected)));
}

#[tokio::test]
async fn a_reader_gets_every_block_once_and_waits_for_the_next() {
    let (mut chain, data) = (Chain::new(), MarketData::new());
    data.apply(&chain.publish(Vec::new(), Vec::new()));
    let mut reader = data.reader();
    let waiting = tokio::spawn(async move {
        let mut heights = Vec::new();
        while heights.len() < 3 {
            heights.push(reader.next().await.unwrap().unwrap().height);
        }
        heights
    });
    for _ in 0..3 {
        tokio::task::yield_now().await;
        data.apply(&chain.publish(Vec::new(), Vec::new()));
    }
    assert_eq!(waiting.await.unwrap(), [2, 3, 4]);
}

#[tokio::test]
async fn a_reader_that_the_ring_has_passed_is_told_so() {
    let (mut chain, data) = (Chain::new(), MarketData::new());
    let (mut slow, mut last) = (data.reader(), 0);
    for _ in 0..10_005 {
        data.apply(&chain.publish(Vec::new(), Vec::new()));
        last = chain.height;
    }
    let oldest = last - 9_999;
    assert_eq!(slow.next().await.unwrap_err(), TooOld { oldest });
    let held = Held { oldest, newest: last };
    assert_eq!(data.reader_since(oldest - 1).unwrap_err(), OutOfRange::Before(held));
    assert_eq!(data.reader_since(last + 2).unwrap_err(), OutOfRange::Beyond(held));
    assert_eq!(data.reader_since(oldest).unwrap().next().await.unwrap().unwrap().height, oldest);
}

#[test]
fn event_sequences_ascend_over_blocks() {
    assert_eq!(event_sequence(3, 7), 3 * 16_777_216 + 7);
    assert!(event_sequence(3, usize::MAX) < event_sequence(4, 0));
}

/// A transaction of an owner, with as much as waiting needs.
pub(super) fn tx(hash: u8, signer: u8, sequence: u64, timeout_height: u64) -> DecodedTx {
    DecodedTx {
        hash: [hash; 32],
        signer: Address([signer; 20]),
        agent: None,
        sequence,
        timeout_height,
        gas_limit: 0,
        message: Message::TakeBackWithdrawal { subaccount: 0 },
        size: 0,
    }
}

#[tokio::test]
async fn who_is_told_of_a_commit_finds_its_orders() {
    let (mut chain, data) = (Chain::new(), MarketData::new());
    let waiter = data.outcomes().wait(&tx(9, 9, 0, 0)).unwrap();
    let mut host = Recorder::default();
    chain.run(&place(ONE, true, 100, 5), &mut host);
    let outcome = TxOutcome { hash: [9; 32], ..TxOutcome::default() };
    data.apply(&chain.publish(host.0, vec![outcome]));
    assert_eq!(waiter.await.unwrap().unwrap().height, 1);
    assert_eq!(data.orders(&[ONE], Some(BTC)), (1, data.orders(&[ONE], None).1));
    assert_eq!(data.orders(&[ONE], None).1.len(), 1);
}

#[test]
fn docs_streams_states_the_root_of_its_example() {
    let levels = |price, lots| Levels::from([(Ticks::new(price), (Lots::new(lots), 1))]);
    let root: String =
        l2_root(&levels(70, 3), &levels(75, 2)).iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(include_str!("../../../docs/streams.md").contains(&root), "{root}");
}
