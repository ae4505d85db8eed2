//! Walks in which the host admits each fill of the taker.

use proptest::prelude::*;
use tidemark_proto::units::{AccountId, Lots, SelfTradePrevention, Side, Ticks};
use tidemark_proto::Code;

use super::properties::new_order;
use super::{gtc, TestHost};
use crate::{Book, Event, Host, NewOrder, TimeInForce};

/// A taker with a purse: each lot costs its price.
#[derive(Clone, Debug, Default)]
struct Purse {
    host: TestHost,
    start: u64,
    now: u64,
}

impl Purse {
    fn of(start: u64) -> Self {
        Self { start, ..Self::default() }
    }
}

impl Host for Purse {
    fn reducible_lots(&self, owner: AccountId, side: Side) -> Lots {
        self.host.reducible_lots(owner, side)
    }

    fn begin_walk(&mut self) -> bool {
        self.now = self.start;
        true
    }

    fn admit(&mut self, price_ticks: Ticks, lots: Lots) -> Lots {
        let admitted = lots.get().min(self.now / price_ticks.get().max(1));
        self.now -= admitted * price_ticks.get();
        Lots::new(admitted)
    }

    fn event(&mut self, event: Event) {
        self.host.event(event);
    }
}

/// Sells of one lot each at 10, 11 and 12, and three at 13.
fn book() -> Book {
    let mut book = Book::default();
    let mut host = TestHost::default();
    for (price, lots) in [(10, 1), (11, 1), (12, 1), (13, 3)] {
        book.place(&gtc(1, Side::Sell, price, lots), &mut host).unwrap();
    }
    book
}

fn buy(lots: u64, time_in_force: TimeInForce) -> NewOrder {
    NewOrder { time_in_force, ..gtc(2, Side::Buy, 20, lots) }
}

#[test]
fn what_the_host_does_not_admit_ends_the_walk() {
    for (purse, filled) in [(10, 1), (32, 2), (33, 3), (60, 5)] {
        let placed = book().place(&buy(6, TimeInForce::Ioc), &mut Purse::of(purse)).unwrap();
        assert_eq!(placed.filled_lots, Lots::new(filled), "{purse}");
        assert_eq!(placed.rest, Some(Code::InsufficientCollateral));
        let fok = book().place(&buy(6, TimeInForce::Fok), &mut Purse::of(purse)).unwrap_err();
        assert_eq!((fok.code, fok.bound), (Code::InsufficientCollateral, filled), "{purse}");
        let fok = book().place(&buy(filled, TimeInForce::Fok), &mut Purse::of(purse)).unwrap();
        assert_eq!((fok.filled_lots, fok.rest), (Lots::new(filled), None));
    }
    let (mut book, mut host) = (book(), Purse::of(9));
    let before = book.next_order_id();
    let refused = book.place(&buy(6, TimeInForce::Ioc), &mut host).unwrap_err();
    assert_eq!((refused.code, refused.bound), (Code::InsufficientCollateral, 0));
    assert_eq!((book.next_order_id(), host.host.events.len()), (before, 0));
}

#[test]
fn self_trade_policy_comes_before_admission() {
    let (mut book, mut host) = (book(), Purse::of(10));
    book.place(&gtc(2, Side::Sell, 9, 5), &mut host).unwrap();
    let stp = SelfTradePrevention::CancelMaker;
    let taker = NewOrder { stp, ..buy(1, TimeInForce::Ioc) };
    let placed = book.place(&taker, &mut host).unwrap();
    assert_eq!((placed.filled_lots, placed.rest), (Lots::ONE, None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// A walk without effects and the one that trades agree on what the host admits.
    #[test]
    fn a_walk_without_effects_counts_what_would_be_admitted(
        orders in prop::collection::vec(new_order(), 1..24),
        taker in new_order(),
        purse in 0_u64..4_000,
    ) {
        let mut book = Book::default();
        let mut host = TestHost::default();
        for order in &orders {
            let _ = book.place(order, &mut host);
        }
        let taker = NewOrder {
            time_in_force: TimeInForce::Ioc,
            post_only: crate::PostOnly::Off,
            display_lots: Lots::ZERO,
            client_id: tidemark_proto::units::ClientId::NONE,
            ..taker
        };
        let mut host = Purse { host, ..Purse::of(purse) };
        let fillable = book.fillable_lots(&taker, &mut host);
        let filled = match book.place(&taker, &mut host) {
            Ok(placed) => placed.filled_lots,
            Err(refused) if refused.code == Code::InsufficientCollateral => Lots::ZERO,
            // What is refused for itself, such as a quantity out of range, never walks.
            Err(_) => return Ok(()),
        };
        // A taker that takes lots off itself goes on behind its own order.
        if taker.stp == SelfTradePrevention::Decrement {
            prop_assert!(filled >= fillable.lots);
        } else {
            prop_assert_eq!(filled, fillable.lots);
        }
    }
}
