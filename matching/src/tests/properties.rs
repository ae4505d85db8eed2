//! Long random streams of every operation and policy, against the naive model.

use proptest::prelude::*;
use tidemark_proto::units::{AccountId, Lots, SelfTradePrevention, Side, Ticks};
use tidemark_proto::Code;

use super::model::Model;
use super::{invariants, roots, TestHost};
use crate::{Book, Event, NewOrder, OrderView, Placed, PostOnly, Reject, Replace, TimeInForce};

#[derive(Clone, Debug)]
enum Op {
    Place(NewOrder),
    Replace {
        pick: u64,
        stranger: bool,
        price: Option<Ticks>,
        lots: Option<Lots>,
        stp: SelfTradePrevention,
        max_fills: u32,
    },
    Reduce {
        pick: u64,
        stranger: bool,
        by_lots: Lots,
    },
    Cancel {
        pick: u64,
        stranger: bool,
    },
    CancelByClientId {
        owner: AccountId,
        client_id: u64,
    },
    CancelAll {
        owner: AccountId,
        side: Option<Side>,
    },
    Expire {
        now_ms: u64,
        max: u32,
    },
    /// A position that changes outside the book; `tell`: and the book is told when it closed or turned.
    SetPosition {
        owner: AccountId,
        position: i8,
        tell: bool,
    },
    /// Block end: roots, changes, snapshot.
    Commit {
        restore: bool,
    },
}

fn price() -> impl Strategy<Value = Ticks> {
    prop_oneof![
        12 => 4_090_u64..4_103,
        1 => prop::sample::select(vec![0, 1, u64::MAX - 1, u64::MAX]),
        1 => prop::sample::select(vec![63, 64, 4_095, 4_096, 8_192, 1 << 40, u64::MAX - 4_096]),
    ]
}

fn lots() -> impl Strategy<Value = Lots> {
    prop_oneof![
        30 => 1_u64..20,
        1 => prop::sample::select(vec![0, i64::MAX as u64 - 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX]),
    ]
}

fn owner() -> impl Strategy<Value = AccountId> {
    prop_oneof![20 => 0_u32..5, 1 => prop::sample::select(vec![255_u32, 256, 70_000])]
}

fn side() -> impl Strategy<Value = Side> {
    any::<bool>().prop_map(|buy| if buy { Side::Buy } else { Side::Sell })
}

fn stp() -> impl Strategy<Value = SelfTradePrevention> {
    use SelfTradePrevention::{CancelBoth, CancelMaker, CancelTaker, Decrement};
    prop::sample::select(vec![CancelTaker, CancelMaker, CancelBoth, Decrement])
}

fn max_fills() -> impl Strategy<Value = u32> {
    prop_oneof![8 => Just(500_u32), 2 => 0_u32..4]
}

