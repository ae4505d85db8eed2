//! Conditional orders of one market: those that wait for a mark or for their time, resting ones
//! with a waiting partner, and pegged ones.

mod frozen;
mod order;
mod shown;
mod slicing;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};
use tidemark_matching::{Trails, TriggerBook, TriggerDirection, TurnQueue};
use tidemark_proto::defence::Defence;
use tidemark_proto::types::Trigger;
use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, OwnerId, Side, Ticks, TimeMs};

use super::merkle::{encode, Hash};
use super::table::Table;
pub(crate) use frozen::FrozenConditional;
pub use order::{reach, Conditional, Kind, Pegged, Reached, Retrying, RETRIES};
pub(crate) use shown::shown;
pub use slicing::{Slicing, CATCH_UP};

/// The orders of one market: rows with a Merkle root, and indexes that are derived from them.
#[derive(Clone, Debug, Default)]
pub struct ConditionalOrders {
    rows: Table<u32, Option<Conditional>>,
    /// Slots without a row; a new row takes the lowest.
    free: BTreeSet<u32>,
    slots: BTreeMap<OrderId, u32>,
    client_ids: BTreeMap<(AccountId, ClientId), OrderId>,
    by_account: BTreeSet<(AccountId, OrderId)>,
    /// Orders off the book, by account.
    waiting: BTreeMap<AccountId, Waiting>,
    /// Orders off the book that wait to reduce a position.
    exits: BTreeSet<(AccountId, OrderId)>,
    /// Exits that wait for an entry to fill.
    dormant: BTreeSet<(AccountId, OrderId)>,
    /// Exits by the entry on the book whose fills they close.
    by_entry: BTreeSet<(OrderId, OrderId)>,
    /// Dormant exits whose entry has filled.
    due_exits: BTreeSet<OrderId>,
    expiries: BTreeSet<(TimeMs, OrderId)>,
    slices: BTreeSet<(TimeMs, OrderId)>,
    /// Trigger prices of orders that only reduce, and of the others: neither is in the other's way.
    exit_triggers: TriggerBook,
    other_triggers: TriggerBook,
    /// Trigger prices that follow the mark; all of orders that only reduce.
    trails: Trails,
    /// Orders that the mark has reached.
    turns: TurnQueue,
    /// Triggered orders that are tried again.
    retries: BTreeSet<OrderId>,
    /// Pegged orders.
    pegs: BTreeSet<OrderId>,
    /// The pegged order whose turn it is; 0 is the first.
    next_peg: OrderId,
}

/// Counts of an account's orders off the book.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    all: u32,
    /// Those that could increase exposure, and those that are about to be entered.
    increasing: u32,
}

impl ConditionalOrders {
    /// Returns true if there is no order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// An order.
    #[must_use]
    pub fn get(&self, order_id: OrderId) -> Option<&Conditional> {
        self.rows.get(*self.slots.get(&order_id)?)?.as_ref()
    }

    /// The order off the book that an account gave a client id.
    #[must_use]
    pub fn by_client_id(&self, account: AccountId, client_id: ClientId) -> Option<&Conditional> {
        self.get(*self.client_ids.get(&(account, client_id))?)
    }

    /// Orders of an account that are off the book.
    #[must_use]
    pub fn waiting(&self, account: AccountId) -> u32 {
        self.waiting.get(&account).map_or(0, |of| of.all)
    }

    /// Orders of an account that are off the book and could increase exposure: each has a trigger
    /// reserve.
    #[must_use]
    pub fn increasing(&self, account: AccountId) -> u32 {
        self.waiting.get(&account).map_or(0, |of| of.increasing)
    }

    /// Counts an order among those of [`Self::increasing`] before it is entered, so that what is
    /// admitted meanwhile leaves its trigger reserve alone.
    pub fn pledge(&mut self, account: AccountId) {
        let of = self.waiting.entry(account).or_default();
        of.increasing = of.increasing.saturating_add(1);
    }

    /// Ends a [`Self::pledge`].
    pub fn unpledge(&mut self, account: AccountId) {
        self.change_waiting(account, |of| of.increasing = of.increasing.saturating_sub(1));
    }

    fn change_waiting(&mut self, account: AccountId, change: impl FnOnce(&mut Waiting)) {
        let of = self.waiting.entry(account).or_default();
        change(of);
        if of.all == 0 && of.increasing == 0 {
            self.waiting.remove(&account);
        }
    }

