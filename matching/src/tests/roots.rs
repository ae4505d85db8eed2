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
    tree(0x03, &leaves.collect())
}

/// `l3_root` from the orders alone.
pub(crate) fn l3_root(orders: &[Vec<OrderView>; 2], next_id: OrderId) -> Digest {
    let mut by_id = BTreeMap::<u64, Vec<u8>>::new();
    let mut last: Option<&OrderView> = None;
    for order in orders.iter().flatten() {
        let place = |order: &OrderView| (order.side, order.price_ticks);
        let ahead = last.filter(|last| place(last) == place(order));
        let ahead = ahead.map_or(OrderId::NONE, |ahead| ahead.order_id);
        by_id.insert(order.order_id.get(), order_bytes(order, ahead));
        last = Some(order);
    }
    let by_id: Vec<(u64, Vec<u8>)> = by_id.into_iter().collect();
    let hash = Sha256::new_with_prefix([0x04]).chain_update(orders_digest(&by_id));
    hash.chain_update(next_id.get().to_le_bytes()).finalize().into()
}

/// The digest of orders, by ascending id, each with the bytes that stand for it.
pub(crate) fn orders_digest(orders: &[(u64, Vec<u8>)]) -> Digest {
    let [(first, _), .., (last, _)] = orders else {
        return orders.first().map_or([0; 32], |(_, bytes)| hash_group([bytes]));
    };
    if orders.len() <= 8 {
        return hash_group(orders.iter().map(|(_, bytes)| bytes));
    }
    let mut height = 0;
    while first / 8_u64.pow(height + 1) != last / 8_u64.pow(height + 1) {
        height += 1;
    }
    let mut node = vec![0x06, height as u8];
    node.extend((first / 8_u64.pow(height + 1)).to_le_bytes());
    for digit in 0..8 {
        let of_child = |(id, _): &(u64, Vec<u8>)| id / 8_u64.pow(height) % 8 == digit;
        let child: Vec<_> = orders.iter().filter(|order| of_child(order)).cloned().collect();
        if !child.is_empty() {
            node.push(digit as u8);
            node.extend(orders_digest(&child));
        }
    }
    Sha256::digest(node).into()
}

fn hash_group<'a>(orders: impl IntoIterator<Item = &'a Vec<u8>>) -> Digest {
    let mut hash = Sha256::new_with_prefix([0x05]);
    orders.into_iter().for_each(|bytes| hash.update(bytes));
    hash.finalize().into()
}

/// An order as the root covers it.
pub(crate) fn order_bytes(order: &OrderView, ahead: OrderId) -> Vec<u8> {
    let flags = order.side as u8
        | u8::from(order.reduce_only) << 1
        | (order.post_only as u8) << 2
        | u8::from(order.expires_ms.is_some()) << 4
        | u8::from(!order.client_id.is_zero()) << 5
        | u8::from(!order.display_lots.is_zero()) << 6;
    let mut bytes = Vec::new();
    bytes.extend(order.order_id.get().to_le_bytes());
    bytes.extend(order.owner.get().to_le_bytes());
    bytes.extend((order.lots - order.hidden_lots).get().to_le_bytes());
    bytes.extend(order.client_id.get().to_le_bytes());
    bytes.extend(order.expires_ms.unwrap_or(TimeMs::ZERO).get().to_le_bytes());
    bytes.push(flags);
    bytes.extend(order.price_ticks.get().to_le_bytes());
    bytes.extend(ahead.get().to_le_bytes());
    if !order.display_lots.is_zero() {
        bytes.extend(order.display_lots.get().to_le_bytes());
        bytes.extend(order.hidden_lots.get().to_le_bytes());
    }
    bytes
}

fn tree(tag: u8, leaves: &BTreeMap<(Side, u64), Vec<u8>>) -> Digest {
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
    Sha256::digest(root).into()
}
