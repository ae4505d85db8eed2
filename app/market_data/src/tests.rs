//! The replica against the chain's own book: the same levels, orders and root after every block of
//! random operations.

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

/// The market of every test.
const BTC: MarketId = MarketId::ZERO;

/// Keeps the events that a book reports to its host.
#[derive(Default)]
struct Recorder(Vec<Event>);

impl Host for Recorder {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::MAX
    }

    fn event(&mut self, event: BookEvent) {
        let market = BTC;
        self.0.push(match event {
            // Its owner has nothing new to learn: the fill told what is left.
            BookEvent::Refilled(_) => return,
            BookEvent::Rested(o) => Event::Rested {
                market,
                order_id: o.order_id,
                account: o.owner,
                client_id: o.client_id,
                side: o.side,
                price_ticks: o.price_ticks,
                lots: o.lots,
                reduce_only: o.reduce_only,
                expires_ms: o.expires_ms.unwrap_or(TimeMs::ZERO),
                display_lots: o.display_lots,
                post_only: PostOnly::Off,
                pegged: None,
            },
            BookEvent::Reduced { order: o, .. } => {
                Event::Reduced { market, order_id: o.order_id, account: o.owner, lots: o.lots }
            }
            BookEvent::Removed { order: o, reason } => Event::Removed {
                market,
                order_id: o.order_id,
                account: o.owner,
                client_id: o.client_id,
                lots: o.lots,
                code: reason,
                closed_by: OrderId::NONE,
            },
            BookEvent::Fill {
                maker_order_id,
                maker,
                maker_client_id,
                maker_remaining_lots,
                taker_order_id,
                taker,
                taker_client_id,
                taker_side,
                price_ticks,
                lots,
                ..
            } => Event::Fill(Fill {
                market,
                price_ticks,
                lots,
                taker_side,
                maker,
                maker_order_id,
                maker_client_id,
                maker_fee_atoms: Atoms::new(-1),
                maker_remaining_lots,
                taker,
                taker_order_id,
                taker_client_id,
                taker_fee_atoms: Atoms::new(2),
                taker_remaining_lots: Lots::ZERO,
                liquidation: false,
            }),
        });
    }
}

#[derive(Clone, Debug)]
enum Op {
    Place { owner: AccountId, sell: bool, price: u64, lots: u64, display: u64, ioc: bool },
    Cancel { nth: usize },
    Replace { nth: usize, price: u64, lots: u64 },
    Reduce { nth: usize, by: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    // Prices over several groups and pages of the commitment's tree.
    let price = || prop_oneof![60..70_u64, 4_090..4_100_u64, Just(u64::MAX - 1)];
    prop_oneof![
        5 => (0..4_u32, any::<bool>(), price(), 1..50_u64, 0..60_u64, any::<bool>())
            .prop_map(|(owner, sell, price, lots, display, ioc)| {
                Op::Place { owner: AccountId::new(owner), sell, price, lots, display, ioc }
            }),
        2 => any::<usize>().prop_map(|nth| Op::Cancel { nth }),
        2 => (any::<usize>(), price(), 1..50_u64)
            .prop_map(|(nth, price, lots)| Op::Replace { nth, price, lots }),
        1 => (any::<usize>(), 1..60_u64).prop_map(|(nth, by)| Op::Reduce { nth, by }),
    ]
}

/// One market's chain, as far as market data sees it.
struct Chain {
    book: Book,
    cell: MarketCell,
    height: u64,
}

impl Chain {
    fn new() -> Self {
        let market =
            Market::new(MarketParams::with_defaults("BTC-USD", 100_000_000, 100_000, 50)).unwrap();
        Self { book: Book::new(), cell: MarketCell::new(market), height: 0 }
    }

