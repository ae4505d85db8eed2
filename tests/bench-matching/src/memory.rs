//! Memory of a resting order, by the shape of the book, as the book itself counts it.

use serde::{Deserialize, Serialize};
use tidemark_matching::{NewOrder, TimeInForce};
use tidemark_proto::units::{ClientId, Lots, Side, TimeMs};

use crate::worst::{order, owner, EventBook, MID_TICKS};

/// One shape of a book.
#[derive(Debug, Serialize, Deserialize)]
pub struct Memory {
    /// Prices of the orders.
    pub what: String,
    /// Number of orders.
    pub orders: usize,
    /// Bytes that the book holds for each order, spare capacity included.
    pub bytes_per_order: u64,
}

/// Measures all shapes.
pub fn memory() -> Vec<Memory> {
    let plain = |price: fn(u64) -> u64| {
        move |index: u64| order(owner(index as usize), Side::Sell, price(index), 1)
    };
    let level = plain(|_| MID_TICKS);
    let adjacent = plain(|index| MID_TICKS + index);
    let apart = plain(|index| MID_TICKS + 5_000 * index);
    let named = |index: u64| NewOrder {
        client_id: ClientId::new(index + 1),
        time_in_force: TimeInForce::Gtt { expires_ms: TimeMs::new(1 + index) },
        display_lots: Lots::ONE,
        lots: Lots::new(2),
        ..level(index)
    };
    vec![
        shape("one level", 1_000_000, level),
        shape(
            "a hundred on each of adjacent levels",
            1_000_000,
            plain(|index| MID_TICKS + index / 100),
        ),
        shape("one on each of adjacent levels", 1_000_000, adjacent),
        shape("one each 5 000 ticks", 10_000, apart),
        shape("one level, each with client id, expiry and hidden lots", 1_000_000, named),
    ]
}

fn shape(what: &str, orders: usize, new: impl Fn(u64) -> NewOrder) -> Memory {
    let mut book = EventBook::default();
    for index in 0..orders as u64 {
        book.place(&new(index));
        book.events.0.clear();
    }
    // As after a block: no page is kept for changes, and the roots have their trees.
    book.inner.take_dirty_levels();
    std::hint::black_box((book.inner.l2_root(), book.inner.l3_root()));
    let bytes_per_order = (book.inner.memory_bytes() / orders) as u64;
    Memory { what: what.to_owned(), orders, bytes_per_order }
}
