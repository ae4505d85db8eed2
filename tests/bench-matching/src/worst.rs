//! Worst cases: operations on books of the worst shape, each at two sizes, so that a cost that
//! grows with the book shows.

use serde::{Deserialize, Serialize};
use tidemark_matching::{Book, NewOrder, PostOnly, TimeInForce};
use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::Code;

use crate::engines::tidemark::Events;
use crate::process::cpu_ns;

/// Repetitions of each case; the fastest counts.
const REPEATS: usize = 5;
/// Number of operations timed, unless a case has its own number.
const OPERATIONS: usize = 10_000;
/// A price far from both ends.
pub const MID_TICKS: u64 = 1_000_000_000;
const TAKER: AccountId = AccountId::new(1_000_000);
/// Owner of the orders of a case that has one owner.
const MAKER: AccountId = AccountId::ZERO;

/// One case at one size.
#[derive(Debug, Serialize, Deserialize)]
pub struct Case {
    /// Description of the case.
    pub what: String,
    /// Size of the case: the N of `what`.
    pub size: usize,
    /// Unit over which `ns` is a mean.
    pub per: String,
    /// Nanoseconds for each unit, in the fastest repetition.
    pub ns: f64,
}

/// A book with a buffer for its events.
#[derive(Default)]
pub struct EventBook {
    /// The book.
    pub inner: Book,
    /// Events of the book.
    pub events: Events,
}

/// Returns a good-till-cancelled order without further attributes.
pub fn order(owner: AccountId, side: Side, price_ticks: u64, lots: u64) -> NewOrder {
    NewOrder {
        owner,
        client_id: ClientId::NONE,
        side,
        price_ticks: Ticks::new(price_ticks),
        lots: Lots::new(lots),
        display_lots: Lots::ZERO,
        time_in_force: TimeInForce::Gtc,
        post_only: PostOnly::Off,
        reduce_only: false,
        stp: SelfTradePrevention::CancelTaker,
        max_fills: u32::MAX,
        max_visits: u32::MAX,
    }
}

/// Returns the owner of the n-th order: a few thousand owners take turns.
pub fn owner(n: usize) -> AccountId {
    AccountId::new((n % 4_000) as u32)
}

impl EventBook {
    /// Places an order, which must be accepted.
    pub fn place(&mut self, new: &NewOrder) -> OrderId {
        self.inner.place(new, &mut self.events).expect("accepted").order_id
    }

    fn cancel(&mut self, id: OrderId, owner: AccountId) {
        self.inner.cancel(id, owner, Code::Cancelled, &mut self.events).expect("live");
    }

    /// Returns a book with `n` asks, `gap` ticks apart.
    fn asks(n: usize, gap: u64) -> Self {
        let mut book = Self::default();
        for index in 0..n {
            book.place(&order(owner(index), Side::Sell, MID_TICKS + gap * index as u64, 1));
        }
        book.events.0.clear();
        book
    }
}

/// Prepares and times an action of `count` parts several times, and returns the fastest.
fn fastest<S>(
    what: &str,
    size: usize,
    per: &str,
    count: usize,
    prepare: impl Fn() -> S,
    act: impl Fn(&mut S),
) -> Case {
    let once = || {
        let mut state = prepare();
        let start = cpu_ns();
        act(&mut state);
        cpu_ns() - start
    };
    let ns = (0..REPEATS).map(|_| once()).min().unwrap_or(0);
    Case { what: what.to_owned(), size, per: per.to_owned(), ns: ns as f64 / count as f64 }
}

/// Measures all cases.
pub fn worst() -> Vec<Case> {
    let mut cases = Vec::new();
    for n in [1_000, 10_000] {
        cases.push(sweep("one taker sweeps a level of N orders", n, 0));
        cases.push(sweep("one taker sweeps N adjacent levels", n, 1));
        cases.push(sweep("one taker sweeps N levels 5 000 ticks apart", n, 5_000));
        cases.push(refused_fok(n));
        cases.push(iceberg(n));
        cases.push(cancel_all(n));
        cases.push(expire(n));
    }
    for n in [20_000, 1_000_000] {
        cases.push(cancel_level(
            "cancels from the middle of a level of N orders outwards",
            n,
            outwards,
        ));
        cases.push(cancel_level("cancels at random places of a level of N orders", n, scattered));
    }
    for n in [100, 10_000] {
        cases.push(jumps(n));
    }
    for n in [1, 1_000] {
        cases.push(markets(n));
    }
    cases.sort_by(|a, b| (&a.what, a.size).cmp(&(&b.what, b.size)));
    cases
}

fn sweep(what: &str, n: usize, gap: u64) -> Case {
    fastest(
        what,
        n,
        "maker",
        n,
        || EventBook::asks(n, gap),
        |book| {
            book.place(&order(TAKER, Side::Buy, u64::MAX, n as u64));
        },
    )
}

