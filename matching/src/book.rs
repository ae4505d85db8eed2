//! The book's state, and the steps by which an order enters a level and leaves the book.

use tidemark_proto::units::{AccountId, Lots, OrderId, Side};
use tidemark_proto::Code;

use crate::arena::{Arena, Flags, Order, NONE};
use crate::attributes::{AttributeTable, Attributes};
use crate::bounded::{self, checked};
use crate::by_side::BySide;
use crate::clients::{ClientIds, InsertPosition};
use crate::expiries::{Expiries, Expiry};
use crate::icebergs::{Iceberg, Icebergs};
use crate::ids::{IdTable, RingIndex};
use crate::ladder::{price_of, PriceLadder};
use crate::levels::Levels;
use crate::order_tree::OrderTree;
use crate::owners::Owners;
use crate::pegs::Pegs;
use crate::types::{Event, Host, LevelView, OrderView, Reject};

/// The order book of one market.
///
/// Between operations it is never crossed: the best bid is below the best ask.
#[derive(Clone, Debug)]
pub struct Book {
    pub(crate) next_order_id: OrderId,
    pub(crate) orders: Arena,
    pub(crate) levels: Levels,
    /// Indexed by side.
    pub(crate) ladders: BySide<PriceLadder>,
    pub(crate) ids: IdTable,
    pub(crate) icebergs: Icebergs,
    pub(crate) owners: Owners,
    pub(crate) client_ids: ClientIds,
    pub(crate) attributes: AttributeTable,
    pub(crate) expiries: Expiries,
    pub(crate) pegs: Pegs,
    pub(crate) order_tree: OrderTree,
}

impl Default for Book {
    fn default() -> Self {
        Self::new()
    }
}

