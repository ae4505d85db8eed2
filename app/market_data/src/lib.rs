//! Market data for clients: a replica of every book, open orders, the last blocks' events, and the
//! outcomes of transactions. One thread takes every block as it is published; readers share the
//! replica behind a lock that is held for copying only.
//!
//! Readers pull: each walks the ring of [`history`] by height and is woken by a new one, so that a
//! slow reader costs no memory. Where the ring has passed it, it reads from the event log.

mod answers;
pub mod book;
mod convert;
pub mod history;
mod liquidations;
mod log_seat;
mod log_writer;
mod logged;
pub mod metrics;
pub mod order_book;
mod orders;
pub mod outcomes;
pub mod prices;
mod reader;
pub mod readiness;
mod restore;
#[cfg(test)]
mod tests;

use std::sync::mpsc::{sync_channel, SyncSender};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tidemark_event_log::EventLog;
use tidemark_proto::units::{AccountId, MarketId, Side};
use tidemark_proto::v1;
use tokio::sync::watch;

use book::L2Book;
use history::History;
use liquidations::PastLiquidations;
use log_seat::LogSeat;
use log_writer::LogState;
use order_book::L3Book;
use orders::OpenOrders;
use outcomes::Outcomes;
use prices::PriceWatch;
use tidemark_consensus::publish::{PublishedBlock, Publisher};
use tidemark_engine::events::{BlockEvents, Event};

pub use convert::{listed, owner_of, wire_atoms, wire_lots};
pub use log_writer::LogCounts;
pub use orders::AccountOrders;
pub use reader::{Held, OutOfRange, Reader};

/// The replica. Shared by the thread that feeds it and by all who read.
#[derive(Debug)]
pub struct MarketData {
    replica: RwLock<Replica>,
    height: watch::Sender<u64>,
    outcomes: Arc<Outcomes>,
    log: Option<Log>,
    /// The height from which on consensus has handed on no blocks; `None` while it does.
    left_out: watch::Sender<Option<u64>>,
}

/// The event log, its writer's bell, and the seats of those who read it: streams do not keep
/// answers waiting.
#[derive(Debug)]
struct Log {
    state: Arc<LogState>,
    wake: SyncSender<()>,
    of_streams: LogSeat,
    of_answers: LogSeat,
}

#[derive(Debug, Default)]
struct Replica {
    height: u64,
    books: Vec<L2Book>,
    order_books: Vec<L3Book>,
    orders: OpenOrders,
    history: History,
    liquidations: PastLiquidations,
    prices: PriceWatch,
}

/// Every order with its account.
#[derive(Clone, Debug, Default)]
pub struct AllOrders {
    /// Those on the books.
    pub resting: Vec<(AccountId, v1::Order)>,
    /// Those off them.
    pub waiting: Vec<(AccountId, v1::ConditionalOrder)>,
}

impl Replica {
    /// Takes a block's events into the books order by order; after the levels.
    fn order_changes(&mut self, events: &BlockEvents) -> Vec<v1::OrderBookUpdate> {
        for event in &events.events {
            let market = match event {
                Event::Rested { market, .. }
                | Event::Reduced { market, .. }
                | Event::Removed { market, .. } => *market,
                Event::Fill(fill) => fill.market,
                _ => continue,
            };
            if let Some(book) = self.order_books.get_mut(market.index()) {
                book.apply(event);
            }
        }
        let ended = events.books.iter().filter_map(|delta| {
            let market = delta.market.index();
            let sequence = self.books.get(market)?.sequence();
            Some(self.order_books.get_mut(market)?.end_block(delta, events.height, sequence))
        });
        ended.collect()
    }
}

/// A book as it was after one block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BookSnapshot {
    /// The block's height.
    pub height: u64,
    /// The book's updates so far.
    pub sequence: u64,
    /// Best first.
    pub bids: Vec<v1::Level>,
    /// Best first.
    pub asks: Vec<v1::Level>,
    /// Its L2 root.
    pub checksum: Vec<u8>,
}

/// A side of a book in sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// All lots.
    pub lots: u128,
    /// Price levels.
    pub levels: usize,
}

