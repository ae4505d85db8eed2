//! Proofs of single orders and levels, verified from the documentation of the roots.

use sha2::{Digest as _, Sha256};
use tidemark_proto::units::{OrderId, Side, Ticks};
use tidemark_proto::Code;

use super::roots::order_bytes;
use super::rules::{account, place, replace};
use super::{gtc, TestHost};
use crate::{Book, Digest};

/// Returns true if each step's digest is one of those in the next, and the last step's is `root`.
fn verifies(steps: &[Vec<u8>], root: Digest) -> bool {
    let digest = |step: &Vec<u8>| Digest::from(Sha256::digest(step));
    let within = steps.windows(2).all(|pair| digests_in(&pair[1]).contains(&digest(&pair[0])));
    within && steps.last().is_some_and(|last| digest(last) == root)
}

/// The digests that a step hashes.
fn digests_in(step: &[u8]) -> Vec<Digest> {
    let entries = |from: usize, name: usize| {
        step[from..].chunks_exact(name + 32).map(move |entry| entry[name..].try_into().unwrap())
    };
    match step[0] {
        0x02 => entries(1, 1).collect(),
        0x03 => {
            let bids = u32::from_le_bytes(step[1..5].try_into().unwrap()) as usize;
            let asks = entries(9 + bids * 40, 8);
            entries(5, 8).take(bids).chain(asks).collect()
        }
        0x04 => vec![step[1..33].try_into().unwrap()],
        0x06 => entries(10, 1).collect(),
        tag => panic!("a step with tag {tag} has no digests"),
    }
}

/// A book with some hundred orders left of a thousand, at prices of two pages a side.
fn book() -> Book {
    let (mut book, mut host) = (Book::new(), TestHost::default());
    for index in 0..1_000 {
        let (side, price) = match index % 2 {
            0 => (Side::Buy, 9_000 - index % 7 * 1_000),
            _ => (Side::Sell, 10_000 + index % 7 * 1_000),
        };
        place(&mut book, &mut host, &gtc(index as u32 % 5, side, price, 1 + index)).expect("rests");
        if index % 10 != 0 && index > 20 {
            let id = OrderId::new(index - 19);
            let owner = book.order(id).expect("rests").owner;
            book.cancel(id, owner, Code::Cancelled, &mut host).expect("is live");
        }
    }
    book
}

#[test]
fn each_order_and_its_place_are_proven_under_the_root() {
    let mut book = book();
    let root = book.l3_root();
    let mut proven = 0;
    for side in [Side::Buy, Side::Sell] {
        let levels: Vec<_> = book.levels(side).map(|level| level.price_ticks).collect();
        for price in levels {
            let mut ahead = OrderId::NONE;
            for order in book.queue(side, price).collect::<Vec<_>>() {
                let steps = book.order_proof(order.order_id).expect("is live");
                assert!(verifies(&steps, root));
                let bytes = order_bytes(&order, ahead);
                assert!(steps[0][1..].chunks_exact(53).any(|in_group| in_group == bytes));
                (ahead, proven) = (order.order_id, proven + 1);
            }
        }
    }
    assert_eq!(proven, book.live_orders());
    assert!(book.order_proof(book.next_order_id()).is_none());
}

#[test]
fn each_level_is_proven_under_the_root() {
    let mut book = book();
    let root = book.l2_root();
    for side in [Side::Buy, Side::Sell] {
        for level in book.levels(side).collect::<Vec<_>>() {
            let steps = book.level_proof(side, level.price_ticks).expect("has orders");
            assert!(verifies(&steps, root));
            let key = match side {
                Side::Buy => level.price_ticks.get(),
                Side::Sell => u64::MAX - level.price_ticks.get(),
            };
            let mut leaf = vec![(key % 64) as u8];
            leaf.extend(level.lots.get().to_le_bytes());
            leaf.extend(level.count.to_le_bytes());
            assert!(steps[0][1..].chunks_exact(13).any(|in_group| in_group == leaf));
        }
    }
    assert!(book.level_proof(Side::Buy, Ticks::new(1)).is_none());
}

#[test]
fn a_changed_order_is_not_proven_by_the_old_steps() {
    let (mut book, mut host) = (book(), TestHost::default());
    let order = book.orders_of(account(1)).next().expect("has orders");
    let steps = book.order_proof(order.order_id).expect("is live");
    let change = replace(order.order_id.get(), 1, None, Some(1));
    book.replace(&change, &mut host).expect("fewer lots");
    let root = book.l3_root();
    assert!(!verifies(&steps, root));
    assert!(verifies(&book.order_proof(order.order_id).expect("is live"), root));
}
