//! Operations a second on a warm book: `cargo run --release -p tidemark-matching --example book_bench -- 20000`.
//!
//! As many adds as the argument says (20 000), then 3 million operations: 50 % passive adds at an exponential distance (mean
//! 100 ticks) from a mid that walks, 40 % cancels of random live orders, 8 % takers at the best three opposite levels, 2 %
//! replaces. Of the adds, one in ten has a client id, one in twenty an expiry, one in five is post-only. Each block of 256
//! operations leaves its events in a buffer. The figure is the sum of each block's shortest time in several runs, which
//! other work on the machine disturbs little; a second one is with [`Book::prefetch`].
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::float_arithmetic)]

use std::time::{Duration, Instant};

use tidemark_matching::{Book, Event, Host, NewOrder, PostOnly, Replace, TimeInForce, Upcoming};
use tidemark_proto::units::{AccountId, Lots, SelfTradePrevention, Side};
use tidemark_proto::Code;

const OPERATIONS: usize = 3_000_000;
const MAKERS: u64 = 3_000;
const TAKERS: u64 = 1_000;
const BLOCK: usize = 256;
const RUNS: usize = 7;

#[derive(Default)]
struct Events(Vec<Event>);

impl Host for Events {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        0
    }
    fn event(&mut self, event: Event) {
        self.0.push(event);
    }
}

enum Op {
    Place(NewOrder),
    Cancel(u64, AccountId),
    Replace(Replace),
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
    fn exponential(&mut self, mean: f64) -> u64 {
        let uniform = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        (-mean * (1.0 - uniform).ln()) as u64
    }
}

fn order(random: &mut Random, book: &Book, mid: u64, passive: bool) -> NewOrder {
    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
    let one_in = |random: &mut Random, n: u64| passive && random.below(n) == 0;
    let distance = 1 + random.exponential(100.0);
    let reach = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][random.below(10) as usize];
    let best = |side| book.best(side).map_or(mid, |level| level.price_ticks);
    NewOrder {
        owner: if passive { random.below(MAKERS) } else { MAKERS + random.below(TAKERS) } as AccountId,
        client_id: if one_in(random, 10) { book.next_order_id() } else { 0 },
        side,
        price_ticks: match (passive, side) {
            (true, Side::Buy) => (mid - distance).min(best(Side::Sell).max(1) - 1),
            (true, Side::Sell) => (mid + distance).max(best(Side::Buy) + 1),
            (false, _) => book.levels(side.opposite()).nth(reach).map_or(mid, |level| level.price_ticks),
        },
        // A taker takes a little more than one maker, so that the book keeps its size.
        lots: 1 + random.below(if passive { 100 } else { 190 }),
        display_lots: 0,
        time_in_force: match passive {
            true if one_in(random, 20) => TimeInForce::Gtt { expires_ms: 1_000_000 + book.next_order_id() },
            true => TimeInForce::Gtc,
            false => TimeInForce::Ioc,
        },
        post_only: if one_in(random, 5) { PostOnly::Reject } else { PostOnly::No },
        reduce_only: false,
        stp: SelfTradePrevention::CancelTaker,
        max_fills: 500,
    }
}