    /// Ids of an account's orders, oldest first.
    pub fn of(&self, account: AccountId) -> impl DoubleEndedIterator<Item = OrderId> + '_ {
        self.by_account.range((account, OrderId::MIN)..=(account, OrderId::MAX)).map(|(_, id)| *id)
    }

    /// Ids of an account's orders off the book that only reduce, oldest first.
    pub fn exits(&self, account: AccountId) -> impl Iterator<Item = OrderId> + '_ {
        self.exits.range((account, OrderId::MIN)..=(account, OrderId::MAX)).map(|(_, id)| *id)
    }

    /// Ids of an account's exits that wait for an entry to fill, oldest first.
    pub fn dormant(&self, account: AccountId) -> impl Iterator<Item = OrderId> + '_ {
        self.dormant.range((account, OrderId::MIN)..=(account, OrderId::MAX)).map(|(_, id)| *id)
    }

    /// Ids of at most `max` exits whose entry has filled, and which are to wait for their trigger.
    #[must_use]
    pub fn due_exits(&self, max: u32) -> Vec<OrderId> {
        self.due_exits.iter().copied().take(max as usize).collect()
    }

    /// The exits of an entry, two at most.
    #[must_use]
    pub fn exits_of(&self, entry: OrderId) -> Vec<OrderId> {
        if self.by_entry.is_empty() {
            return Vec::new();
        }
        let of = self.by_entry.range((entry, OrderId::MIN)..=(entry, OrderId::MAX));
        of.map(|(_, exit)| *exit).collect()
    }

    /// Adds what an entry has filled to the lots of its exits.
    pub fn fill_exits(&mut self, entry: OrderId, lots: Lots) {
        for exit in self.exits_of(entry) {
            let Some(slot) = self.slots.get(&exit).copied() else { continue };
            // No index but the one below depends on lots.
            let Some(Some(order)) = self.rows.get_mut(slot) else { continue };
            let place = match &mut order.kind {
                Kind::Trigger(place)
                | Kind::Dormant(place)
                | Kind::Reached(Reached { place, .. }) => place,
                _ => continue,
            };
            place.lots = place.lots.saturating_add(lots);
            if order.is_due() {
                self.due_exits.insert(exit);
            }
        }
    }

    /// The ids of all orders, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.slots.keys().copied()
    }

    /// Every order, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Conditional> {
        self.rows.iter().filter_map(|(_, row)| row.as_ref())
    }

    /// Returns true if a mark has reached a trigger price of orders of this kind that still wait to
    /// be told so.
    #[must_use]
    pub fn is_reached(
        &self,
        (side, is_exit): (Side, bool),
        trigger: Trigger,
        mark_ticks: Ticks,
    ) -> bool {
        let is_first = is_exit && Defence::WaitingTurns.stands();
        let triggers = if is_first { &self.exit_triggers } else { &self.other_triggers };
        triggers.is_reached(reach(side, trigger), trigger.price_ticks, mark_ticks)
    }

    /// Returns true if no trailing stop of a direction can begin: a mark has reached some that
    /// still wait to be told so.
    #[must_use]
    pub const fn trails_behind(&self, direction: TriggerDirection) -> bool {
        self.trails.is_behind(direction)
    }

    /// Begins a trailing stop that is entered next, whose id is the highest.
    pub fn begin_trail(
        &mut self,
        order_id: OrderId,
        direction: TriggerDirection,
        mark_ticks: Ticks,
    ) {
        self.trails.begin(order_id, direction, mark_ticks);
    }

    /// The best mark since a trailing stop was placed.
    #[must_use]
    pub fn best_ticks(&self, order_id: OrderId) -> Option<Ticks> {
        let (direction, _) = self.get(order_id)?.trail()?;
        self.trails.best_ticks(order_id, direction)
    }

    /// Enters an order under an id that is not in use; says whether there was room.
    pub fn insert(&mut self, order: Conditional) -> bool {
        let order_id = order.order_id;
        self.index(&order);
        let slot = match self.free.pop_first() {
            Some(slot) => {
                if let Some(row) = self.rows.get_mut(slot) {
                    *row = Some(order);
                }
                Some(slot)
            }
            None => self.rows.push(Some(order)),
        };
        let Some(slot) = slot else { return false };
        self.slots.insert(order_id, slot);
        true
    }

    /// Takes an order out.
    pub fn remove(&mut self, order_id: OrderId) -> Option<Conditional> {
        let slot = self.slots.remove(&order_id)?;
        let order = self.rows.get_mut(slot)?.take()?;
        self.free.insert(slot);
        self.unindex(&order);
        Some(order)
    }

    /// Puts a changed order in the place of the one of its id.
    pub fn update(&mut self, order: Conditional) {
        let Some(slot) = self.slots.get(&order.order_id).copied() else { return };
        if let Some(before) = self.rows.get(slot).cloned().flatten() {
            self.unindex(&before);
        }
        self.index(&order);
        if let Some(row) = self.rows.get_mut(slot) {
            *row = Some(order);
        }
    }

    /// Takes at most `max` orders that the mark has reached, of those that only reduce or of the
    /// others, in the order of [`TriggerBook::pop_reached`], then trailing stops, whose best marks
    /// follow the mark. Each is to be queued or removed.
    pub fn take_reached(&mut self, exits: bool, mark_ticks: Ticks, max: u32) -> Vec<OrderId> {
        let triggers = if exits { &mut self.exit_triggers } else { &mut self.other_triggers };
        let mut reached = triggers.pop_reached(mark_ticks, max);
        if exits {
            let left = max.saturating_sub(u32::try_from(reached.len()).unwrap_or(max));
            reached.extend(self.trails.pop_reached(mark_ticks, left));
        }
        reached
    }

    /// Queues an order that the mark has reached behind its owner's others of its class.
    pub fn queue(&mut self, order_id: OrderId, owner: OwnerId, class: u8) {
        let Some(order) = self.get(order_id).cloned() else { return };
        let Kind::Trigger(place) = order.kind else { return };
        let round = self.turns.next_round(class, owner);
        let kind = Kind::Reached(Reached { place, owner, class, round });
        self.update(Conditional { kind, ..order });
    }

    /// Takes out the order whose turn it is, of those that the mark has reached.
    pub fn next_turn(&mut self) -> Option<Conditional> {
        let order_id = self.turns.begin_turn()?;
        self.remove(order_id)
    }

    /// Returns true if an order could trigger, retry or come in a slice now.
    #[must_use]
    pub fn has_turns(&self, mark_ticks: Ticks, now_ms: TimeMs) -> bool {
        let reached = |of: &TriggerBook| of.has_reached(mark_ticks);
        !self.turns.is_empty()
            || !self.retries.is_empty()
            || !self.pegs.is_empty()
            || !self.due_exits.is_empty()
            || self.slices.first().is_some_and(|(next_ms, _)| *next_ms <= now_ms)
            || reached(&self.exit_triggers)
            || reached(&self.other_triggers)
            || self.trails.has_turns(mark_ticks)
    }

    /// Ids of at most `max` triggered orders that are tried again, oldest first.
    #[must_use]
    pub fn retries(&self, max: u32) -> Vec<OrderId> {
        self.retries.iter().copied().take(max as usize).collect()
    }

    /// Ids of at most `max` orders whose time has passed, earliest first.
    #[must_use]
    pub fn expired(&self, now_ms: TimeMs, max: u32) -> Vec<OrderId> {
        due(&self.expiries, now_ms, max)
    }

    /// Ids of at most `max` TWAPs whose next slice is due, earliest first.
    #[must_use]
    pub fn slices_due(&self, now_ms: TimeMs, max: u32) -> Vec<OrderId> {
        due(&self.slices, now_ms, max)
    }

    /// Returns the reference of an order on the book, if it is pegged.
    #[must_use]
    pub fn pegged(&self, order_id: OrderId) -> Option<Pegged> {
        match self.get(order_id)?.kind {
            Kind::Pegged(pegged) => Some(pegged),
            _ => None,
        }
    }

    /// Returns true if some order is pegged.
    #[must_use]
    pub fn has_pegs(&self) -> bool {
        !self.pegs.is_empty()
    }

    /// Ids of at most `max` pegged orders whose turn it is, oldest first; the next call goes on
    /// behind them.
    pub fn next_pegs(&mut self, max: u32) -> Vec<OrderId> {
        let mut from_here = self.pegs.range(self.next_peg..).copied();
        let turn: Vec<OrderId> = from_here.by_ref().take(max as usize).collect();
        self.next_peg = from_here.next().unwrap_or(OrderId::MIN);
        turn
    }

    /// Commits to every order in its slot, to the trigger books' backlogs, to the rounds that have
    /// begun, to the next pegged order, and to the best marks of trailing stops.
    pub fn root(&mut self) -> Hash {
        let backlogs = (self.exit_triggers.backlog(), self.other_triggers.backlog());
        let rest = encode(&(backlogs, self.turns.begun(), self.next_peg, self.trails.marks()));
        Sha256::new().chain_update(self.rows.root()).chain_update(rest).finalize().into()
    }

    fn index(&mut self, order: &Conditional) {
        let (id, account) = (order.order_id, order.account);
        self.by_account.insert((account, id));
        if order.client_id() != ClientId::NONE {
            self.client_ids.insert((account, order.client_id()), id);
        }
        if order.waits() {
            let more = u32::from(order.increases());
            let of = self.waiting.entry(account).or_default();
            of.all = of.all.saturating_add(1);
            of.increasing = of.increasing.saturating_add(more);
        }
        if order.is_exit() {
            self.exits.insert((account, id));
        }
        if order.is_dormant() {
            self.dormant.insert((account, id));
        }
        if order.is_due() {
            self.due_exits.insert(id);
        }
        if order.entry != OrderId::NONE {
            self.by_entry.insert((order.entry, id));
        }
        match order.kind {
            Kind::Pegged(_) => {
                self.pegs.insert(id);
            }
            Kind::Retrying(_) => {
                self.retries.insert(id);
            }
            Kind::Reached(Reached { owner, class, round, .. }) => {
                self.turns.insert(id, owner, class, round);
            }
            Kind::Trigger(_) | Kind::Slicing(_) | Kind::Resting | Kind::Dormant(_) => {}
        }
        if let Some(expires_ms) = order.expires_ms() {
            self.expiries.insert((expires_ms, id));
        }
        if let Some(next_ms) = order.next_ms() {
            self.slices.insert((next_ms, id));
        }
        if let Some((reach, price_ticks)) = order.trigger() {
            self.triggers_of(order).insert(id, reach, price_ticks);
        }
        if let Some((direction, trail)) = order.trail() {
            self.trails.insert(id, direction, trail);
        }
    }

    fn triggers_of(&mut self, order: &Conditional) -> &mut TriggerBook {
        if order.is_exit() && Defence::WaitingTurns.stands() {
            &mut self.exit_triggers
        } else {
            &mut self.other_triggers
        }
    }

    fn unindex(&mut self, order: &Conditional) {
        let (id, account) = (order.order_id, order.account);
        self.by_account.remove(&(account, id));
        if order.client_id() != ClientId::NONE {
            self.client_ids.remove(&(account, order.client_id()));
        }
        if order.waits() {
            let less = u32::from(order.increases());
            self.change_waiting(account, |of| {
                of.all = of.all.saturating_sub(1);
                of.increasing = of.increasing.saturating_sub(less);
            });
        }
        self.exits.remove(&(account, id));
        self.dormant.remove(&(account, id));
        self.due_exits.remove(&id);
        self.by_entry.remove(&(order.entry, id));
        self.pegs.remove(&id);
        self.retries.remove(&id);
        if let Kind::Reached(Reached { class, round, .. }) = order.kind {
            self.turns.remove(id, class, round);
        }
        if let Some(expires_ms) = order.expires_ms() {
            self.expiries.remove(&(expires_ms, id));
        }
        if let Some(next_ms) = order.next_ms() {
            self.slices.remove(&(next_ms, id));
        }
        if let Some((reach, price_ticks)) = order.trigger() {
            self.triggers_of(order).remove(id, reach, price_ticks);
        }
        if let Some((direction, trail)) = order.trail() {
            self.trails.remove(id, direction, trail);
        }
    }
}

fn due(times: &BTreeSet<(TimeMs, OrderId)>, now_ms: TimeMs, max: u32) -> Vec<OrderId> {
    times.range(..=(now_ms, OrderId::MAX)).take(max as usize).map(|(_, id)| *id).collect()
}
