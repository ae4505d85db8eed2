//! The roots of a book with crowded price levels, from each of which an order goes.

use std::hint::black_box;

use tidemark_matching::{Book, Event, Host, NewOrder, PostOnly, TimeInForce};
use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks};
use tidemark_proto::Code;

use super::{line, processor_time, Line};

/// Levels that the orders are spread over.
const LEVELS: [u32; 2] = [1, 10_000];

/// Owners of the orders, in turns.
const OWNERS: u32 = 5_000;

/// Blocks that are timed.
const BLOCKS: u32 = 10;

/// Nobody's surroundings: nothing trades.
struct Nobody;

impl Host for Nobody {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        Lots::ZERO
    }

    fn event(&mut self, _: Event) {}
}

/// The lines of the table: the roots of a book of so many orders after a block that has cancelled
/// an order of each level.
///
/// # Errors
/// An order that the book refuses.
pub fn crowd(orders: u32) -> Result<Vec<Line>, String> {
    LEVELS.iter().map(|levels| crowded(orders, *levels)).collect()
}

fn crowded(orders: u32, levels: u32) -> Result<Line, String> {
    let (mut book, mut host) = (Book::new(), Nobody);
    for at in 0..orders + levels * BLOCKS {
        book.place(&bid(at, levels), &mut host).map_err(|why| format!("{why:?}"))?;
    }
    book.l3_root();
    let mut times = Vec::new();
    for block in 0..BLOCKS {
        // The oldest order of each level.
        for at in block * levels..(block + 1) * levels {
            let (id, owner) = (OrderId::new(u64::from(at) + 1), AccountId::new(at % OWNERS));
            let gone = book.cancel(id, owner, Code::Cancelled, &mut host);
            gone.map_err(|why| format!("{why:?}"))?;
        }
        let start = processor_time();
        black_box((book.l2_root(), book.l3_root()));
        times.push(processor_time() - start);
        book.take_dirty_levels();
    }
    let what = format!("roots of a book of {orders} orders, one of each of {levels} levels gone");
    Ok(line(what, times, 1e3, "ms"))
}

fn bid(at: u32, levels: u32) -> NewOrder {
    NewOrder {
        owner: AccountId::new(at % OWNERS),
        client_id: ClientId::NONE,
        side: Side::Buy,
        price_ticks: Ticks::new(u64::from(at % levels) + 1),
        lots: Lots::ONE,
        display_lots: Lots::ZERO,
        time_in_force: TimeInForce::Gtc,
        post_only: PostOnly::Off,
        reduce_only: false,
        stp: SelfTradePrevention::CancelMaker,
        max_fills: 1,
        max_visits: 1,
    }
}
