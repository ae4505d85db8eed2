//! `StreamService`: each stream walks the blocks of the market-data ring at its reader's pace.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::unfold;
use tidemark_consensus::publish::Publisher;
use tidemark_market_data::history::{event_sequence, Block, SEQUENCE_BITS};
use tidemark_market_data::metrics::Metrics;
use tidemark_market_data::{MarketData, Reader};
use tidemark_proto::units::MarketId;
use tidemark_proto::v1::stream_service_server::StreamService;
use tidemark_proto::{v1, Code, Refusal};
use tokio::sync::{watch, OwnedSemaphorePermit, Semaphore};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use super::account::find;
use super::status::{refuse, status, with_grpc_code};

/// Most streams of one node.
const MAX_STREAMS: usize = 10_000;

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The service.
pub(super) struct StreamServer {
    publisher: Arc<Publisher>,
    market_data: Arc<MarketData>,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
    slots: Arc<Semaphore>,
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

/// A stream on its way through the blocks.
struct Walk<T, F> {
    reader: Reader,
    stopped: watch::Receiver<bool>,
    /// Messages of the last block that were not read yet.
    pending: VecDeque<T>,
    select: F,
    ended: bool,
    _seat: Seat,
}

impl StreamServer {
    pub fn new(
        publisher: Arc<Publisher>,
        market_data: Arc<MarketData>,
        metrics: Arc<Metrics>,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        Self {
            publisher,
            market_data,
            metrics,
            stopped,
            slots: Arc::new(Semaphore::new(MAX_STREAMS)),
        }
    }

    fn seat(&self, kind: &'static str) -> Result<Seat, Status> {
        let permit = Arc::clone(&self.slots).try_acquire_owned();
        let permit = permit.map_err(|_| {
            refuse(
                Code::Overloaded,
                format!("the node serves {MAX_STREAMS} streams, no more are taken"),
            )
        })?;
        self.metrics.stream_opened(kind);
        Ok(Seat { _permit: permit, kind, metrics: Arc::clone(&self.metrics) })
    }

    /// A stream of `first`, then of what `select` finds in each block from the reader's next on.
    fn stream<T: Send + 'static>(
        &self,
        seat: Seat,
        first: impl IntoIterator<Item = T>,
        reader: Reader,
        select: impl Fn(&Block, &mut VecDeque<T>) + Send + 'static,
    ) -> Response<BoxStream<T>> {
        let (stopped, pending) = (self.stopped.clone(), first.into_iter().collect());
        let walk = Walk { reader, stopped, pending, select, ended: false, _seat: seat };
        Response::new(Box::pin(unfold(walk, next)))
    }

    fn check_market(&self, market: u32) -> Result<MarketId, Status> {
        let view = self.publisher.view();
        let cell = view.market(market).map_err(|refusal| status(&refusal.into()))?;
        Ok(cell.market.params.id)
    }

    /// A reader from the block of an event sequence on.
    fn reader_after(&self, after_sequence: u64) -> Result<Reader, Status> {
        self.market_data.reader_since(after_sequence >> SEQUENCE_BITS).map_err(|too_old| {
            let refusal = Refusal::new(
                Code::InvalidArgument,
                format!(
                    "after_sequence is {after_sequence}, the node has events from {} (block {}) \
                     on: read the open orders and start with 0",
                    event_sequence(too_old.oldest, 0),
                    too_old.oldest
                ),
            );
            with_grpc_code(tonic::Code::OutOfRange, &refusal)
        })
    }
}

/// The next message, or the sentence with which the stream ends.
async fn next<T, F: Fn(&Block, &mut VecDeque<T>)>(
    mut walk: Walk<T, F>,
) -> Option<(Result<T, Status>, Walk<T, F>)> {
    if walk.ended {
        return None;
    }
    loop {
        if let Some(message) = walk.pending.pop_front() {
            return Some((Ok(message), walk));
        }
        let block = tokio::select! {
            block = walk.reader.next() => block,
            _ = walk.stopped.wait_for(|stopped| *stopped) => Ok(None),
        };
        let ended = match block {
            Ok(Some(block)) => {
                (walk.select)(&block, &mut walk.pending);
                continue;
            }
            Ok(None) => Status::unavailable("the node stops"),
            Err(too_old) => refuse(
                Code::Overloaded,
                format!(
                    "this stream was read too slowly: its next block is gone, the oldest kept is \
                     {}",
                    too_old.oldest
                ),
            ),
        };
        walk.ended = true;
        return Some((Err(ended), walk));
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
        let seat = self.seat("book")?;
        let (book, reader) = self.market_data.book_and_reader(market);
        let snapshot = v1::BookUpdate {
            market: u32::from(market.get()),
            height: book.height,
            sequence: book.sequence,
            snapshot: true,
            bids: book.bids,
            asks: book.asks,
            checksum: book.checksum,
        };
        Ok(self.stream(seat, Some(snapshot), reader, move |block, out| {
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
        let seat = self.seat("order_book")?;
        let (snapshot, reader) = self.market_data.order_book_and_reader(market);
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
        let market = request.get_ref().market;
        market.map(|market| self.check_market(market)).transpose()?;
        let seat = self.seat("trades")?;
        Ok(self.stream(seat, None, self.market_data.reader(), move |block, out| {
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
        let market = request.get_ref().market;
        market.map(|market| self.check_market(market)).transpose()?;
        let seat = self.seat("liquidations")?;
        Ok(self.stream(seat, None, self.market_data.reader(), move |block, out| {
            let wanted =
                |step: &&v1::Liquidation| market.is_none_or(|market| step.market == market);
            out.extend(block.liquidations.iter().filter(wanted).cloned());
        }))
    }

    async fn listed(
        &self,
        request: Request<v1::StreamListedRequest>,
    ) -> Result<Response<Self::ListedStream>, Status> {
        let market = request.get_ref().market;
        market.map(|market| self.check_market(market)).transpose()?;
        let seat = self.seat("listed")?;
        Ok(self.stream(seat, None, self.market_data.reader(), move |block, out| {
            let wanted =
                |update: &&v1::ListedUpdate| market.is_none_or(|market| update.market == market);
            out.extend(block.listed.iter().filter(wanted).cloned());
        }))
    }

    async fn account(
        &self,
        request: Request<v1::StreamAccountRequest>,
    ) -> Result<Response<Self::AccountStream>, Status> {
        let request = request.get_ref();
        let account = find(&self.publisher.view(), &request.owner, request.subaccount)
            .map_err(|refusal| status(&refusal))?;
        let after = request.after_sequence;
        let seat = self.seat("account")?;
        let reader = if after == 0 { self.market_data.reader() } else { self.reader_after(after)? };
        Ok(self.stream(seat, None, reader, move |block, out| {
            let events = block.accounts.get(&account).into_iter().flatten();
            out.extend(events.filter(|event| event.sequence > after).cloned());
        }))
    }

    async fn blocks(
        &self,
        _: Request<v1::StreamBlocksRequest>,
    ) -> Result<Response<Self::BlocksStream>, Status> {
        let seat = self.seat("blocks")?;
        Ok(self.stream(seat, None, self.market_data.reader(), |block, out| {
            out.push_back(block.summary.clone())
        }))
    }
}
