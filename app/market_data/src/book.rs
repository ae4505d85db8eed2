//! A replica of one book by price level, kept from the blocks' changes.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use tidemark_engine::events::BookDelta;
use tidemark_engine::state::merkle::Hash;
use tidemark_proto::units::{Lots, Side, Ticks};
use tidemark_proto::v1;

/// Lots and orders of one side by price.
pub type Levels = BTreeMap<Ticks, (Lots, u32)>;

/// One book by price level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Book {
    bids: Levels,
    asks: Levels,
    sequence: u64,
    root: Hash,
}

impl Default for L2Book {
    fn default() -> Self {
        let empty = Levels::new();
        Self { root: l2_root(&empty, &empty), bids: empty.clone(), asks: empty, sequence: 0 }
    }
}

impl L2Book {
    /// A book of these levels, bids and asks, after so many updates, with its root.
    pub(super) fn restored([bids, asks]: [Levels; 2], sequence: u64, root: Hash) -> Self {
        debug_assert_eq!(l2_root(&bids, &asks), root, "the levels are not those of the book");
        Self { bids, asks, sequence, root }
    }

    /// Takes a block's changes; `sequence` is the book's update count after them.
    ///
    /// In debug builds the root is recomputed from the replica and must be the one that the app
    /// hash commits to.
    pub fn apply(&mut self, delta: &BookDelta, sequence: u64) {
        set(&mut self.bids, &delta.bids);
        set(&mut self.asks, &delta.asks);
        self.sequence = sequence;
        self.root = delta.l2_root;
        debug_assert_eq!(
            l2_root(&self.bids, &self.asks),
            self.root,
            "the replica of market {}'s book left the chain's at update {sequence}",
            delta.market
        );
    }

    /// Updates so far.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The L2 root that the app hash commits to.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// A side's levels, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = v1::Level> + '_ {
        // One of the two is empty, so that both sides have one type.
        let (bids, asks) = match side {
            Side::Buy => (Some(&self.bids), None),
            Side::Sell => (None, Some(&self.asks)),
        };
        let best_first = bids.into_iter().flat_map(|levels| levels.iter().rev());
        best_first.chain(asks.into_iter().flatten()).map(|(price, level)| wire(*price, *level))
    }

    /// Sum of lots and number of levels of a side.
    #[must_use]
    pub fn depth(&self, side: Side) -> (u128, usize) {
        let levels = match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        };
        (levels.values().map(|(lots, _)| u128::from(lots.get())).sum(), levels.len())
    }
}

fn set(levels: &mut Levels, changes: &[(Ticks, Lots, u32)]) {
    for (price, lots, orders) in changes {
        if lots.is_zero() {
            levels.remove(price);
        } else {
            levels.insert(*price, (*lots, *orders));
        }
    }
}

fn wire(price_ticks: Ticks, (lots, orders): (Lots, u32)) -> v1::Level {
    v1::Level { price_ticks: price_ticks.get(), lots: lots.get(), orders }
}

/// A block's changes of one side as the wire has them.
#[must_use]
pub fn changed(levels: &[(Ticks, Lots, u32)]) -> Vec<v1::Level> {
    levels.iter().map(|(price, lots, orders)| wire(*price, (*lots, *orders))).collect()
}

/// The L2 root of a book, from its levels alone: what a client recomputes (docs/streams.md). The
/// layout is that of `tidemark_matching::Book::l2_root`, written a second time so that a replica
/// checks the book and not itself.
#[must_use]
pub fn l2_root(bids: &Levels, asks: &Levels) -> Hash {
    let leaf = |(lots, orders): &(Lots, u32)| {
        [&lots.get().to_le_bytes()[..], &orders.to_le_bytes()].concat()
    };
    let bids = bids.iter().map(|(price, level)| (price.get(), leaf(level))).collect();
    // An ask's key is mirrored, so ascending keys are descending prices.
    let asks = asks.iter().rev();
    let asks = asks.map(|(price, level)| ((Ticks::MAX - *price).get(), leaf(level))).collect();
    tree([bids, asks]).finalize().into()
}

/// The hash of a book's levels by ascending key, with what each level commits to.
fn tree(sides: [Vec<(u64, Vec<u8>)>; 2]) -> Sha256 {
    let mut hash = Sha256::new_with_prefix([3]);
    for side in sides {
        let pages: Vec<_> = side.chunk_by(|a, b| a.0 / 4_096 == b.0 / 4_096).collect();
        hash.update(u32::try_from(pages.len()).unwrap_or(u32::MAX).to_le_bytes());
        for page in pages {
            hash.update((page[0].0 / 4_096).to_le_bytes());
            hash.update(page_digest(page));
        }
    }
    hash
}

fn page_digest(page: &[(u64, Vec<u8>)]) -> Hash {
    let mut hash = Sha256::new_with_prefix([2]);
    for group in page.chunk_by(|a, b| a.0 / 64 == b.0 / 64) {
        let mut group_hash = Sha256::new_with_prefix([1]);
        for (key, leaf) in group {
            group_hash.update([low_byte(key % 64)]);
            group_hash.update(leaf);
        }
        hash.update([low_byte(group[0].0 / 64 % 64)]);
        hash.update(group_hash.finalize());
    }
    hash.finalize().into()
}

fn low_byte(value: u64) -> u8 {
    value.to_le_bytes()[0]
}