impl Book {
    /// Returns an empty book, whose first order gets id 1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            next_order_id: OrderId::new(1),
            orders: Arena::new(),
            levels: Levels::new(),
            ladders: BySide::new(PriceLadder::new(), PriceLadder::new()),
            ids: IdTable::default(),
            icebergs: Icebergs::default(),
            owners: Owners::new(),
            client_ids: ClientIds::default(),
            attributes: AttributeTable::default(),
            expiries: Expiries::default(),
            pegs: Pegs::default(),
            order_tree: OrderTree::ending_at(OrderId::new(1)),
        }
    }

    /// Assigns the next id to an order that stays outside of the book until it is placed. Returns
    /// `None` if no id is left.
    pub fn assign_id(&mut self) -> Option<OrderId> {
        let order_id = self.next_order_id;
        self.next_order_id = order_id.checked_next()?;
        Some(order_id)
    }

    /// Returns the levels changed since the last call, in their present state: bids, then asks,
    /// each by ascending price. The first call returns all changes since the book was created or
    /// restored. Call this once a block: until then, pages of changed prices stay in memory.
    pub fn take_dirty_levels(&mut self) -> Vec<LevelView> {
        let mut keys = Vec::new();
        for side in [Side::Buy, Side::Sell] {
            self.ladders
                .get_mut(side)
                .take_changed(&mut self.levels, |key| keys.push((side, price_of(side, key))));
        }
        keys.sort_unstable();
        keys.into_iter().map(|(side, price)| self.level_at(side, price)).collect()
    }

    pub(crate) fn queue_slots(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |slot: u32| Some(slot).filter(|slot| *slot != NONE);
        std::iter::successors(some(head), move |slot| some(self.orders.get(*slot).next))
    }

    #[inline]
    pub(crate) fn view(&self, slot: u32) -> OrderView {
        let order = self.orders.get(slot);
        let key = self.levels.get(order.level).key;
        view(
            order,
            self.attributes.get(slot, order.flags()),
            key,
            self.iceberg(slot, order.flags()),
        )
    }

    /// Returns the hidden part of an order with these flags.
    #[inline]
    pub(crate) fn iceberg(&self, slot: u32, flags: Flags) -> Iceberg {
        if flags.iceberg() {
            self.icebergs.get(slot)
        } else {
            Iceberg::default()
        }
    }

    /// Returns the unfilled lots of an order, hidden lots included.
    #[inline]
    pub(crate) fn total_lots(&self, slot: u32) -> Lots {
        let order = self.orders.get(slot);
        bounded::add(order.lots, self.iceberg(slot, order.flags()).hidden_lots)
    }

    /// Returns the slot of a live order that belongs to `owner`.
    #[inline]
    pub(crate) fn owned(&self, order_id: OrderId, owner: AccountId) -> Result<u32, Reject> {
        self.ids
            .get(order_id)
            .filter(|slot| self.orders.get(*slot).owner == owner)
            .ok_or(Reject::new(Code::UnknownOrder, 0, order_id.get()))
    }

    /// Stores an order as its owner's newest at the back of the level `index`, or of a new level at
    /// `key` if `index` is [`NONE`]. For a special order [`Book::index`] must follow. The caller
    /// has checked that the level's sum fits and that a slot is free.
    #[inline(always)]
    pub(crate) fn store(&mut self, order: Order, key: u64, index: u32) -> u32 {
        debug_assert!(!order.lots.is_zero(), "a resting order shows at least one lot");
        debug_assert!(order.id() < self.next_order_id, "the order's id was assigned");
        let slot = self.orders.allocate();
        self.ids.insert(order.id(), slot);
        self.owners.push(order.owner, slot);
        self.append(slot, order, key, index);
        slot
    }

    /// Enters an order that has come to the back of its level, if it is reduce-only, among those
    /// of its account.
    pub(crate) fn enter_reduce_only(&mut self, slot: u32) {
        let order = self.orders.get(slot);
        let (id, owner, flags) = (order.id(), order.owner, order.flags());
        if flags.reduce_only() {
            let lots = self.total_lots(slot);
            self.owners.add_reduce_only(owner, flags.side(), id, slot, lots);
        }
    }

    /// Takes an order out, if it is reduce-only, from among those of its account.
    pub(crate) fn leave_reduce_only(&mut self, slot: u32) {
        let order = self.orders.get(slot);
        let (id, owner, flags) = (order.id(), order.owner, order.flags());
        if flags.reduce_only() {
            let lots = self.total_lots(slot);
            self.owners.remove_reduce_only(owner, flags.side(), id, lots);
        }
    }

    /// Inserts a stored order into the secondary indexes; its client id goes to `insert_position`.
    #[inline(never)]
    pub(crate) fn index(
        &mut self,
        slot: u32,
        key: u64,
        attributes: Attributes,
        hidden: Iceberg,
        insert_position: InsertPosition,
    ) {
        let order = self.orders.get(slot);
        let (id, owner, flags, client_id) =
            (order.id(), order.owner, order.flags(), attributes.client_id);
        let expires_ms = attributes.expires_ms(flags);
        if flags.has_attributes() {
            self.attributes.set(slot, attributes);
        }
        if flags.has_client_id() {
            self.client_ids.insert_at(insert_position, owner, client_id, slot);
        }
        if let Some(expires_ms) = expires_ms {
            self.expiries.insert(Expiry { expires_ms, id, slot }, &mut self.attributes);
        }
        if flags.iceberg() {
            self.icebergs.set(slot, (flags.side(), key), hidden);
        }
    }

    /// Removes an order from the secondary indexes.
    #[inline(never)]
    pub(crate) fn unindex(&mut self, slot: u32) {
        self.leave_reduce_only(slot);
        let order = self.orders.get(slot);
        let (owner, flags) = (order.owner, order.flags());
        let Attributes { client_id, heap_index, .. } = self.attributes.get(slot, flags);
        if flags.has_client_id() {
            self.client_ids.remove(owner, client_id);
        }
        if flags.expires() {
            self.expiries.remove(heap_index, &mut self.attributes);
        }
        if flags.iceberg() {
            self.icebergs.remove(slot);
        }
    }

    /// Removes an order that is in no level from every index, and frees its slot.
    #[inline(always)]
    pub(crate) fn remove_unlinked(&mut self, slot: u32) {
        let order = self.orders.get_mut(slot);
        (order.prev, order.next) = (NONE, NONE);
        let order = self.orders.remove(slot);
        self.order_tree.leave((order.id(), slot), (OrderId::NONE, NONE));
        self.pegs.forget(order.id());
        let last_of_owner = self.owners.remove(order.owner, slot);
        let tidy_ids = self.ids.remove(order.id(), self.ids.locate(order.id()));
        self.clean_up(slot, order.flags(), [false, tidy_ids, last_of_owner]);
    }

    /// Rare clean-up after a removal, called last so that the hot path keeps its registers. The
    /// order's fields are still in its slot.
    #[inline(always)]
    pub(crate) fn clean_up(&mut self, slot: u32, flags: Flags, which: [bool; 3]) {
        if which[0] | which[1] | which[2] | flags.is_special() {
            self.clean_up_any(slot, which);
        }
    }

    #[inline(never)]
    fn clean_up_any(&mut self, slot: u32, which: [bool; 3]) {
        let order = self.orders.get(slot);
        let (id, owner, flags, level) = (order.id(), order.owner, order.flags(), order.level);
        if flags.is_special() {
            self.unindex(slot);
        }
        if which[0] {
            self.ladders.get_mut(flags.side()).clean_up(&mut self.levels, level);
        }
        if which[1] {
            self.ids.clean_up(id);
        }
        if which[2] {
            self.owners.clean_up(owner);
        }
    }

    /// Writes an order into a slot, at the back of the level `index`, or of a new level at `key` if
    /// `index` is [`NONE`].
    #[inline(always)]
    pub(crate) fn append(&mut self, slot: u32, mut order: Order, key: u64, index: u32) {
        let side = order.flags().side();
        self.pegs.enter(order.id(), side, key);
        self.order_tree.touch(order.id(), slot);
        let ladder = self.ladders.get_mut(side);
        let index = if index == NONE { ladder.open(&mut self.levels, key) } else { index };
        let (last, first_change) = self.levels.push_back(index, slot, order.lots);
        if first_change {
            ladder.mark_dirty(&mut self.levels, index);
        }
        order.prev = last;
        order.level = index;
        order.next = NONE;
        self.orders.write(slot, order);
    }

    /// Appends an order that is in no level, with `lots` unfilled, to the level at `key`. The order
    /// shows up to `display_lots` (0: all).
    pub(crate) fn requeue(&mut self, slot: u32, key: u64, display_lots: Lots, lots: Lots) {
        let (shown, iceberg) = Iceberg::split(display_lots, lots);
        let mut order = *self.orders.get(slot);
        order.lots = shown;
        let side = order.flags().side();
        if order.flags().iceberg() {
            self.icebergs.set(slot, (side, key), iceberg);
        }
        let index = self.ladders.get_mut(side).find_for_insert(key);
        self.append(slot, order, key, index);
    }

    /// Unlinks an order from its level, before it is appended to one or removed. An empty level is
    /// released.
    #[inline(always)]
    pub(crate) fn unlink_level(&mut self, slot: u32, order: &Order) {
        let Order { lots, level, next, prev, .. } = *order;
        self.order_tree.touch(self.orders.get(next).id(), next);
        self.orders.close_gap(prev, next);
        if self.pegs.are_kept() {
            self.pegs.leave(order.id(), order.flags().side(), self.levels.get(level).key);
        }
        if self.levels.unlink(level, slot, lots, prev, next) {
            self.ladders.get_mut(order.flags().side()).clean_up(&mut self.levels, level);
        }
    }

    /// Takes `by_lots`, fewer than the order shows, off the lots that a resting order shows. The
    /// order keeps its place in the queue.
    pub(crate) fn reduce_shown(&mut self, slot: u32, by_lots: Lots) {
        let order = self.orders.get_mut(slot);
        debug_assert!(by_lots < order.lots, "an order without shown lots is removed instead");
        order.lots = bounded::sub(order.lots, by_lots);
        self.order_tree.touch(order.id(), slot);
        self.ladders.get_mut(order.flags().side()).touch(&mut self.levels, order.level);
        let level = self.levels.get_mut(order.level);
        level.lots = bounded::sub(level.lots, by_lots);
    }

    /// Takes lots off a resting order, hidden lots first. An order without lots left is removed.
    pub(crate) fn reduce_or_evict(
        &mut self,
        slot: u32,
        by_lots: Lots,
        reason: Code,
        host: &mut impl Host,
    ) {
        if by_lots >= self.total_lots(slot) {
            self.evict(slot, reason, host);
            return;
        }
        let (flags, level) = (self.orders.get(slot).flags(), self.orders.get(slot).level);
        let Iceberg { display_lots, hidden_lots } = self.iceberg(slot, flags);
        let hidden = by_lots.min(hidden_lots);
        if !hidden.is_zero() {
            let level_key = (flags.side(), self.levels.get(level).key);
            self.icebergs.set(
                slot,
                level_key,
                Iceberg { display_lots, hidden_lots: checked::sub(hidden_lots, hidden) },
            );
        }
        self.reduce_shown(slot, checked::sub(by_lots, hidden));
        if flags.reduce_only() {
            let owner = self.orders.get(slot).owner;
            self.owners.shrink_reduce_only(owner, flags.side(), by_lots);
        }
        host.event(Event::Reduced { order: self.view(slot), by_lots, reason });
    }

    /// Removes a resting order and emits [`Event::Removed`]. Returns the order's unfilled lots.
    #[inline(always)]
    pub(crate) fn evict(&mut self, slot: u32, reason: Code, host: &mut impl Host) -> Lots {
        let id_index = self.ids.locate(self.orders.get(slot).id());
        self.evict_from(slot, id_index, reason, host)
    }

    /// Removes a resting order whose id is at `id_index`. Otherwise like [`Book::evict`].
    #[inline(always)]
    pub(crate) fn evict_from(
        &mut self,
        slot: u32,
        id_index: RingIndex,
        reason: Code,
        host: &mut impl Host,
    ) -> Lots {
        let order = self.orders.get(slot);
        let key = self.levels.get(order.level).key;
        let hidden_lots = match order.flags().is_special() {
            false => {
                let order = view(order, Attributes::NONE, key, Iceberg::default());
                host.event(Event::Removed { order, reason });
                Lots::ZERO
            }
            true => self.report_special_removal(slot, reason, host),
        };
        bounded::add(self.drop_order(slot, id_index), hidden_lots)
    }

    #[inline(never)]
    fn report_special_removal(&self, slot: u32, reason: Code, host: &mut impl Host) -> Lots {
        let order = self.view(slot);
        host.event(Event::Removed { order, reason });
        order.hidden_lots
    }

    /// Removes an order, whose id is at `id_index`, from its level and from every index, and frees
    /// its slot. Returns the lots that the order showed.
    #[inline(always)]
    pub(crate) fn drop_order(&mut self, slot: u32, id_index: RingIndex) -> Lots {
        let order = self.orders.remove(slot);
        let Order { lots, owner, level, prev, next, .. } = order;
        self.order_tree.leave((order.id(), slot), (self.orders.get(next).id(), next));
        if self.pegs.are_kept() {
            self.pegs.leave(order.id(), order.flags().side(), self.levels.get(level).key);
            self.pegs.forget(order.id());
        }
        let tidy_level = self.levels.unlink(level, slot, lots, prev, next);
        let last_of_owner = self.owners.remove(owner, slot);
        let tidy_ids = self.ids.remove(order.id(), id_index);
        self.clean_up(slot, order.flags(), [tidy_level, tidy_ids, last_of_owner]);
        lots
    }
}

/// Returns an order of the level at `key` as callers see it.
// Inlined where events are created: a copy through memory costs more than the reads.
#[inline(always)]
pub(crate) const fn view(
    order: &Order,
    attributes: Attributes,
    key: u64,
    iceberg: Iceberg,
) -> OrderView {
    let (flags, side) = (order.flags(), order.flags().side());
    OrderView {
        order_id: order.id(),
        owner: order.owner,
        client_id: attributes.client_id,
        side,
        price_ticks: price_of(side, key),
        lots: bounded::add(order.lots, iceberg.hidden_lots),
        hidden_lots: iceberg.hidden_lots,
        display_lots: iceberg.display_lots,
        reduce_only: flags.reduce_only(),
        post_only: flags.post_only(),
        expires_ms: attributes.expires_ms(flags),
    }
}