/// Plays the stream once on a scratch book, so that the measured run draws no random numbers.
fn stream(orders: usize) -> (Vec<Op>, Vec<Op>) {
    let (mut random, mut book, mut host) = (Random(42), Book::new(), Events::default());
    let mut mid = 1_000_000_u64;
    let mut live: Vec<(u64, AccountId)> = Vec::new();
    let (mut warm, mut ops) = (Vec::new(), Vec::new());
    while ops.len() < OPERATIONS {
        let warming = warm.len() < orders;
        let kind = if warming { 0 } else { random.below(100) };
        if random.below(500) == 0 {
            mid = mid + 2 * random.below(2) - 1;
        }
        let op = match kind {
            0..=49 => Op::Place(order(&mut random, &book, mid, true)),
            50..=57 => Op::Place(order(&mut random, &book, mid, false)),
            _ => {
                let (place, old) = loop {
                    let place = random.below(live.len() as u64) as usize;
                    match book.order(live[place].0) {
                        Some(old) => break (place, old),
                        None => live.swap_remove(place),
                    };
                };
                let (order_id, owner) = live[place];
                if kind >= 98 {
                    let NewOrder { price_ticks, .. } = NewOrder { ..order(&mut random, &book, mid, true) };
                    let crosses = book.best(old.side.opposite()).is_some_and(|best| match old.side {
                        Side::Buy => price_ticks >= best.price_ticks,
                        Side::Sell => price_ticks <= best.price_ticks,
                    });
                    let price_ticks = if crosses { old.price_ticks } else { price_ticks };
                    let stp = SelfTradePrevention::CancelMaker;
                    let lots = Some(old.lots + u64::from(crosses));
                    Op::Replace(Replace {
                        order_id,
                        owner,
                        price_ticks: Some(price_ticks),
                        lots,
                        stp,
                        max_fills: 500,
                    })
                } else {
                    live.swap_remove(place);
                    Op::Cancel(order_id, owner)
                }
            }
        };
        if let Some((id, owner)) = apply(&mut book, &op, &mut host) {
            live.push((id, owner));
        }
        host.0.clear();
        if warming { &mut warm } else { &mut ops }.push(op);
    }
    (warm, ops)
}

/// The order that came to rest, if it is a new one.
#[inline]
fn apply(book: &mut Book, op: &Op, host: &mut Events) -> Option<(u64, AccountId)> {
    match op {
        Op::Place(order) => {
            let placed = book.place(order, host).ok()?;
            (placed.resting_lots > 0).then_some((placed.order_id, order.owner))
        }
        Op::Cancel(id, owner) => {
            let _ = book.cancel(*id, *owner, Code::Cancelled, host);
            None
        }
        Op::Replace(change) => {
            let _ = book.replace(change, host);
            None
        }
    }
}

fn play(book: &mut Book, ops: &[Op], host: &mut Events, prefetch: bool) {
    if prefetch {
        book.prefetch(ops.iter().filter_map(|op| match op {
            Op::Place(_) => None,
            Op::Cancel(id, _) => Some(*id),
            Op::Replace(change) => Some(change.order_id),
        }));
        book.prefetch_new(ops.iter().filter_map(|op| match op {
            Op::Place(NewOrder { owner, side, price_ticks, client_id, .. }) => Some(Upcoming {
                owner: *owner,
                side: *side,
                price_ticks: *price_ticks,
                client_id: *client_id,
            }),
            _ => None,
        }));
    }
    for op in ops {
        apply(book, op, host);
    }
}

fn main() {
    let orders = std::env::args().nth(1).map_or(20_000, |orders| orders.parse().expect("a number of orders"));
    let runs = std::env::args().nth(2).map_or(RUNS, |runs| runs.parse().expect("a number of runs"));
    let (warm, ops) = stream(orders);
    for prefetch in [false, true] {
        let mut best = vec![Duration::MAX; ops.len().div_ceil(BLOCK)];
        let mut last = Book::new();
        for _ in 0..runs {
            let (mut book, mut host) = (Book::new(), Events::default());
            for op in &warm {
                apply(&mut book, op, &mut host);
                host.0.clear();
            }
            for (block, best) in ops.chunks(BLOCK).zip(&mut best) {
                let start = Instant::now();
                play(&mut book, block, &mut host, prefetch);
                *best = start.elapsed().min(*best);
                std::hint::black_box(&host.0);
                host.0.clear();
            }
            last = book;
        }
        let levels = last.levels(Side::Buy).count() + last.levels(Side::Sell).count();
        println!(
            "{:.2} M operations/s{}; {} live orders, {levels} levels, {} bytes an order",
            ops.len() as f64 / best.iter().sum::<Duration>().as_secs_f64() / 1e6,
            if prefetch { " with prefetch" } else { "" },
            last.live_orders(),
            last.memory_bytes() / last.live_orders().max(1) as usize,
        );
    }
}