impl MarketData {
    /// An empty replica, fed by [`MarketData::apply`].
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with(None))
    }

    fn with(log: Option<Log>) -> Self {
        let (height, _) = watch::channel(0);
        let (left_out, _) = watch::channel(None);
        Self { replica: RwLock::default(), height, outcomes: Arc::default(), log, left_out }
    }

    /// An empty replica, fed by [`MarketData::apply`], whose blocks a thread of its own appends to
    /// the event log.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn with_log(log: Arc<EventLog>) -> std::io::Result<Arc<Self>> {
        let state = Arc::new(LogState::new(log));
        let (wake, woken) = sync_channel(1);
        let log = Log {
            state: Arc::clone(&state),
            wake,
            of_streams: LogSeat::default(),
            of_answers: LogSeat::default(),
        };
        let data = Arc::new(Self::with(Some(log)));
        let fed = Arc::downgrade(&data);
        let write = move || log_writer::run(&fed, &state, &woken);
        std::thread::Builder::new().name("event-log".into()).spawn(write)?;
        Ok(data)
    }

    /// A replica on a thread of its own that takes every block from now on; call it before the
    /// first one.
    ///
    /// # Errors
    /// The system's error when no thread can be started.
    pub fn start(publisher: &Publisher, log: Arc<EventLog>) -> std::io::Result<Arc<Self>> {
        let data = Self::with_log(log)?;
        let (blocks, fed) = (publisher.subscribe(), Arc::clone(&data));
        let feed = move || {
            while let Some(block) = blocks.next() {
                fed.apply(&block);
            }
            fed.left_out.send_replace(blocks.left_out_from());
        };
        std::thread::Builder::new().name("market-data".into()).spawn(feed)?;
        Ok(data)
    }

    /// Takes the next block.
    pub fn apply(&self, published: &PublishedBlock) {
        let (view, events) = (&published.view, &published.events);
        let log = self.log.as_ref();
        if let Some(log) = log.filter(|_| published.is_replayed) {
            // Nobody waits for these blocks, and what the log misses, only a replay brings back.
            log.state.wait_near(events.height);
        }
        let block = {
            let mut guard = self.replica.write().unwrap_or_else(PoisonError::into_inner);
            let replica = &mut *guard;
            let markets = view.markets.len().max(replica.books.len());
            replica.books.resize_with(markets, L2Book::default);
            replica.order_books.resize_with(markets, L3Book::default);
            for delta in &events.books {
                let market = delta.market.index();
                let sequence = view.markets.get(market).map_or(0, |cell| cell.book_sequence);
                if let Some(book) = replica.books.get_mut(market) {
                    book.apply(delta, sequence);
                }
            }
            let mut block = convert::block(view, events, &mut replica.orders);
            block.order_books = replica.order_changes(events);
            replica.height = block.height;
            replica.prices.apply(events);
            let accounts = events.events.iter().filter_map(|event| match event {
                Event::Liquidation(step) => Some(convert::subaccount_of(view, step.account)),
                _ => None,
            });
            replica.liquidations.apply(block.height, accounts.zip(&block.liquidations));
            let block = Arc::new(block);
            replica.history.push(Arc::clone(&block));
            block
        };
        // Outcomes after the replica: who was told of a commit finds its orders.
        self.outcomes.resolve(events.height, &block.txs);
        self.height.send_replace(events.height);
        if let Some(log) = log {
            // A bell that has rung already is enough.
            let _ = log.wake.try_send(());
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Replica> {
        self.replica.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who waits for transactions, and what became of them.
    #[must_use]
    pub fn outcomes(&self) -> &Arc<Outcomes> {
        &self.outcomes
    }

    /// The height from which on the replica stands still: it took blocks too slowly, and consensus
    /// goes on without it.
    #[must_use]
    pub fn left_out_from(&self) -> Option<u64> {
        *self.left_out.borrow()
    }

    /// Waits until the replica, which may lag behind the published view for a moment, has taken the
    /// block of a height. Returns false if it has not within `limit`.
    pub async fn catch_up(&self, height: u64, limit: Duration) -> bool {
        let mut heights = self.height.subscribe();
        let reached = tokio::time::timeout(limit, heights.wait_for(|taken| *taken >= height)).await;
        reached.is_ok()
    }

    /// A book, with at most `depth` levels a side; all with 0.
    #[must_use]
    pub fn book(&self, market: MarketId, depth: usize) -> BookSnapshot {
        snapshot(&self.read(), market, depth)
    }

    /// Open orders of some accounts together, of one market or all, and the height they are of.
    #[must_use]
    pub fn orders(
        &self,
        accounts: &[AccountId],
        market: Option<MarketId>,
    ) -> (u64, Vec<v1::Order>) {
        let replica = self.read();
        let orders =
            accounts.iter().flat_map(|account| replica.orders.of(*account, market)).copied();
        (replica.height, orders.collect())
    }

    /// Orders of some accounts together, of one market or all: those on the books, those that wait,
    /// and the height they are of.
    #[must_use]
    pub fn orders_and_waiting(
        &self,
        accounts: &[AccountId],
        market: Option<MarketId>,
    ) -> (u64, Vec<v1::Order>, Vec<v1::ConditionalOrder>) {
        let replica = self.read();
        let orders = &replica.orders;
        let resting = accounts.iter().flat_map(|account| orders.of(*account, market)).copied();
        let waiting =
            accounts.iter().flat_map(|account| orders.waiting_of(*account, market)).copied();
        (replica.height, resting.collect(), waiting.collect())
    }

    /// Orders that reserve margin of each of some accounts, all of one height.
    #[must_use]
    pub fn orders_of_all(&self, accounts: &[AccountId]) -> (u64, Vec<AccountOrders>) {
        let replica = self.read();
        let orders = accounts.iter().map(|account| replica.orders.reserving(*account));
        (replica.height, orders.collect())
    }

    /// Every order with its account, by account, and the height they are of.
    #[must_use]
    pub fn all_orders(&self) -> (u64, AllOrders) {
        let replica = self.read();
        let resting = replica.orders.iter().map(|(account, order)| (account, *order)).collect();
        let waiting = replica.orders.waiting().map(|(account, order)| (account, *order)).collect();
        (replica.height, AllOrders { resting, waiting })
    }

    /// The newest `most` liquidation steps of some accounts that are kept, newest first, or one by
    /// its sequence; and the height from which on every step is.
    #[must_use]
    pub fn past_liquidations(
        &self,
        accounts: &[AccountId],
        sequence: Option<u64>,
        most: usize,
    ) -> (u64, Vec<v1::Liquidation>) {
        let replica = self.read();
        let past = &replica.liquidations;
        let of_one = |account: &AccountId| -> Vec<&v1::Liquidation> {
            match sequence {
                Some(sequence) => past.get(*account, sequence).into_iter().collect(),
                None => past.of(*account).take(most).collect(),
            }
        };
        let mut steps: Vec<&v1::Liquidation> = accounts.iter().flat_map(of_one).collect();
        steps.sort_unstable_by_key(|step| std::cmp::Reverse(step.sequence));
        (past.since_height(), steps.into_iter().take(most).cloned().collect())
    }

    /// Reports of each validator.
    #[must_use]
    pub fn prices(&self) -> PriceWatch {
        self.read().prices.clone()
    }

    /// Voting power that reported each market's index in the last block, by id, and all power.
    #[must_use]
    pub fn reporting_power(&self) -> (Vec<u64>, u64) {
        let replica = self.read();
        let round = &replica.prices.round;
        let markets = round.markets.iter().map(|market| market.reporting_power);
        (markets.collect(), round.total_power)
    }

    /// Sums of a book's bids and asks.
    #[must_use]
    pub fn depth(&self, market: MarketId) -> [Depth; 2] {
        let replica = self.read();
        let book = replica.books.get(market.index());
        [Side::Buy, Side::Sell].map(|side| {
            let (lots, levels) = book.map_or((0, 0), |book| book.depth(side));
            Depth { lots, levels }
        })
    }

    /// A book, and a reader of all blocks after it.
    #[must_use]
    pub fn book_and_reader(self: &Arc<Self>, market: MarketId) -> (BookSnapshot, Reader) {
        let book = self.book(market, 0);
        let next = book.height.saturating_add(1);
        (book, self.reader_from(next))
    }

    /// A book order by order, and a reader of all blocks after it.
    #[must_use]
    pub fn order_book_and_reader(
        self: &Arc<Self>,
        market: MarketId,
    ) -> (Vec<v1::OrderBookUpdate>, Reader) {
        let replica = self.read();
        let (height, at) = (replica.height, market.index());
        let sequence = replica.books.get(at).map_or(0, L2Book::sequence);
        let empty = L3Book::default();
        let book = replica.order_books.get(at).unwrap_or(&empty);
        (book.snapshot(market, height, sequence), self.reader_from(height.saturating_add(1)))
    }
}

fn snapshot(replica: &Replica, market: MarketId, depth: usize) -> BookSnapshot {
    let empty = L2Book::default();
    let book = replica.books.get(market.index()).unwrap_or(&empty);
    let most = if depth == 0 { usize::MAX } else { depth };
    BookSnapshot {
        height: replica.height,
        sequence: book.sequence(),
        bids: book.levels(Side::Buy).take(most).collect(),
        asks: book.levels(Side::Sell).take(most).collect(),
        checksum: book.root().to_vec(),
    }
}
