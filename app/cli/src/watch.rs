//! `tidemark watch`: a market as it moves.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{json, Value};
use tidemark_client::terminal::draw;
use tidemark_client::words::{liquidation_line, side_word, stage_word, trade_line};
use tidemark_client::{usdc, Client, ClientError, Market, Markets};
use tidemark_proto::units::{Lots, Ticks};
use tidemark_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{interval, MissedTickBehavior};
use tonic::Streaming;

use super::args::OneMarket;
use super::book::{ladder, level_json};
use super::show::chosen;
use super::{is_terminal, print_line, CliError, Context};

/// Between two pictures.
const REDRAW: Duration = Duration::from_millis(250);
/// Levels a side in the picture.
const SHOWN_LEVELS: usize = 8;
/// Trades and liquidations in the picture.
const SHOWN_EVENTS: usize = 10;
/// Events that wait for a slow terminal.
const QUEUE: usize = 1024;

/// A message of one of the streams.
enum Event {
    Book(v1::BookUpdate),
    Trade(v1::Trade),
    Liquidation(Box<v1::Liquidation>),
    Ended(ClientError),
}

pub(super) async fn run(context: &Context, args: &OneMarket) -> Result<(), CliError> {
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let only = chosen(&markets, &args.market)?;
    let ids: Vec<u32> = only.iter().map(|(market, _)| market.id).collect();
    let mut events = subscribe(&client, &ids, args.market.is_some()).await?;
    if context.json() || !is_terminal() {
        while let Some(event) = events.recv().await {
            match event {
                Event::Ended(error) => return Err(error.into()),
                event if context.json() => print_line(&event_json(&markets, &event).to_string()),
                event => {
                    if let Some(line) = event_line(&markets, &event) {
                        print_line(&line);
                    }
                }
            }
        }
        return Ok(());
    }
    picture(&markets, &ids, &mut events).await
}

/// One task a stream, all into one queue.
async fn subscribe(
    client: &Client,
    ids: &[u32],
    one: bool,
) -> Result<mpsc::Receiver<Event>, CliError> {
    let (send, events) = mpsc::channel(QUEUE);
    for &id in ids {
        forward(client, client.book_stream(id).await?, send.clone(), Event::Book);
    }
    let only = ids.first().copied().filter(|_| one);
    forward(client, client.trade_stream(only).await?, send.clone(), Event::Trade);
    forward(client, client.liquidation_stream(only).await?, send, |event| {
        Event::Liquidation(Box::new(event))
    });
    Ok(events)
}

fn forward<T: Send + 'static>(
    client: &Client,
    mut stream: Streaming<T>,
    send: mpsc::Sender<Event>,
    event: impl Fn(T) -> Event + Send + 'static,
) {
    let client = client.clone();
    tokio::spawn(async move {
        let ending = loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    if send.send(event(message)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {
                    let why = "the node ended the stream".to_owned();
                    break ClientError::Unreachable { node: client.node().to_owned(), why };
                }
                Err(status) => break client.stream_ended(&status),
            }
        };
        let _ = send.send(Event::Ended(ending)).await;
    });
}

/// A line for people; books change too often for one.
fn event_line(markets: &Markets, event: &Event) -> Option<String> {
    match event {
        Event::Book(_) | Event::Ended(_) => None,
        Event::Trade(trade) => trade_line(markets.by_id(trade.market)?, trade),
        Event::Liquidation(event) => liquidation_line(markets.by_id(event.market)?, event),
    }
}

