//! `tidemark book`: the best levels of order books.

use serde_json::{json, Value};
use tidemark_client::{Market, Table};
use tidemark_proto::units::{Lots, Ticks};
use tidemark_proto::v1;

use super::args::Book;
use super::show::chosen;
use super::{CliError, Context};

pub(super) async fn run(context: &Context, args: &Book) -> Result<(), CliError> {
    let client = context.connect().await?;
    let markets = client.markets().await?;
    let mut books = Vec::new();
    for (market, _) in chosen(&markets, &args.market)? {
        books.push((market, client.book(market.id, args.depth).await?));
    }
    let text = || {
        let one = |(market, book): &(&Market, v1::BookResponse)| {
            format!("{}\n{}", market.symbol, ladder(market, &book.bids, &book.asks))
        };
        books.iter().map(one).collect::<Vec<_>>().join("\n\n")
    };
    let one = |(market, book): &(&Market, v1::BookResponse)| {
        let levels = |levels: &[v1::Level]| {
            levels.iter().map(|level| level_json(market, level)).collect::<Vec<_>>()
        };
        json!({
            "market": market.symbol,
            "height": book.height,
            "sequence": book.sequence,
            "checksum": hex::encode(&book.checksum),
            "bids": levels(&book.bids),
            "asks": levels(&book.asks),
        })
    };
    context.print(text, || books.iter().map(one).collect());
    Ok(())
}

/// A level as `{"price", "size", "orders"}`.
pub(super) fn level_json(market: &Market, level: &v1::Level) -> Value {
    json!({
        "price": market.price(Ticks::new(level.price_ticks)),
        "size": market.size(Lots::new(level.lots)),
        "orders": level.orders,
    })
}

/// Bids beside asks, best first.
pub(super) fn ladder(market: &Market, bids: &[v1::Level], asks: &[v1::Level]) -> String {
    let mut table = Table::new(0, &["orders", "size", "bid", "ask", "size", "orders"]);
    for row in 0..bids.len().max(asks.len()) {
        let cells = |level: Option<&v1::Level>| match level {
            Some(level) => [
                level.orders.to_string(),
                market.size(Lots::new(level.lots)).to_string(),
                market.price(Ticks::new(level.price_ticks)).to_string(),
            ],
            None => Default::default(),
        };
        let ([bid_orders, bid_size, bid], [ask_orders, ask_size, ask]) =
            (cells(bids.get(row)), cells(asks.get(row)));
        table.row(vec![bid_orders, bid_size, bid, ask, ask_size, ask_orders]);
    }
    if bids.is_empty() && asks.is_empty() {
        return "(empty)".to_owned();
    }
    table.render()
}
