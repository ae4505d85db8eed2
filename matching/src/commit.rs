//! Roots that commit to a book: SHA-256 over a tree of levels. Only changed parts are recomputed.
//!
//! A bid's key is its price, an ask's key is `2⁶⁴ − 1 − price`. Integers are little-endian. Only
//! existing nodes are hashed, always by ascending key. The two trees differ in their leaves and in
//! the last line.
//!
//! ```text
//! order   = id u64 ‖ owner u32 ‖ shown u64 ‖ client_id u64 ‖ expires_ms u64 ‖ flags u8 ‖ hidden
//!           an order without client id or expiry has 0 there
//! flags   = side (0 buy, 1 sell) | reduce_only << 1 | post_only (0 no, 1 reject, 2 slide) << 2
//!         | expires << 4 | client << 5 | iceberg << 6
//! hidden  = display_lots u64 ‖ hidden_lots u64      with flag iceberg; else no bytes
//! leaf₃   = SHA-256(order ‖ order ‖ …)              in queue order
//! leaf₂   = lots u64 ‖ count u32                    shown lots
//! group   = SHA-256(0x01 ‖ (key mod 64 u8 ‖ leaf)…)
//!           the levels with the same key div 64
//! page    = SHA-256(0x02 ‖ (key div 64 mod 64 u8 ‖ group)…)
//!           the groups with the same key div 4096
//! side    = count u32 ‖ (key div 4096 u64 ‖ page)…  number of pages
//! l2_root = SHA-256(0x03 ‖ side of bids ‖ side of asks)
//! l3_root = SHA-256(0x04 ‖ side of bids ‖ side of asks ‖ next_order_id u64)
//! ```

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "levels and pages come from their tables; offsets and groups fit their arrays"
)]

use sha2::{Digest as _, Sha256};
use tidemark_proto::units::{Side, TimeMs};

use crate::arena::Arena;
use crate::attributes::AttributeTable;
use crate::book::Book;
use crate::digest::Digest;
use crate::icebergs::{Iceberg, Icebergs};
use crate::ladder::PriceLadder;
use crate::levels::{Level, Levels};
use crate::page::{Digests, Page};

/// Number of levels whose queues are read side by side.
const HASHED_TOGETHER: usize = 32;
/// Bytes of orders that are hashed at a time.
const HASHED_BYTES: usize = 1_024;
/// Bytes of an iceberg order, the longest.
const LONGEST_ORDER: usize = 53;

impl Book {
    /// Commits to every level's price, lots and count, which a client of the L2 stream can
    /// recompute. The cost grows with the changes since the last root of either kind, plus one hash
    /// over the pages of prices in use.
    pub fn l2_root(&mut self) -> Digest {
        self.refresh();
        self.root(0x03, |digests| &digests.l2).finalize().into()
    }

    /// Commits to all that the book needs to continue: every order at its position, and the next
    /// id. The cost is that of [`Book::l2_root`].
    pub fn l3_root(&mut self) -> Digest {
        self.refresh();
        self.root(0x04, |digests| &digests.l3)
            .chain_update(self.next_order_id.get().to_le_bytes())
            .finalize()
            .into()
    }

    fn root(&self, tag: u8, pick: impl Fn(&Digests) -> &Digest) -> Sha256 {
        let mut hash = Sha256::new_with_prefix([tag]);
        for side in [Side::Buy, Side::Sell] {
            let ladder = self.ladders.get(side);
            // At most 2³² levels, so at most as many pages.
            hash.update((ladder.index.len() as u32).to_le_bytes());
            for (number, page) in &ladder.index {
                hash.update(number.to_le_bytes());
                hash.update(pick(&ladder.pages[*page as usize].digests));
            }
        }
        hash
    }

    fn refresh(&mut self) {
        self.levels.digests.resize(self.levels.capacity(), [0; 32]);
        let stores =
            Stores { orders: &self.orders, attributes: &self.attributes, icebergs: &self.icebergs };
        for ladder in self.ladders.iter_mut() {
            refresh(ladder, &mut self.levels, stores);
        }
    }
}

/// The parts of orders, in the three tables that store them.
#[derive(Clone, Copy)]
struct Stores<'a> {
    orders: &'a Arena,
    attributes: &'a AttributeTable,
    icebergs: &'a Icebergs,
}

/// Recomputes the digests of stale levels, and of the groups and pages that contain them.
fn refresh(ladder: &mut PriceLadder, levels: &mut Levels, stores: Stores<'_>) {
    let mut stale = std::mem::take(&mut ladder.stale);
    for page in stale.drain(..) {
        refresh_page(ladder, levels, stores, page as usize);
        ladder.free_if_unused(page);
    }
    ladder.stale = stale;
}

