//! Every maker that is looked at is charged before, met or not: work is bounded by visits.

use std::cell::Cell;

use proptest::prelude::*;
use tidemark_proto::units::{AccountId, Lots, OrderId, Side, Ticks, TimeMs};
use tidemark_proto::Code;

use super::pair::{Op, Pair};
use super::properties::new_order;
use super::{gtc, TestHost};
use crate::{Book, Event, Host, NewOrder, PostOnly, TimeInForce, DEPTH_VISITS};

/// Counts the book's questions and events.
#[derive(Clone, Debug, Default)]
struct Counting {
    host: TestHost,
    work: Cell<u32>,
}

impl Counting {
    fn count(&self) {
        self.work.set(self.work.get() + 1);
    }

    /// Returns the reduce-only orders that fills have shrunk or taken out.
    fn spent(&self) -> u32 {
        let code = Code::NothingToReduce;
        let spent = |event: &&Event| match event {
            Event::Removed { reason, .. } | Event::Reduced { reason, .. } => *reason == code,
            _ => false,
        };
        self.host.events.iter().filter(spent).count() as u32
    }
}

impl Host for Counting {
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        self.count();
        self.host.reducible_lots(owner, side)
    }

    fn now_ms(&self) -> TimeMs {
        self.host.now_ms
    }

    fn any_dead(&self) -> bool {
        !self.host.frozen.is_empty()
    }

    fn why_dead(&self, owner: AccountId, reduce_only: bool) -> Option<Code> {
        self.count();
        self.host.why_dead(owner, reduce_only)
    }

    fn event(&mut self, event: Event) {
        self.count();
        self.host.event(event);
    }
}

/// The makers looked at for an order, accepted or refused, and the work of it.
fn looks(book: &mut Book, host: &mut Counting, order: &NewOrder) -> (Option<Code>, u32, u32) {
    host.work.set(0);
    let (code, visits) = match book.place(order, host) {
        Ok(placed) => (placed.rest, placed.visits),
        Err(reject) => (Some(reject.code), reject.visits),
    };
    (code, visits, host.work.get())
}

/// 500 accounts, each long twenty lots, which it sells at the best price; and behind that twenty
/// reduce-only sells of one lot, which have nothing left then.
fn spent_makers() -> (Book, Counting) {
    let (mut book, mut host) = (Book::new(), Counting::default());
    for owner in 0..500 {
        host.host.positions.insert(AccountId::new(owner), 20);
        for _ in 0..20 {
            let order = NewOrder { reduce_only: true, ..gtc(owner, Side::Sell, 101, 1) };
            book.place(&order, &mut host).expect("rests");
        }
        book.place(&gtc(owner, Side::Sell, 100, 20), &mut host).expect("rests");
    }
    host.host.events.clear();
    (book, host)
}

#[test]
fn a_refused_fill_or_kill_pays_for_makers_that_have_nothing_left() {
    let (mut book, mut host) = spent_makers();
    let fok = |lots, max_visits| NewOrder {
        time_in_force: TimeInForce::Fok,
        max_visits,
        ..gtc(900, Side::Buy, 101, lots)
    };
    let (code, visits, work) = looks(&mut book, &mut host, &fok(10_001, 2_400));
    assert_eq!((code, visits), (Some(Code::OutOfGas), 1_200));
    assert!(work <= 2 * visits, "{work} calls for {visits} visits");
    // With visits for all of them the walk says what is there; and the refusal has its price. Each
    // account is met for twenty visits: its order, and nineteen for those that a trade may end.
    let (code, visits, work) = looks(&mut book, &mut host, &fok(10_001, u32::MAX));
    assert_eq!((code, visits), (Some(Code::NotFillable), 500 * 20 + 10_000));
    assert!(work <= 2 * visits, "{work} calls for {visits} visits");
    assert_eq!((book.live_orders(), host.host.events.len()), (10_500, 0));
    // What is there is filled: the walk that looks, and the one that trades.
    let (code, visits, work) = looks(&mut book, &mut host, &fok(10_000, u32::MAX));
    assert_eq!((code, visits), (None, 2 * 500 * 20));
    assert!(work <= 6 * visits, "{work} calls for {visits} visits");
    assert_eq!(book.live_orders(), 0);
}

