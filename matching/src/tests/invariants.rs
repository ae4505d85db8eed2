//! Invariants of a book between operations.

use std::collections::BTreeMap;

use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, Side};

use crate::arena::NONE;
use crate::expiries::Expiry;
use crate::ladder::{key_of, PriceLadder};
use crate::page::PAGE_KEYS;
use crate::Book;

/// Walks every structure and compares each with all the others.
pub(crate) fn check(book: &Book) {
    let mut live = 0;
    let mut owners = BTreeMap::<AccountId, Vec<OrderId>>::new();
    let mut reduce_only = BTreeMap::<(AccountId, Side), Vec<(u32, Lots)>>::new();
    let (mut clients, mut expiries, mut icebergs) = (0, 0, 0);
    for side in [Side::Buy, Side::Sell] {
        let ladder = book.ladders.get(side);
        let occupied = check_pages(book, ladder);
        let mut above = None;
        let mut levels = 0;
        let mut walk = ladder.best();
        while let Some(index) = walk {
            let level = book.levels.get(index);
            assert!(above.is_none_or(|above| above > level.key), "levels descend");
            above = Some(level.key);
            levels += 1;
            assert_eq!(ladder.find(level.key), index);
            let (mut lots, mut hidden, mut count, mut prev) = (Lots::ZERO, Lots::ZERO, 0, NONE);
            for slot in book.queue_slots(level.head) {
                let order = book.orders.get(slot);
                assert_eq!((order.level, order.prev, order.flags().side()), (index, prev, side));
                assert!(!order.lots.is_zero() && order.id() < book.next_order_id);
                assert_eq!(book.ids.get(order.id()), Some(slot));
                let view = book.view(slot);
                assert_eq!(key_of(side, view.price_ticks), level.key);
                owners.entry(order.owner).or_default().push(order.id());
                if view.reduce_only {
                    reduce_only.entry((order.owner, side)).or_default().push((slot, view.lots));
                }
                if view.client_id != ClientId::NONE {
                    clients += 1;
                    assert_eq!(book.client_ids.get(order.owner, view.client_id), Some(slot));
                }
                if let Some(expires_ms) = view.expires_ms {
                    expiries += 1;
                    let place = book.attributes.get(slot, order.flags()).heap_index as usize;
                    let expiry = Expiry { expires_ms, id: order.id(), slot };
                    assert_eq!(book.expiries.entries().get(place), Some(&expiry));
                }
                if !view.display_lots.is_zero() {
                    icebergs += 1;
                    assert!(view.shown_lots() <= view.display_lots);
                }
                assert!(view.hidden_lots.is_zero() || !view.display_lots.is_zero());
                hidden += view.hidden_lots;
                lots = lots.checked_add(order.lots).expect("a level's sum fits");
                count += 1;
                prev = slot;
            }
            assert_eq!((level.lots, level.count, level.tail), (lots, count, prev));
            assert_eq!(book.icebergs.hidden_lots((side, level.key)), hidden);
            assert!(lots.checked_add(hidden).is_some(), "a refill fits");
            assert!(count > 0, "no empty level");
            live += count;
            walk = ladder.next_worse(&book.levels, index);
        }
        assert_eq!(levels, occupied, "every occupied key is reached");
    }
    assert_eq!(book.live_orders(), live);
    assert_eq!(
        (book.client_ids.len(), book.expiries.entries().len(), book.icebergs.len()),
        (clients, expiries, icebergs)
    );
    for (owner, mut ids) in owners {
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let listed: Vec<OrderId> = book.orders_of(owner).map(|order| order.order_id).collect();
        assert_eq!(listed, ids, "newest first");
        assert_eq!(book.open_orders(owner) as usize, ids.len());
        for side in [Side::Buy, Side::Sell] {
            let expected = reduce_only.remove(&(owner, side)).unwrap_or_default();
            check_reduce_only(book, owner, side, &expected);
        }
    }
    if let (Some(bid), Some(ask)) = (book.best_bid(), book.best_ask()) {
        assert!(bid.price_ticks < ask.price_ticks, "uncrossed");
    }
}

/// An account's reduce-only orders of a side, with their lots, in order of price and arrival.
fn check_reduce_only(book: &Book, owner: AccountId, side: Side, expected: &[(u32, Lots)]) {
    assert_eq!(book.reduce_only_orders(owner, side) as usize, expected.len());
    let key = |slot: u32| book.levels.get(book.orders.get(slot).level).key;
    let mut kept: Vec<_> = book.owners.reduce_only_of(owner, side).collect();
    kept.sort_by_key(|order| (std::cmp::Reverse(key(order.slot)), order.arrival));
    let slots: Vec<u32> = kept.iter().map(|order| order.slot).collect();
    let expected_slots: Vec<u32> = expected.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(slots, expected_slots, "by price, then as the queues have them");
    let lots: u128 = expected.iter().map(|(_, lots)| u128::from(lots.get())).sum();
    assert_eq!(book.owners.reduce_only_lots(owner, side), lots);
}

/// Occupied keys in all pages; every page in the index has one.
fn check_pages(book: &Book, ladder: &PriceLadder) -> usize {
    let mut occupied = 0;
    for (number, index) in &ladder.index {
        let page = &ladder.pages[*index as usize];
        assert_eq!(page.number, *number);
        assert!(!page.occupied.is_empty());
        assert!((0..PAGE_KEYS)
            .all(|offset| page.occupied.contains(offset) == (page.levels[offset] != NONE)));
        for offset in (0..PAGE_KEYS).filter(|offset| page.occupied.contains(*offset)) {
            occupied += 1;
            assert_eq!(book.levels.get(page.levels[offset]).key, page.key(offset));
        }
    }
    occupied
}