fn refresh_page(ladder: &mut PriceLadder, levels: &mut Levels, stores: Stores<'_>, index: usize) {
    let stale = std::mem::replace(&mut ladder.pages[index].stale, crate::page::Bits::EMPTY);
    let offsets = stale.groups().flat_map(|group| stale.group(group));
    let changed: Vec<u32> = offsets
        .map(|offset| ladder.pages[index].levels[offset])
        .filter(|level| *level != 0)
        .collect();
    for together in changed.chunks(HASHED_TOGETHER) {
        let queues = together.iter().map(|level| Queue::new(levels.get(*level))).collect();
        for (&level, digest) in together.iter().zip(digests(queues, stores)) {
            levels.get_mut(level).mark_clean();
            levels.digests[level as usize] = digest;
        }
    }
    for group in stale.groups() {
        ladder.pages[index].groups[group] = group_digests(&ladder.pages[index], levels, group);
    }
    let page = &mut ladder.pages[index];
    let (mut l2, mut l3) = (Sha256::new_with_prefix([0x02]), Sha256::new_with_prefix([0x02]));
    for group in page.occupied.groups() {
        let Digests { l2: group_l2, l3: group_l3 } = page.groups[group];
        l2.update([group as u8]);
        l2.update(group_l2);
        l3.update([group as u8]);
        l3.update(group_l3);
    }
    page.digests = Digests { l2: l2.finalize().into(), l3: l3.finalize().into() };
}

fn group_digests(page: &Page, levels: &Levels, group: usize) -> Digests {
    let (mut l2, mut l3) = (Sha256::new_with_prefix([0x01]), Sha256::new_with_prefix([0x01]));
    for offset in page.occupied.group(group) {
        let offset_byte = [(offset & 63) as u8];
        let index = page.levels[offset];
        let level = levels.get(index);
        l2.update(offset_byte);
        l2.update(level.lots.get().to_le_bytes());
        l2.update(level.count.to_le_bytes());
        l3.update(offset_byte);
        l3.update(levels.digests[index as usize]);
    }
    Digests { l2: l2.finalize().into(), l3: l3.finalize().into() }
}

/// A level's queue that is being hashed.
struct Queue {
    slot: u32,
    left: u32,
    bytes: Vec<u8>,
    hash: Sha256,
}

impl Queue {
    fn new(level: &Level) -> Self {
        Self {
            slot: level.head,
            left: level.count,
            bytes: Vec::with_capacity(HASHED_BYTES),
            hash: Sha256::new(),
        }
    }

    fn hash_next(&mut self, stores: Stores<'_>) {
        let order = stores.orders.get(self.slot);
        let mut bytes = [0; 37];
        bytes[..8].copy_from_slice(&order.id().get().to_le_bytes());
        bytes[8..12].copy_from_slice(&order.owner.get().to_le_bytes());
        bytes[12..20].copy_from_slice(&order.lots.get().to_le_bytes());
        let attributes = stores.attributes.get(self.slot, order.flags());
        bytes[20..28].copy_from_slice(&attributes.client_id.get().to_le_bytes());
        let expires_ms = attributes.expires_ms(order.flags()).unwrap_or(TimeMs::ZERO);
        bytes[28..36].copy_from_slice(&expires_ms.get().to_le_bytes());
        bytes[36] = order.flags().bits();
        self.bytes.extend_from_slice(&bytes);
        if order.flags().iceberg() {
            let Iceberg { display_lots, hidden_lots } = stores.icebergs.get(self.slot);
            self.bytes.extend_from_slice(&display_lots.get().to_le_bytes());
            self.bytes.extend_from_slice(&hidden_lots.get().to_le_bytes());
        }
        (self.slot, self.left) = (order.next, self.left - 1);
        // The load proceeds while the other queues have their turns.
        stores.orders.prefetch(self.slot);
        stores.attributes.prefetch(self.slot);
        if self.bytes.len() > HASHED_BYTES - LONGEST_ORDER {
            self.hash.update(&self.bytes);
            self.bytes.clear();
        }
    }
}

/// Returns the digests of some levels, whose queues are read side by side: each order names the
/// next order, so a single queue would wait for memory at every order of a large book.
fn digests(mut queues: Vec<Queue>, stores: Stores<'_>) -> impl Iterator<Item = Digest> {
    let longest = queues.iter().map(|queue| queue.left).max().unwrap_or(0);
    for _ in 0..longest {
        for queue in queues.iter_mut().filter(|queue| queue.left > 0) {
            queue.hash_next(stores);
        }
    }
    queues.into_iter().map(|queue| queue.hash.chain_update(queue.bytes).finalize().into())
}