#[test]
fn what_a_taker_has_traded_stands_where_its_visits_end() {
    let (mut book, mut host) = (Book::new(), Counting::default());
    for _ in 0..10 {
        book.place(&gtc(1, Side::Sell, 100, 1), &mut host).expect("rests");
    }
    let order = NewOrder { max_visits: 3, ..gtc(2, Side::Buy, 100, 9) };
    let placed = book.place(&order, &mut host).expect("trades");
    assert_eq!((placed.filled_lots, placed.resting_lots), (Lots::new(3), Lots::ZERO));
    assert_eq!((placed.rest, placed.visits), (Some(Code::OutOfGas), 3));
    let fok = NewOrder { time_in_force: TimeInForce::Fok, max_visits: 13, ..order };
    let (code, visits, _) = looks(&mut book, &mut host, &NewOrder { lots: Lots::new(7), ..fok });
    assert_eq!((code, visits, book.live_orders()), (Some(Code::OutOfGas), 6, 7));
    let (code, visits, _) =
        looks(&mut book, &mut host, &NewOrder { lots: Lots::new(7), max_visits: 14, ..fok });
    assert_eq!((code, visits, book.live_orders()), (None, 14, 0));
}

/// A side whose first orders are dead, more of them than a walk looks at; then one that lives.
#[test]
fn a_walk_over_depth_ends_at_its_bound_and_what_is_beyond_counts_as_none() {
    let (mut book, mut host) = (Book::new(), Counting::default());
    for at in 0..u64::from(DEPTH_VISITS) - 1 {
        book.place(&gtc(1, Side::Sell, 100 + at / 5_000, 1), &mut host).expect("rests");
    }
    book.place(&gtc(2, Side::Sell, 150, 7), &mut host).expect("rests");
    book.place(&gtc(2, Side::Sell, 150, 9), &mut host).expect("rests");
    let all = |book: &Book, host: &Counting| {
        book.live_levels(Side::Sell, host).map(|level| level.lots.get()).collect::<Vec<_>>()
    };
    assert_eq!(all(&book, &host), [5_000, 4_999, 16]);
    let best = |book: &Book, host: &Counting, most| {
        let best = book.best_live(Side::Sell, host, most, |_| false);
        (best.price_ticks.map(Ticks::get), best.visits, best.is_cut)
    };
    assert_eq!(best(&book, &host, 1), (Some(100), 0, false));
    host.host.frozen.insert(AccountId::new(1));
    assert_eq!(all(&book, &host), [7], "of the last level the bound reaches one order");
    assert_eq!(best(&book, &host, u32::MAX), (Some(150), DEPTH_VISITS, false));
    assert_eq!(best(&book, &host, 10), (None, 10, true));
    let leaves = |id: OrderId| id.get() == u64::from(DEPTH_VISITS);
    let beside = book.best_live(Side::Sell, &host, u32::MAX, leaves);
    assert_eq!((beside.price_ticks, beside.visits), (Some(Ticks::new(150)), DEPTH_VISITS));
    // One more before them, and the bound reaches none that lives.
    book.place(&gtc(1, Side::Sell, 99, 1), &mut host).expect("rests");
    assert_eq!(all(&book, &host), [0; 0]);
    // Where no order can be dead, a visit is a level.
    host.host.frozen.clear();
    assert_eq!(all(&book, &host), [1, 5_000, 4_999, 16]);
}

