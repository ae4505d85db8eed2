//! Roots that commit to a book by SHA-256. Only what has changed is hashed anew, whatever rests
//! beside it.
//!
//! **L2** is a tree of levels by price; a bid's key is its price, an ask's `2⁶⁴ − 1 − price`.
//! **L3** is a tree of orders by id, each with its price and the order ahead of it. Integers are
//! little-endian. Only existing nodes are hashed, always by ascending key.
//!
//! ```text
//! level   = lots u64 ‖ count u32                    shown lots
//! group   = SHA-256(0x01 ‖ (key mod 64 u8 ‖ level)…)
//!           the levels with the same key div 64
//! page    = SHA-256(0x02 ‖ (key div 64 mod 64 u8 ‖ group)…)
//!           the groups with the same key div 4096
//! side    = count u32 ‖ (key div 4096 u64 ‖ page)…  number of pages
//! l2_root = SHA-256(0x03 ‖ side of bids ‖ side of asks)
//!
//! order   = id u64 ‖ owner u32 ‖ shown u64 ‖ client_id u64 ‖ expires_ms u64 ‖ flags u8 ‖ price u64
//!           ‖ ahead u64 ‖ hidden
//!           an order without client id or expiry has 0 there
//! flags   = side (0 buy, 1 sell) | reduce_only << 1 | post_only (0 no, 1 reject, 2 slide) << 2
//!         | expires << 4 | client << 5 | iceberg << 6
//! ahead   = id of the order ahead at its price, 0 for the first
//! hidden  = display_lots u64 ‖ hidden_lots u64      with flag iceberg; else no bytes
//! orders  = SHA-256(0x05 ‖ order ‖ order ‖ …)       by id, for up to 8 orders
//!         | SHA-256(0x06 ‖ height u8 ‖ id div 8^(height + 1) u64 ‖ (digit u8 ‖ orders)…)
//!           for more; their ids differ at the octal digit `height` and agree above it; each child
//!           has the orders with one digit there
//! l3_root = SHA-256(0x04 ‖ orders ‖ next_order_id u64)
//!           all orders; 32 zero bytes if there are none
//! ```

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "levels and pages come from their tables; offsets and groups fit their arrays"
)]

use sha2::{Digest as _, Sha256};
use tidemark_proto::units::TimeMs;

use crate::arena::NONE;
use crate::book::Book;
use crate::digest::Digest;
use crate::icebergs::Iceberg;
use crate::ladder::{price_of, PriceLadder};
use crate::levels::Levels;
use crate::order_node::WIDTH;
use crate::page::Page;

/// Number of groups of orders that are read side by side.
const HASHED_TOGETHER: usize = 16;
/// Bytes of an iceberg order, the longest.
const LONGEST_ORDER: usize = 69;
/// Most bytes that a group of orders hashes.
pub(crate) const GROUP_BYTES: usize = 1 + WIDTH * LONGEST_ORDER;

impl Book {
    /// Commits to every level's price, lots and count, which a client of the L2 stream can
    /// recompute. The cost grows with the changes since the last root, plus one hash over the pages
    /// of prices in use.
    pub fn l2_root(&mut self) -> Digest {
        for ladder in self.ladders.iter_mut() {
            refresh(ladder, &mut self.levels);
        }
        let mut hash = Sha256::new();
        self.put_l2_root(|bytes| hash.update(bytes));
        hash.finalize().into()
    }

    /// Passes what the root over levels hashes, as of the last root, to `put`.
    pub(crate) fn put_l2_root(&self, mut put: impl FnMut(&[u8])) {
        put(&[0x03]);
        for ladder in self.ladders.iter() {
            // At most 2³² levels, so at most as many pages.
            put(&(ladder.index.len() as u32).to_le_bytes());
            for (number, page) in &ladder.index {
                put(&number.to_le_bytes());
                put(&ladder.pages[*page as usize].digest);
            }
        }
    }

    /// Commits to all that the book needs to continue: every order at its place, and the next id.
    /// The cost grows with the changes since the last root.
    pub fn l3_root(&mut self) -> Digest {
        let next = self.next_order_id;
        if self.order_tree.has_changes(next) {
            let groups = self.order_tree.follow(&self.orders, &self.ids, next);
            let mut digests = Vec::with_capacity(groups.len());
            for together in groups.chunks(HASHED_TOGETHER) {
                together.iter().flatten().for_each(|slot| self.prefetch_hashed(*slot));
                together.iter().flatten().for_each(|slot| self.prefetch_ahead(*slot));
                digests.extend(together.iter().map(|slots| self.group_digest(slots)));
            }
            self.order_tree.set_digests(digests);
        }
        Sha256::digest(self.l3_root_bytes()).into()
    }

