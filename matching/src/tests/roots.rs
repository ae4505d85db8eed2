//! The roots, computed anew from their documentation.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use tidemark_proto::units::{Lots, OrderId, Side, Ticks, TimeMs};

use crate::{Book, Digest, LevelView, OrderView};

/// Levels by (side, price): lots and count. What a client of the L2 stream keeps.
pub(crate) type L2 = BTreeMap<(Side, Ticks), (Lots, u32)>;

/// Applies changes as a client would.
pub(crate) fn apply(client: &mut L2, changes: &[LevelView]) {
    for level in changes {
        if level.count == 0 {
            client.remove(&(level.side, level.price_ticks));
        } else {
            client.insert((level.side, level.price_ticks), (level.lots, level.count));
        }
    }
}

/// All levels of a book.
pub(crate) fn l2_of(book: &Book) -> L2 {
    [Side::Buy, Side::Sell]
        .into_iter()
        .flat_map(|side| book.levels(side))
        .map(|level| ((level.side, level.price_ticks), (level.lots, level.count)))
        .collect()
}

fn key(side: Side, price: Ticks) -> u64 {
    match side {
        Side::Buy => price.get(),
        Side::Sell => u64::MAX - price.get(),
    }
}

/// `l2_root` from the levels alone.
pub(crate) fn l2_root(levels: &L2) -> Digest {
    let leaves = levels.iter().map(|((side, price), (lots, count))| {
        let leaf = [lots.get().to_le_bytes().as_slice(), count.to_le_bytes().as_slice()].concat();
        ((*side, key(*side, *price)), leaf)
    });
    tree(0x03, &leaves.collect(), &[])
}

/// `l3_root` from the orders alone.
pub(crate) fn l3_root(orders: &[Vec<OrderView>; 2], next_id: OrderId) -> Digest {
    let mut queues = BTreeMap::<_, Vec<u8>>::new();
    for order in orders.iter().flatten() {
        let flags = order.side as u8
            | u8::from(order.reduce_only) << 1
            | (order.post_only as u8) << 2
            | u8::from(order.expires_ms.is_some()) << 4
            | u8::from(!order.client_id.is_zero()) << 5
            | u8::from(!order.display_lots.is_zero()) << 6;
        let queue = queues.entry((order.side, key(order.side, order.price_ticks))).or_default();
        queue.extend(order.order_id.get().to_le_bytes());
        queue.extend(order.owner.get().to_le_bytes());
        queue.extend((order.lots - order.hidden_lots).get().to_le_bytes());
        queue.extend(order.client_id.get().to_le_bytes());
        queue.extend(order.expires_ms.unwrap_or(TimeMs::ZERO).get().to_le_bytes());
        queue.push(flags);
        if !order.display_lots.is_zero() {
            queue.extend(order.display_lots.get().to_le_bytes());
            queue.extend(order.hidden_lots.get().to_le_bytes());
        }
    }
    let leaves = queues.into_iter().map(|(place, queue)| (place, Sha256::digest(queue).to_vec()));
    tree(0x04, &leaves.collect(), &next_id.get().to_le_bytes())
}

fn tree(tag: u8, leaves: &BTreeMap<(Side, u64), Vec<u8>>, tail: &[u8]) -> Digest {
    let fold = |tag: u8, nodes: BTreeMap<(Side, u64), Vec<u8>>| {
        let mut parents = BTreeMap::<_, Vec<u8>>::new();
        for ((side, key), node) in nodes {
            let parent = parents.entry((side, key / 64)).or_insert_with(|| vec![tag]);
            parent.push((key % 64) as u8);
            parent.extend(node);
        }
        parents.into_iter().map(|(place, bytes)| (place, Sha256::digest(bytes).to_vec())).collect()
    };
    let pages: BTreeMap<(Side, u64), Vec<u8>> = fold(0x02, fold(0x01, leaves.clone()));
    let mut root = vec![tag];
    for side in [Side::Buy, Side::Sell] {
        let of_side = pages.iter().filter(|((of, _), _)| *of == side);
        root.extend((of_side.clone().count() as u32).to_le_bytes());
        for ((_, number), page) in of_side {
            root.extend(number.to_le_bytes());
            root.extend(page);
        }
    }
    root.extend(tail);
    Sha256::digest(root).into()
}