#[test]
fn dead_orders_never_trade_and_whoever_meets_them_removes_them() {
    let (mut book, mut host) = (Book::new(), Counting::default());
    let expires = TimeInForce::Gtt { expires_ms: TimeMs::new(50) };
    let late = NewOrder { time_in_force: expires, ..gtc(1, Side::Sell, 100, 5) };
    for order in [late, gtc(2, Side::Sell, 101, 5), gtc(3, Side::Sell, 102, 5)] {
        book.place(&order, &mut host).expect("rests");
    }
    host.host.now_ms = TimeMs::new(50);
    host.host.frozen.insert(AccountId::new(2));
    let best = |book: &Book, host: &Counting| {
        book.live_levels(Side::Sell, host).next().map(|level| level.price_ticks)
    };
    assert_eq!(best(&book, &host), Some(Ticks::new(102)));
    // A look at what would trade passes over them, and changes nothing.
    let fok = NewOrder { time_in_force: TimeInForce::Fok, ..gtc(9, Side::Buy, 102, 6) };
    let (code, visits, _) = looks(&mut book, &mut host, &fok);
    assert_eq!((code, visits, book.live_orders()), (Some(Code::NotFillable), 3, 3));
    // A post-only order rests where only dead orders stood.
    let post = NewOrder { post_only: PostOnly::Reject, ..gtc(9, Side::Buy, 100, 1) };
    let placed = book.place(&post, &mut host).expect("rests");
    assert_eq!((placed.resting_lots, placed.visits), (Lots::ONE, 1));
    let taker = NewOrder { max_fills: 1, ..gtc(8, Side::Buy, 102, 5) };
    let placed = book.place(&taker, &mut host).expect("trades");
    assert_eq!((placed.filled_lots, placed.visits, placed.rest), (Lots::new(5), 2, None));
    let removed: Vec<(u64, Code)> = host
        .host
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Removed { order, reason } => Some((order.order_id.get(), *reason)),
            _ => None,
        })
        .collect();
    assert_eq!(removed, [(1, Code::Expired), (2, Code::Pruned)]);
}

/// Reduce-only orders of three accounts, and the positions that the orders reduce.
fn exits() -> impl Strategy<Value = Vec<Op>> {
    let exit = (0_u32..3, 4_096_u64..4_101, 1_u64..4, any::<bool>());
    let positions = prop::collection::vec(20_i8..60, 3);
    (positions, prop::collection::vec(exit, 30..90)).prop_map(|(positions, exits)| {
        let held = (0_u32..).zip(positions).map(|(owner, position)| Op::SetPosition {
            owner: AccountId::new(owner),
            position,
            tell: true,
        });
        let exits = exits.into_iter().map(|(owner, price, lots, reduce_only)| {
            Op::Place(NewOrder { reduce_only, ..gtc(owner, Side::Sell, price, lots) })
        });
        held.chain(exits).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Accounts with many reduce-only orders are met once each for the visits of these, and the
    /// walk that only looks counts the same.
    #[test]
    fn many_exits_are_charged_as_the_model_does(
        exits in exits(),
        takers in prop::collection::vec((new_order(), prop::option::of(0_u32..60)), 1..20),
    ) {
        let mut pair = Pair::new();
        exits.iter().for_each(|exit| pair.step(exit));
        for (taker, visits) in takers {
            let max_visits = visits.unwrap_or(taker.max_visits);
            pair.step(&Op::Place(NewOrder { max_visits, side: Side::Buy, ..taker }));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Work, counted as questions to the host and events, is at most 16 for each visit, and a few
    /// for the order itself: a reduce-only one pays for twenty that shrink when it comes. Without
    /// the orders that shrink or go, it is at most eight for each visit.
    #[test]
    fn work_is_bounded_by_visits(
        orders in prop::collection::vec((new_order(), any::<bool>()), 1..120),
        positions in prop::collection::vec(-30_i128..30, 5),
        frozen in prop::option::of(0_u32..5),
        now_ms in 0_u64..40,
    ) {
        let (mut book, mut host) = (Book::new(), Counting::default());
        for (owner, position) in positions.iter().enumerate() {
            host.host.positions.insert(AccountId::new(owner as u32), *position);
        }
        for (at, (order, few)) in orders.iter().enumerate() {
            if at == orders.len() / 2 {
                host.host.now_ms = TimeMs::new(now_ms);
                host.host.frozen.extend(frozen.map(AccountId::new));
            }
            let max_visits = if *few { order.max_visits.min(10) } else { order.max_visits };
            host.host.events.clear();
            let (_, visits, work) =
                looks(&mut book, &mut host, &NewOrder { max_visits, ..*order });
            prop_assert!(visits <= max_visits, "{visits} of {max_visits} visits");
            let spent = host.spent();
            prop_assert!(
                work <= 16 * visits + 6 + 2 * 20 && work <= 8 * visits + spent + 6,
                "{work} calls for {visits} visits of {order:?}, {spent} spent"
            );
        }
    }
}