    /// Returns what the root over orders hashes, as of the last root.
    pub(crate) fn l3_root_bytes(&self) -> [u8; 41] {
        let mut bytes = [0x04; 41];
        bytes[1..33].copy_from_slice(self.order_tree.digest());
        bytes[33..].copy_from_slice(&self.next_order_id.get().to_le_bytes());
        bytes
    }

    /// The order is on its way from memory while others have their turns.
    fn prefetch_hashed(&self, slot: u32) {
        self.orders.prefetch(slot);
        self.attributes.prefetch(slot);
    }

    /// Prefetches the order ahead of an order, whose id is hashed too.
    fn prefetch_ahead(&self, slot: u32) {
        self.orders.prefetch(self.orders.get(slot).prev);
    }

    fn group_digest(&self, slots: &[u32]) -> Digest {
        let mut bytes = [0; GROUP_BYTES];
        let end = self.write_orders(slots, &mut bytes);
        Sha256::digest(&bytes[..end]).into()
    }

    /// Writes what a group of orders hashes; returns the number of bytes. [`NONE`] is no order.
    pub(crate) fn write_orders(&self, slots: &[u32], to: &mut [u8; GROUP_BYTES]) -> usize {
        to[0] = 0x05;
        let mut end = 1;
        for slot in slots.iter().filter(|slot| **slot != NONE) {
            end += self.write_order(*slot, &mut to[end..]);
        }
        end
    }

    /// Writes an order as the root covers it; returns the number of bytes.
    fn write_order(&self, slot: u32, to: &mut [u8]) -> usize {
        let order = self.orders.get(slot);
        let flags = order.flags();
        let attributes = self.attributes.get(slot, flags);
        let expires_ms = attributes.expires_ms(flags).unwrap_or(TimeMs::ZERO);
        let price_ticks = price_of(flags.side(), self.levels.get(order.level).key);
        to[..8].copy_from_slice(&order.id().get().to_le_bytes());
        to[8..12].copy_from_slice(&order.owner.get().to_le_bytes());
        to[12..20].copy_from_slice(&order.lots.get().to_le_bytes());
        to[20..28].copy_from_slice(&attributes.client_id.get().to_le_bytes());
        to[28..36].copy_from_slice(&expires_ms.get().to_le_bytes());
        to[36] = flags.bits();
        to[37..45].copy_from_slice(&price_ticks.get().to_le_bytes());
        // Slot 0, which stands for no order, has the id 0.
        to[45..53].copy_from_slice(&self.orders.get(order.prev).id().get().to_le_bytes());
        if !flags.iceberg() {
            return 53;
        }
        let Iceberg { display_lots, hidden_lots } = self.icebergs.get(slot);
        to[53..61].copy_from_slice(&display_lots.get().to_le_bytes());
        to[61..69].copy_from_slice(&hidden_lots.get().to_le_bytes());
        LONGEST_ORDER
    }
}

/// Recomputes the digests of groups with stale levels, and of the pages that contain them.
fn refresh(ladder: &mut PriceLadder, levels: &mut Levels) {
    let mut stale = std::mem::take(&mut ladder.stale);
    for page in stale.drain(..) {
        refresh_page(&mut ladder.pages[page as usize], levels);
        ladder.free_if_unused(page);
    }
    ladder.stale = stale;
}

fn refresh_page(page: &mut Page, levels: &mut Levels) {
    let stale = std::mem::replace(&mut page.stale, crate::page::Bits::EMPTY);
    for group in stale.groups() {
        for offset in stale.group(group) {
            levels.get_mut(page.levels[offset]).mark_clean();
        }
        let mut hash = Sha256::new();
        put_group(page, levels, group, |bytes| hash.update(bytes));
        page.groups[group] = hash.finalize().into();
    }
    let mut hash = Sha256::new();
    put_page(page, |bytes| hash.update(bytes));
    page.digest = hash.finalize().into();
}

/// Passes what a page of levels hashes, with the digests that its groups have, to `put`.
pub(crate) fn put_page(page: &Page, mut put: impl FnMut(&[u8])) {
    put(&[0x02]);
    for group in page.occupied.groups() {
        put(&[group as u8]);
        put(&page.groups[group]);
    }
}

/// Passes what a group of levels hashes to `put`.
pub(crate) fn put_group(page: &Page, levels: &Levels, group: usize, mut put: impl FnMut(&[u8])) {
    put(&[0x01]);
    for offset in page.occupied.group(group) {
        let level = levels.get(page.levels[offset]);
        put(&[(offset & 63) as u8]);
        put(&level.lots.get().to_le_bytes());
        put(&level.count.to_le_bytes());
    }
}
