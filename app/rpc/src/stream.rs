//! `StreamService`: each stream walks the blocks at its reader's pace, from the ring of the last
//! ones or from the event log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tidemark_consensus::publish::Publisher;
use tidemark_market_data::history::{event_sequence, Block, SEQUENCE_BITS};
use tidemark_market_data::metrics::Metrics;
use tidemark_market_data::{BookSnapshot, MarketData, OutOfRange, Reader};
use tidemark_proto::units::MarketId;
use tidemark_proto::v1::stream_service_server::StreamService;
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::{watch, OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::account::find;
use super::budget::{Budget, Share};
use super::shared_book::SharedBooks;
use super::standing::Standing;
use super::status::refuse;
use super::walk::{self, BoxStream, First, Walk};

/// How long a position above the newest block may wait for its block.
const AHEAD_FOR: Duration = Duration::from_secs(2);

/// Most streams of one node.
const MAX_STREAMS: usize = 4_000;

/// The service.
pub(super) struct StreamServer {
    publisher: Arc<Publisher>,
    standing: Standing,
    market_data: Arc<MarketData>,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
    slots: Arc<Semaphore>,
    budget: Arc<Budget>,
    books: SharedBooks,
}

/// Counts a stream while it lives.
struct Seat {
    _permit: OwnedSemaphorePermit,
    kind: &'static str,
    metrics: Arc<Metrics>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.metrics.stream_closed(self.kind);
    }
}

impl StreamServer {
    pub fn new(
        publisher: Arc<Publisher>,
        market_data: Arc<MarketData>,
        metrics: Arc<Metrics>,
        budget: Arc<Budget>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            standing: Standing::new(Arc::clone(&publisher)),
            publisher,
            market_data,
            metrics,
            stopped,
            slots: Arc::new(Semaphore::new(MAX_STREAMS)),
            books: SharedBooks::new(Arc::clone(&budget)),
            budget,
        }
    }

    /// A place among the node's streams, and a share of their budget.
    fn seat<R>(&self, request: &Request<R>, kind: &'static str) -> Result<(Seat, Share), Status> {
        let permit = Arc::clone(&self.slots).try_acquire_owned();
        let permit = permit.map_err(|_| {
            refuse(
                Code::Overloaded,
                format!("the node serves {MAX_STREAMS} streams, no more are taken"),
            )
        })?;
        self.metrics.stream_opened(kind);
        let seat = Seat { _permit: permit, kind, metrics: Arc::clone(&self.metrics) };
        Ok((seat, self.budget.share(request.extensions().get().cloned())))
    }

    /// A stream of `first`, then of what `select` finds in each block from the reader's next on.
    fn stream<T: prost::Message + 'static>(
        &self,
        (seat, share): (Seat, Share),
        first: First<T>,
        reader: Reader,
        select: impl Fn(&Block, &mut VecDeque<T>) + Send + 'static,
    ) -> Response<BoxStream<T>> {
        let stopped = self.stopped.clone();
        Response::new(walk::stream(Walk { first, reader, stopped, select, share, _seat: seat }))
    }

    fn check_market(&self, market: u32) -> Result<MarketId, Status> {
        let view = self.publisher.view();
        let cell = view.market(market).map_err(|refusal| self.standing.refuse(refusal))?;
        Ok(cell.market.params.id)
    }

    /// A reader from a height on; 0 is the next.
    async fn reader_at(&self, from_height: u64) -> Result<Reader, Status> {
        if from_height == 0 {
            return Ok(self.market_data.reader());
        }
        self.wait_for(from_height.saturating_sub(1)).await;
        let reader = self.market_data.reader_since(from_height);
        reader.map_err(|out| self.out_of_range(&format!("from_height is {from_height}"), out))
    }

    /// A reader from the block of an event sequence on, which has been told already.
    async fn reader_after(&self, after_sequence: u64) -> Result<Reader, Status> {
        let height = after_sequence >> SEQUENCE_BITS;
        self.wait_for(height).await;
        let held = self.market_data.held();
        let reader = if height > held.newest {
            Err(OutOfRange::Beyond(held))
        } else {
            self.market_data.reader_since(height)
        };
        let position = format!("after_sequence is {after_sequence}");
        reader.map_err(|out| self.out_of_range(&position, out))
    }

    /// A client that comes from another node may be a moment ahead of this one.
    async fn wait_for(&self, height: u64) {
        self.market_data.catch_up(height, AHEAD_FOR).await;
    }

    /// The refusal of a position that the node does not have.
    fn out_of_range(&self, position: &str, out: OutOfRange) -> Status {
        let beyond = match out {
            OutOfRange::Before(held) => {
                // However far the node is behind, it will not have that block.
                let message = format!(
                    "{position}, the node has events from {} (block {}) on: read the state, and \
                     start with 0",
                    event_sequence(held.oldest, 0),
                    held.oldest
                );
                return refuse(Code::OutOfRange, message);
            }
            OutOfRange::Beyond(held) => format!(
                "{position}, above the node's newest block {}: it is of another chain, or of a \
                 node that is ahead",
                held.newest
            ),
        };
        self.standing.refuse(Refusal::new(Code::OutOfRange, beyond))
    }
}

/// Nothing before the first block.
fn nothing<T: Send + 'static>() -> First<T> {
    Box::new(std::iter::empty())
}

/// A single message before the first block.
fn once<T: Send + 'static>(message: T) -> First<T> {
    Box::new(std::iter::once(message))
}