/// A fill-or-kill order that fails only at the last maker.
fn refused_fok(n: usize) -> Case {
    let what = "a fill-or-kill order is refused after N makers";
    fastest(
        what,
        n,
        "maker",
        n,
        || EventBook::asks(n, 0),
        |book| {
            let fok = NewOrder {
                time_in_force: TimeInForce::Fok,
                ..order(TAKER, Side::Buy, u64::MAX, n as u64 + 1)
            };
            book.inner.place(&fok, &mut book.events).expect_err("not fillable");
        },
    )
}

/// One iceberg order that shows one lot at a time.
fn iceberg(n: usize) -> Case {
    let prepare = || {
        let mut book = EventBook::default();
        book.place(&NewOrder {
            display_lots: Lots::ONE,
            ..order(MAKER, Side::Sell, MID_TICKS, n as u64)
        });
        book
    };
    fastest("one taker meets N refills of an iceberg order", n, "refill", n, prepare, |book| {
        book.place(&order(TAKER, Side::Buy, MID_TICKS, n as u64));
    })
}

fn cancel_all(n: usize) -> Case {
    let prepare = || {
        let mut book = EventBook::default();
        for index in 0..n as u64 {
            book.place(&order(MAKER, Side::Sell, MID_TICKS + index % 1_000, 1));
        }
        book
    };
    fastest("an account cancels its N orders at once", n, "order", n, prepare, |book| {
        book.inner.cancel_all(MAKER, None, Code::Cancelled, u32::MAX, &mut book.events);
    })
}

fn expire(n: usize) -> Case {
    let prepare = || {
        let mut book = EventBook::default();
        for index in 0..n {
            let expires_ms = TimeMs::new(1 + index as u64 % 100);
            let time_in_force = TimeInForce::Gtt { expires_ms };
            let price = MID_TICKS + index as u64 % 1_000;
            book.place(&NewOrder { time_in_force, ..order(owner(index), Side::Sell, price, 1) });
        }
        book
    };
    fastest("N orders expire at once", n, "order", n, prepare, |book| {
        book.inner.expire(TimeMs::MAX, n as u32, &mut book.events);
    })
}

/// Returns the n-th index from the middle of `n` outwards, left and right in turn.
fn outwards(n: usize, step: usize) -> usize {
    if step.is_multiple_of(2) {
        n / 2 + step / 2
    } else {
        n / 2 - 1 - step / 2
    }
}

/// Returns indexes that do not repeat within `n` steps, for an `n` that the factor is prime to.
fn scattered(n: usize, step: usize) -> usize {
    step * 7_919 % n
}

fn cancel_level(what: &str, n: usize, place: fn(usize, usize) -> usize) -> Case {
    fastest(
        what,
        n,
        "cancel",
        OPERATIONS,
        || EventBook::asks(n, 0),
        |book| {
            for step in 0..OPERATIONS {
                let index = place(n, step);
                book.cancel(OrderId::new(index as u64 + 1), owner(index));
            }
        },
    )
}

/// Bids below the middle of all prices and asks above it, so that none meets another.
fn anywhere(random: &mut fastrand::Rng, index: usize) -> NewOrder {
    let half = random.u64(1..u64::MAX / 2);
    match random.bool() {
        true => order(owner(index), Side::Buy, half, 1),
        false => order(owner(index), Side::Sell, u64::MAX - half, 1),
    }
}

fn jumps(n: usize) -> Case {
    let prepare = || {
        let (mut book, mut random) = (EventBook::default(), fastrand::Rng::with_seed(1));
        for index in 0..n {
            book.place(&anywhere(&mut random, index));
        }
        book.events.0.clear();
        (book, (0..OPERATIONS).map(|index| anywhere(&mut random, index)).collect::<Vec<_>>())
    };
    let what = "an order comes and goes anywhere in 2⁶⁴ prices, N others there too";
    fastest(what, n, "operation", 2 * OPERATIONS, prepare, |(book, orders)| {
        for new in orders {
            let id = book.place(new);
            book.cancel(id, new.owner);
        }
    })
}

fn markets(n: usize) -> Case {
    let rounds = (100_000 / n).max(10);
    let prepare = || (0..n).map(|_| EventBook::asks(1_000, 1)).collect::<Vec<_>>();
    let what = "an order comes and goes in each of N markets in turn, 1 000 others there";
    fastest(what, n, "operation", 2 * n * rounds, prepare, |books| {
        for round in 0..rounds {
            for book in books.iter_mut() {
                let new = order(owner(round), Side::Buy, MID_TICKS - 1 - round as u64 % 500, 1);
                let id = book.place(&new);
                book.cancel(id, new.owner);
                book.events.0.clear();
            }
        }
    })
}