fn event_json(markets: &Markets, event: &Event) -> Value {
    let market_of = |id: u32| markets.by_id(id);
    match event {
        Event::Book(book) => market_of(book.market).map_or(Value::Null, |market| {
            let levels = |levels: &[v1::Level]| {
                levels.iter().map(|level| level_json(market, level)).collect::<Vec<_>>()
            };
            json!({
                "event": "book",
                "market": market.symbol,
                "height": book.height,
                "sequence": book.sequence,
                "snapshot": book.snapshot,
                "bids": levels(&book.bids),
                "asks": levels(&book.asks),
            })
        }),
        Event::Trade(trade) => market_of(trade.market).map_or(Value::Null, |market| {
            json!({
                "event": "trade",
                "market": market.symbol,
                "height": trade.height,
                "time_ms": trade.time_ms,
                "price": market.price(Ticks::new(trade.price_ticks)),
                "size": market.size(Lots::new(trade.lots)),
                "taker_side": side_word(trade.taker_side()),
                "liquidation": trade.liquidation,
                "maker_order_id": trade.maker_order_id,
                "taker_order_id": trade.taker_order_id,
            })
        }),
        Event::Liquidation(event) => market_of(event.market).map_or(Value::Null, |market| {
            json!({
                "event": "liquidation",
                "market": market.symbol,
                "height": event.height,
                "time_ms": event.time_ms,
                "stage": stage_word(event.stage()),
                "owner": event.owner,
                "subaccount": event.subaccount,
                "side": side_word(event.side()),
                "size": market.size(Lots::new(event.lots)),
                "price": market.price(Ticks::new(event.price_ticks)),
                "mark": market.price(Ticks::new(event.mark_ticks)),
                "zero_price": market.price(Ticks::new(event.zero_price_ticks)),
                "equity": usdc(event.equity_atoms),
                "maintenance": usdc(event.maintenance_atoms),
                "fee": usdc(event.fee_atoms),
                "fund_paid": usdc(event.fund_paid_atoms),
                "orders_cancelled": event.orders_cancelled,
            })
        }),
        Event::Ended(_) => Value::Null,
    }
}

/// A copy of one book, kept by its stream.
#[derive(Default)]
struct Levels {
    height: u64,
    bids: BTreeMap<u64, v1::Level>,
    asks: BTreeMap<u64, v1::Level>,
}

impl Levels {
    fn apply(&mut self, update: v1::BookUpdate) {
        if update.snapshot {
            *self = Self::default();
        }
        self.height = update.height;
        for (side, levels) in [(&mut self.bids, update.bids), (&mut self.asks, update.asks)] {
            for level in levels {
                if level.lots == 0 {
                    side.remove(&level.price_ticks);
                } else {
                    side.insert(level.price_ticks, level);
                }
            }
        }
    }

    fn render(&self, market: &Market) -> String {
        let bids: Vec<_> = self.bids.values().rev().take(SHOWN_LEVELS).copied().collect();
        let asks: Vec<_> = self.asks.values().take(SHOWN_LEVELS).copied().collect();
        format!("{}  block {}\n{}", market.symbol, self.height, ladder(market, &bids, &asks))
    }
}

/// Redraws a terminal until a stream ends.
async fn picture(
    markets: &Markets,
    ids: &[u32],
    events: &mut mpsc::Receiver<Event>,
) -> Result<(), CliError> {
    let mut books: BTreeMap<u32, Levels> = ids.iter().map(|&id| (id, Levels::default())).collect();
    let mut recent: VecDeque<String> = VecDeque::new();
    let mut ticks = interval(REDRAW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                None => return Ok(()),
                Some(Event::Ended(error)) => return Err(error.into()),
                Some(Event::Book(update)) => books.entry(update.market).or_default().apply(update),
                Some(event) => {
                    recent.extend(event_line(markets, &event));
                    while recent.len() > SHOWN_EVENTS {
                        recent.pop_front();
                    }
                }
            },
            _ = ticks.tick() => {
                let render = |(id, book): (&u32, &Levels)| Some(book.render(markets.by_id(*id)?));
                let books = books.iter().filter_map(render).collect::<Vec<_>>().join("\n\n");
                let recent = recent.iter().rev().cloned().collect::<Vec<_>>().join("\n");
                if !draw(&format!("{books}\n\n{recent}\n\nCtrl-C ends")) {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_follows_its_stream() {
        let level = |price_ticks, lots| v1::Level { price_ticks, lots, orders: 1 };
        let update =
            |snapshot, bids, asks| v1::BookUpdate { snapshot, bids, asks, ..Default::default() };
        let mut book = Levels::default();
        book.apply(update(true, vec![level(10, 5), level(9, 1)], vec![level(11, 2)]));
        book.apply(update(false, vec![level(10, 0), level(8, 3)], vec![level(11, 4)]));
        assert_eq!(book.bids.keys().copied().collect::<Vec<_>>(), [8, 9]);
        assert_eq!(book.asks[&11].lots, 4);
        book.apply(update(true, vec![], vec![level(12, 1)]));
        assert!(book.bids.is_empty() && book.asks.len() == 1);
    }
}