    fn run(&mut self, op: &Op, host: &mut Recorder) {
        let live = |book: &Book, nth: usize| {
            let owners = (0..4).map(AccountId::new);
            let all: Vec<_> =
                owners.flat_map(|owner| book.orders_of(owner).collect::<Vec<_>>()).collect();
            (!all.is_empty()).then(|| all[nth % all.len()])
        };
        let stp = SelfTradePrevention::Decrement;
        match *op {
            Op::Place { owner, sell, price, lots, display, ioc } => {
                let order = NewOrder {
                    owner,
                    client_id: ClientId::NONE,
                    side: if sell { Side::Sell } else { Side::Buy },
                    price_ticks: Ticks::new(price),
                    lots: Lots::new(lots),
                    // Of those that may rest, every other shows all.
                    display_lots: Lots::new(if ioc || display % 2 == 0 {
                        0
                    } else {
                        display.min(lots)
                    }),
                    time_in_force: if ioc { TimeInForce::Ioc } else { TimeInForce::Gtc },
                    post_only: PostOnly::Off,
                    reduce_only: false,
                    stp,
                    max_fills: 3,
                    max_visits: u32::MAX,
                };
                let _ = self.book.place(&order, host);
            }
            Op::Cancel { nth } => {
                if let Some(order) = live(&self.book, nth) {
                    self.book.cancel(order.order_id, order.owner, Code::Cancelled, host).unwrap();
                }
            }
            Op::Replace { nth, price, lots } => {
                if let Some(order) = live(&self.book, nth) {
                    let (order_id, owner) = (order.order_id, order.owner);
                    let (price_ticks, lots) = (Some(Ticks::new(price)), Some(Lots::new(lots)));
                    let (max_fills, max_visits) = (3, u32::MAX);
                    let change =
                        Replace { order_id, owner, price_ticks, lots, stp, max_fills, max_visits };
                    let _ = self.book.replace(&change, host);
                }
            }
            Op::Reduce { nth, by } => {
                if let Some(order) = live(&self.book, nth) {
                    let (order_id, owner) = (order.order_id, order.owner);
                    self.book.reduce(order_id, owner, Lots::new(by), host).unwrap();
                }
            }
        }
    }

    /// Ends a block with these events as the chain does.
    fn publish(&mut self, events: Vec<Event>, txs: Vec<TxOutcome>) -> PublishedBlock {
        self.height += 1;
        let mut out = BlockEvents {
            height: self.height,
            time_ms: TimeMs::new(self.height * 10),
            events,
            txs,
            ..Default::default()
        };
        let dirty = self.book.take_dirty_levels();
        if !dirty.is_empty() {
            self.cell.book_sequence += 1;
            let side = |side| dirty.iter().filter(|l| l.side == side).map(row).collect();
            let (bids, asks) = (side(Side::Buy), side(Side::Sell));
            out.books.push(BookDelta {
                market: BTC,
                bids,
                asks,
                l2_root: self.book.l2_root(),
                l3_root: self.book.l3_root(),
                next_order_id: self.book.next_order_id(),
            });
        }
        let mut view = View::empty("test-1");
        view.markets = Arc::new(vec![self.cell.clone()]);
        PublishedBlock { view: Arc::new(view), events: Arc::new(out), times: BlockTimes::default() }
    }
}

fn row(level: &LevelView) -> (Ticks, Lots, u32) {
    (level.price_ticks, level.lots, level.count)
}

fn wire_levels(book: &Book, side: Side) -> Vec<v1::Level> {
    let level = |l: LevelView| v1::Level {
        price_ticks: l.price_ticks.get(),
        lots: l.lots.get(),
        orders: l.count,
    };
    book.levels(side).map(level).collect()
}

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
    assert_eq!(data.reader_since(oldest - 1).unwrap_err(), TooOld { oldest });
    assert_eq!(data.reader_since(oldest).unwrap().next().await.unwrap().unwrap().height, oldest);
}

#[test]
fn event_sequences_ascend_over_blocks() {
    assert_eq!(event_sequence(3, 7), 3 * 16_777_216 + 7);
    assert!(event_sequence(3, usize::MAX) < event_sequence(4, 0));
}

#[tokio::test]
async fn who_is_told_of_a_commit_finds_its_orders() {
    let (mut chain, data) = (Chain::new(), MarketData::new());
    let waiter = data.outcomes().wait([9; 32]).unwrap();
    let mut host = Recorder::default();
    chain.run(&place(ONE, true, 100, 5), &mut host);
    let tx = TxOutcome { hash: [9; 32], ..TxOutcome::default() };
    data.apply(&chain.publish(host.0, vec![tx]));
    assert_eq!(waiter.await.unwrap().height, 1);
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