fn snapshot(market: MarketId, book: BookSnapshot) -> v1::BookUpdate {
    v1::BookUpdate {
        market: u32::from(market.get()),
        height: book.height,
        sequence: book.sequence,
        snapshot: true,
        bids: book.bids,
        asks: book.asks,
        checksum: book.checksum,
    }
}

#[tonic::async_trait]
impl StreamService for StreamServer {
    type BookStream = BoxStream<v1::BookUpdate>;
    type OrderBookStream = BoxStream<v1::OrderBookUpdate>;
    type TradesStream = BoxStream<v1::Trade>;
    type LiquidationsStream = BoxStream<v1::Liquidation>;
    type AccountStream = BoxStream<v1::AccountEvent>;
    type BlocksStream = BoxStream<v1::BlockSummary>;
    type ListedStream = BoxStream<v1::ListedUpdate>;

    async fn book(
        &self,
        request: Request<v1::StreamBookRequest>,
    ) -> Result<Response<Self::BookStream>, Status> {
        let market = self.check_market(request.get_ref().market)?;
        let seat = self.seat(&request, "book")?;
        let (snapshot, reader) = match request.get_ref().from_height {
            0 => {
                let (book, reader) = self.market_data.book_and_reader(market);
                (once(snapshot(market, book)), reader)
            }
            from_height => (nothing(), self.reader_at(from_height).await?),
        };
        Ok(self.stream(seat, snapshot, reader, move |block, out| {
            out.extend(
                block
                    .books
                    .iter()
                    .filter(|update| update.market == u32::from(market.get()))
                    .cloned(),
            );
        }))
    }

    async fn order_book(
        &self,
        request: Request<v1::StreamOrderBookRequest>,
    ) -> Result<Response<Self::OrderBookStream>, Status> {
        let market = self.check_market(request.get_ref().market)?;
        let seat = self.seat(&request, "order_book")?;
        let (snapshot, reader) = match request.get_ref().from_height {
            0 => self.books.begin(&self.market_data, market)?,
            from_height => (nothing(), self.reader_at(from_height).await?),
        };
        Ok(self.stream(seat, snapshot, reader, move |block, out| {
            out.extend(
                block
                    .order_books
                    .iter()
                    .filter(|update| update.market == u32::from(market.get()))
                    .cloned(),
            );
        }))
    }

    async fn trades(
        &self,
        request: Request<v1::StreamTradesRequest>,
    ) -> Result<Response<Self::TradesStream>, Status> {
        let (market, from_height) = (request.get_ref().market, request.get_ref().from_height);
        market.map(|market| self.check_market(market)).transpose()?;
        let seat = self.seat(&request, "trades")?;
        let reader = self.reader_at(from_height).await?;
        Ok(self.stream(seat, nothing(), reader, move |block, out| {
            out.extend(
                block
                    .trades
                    .iter()
                    .filter(|trade| market.is_none_or(|market| trade.market == market)),
            );
        }))
    }

    async fn liquidations(
        &self,
        request: Request<v1::StreamLiquidationsRequest>,
    ) -> Result<Response<Self::LiquidationsStream>, Status> {
        let (market, from_height) = (request.get_ref().market, request.get_ref().from_height);
        market.map(|market| self.check_market(market)).transpose()?;
        let seat = self.seat(&request, "liquidations")?;
        let reader = self.reader_at(from_height).await?;
        Ok(self.stream(seat, nothing(), reader, move |block, out| {
            let wanted =
                |step: &&v1::Liquidation| market.is_none_or(|market| step.market == market);
            out.extend(block.liquidations.iter().filter(wanted).cloned());
        }))
    }

    async fn listed(
        &self,
        request: Request<v1::StreamListedRequest>,
    ) -> Result<Response<Self::ListedStream>, Status> {
        let (market, from_height) = (request.get_ref().market, request.get_ref().from_height);
        market.map(|market| self.check_market(market)).transpose()?;
        let seat = self.seat(&request, "listed")?;
        let reader = self.reader_at(from_height).await?;
        Ok(self.stream(seat, nothing(), reader, move |block, out| {
            let wanted =
                |update: &&v1::ListedUpdate| market.is_none_or(|market| update.market == market);
            out.extend(block.listed.iter().filter(wanted).cloned());
        }))
    }

    async fn account(
        &self,
        request: Request<v1::StreamAccountRequest>,
    ) -> Result<Response<Self::AccountStream>, Status> {
        let asked = request.get_ref();
        let account = find(&self.publisher.view(), &asked.owner, asked.subaccount)
            .map_err(|refusal| self.standing.refuse(refusal))?;
        let (after, from_height) = (asked.after_sequence, asked.from_height);
        let seat = self.seat(&request, "account")?;
        let reader = match after {
            0 => self.reader_at(from_height).await?,
            after => self.reader_after(after).await?,
        };
        Ok(self.stream(seat, nothing(), reader, move |block, out| {
            let events = block.accounts.get(&account).into_iter().flatten();
            out.extend(events.filter(|event| event.sequence > after).cloned());
        }))
    }

    async fn blocks(
        &self,
        request: Request<v1::StreamBlocksRequest>,
    ) -> Result<Response<Self::BlocksStream>, Status> {
        let seat = self.seat(&request, "blocks")?;
        let reader = self.reader_at(request.get_ref().from_height).await?;
        Ok(self.stream(seat, nothing(), reader, |block, out| out.push_back(block.summary.clone())))
    }
}
