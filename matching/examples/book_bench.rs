//! Operations a second on a warm book: `cargo run --release -p tidemark-matching --example book_bench`.
//!
//! 20 000 orders, then 3 million operations: 50 % passive adds at an exponential distance (mean 100 ticks) from a mid that
//! walks, 40 % cancels of random live orders, 8 % takers, 2 % replaces.
#![allow(clippy::disallowed_types, clippy::disallowed_methods, clippy::float_arithmetic)]

use std::time::Instant;

use tidemark_matching::{Book, Event, Host, NewOrder, PostOnly, Replace, TimeInForce};
use tidemark_proto::units::{AccountId, Lots, SelfTradePrevention, Side};
use tidemark_proto::Code;

const OPERATIONS: usize = 3_000_000;
const OWNERS: u32 = 1_000;

struct Count(u64);

impl Host for Count {
    fn reducible_lots(&self, _: AccountId, _: Side) -> Lots {
        0
    }
    fn event(&mut self, _: Event) {
        self.0 += 1;
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

fn order(random: &mut Random, mid: u64, passive: bool) -> NewOrder {
    let side = if random.below(2) == 0 { Side::Buy } else { Side::Sell };
    let distance = if passive { 1 + random.exponential(100.0) } else { 10_000 };
    let below = (side == Side::Buy) == passive;
    NewOrder {
        owner: random.below(u64::from(OWNERS)) as AccountId,
        client_id: 0,
        side,
        price_ticks: if below { mid - distance } else { mid + distance },
        // A taker takes a little more than one maker, so that the book keeps its size.
        lots: 1 + random.below(if passive { 100 } else { 118 }),
        display_lots: 0,
        time_in_force: if passive { TimeInForce::Gtc } else { TimeInForce::Ioc },
        post_only: PostOnly::No,
        reduce_only: false,
        stp: SelfTradePrevention::CancelMaker,
        max_fills: 500,
    }
}

/// Plays the stream once on a scratch book, so that the measured run draws no random numbers.
fn stream() -> (Vec<Op>, Vec<Op>) {
    let (mut random, mut book, mut host, mut mid) = (Random(42), Book::new(), Count(0), 1_000_000_u64);
    let mut live: Vec<(u64, AccountId)> = Vec::new();
    let (mut warm, mut ops) = (Vec::new(), Vec::new());
    while ops.len() < OPERATIONS {
        let warming = warm.len() < 20_000;
        let kind = if warming { 0 } else { random.below(100) };
        if random.below(100) == 0 {
            mid = mid + random.below(3) - 1;
        }
        let op = match kind {
            0..=49 => Op::Place(order(&mut random, mid, true)),
            50..=57 => Op::Place(order(&mut random, mid, false)),
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
                    let price_ticks = Some(if old.side == Side::Buy { mid - 2 } else { mid + 2 });
                    let stp = SelfTradePrevention::CancelMaker;
                    Op::Replace(Replace { order_id, owner, price_ticks, lots: None, stp, max_fills: 500 })
                } else {
                    live.swap_remove(place);
                    Op::Cancel(order_id, owner)
                }
            }
        };
        if let Some((id, owner)) = apply(&mut book, &op, &mut host) {
            live.push((id, owner));
        }
        if warming { &mut warm } else { &mut ops }.push(op);
    }
    (warm, ops)
}

/// The order that came to rest, if it is a new one.
fn apply(book: &mut Book, op: &Op, host: &mut Count) -> Option<(u64, AccountId)> {
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

fn main() {
    let (warm, ops) = stream();
    for _ in 0..3 {
        let (mut book, mut host) = (Book::new(), Count(0));
        for op in &warm {
            apply(&mut book, op, &mut host);
        }
        host.0 = 0;
        let start = Instant::now();
        for op in &ops {
            apply(&mut book, op, &mut host);
        }
        let taken = start.elapsed();
        let levels = book.levels(Side::Buy).count() + book.levels(Side::Sell).count();
        println!(
            "{:.2} M operations/s, {} events, {} live orders, {levels} levels at the end",
            ops.len() as f64 / taken.as_secs_f64() / 1e6,
            host.0,
            book.live_orders(),
        );
        let start = Instant::now();
        let root = book.l3_root();
        println!("first root {:?}, {:02x}{:02x}…", start.elapsed(), root[0], root[1]);
        for op in ops.iter().filter(|op| matches!(op, Op::Place(_))).take(1_000) {
            apply(&mut book, op, &mut host);
        }
        let start = Instant::now();
        book.l3_root();
        println!("root after 1000 more placements {:?}", start.elapsed());
    }
}
