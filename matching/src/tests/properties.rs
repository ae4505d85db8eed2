//! Long random streams of every operation and policy, against the naive model.

use proptest::prelude::*;
use tidemark_proto::units::{AccountId, ClientId, Lots, SelfTradePrevention, Side, Ticks, TimeMs};

use super::bytes;
use super::invariants;
use super::pair::{Op, Pair};
use crate::{Book, NewOrder, PostOnly, TimeInForce, MAX_ORDER_LOTS};

fn price() -> impl Strategy<Value = Ticks> {
    prop_oneof![
        12 => 4_090_u64..4_103,
        1 => prop::sample::select(vec![0, 1, u64::MAX - 1, u64::MAX]),
        1 => prop::sample::select(vec![63, 64, 4_095, 4_096, 8_192, 1 << 40, u64::MAX - 4_096]),
    ]
    .prop_map(Ticks::new)
}

fn lots() -> impl Strategy<Value = Lots> {
    prop_oneof![
        30 => 1_u64..20,
        1 => prop::sample::select(vec![
            0,
            MAX_ORDER_LOTS.get() - 1,
            MAX_ORDER_LOTS.get(),
            MAX_ORDER_LOTS.get() + 1,
            u64::MAX,
        ]),
    ]
    .prop_map(Lots::new)
}

fn owner() -> impl Strategy<Value = AccountId> {
    prop_oneof![20 => 0_u32..5, 1 => prop::sample::select(vec![255_u32, 256, 70_000])]
        .prop_map(AccountId::new)
}

fn time() -> impl Strategy<Value = TimeMs> {
    (0_u64..50).prop_map(TimeMs::new)
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

fn max_visits() -> impl Strategy<Value = u32> {
    prop_oneof![8 => Just(u32::MAX), 2 => 0_u32..8]
}

pub(super) fn new_order() -> impl Strategy<Value = NewOrder> {
    let time_in_force = prop_oneof![
        6 => Just(TimeInForce::Gtc),
        2 => time().prop_map(|expires_ms| TimeInForce::Gtt { expires_ms }),
        2 => Just(TimeInForce::Ioc),
        2 => Just(TimeInForce::Fok),
    ];
    let post_only = prop_oneof![
        6 => Just(PostOnly::Off),
        1 => Just(PostOnly::Reject),
        1 => Just(PostOnly::Slide),
    ];
    let display_lots = prop_oneof![
        3 => Just(Lots::ZERO),
        1 => (1_u64..6).prop_map(Lots::new),
        1 => lots(),
    ];
    let client_id = prop_oneof![3 => Just(0_u64), 1 => 1_u64..6].prop_map(ClientId::new);
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
        (max_fills(), max_visits()),
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
                (max_fills, max_visits),
            )| {
                // Immediate orders mostly have none, or they would all be refused.
                let shows_all = !time_in_force.rests() && lots.get() % 8 != 0;
                NewOrder {
                    owner,
                    client_id,
                    side,
                    price_ticks,
                    lots,
                    display_lots: if shows_all { Lots::ZERO } else { display_lots },
                    time_in_force,
                    post_only,
                    reduce_only,
                    stp,
                    max_fills,
                    max_visits,
                }
            },
        )
}

fn stranger() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.1)
}

fn replace() -> impl Strategy<Value = Op> {
    let price = prop::option::of(price());
    let lots = prop::option::of(lots());
    (any::<u64>(), stranger(), price, lots, stp(), max_fills(), max_visits()).prop_map(
        |(pick, stranger, price, lots, stp, max_fills, max_visits)| Op::Replace {
            pick,
            stranger,
            price,
            lots,
            stp,
            max_fills,
            max_visits,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let position = -20_i8..20;
    prop_oneof![
        24 => new_order().prop_map(Op::Place),
        5 => replace(),
        3 => (any::<u64>(), stranger(), lots())
            .prop_map(|(pick, stranger, by_lots)| Op::Reduce { pick, stranger, by_lots }),
        5 => (any::<u64>(), stranger())
            .prop_map(|(pick, stranger)| Op::Cancel { pick, stranger }),
        1 => (owner(), (0_u64..6).prop_map(ClientId::new))
            .prop_map(|(owner, client_id)| Op::CancelByClientId { owner, client_id }),
        1 => (owner(), prop::option::of(side()), prop_oneof![Just(u32::MAX), 0_u32..4])
            .prop_map(|(owner, side, max)| Op::CancelAll { owner, side, max }),
        1 => (time(), 0_u32..5).prop_map(|(now_ms, max)| Op::Expire { now_ms, max }),
        3 => (owner(), position, any::<bool>())
            .prop_map(|(owner, position, tell)| Op::SetPosition { owner, position, tell }),
        1 => (owner(), prop::bool::weighted(0.4))
            .prop_map(|(owner, frozen)| Op::Freeze { owner, frozen }),
        2 => any::<bool>().prop_map(|restore| Op::Commit { restore }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    /// Results, events, queues and roots equal those of the model, through restarts; the book stays
    /// uncrossed; lots are conserved.
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
        pair.book.freeze().write(&mut bytes).expect("a Vec takes all");
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
            book.freeze().write(&mut again).expect("a Vec takes all");
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

    /// Runs the fuzz target's entry on bytes from a seed.
    #[test]
    fn any_bytes_are_operations(bytes in prop::collection::vec(any::<u8>(), 0..4_000)) {
        bytes::drive(&bytes);
    }
}