fn new_order() -> impl Strategy<Value = NewOrder> {
    let time_in_force = prop_oneof![
        6 => Just(TimeInForce::Gtc),
        2 => (0_u64..50).prop_map(|expires_ms| TimeInForce::Gtt { expires_ms }),
        2 => Just(TimeInForce::Ioc),
        2 => Just(TimeInForce::Fok),
    ];
    let post_only =
        prop_oneof![6 => Just(PostOnly::No), 1 => Just(PostOnly::Reject), 1 => Just(PostOnly::Slide)];
    let display_lots = prop_oneof![3 => Just(0_u64), 1 => 1_u64..6, 1 => lots()];
    let client_id = prop_oneof![3 => Just(0_u64), 1 => 1_u64..6];
    (
        owner(),
        client_id,
        side(),
        price(),
        (lots(), display_lots),
        time_in_force,
        post_only,
        prop::bool::weighted(0.3),
        stp(),
        max_fills(),
    )
        .prop_map(
            |(
                owner,
                client_id,
                side,
                price_ticks,
                (lots, display_lots),
                time_in_force,
                post_only,
                reduce_only,
                stp,
                max_fills,
            )| {
                let immediate = matches!(time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
                NewOrder {
                    owner,
                    client_id,
                    side,
                    price_ticks,
                    lots,
                    // Immediate orders mostly have none, or they would all be refused.
                    display_lots: if immediate && lots % 8 != 0 { 0 } else { display_lots },
                    time_in_force,
                    post_only,
                    reduce_only,
                    stp,
                    max_fills,
                }
            },
        )
}

fn op() -> impl Strategy<Value = Op> {
    let stranger = || prop::bool::weighted(0.1);
    prop_oneof![
        24 => new_order().prop_map(Op::Place),
        5 => (any::<u64>(), stranger(), prop::option::of(price()), prop::option::of(lots()), stp(), max_fills())
            .prop_map(|(pick, stranger, price, lots, stp, max_fills)| Op::Replace { pick, stranger, price, lots, stp, max_fills }),
        3 => (any::<u64>(), stranger(), lots()).prop_map(|(pick, stranger, by_lots)| Op::Reduce { pick, stranger, by_lots }),
        5 => (any::<u64>(), stranger()).prop_map(|(pick, stranger)| Op::Cancel { pick, stranger }),
        1 => (owner(), 0_u64..6).prop_map(|(owner, client_id)| Op::CancelByClientId { owner, client_id }),
        1 => (owner(), prop::option::of(side())).prop_map(|(owner, side)| Op::CancelAll { owner, side }),
        1 => (0_u64..50, 0_u32..5).prop_map(|(now_ms, max)| Op::Expire { now_ms, max }),
        3 => (owner(), -20_i8..20, any::<bool>()).prop_map(|(owner, position, tell)| Op::SetPosition { owner, position, tell }),
        2 => any::<bool>().prop_map(|restore| Op::Commit { restore }),
    ]
}

/// A book and its model, side by side.
struct Pair {
    book: Book,
    model: Model,
    host: TestHost,
    model_host: TestHost,
    client: roots::L2,
    /// Lots that came to rest, less those that left.
    resting: i128,
}

fn flat(result: Result<Placed, Reject>) -> super::model::Outcome {
    result
        .map(|p| (p.order_id, p.filled_lots, p.decremented_lots, p.resting_lots, p.price_ticks, p.rest))
        .map_err(|reject| reject.code)
}

fn code<T>(result: Result<T, Reject>) -> Result<T, Code> {
    result.map_err(|reject| reject.code)
}

impl Pair {
    fn new() -> Self {
        Self {
            book: Book::new(),
            model: Model::new(),
            host: TestHost::default(),
            model_host: TestHost::default(),
            client: roots::L2::new(),
            resting: 0,
        }
    }

    /// A live order mostly, now and then an id that is none; and its owner, or somebody else.
    fn pick(&self, pick: u64, stranger: bool) -> (u64, AccountId) {
        let live = self.model.all().count() as u64;
        if live == 0 || pick % 16 == 0 {
            return (pick % (self.model.next_id + 2), 0);
        }
        let order = self.model.all().nth((pick / 16 % live) as usize).expect("within");
        (order.order_id, if stranger { order.owner + 1 } else { order.owner })
    }

    fn step(&mut self, op: &Op) {
        let (book, model, host, model_host) =
            (&mut self.book, &mut self.model, &mut self.host, &mut self.model_host);
        match op {
            Op::Place(order) => {
                assert_eq!(flat(book.place(order, host)), model.place(order, model_host));
            }
            Op::Replace { pick, stranger, price, lots, stp, max_fills } => {
                let (order_id, owner) = self.pick(*pick, *stranger);
                let change = Replace {
                    order_id,
                    owner,
                    price_ticks: *price,
                    lots: *lots,
                    stp: *stp,
                    max_fills: *max_fills,
                };
                let got = self.book.replace(&change, &mut self.host);
                assert_eq!(flat(got), self.model.replace(&change, &mut self.model_host));
            }
            Op::Reduce { pick, stranger, by_lots } => {
                let (id, owner) = self.pick(*pick, *stranger);
                let got = self.book.reduce(id, owner, *by_lots, &mut self.host);
                assert_eq!(code(got), self.model.reduce(id, owner, *by_lots, &mut self.model_host));
            }
            Op::Cancel { pick, stranger } => {
                let (id, owner) = self.pick(*pick, *stranger);
                let got = self.book.cancel(id, owner, Code::Cancelled, &mut self.host);
                assert_eq!(code(got), self.model.cancel(id, owner, &mut self.model_host));
            }
            Op::CancelByClientId { owner, client_id } => {
                let got = book.cancel_by_client_id(*owner, *client_id, Code::Cancelled, host);
                assert_eq!(code(got), model.cancel_by_client_id(*owner, *client_id, model_host));
            }
            Op::CancelAll { owner, side } => {
                let got = book.cancel_all(*owner, *side, Code::Cancelled, host);
                assert_eq!(got, model.cancel_all(*owner, *side, model_host));
            }
            Op::Expire { now_ms, max } => {
                assert_eq!(book.expire(*now_ms, *max, host), model.expire(*now_ms, *max, model_host));
            }
            Op::SetPosition { owner, position, tell } => self.set_position(*owner, *position, *tell),
            Op::Commit { restore } => self.commit(*restore),
        }
        self.compare();
    }

    fn set_position(&mut self, owner: AccountId, position: i8, tell: bool) {
        for host in [&mut self.host, &mut self.model_host] {
            host.positions.insert(owner, i128::from(position));
        }
        for (side, spent) in [(Side::Sell, position <= 0), (Side::Buy, position >= 0)] {
            if tell && spent {
                let got = self.book.cancel_reduce_only(owner, side, &mut self.host);
                assert_eq!(got, self.model.cancel_reduce_only(owner, side, &mut self.model_host));
            }
        }
    }

    fn compare(&mut self) {
        assert_eq!(self.host.events, self.model_host.events);
        assert_eq!(self.host.positions, self.model_host.positions);
        for event in self.host.events.drain(..) {
            self.resting += match event {
                Event::Rested(order) => i128::from(order.lots),
                Event::Refilled(_) => 0,
                Event::Fill { lots, .. } => -i128::from(lots),
                Event::Reduced { by_lots, .. } => -i128::from(by_lots),
                Event::Removed { order, .. } => -i128::from(order.lots),
            };
        }
        self.model_host.events.clear();
        for side in [Side::Buy, Side::Sell] {
            let queues = self.book.levels(side).flat_map(|level| self.book.queue(side, level.price_ticks));
            let orders: Vec<OrderView> = queues.collect();
            assert_eq!(orders, self.model.sides[side as usize]);
        }
        assert_eq!(self.book.next_order_id(), self.model.next_id);
        let live: i128 = self.model.all().map(|order| i128::from(order.lots)).sum();
        assert_eq!(live, self.resting, "no lots lost or created");
        invariants::check(&self.book);
    }

    fn commit(&mut self, restore: bool) {
        roots::apply(&mut self.client, &self.book.take_dirty_levels());
        assert_eq!(self.client, roots::l2_of(&self.book));
        assert!(self.book.take_dirty_levels().is_empty());
        let (l2, l3) = (self.book.l2_root(), self.book.l3_root());
        assert_eq!(l2, roots::l2_root(&self.client));
        assert_eq!(l3, roots::l3_root(&self.model.sides, self.model.next_id));

        let mut bytes = Vec::new();
        self.book.to_snapshot(&mut bytes).expect("a Vec takes all");
        let mut restored = Book::from_snapshot(&mut bytes.as_slice()).expect("its own bytes");
        assert_eq!((restored.l2_root(), restored.l3_root()), (l2, l3));
        invariants::check(&restored);
        if restore {
            self.book = restored;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Same results, events, queues and roots as the model's, through restarts; uncrossed; lots conserved.
    #[test]
    fn does_what_the_model_does(ops in prop::collection::vec(op(), 1..400)) {
        let mut pair = Pair::new();
        for op in &ops {
            pair.step(op);
        }
        pair.step(&Op::Commit { restore: true });
    }

    /// Bytes that a book did not write are refused; what is accepted writes itself back.
    #[test]
    fn a_damaged_snapshot_is_refused_or_is_another_book(
        ops in prop::collection::vec(new_order(), 1..40),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut pair = Pair::new();
        for order in ops {
            pair.step(&Op::Place(order));
        }
        let mut bytes = Vec::new();
        pair.book.to_snapshot(&mut bytes).expect("a Vec takes all");
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(Book::from_snapshot(&mut bytes.as_slice()).is_err());
            return Ok(());
        }
        for (place, xor) in damage {
            let place = place.index(bytes.len());
            bytes[place] ^= xor;
        }
        let mut input = bytes.as_slice();
        if let Ok(book) = Book::from_snapshot(&mut input) {
            invariants::check(&book);
            let mut again = Vec::new();
            book.to_snapshot(&mut again).expect("a Vec takes all");
            prop_assert_eq!(again.as_slice(), &bytes[..bytes.len() - input.len()]);
        }
    }

    /// No bytes make it panic.
    #[test]
    fn arbitrary_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut versioned = vec![2];
        versioned.extend(bytes);
        let _ = Book::from_snapshot(&mut versioned.as_slice());
    }
}
