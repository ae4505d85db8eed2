//! Conditional orders of one market: those that wait for a mark or for their time, resting ones
//! with a waiting partner, and pegged ones.

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};
use tidemark_matching::{TriggerBook, TriggerDirection};
use tidemark_proto::types::{Peg, Place, Trigger, TriggerKind, Twap};
use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, Side, Ticks, TimeMs};

use super::merkle::{encode, Hash};
use super::table::Table;

/// A TWAP's slice is at most this many equal parts, to catch up with earlier slices that did not
/// fill.
pub const CATCH_UP: u64 = 3;

/// The condition of an order, or the dependence of another order on it.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Kind {
    /// It waits for the mark; its `trigger` is given.
    Trigger(Place),
    /// It waits for its next slice.
    Slicing(Slicing),
    /// It has triggered, and waits for the next block to close what was left.
    Retrying(Retrying),
    /// It rests on the book; an order that waits goes with it.
    Resting,
    /// It rests on the book, and its price follows another.
    Pegged(Pegged),
}

/// Blocks after its trigger in which what is left of a closing order is tried again.
pub const RETRIES: u32 = 10;

/// A triggered order that closes, and what it has left (rules §2.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Retrying {
    /// The order as it waited, with the lots that are left; 0 with `whole_position`.
    pub place: Place,
    /// Blocks in which it is still tried.
    pub tries_left: u32,
}

/// The reference of a pegged order, and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pegged {
    /// The reference and the distance from it.
    pub peg: Peg,
    /// The price beyond which it does not go.
    pub limit_ticks: Option<Ticks>,
}

/// A TWAP on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Slicing {
    /// The TWAP as it was placed.
    pub twap: Twap,
    /// Time of the first slice; `None` until its block has come.
    pub start_ms: Option<TimeMs>,
    /// Time from which the next slice is due.
    pub next_ms: TimeMs,
    /// Lots traded.
    pub filled_lots: Lots,
}

impl Slicing {
    /// Slices that are still to come. A time that saturates is never reached.
    #[must_use]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "divisors are at least 1; 64-bit lots times 32-bit slices fit 128 bits"
    )]
    pub fn slices_left(&self) -> u32 {
        let passed = self.start_ms.map_or(0, |start_ms| {
            self.next_ms.saturating_sub(start_ms).get() / self.twap.interval_ms.get().max(1)
        });
        self.twap.slices.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX))
    }

    /// The lots of the slice that is due at `now_ms`, and the order with the time of the one after
    /// it.
    ///
    /// By slice `i` of `n`, `⌈lots·i/n⌉` are to have traded; a slice is what is missing, at most
    /// three times `⌈lots/n⌉`. `i` counts by time since the first, but one step takes at most three
    /// slices: what a longer pause held back moves the start, and so all slices after it.
    #[must_use]
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "divisors are at least 1; 64-bit lots times 32-bit slices fit 128 bits"
    )]
    pub fn due(&self, now_ms: TimeMs) -> (Lots, Self) {
        let interval_ms = self.twap.interval_ms.get().max(1);
        let start_ms = self.start_ms.unwrap_or(now_ms);
        let intervals = |until_ms: TimeMs| until_ms.saturating_sub(start_ms).get() / interval_ms;
        let last = intervals(self.next_ms).saturating_add(CATCH_UP - 1);
        let elapsed = intervals(now_ms).min(last);
        let held_back = intervals(now_ms).saturating_sub(elapsed).saturating_mul(interval_ms);
        let start_ms = start_ms.saturating_add(TimeMs::new(held_back));
        let until_next_ms = TimeMs::new(elapsed.saturating_add(1).saturating_mul(interval_ms));
        let next_ms = start_ms.saturating_add(until_next_ms);
        let next = Self { start_ms: Some(start_ms), next_ms, ..*self };
        let (lots, slices) =
            (u128::from(self.twap.lots.get()), u128::from(self.twap.slices.max(1)));
        let slice = u128::from(self.twap.slices.saturating_sub(next.slices_left()));
        let target = (lots * slice).div_ceil(slices);
        let most = lots.div_ceil(slices) * u128::from(CATCH_UP);
        let due = target.saturating_sub(u128::from(self.filled_lots.get())).min(most);
        (u64::try_from(due).map_or(Lots::MAX, Lots::new), next)
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Conditional {
    /// Its id, of the same sequence as the book's.
    pub order_id: OrderId,
    /// The account that owns it.
    pub account: AccountId,
    /// The order that goes with it; 0 is none.
    pub partner: OrderId,
    /// Its condition.
    pub kind: Kind,
}

impl Conditional {
    /// The client's id; 0 is none, or of a resting order: the book knows its.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        match &self.kind {
            Kind::Trigger(order) | Kind::Retrying(Retrying { place: order, .. }) => order.client_id,
            Kind::Slicing(slicing) => slicing.twap.client_id,
            Kind::Resting | Kind::Pegged(_) => ClientId::NONE,
        }
    }

    /// Its side; `None` for a resting order: the book knows its.
    #[must_use]
    pub fn side(&self) -> Option<Side> {
        match &self.kind {
            Kind::Trigger(order) | Kind::Retrying(Retrying { place: order, .. }) => {
                Some(order.side)
            }
            Kind::Slicing(slicing) => Some(slicing.twap.side),
            Kind::Resting | Kind::Pegged(_) => None,
        }
    }

    /// Lots that are still to be placed; 0 for the whole position, and for a resting order.
    #[must_use]
    pub fn lots(&self) -> Lots {
        match &self.kind {
            Kind::Trigger(order) | Kind::Retrying(Retrying { place: order, .. }) => order.lots,
            Kind::Slicing(slicing) => slicing.twap.lots.saturating_sub(slicing.filled_lots),
            Kind::Resting | Kind::Pegged(_) => Lots::ZERO,
        }
    }

    /// Returns true if the order is off the book.
    #[must_use]
    pub fn waits(&self) -> bool {
        matches!(self.kind, Kind::Trigger(_) | Kind::Slicing(_) | Kind::Retrying(_))
    }

    fn trigger(&self) -> Option<(TriggerDirection, Ticks)> {
        match &self.kind {
            Kind::Trigger(order) => {
                order.trigger.map(|trigger| (reach(order.side, trigger), trigger.price_ticks))
            }
            Kind::Slicing(_) | Kind::Retrying(_) | Kind::Resting | Kind::Pegged(_) => None,
        }
    }

    fn expires_ms(&self) -> Option<TimeMs> {
        match &self.kind {
            Kind::Trigger(order) => order.expires_ms(),
            Kind::Slicing(_) | Kind::Retrying(_) | Kind::Resting | Kind::Pegged(_) => None,
        }
    }

    fn next_ms(&self) -> Option<TimeMs> {
        match &self.kind {
            Kind::Slicing(slicing) => Some(slicing.next_ms),
            _ => None,
        }
    }

    /// Returns true if the order closes the whole position.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(
            &self.kind,
            Kind::Trigger(order) | Kind::Retrying(Retrying { place: order, .. })
                if order.whole_position
        )
    }
}

/// How the mark reaches a trigger.
#[must_use]
pub const fn reach(side: Side, trigger: Trigger) -> TriggerDirection {
    match (trigger.kind, side) {
        (TriggerKind::Stop, Side::Sell) | (TriggerKind::TakeProfit, Side::Buy) => {
            TriggerDirection::Falling
        }
        (TriggerKind::Stop, Side::Buy) | (TriggerKind::TakeProfit, Side::Sell) => {
            TriggerDirection::Rising
        }
    }
}

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
    waiting: BTreeMap<AccountId, u32>,
    /// Those that close a whole position.
    attached: BTreeSet<(AccountId, OrderId)>,
    expiries: BTreeSet<(TimeMs, OrderId)>,
    slices: BTreeSet<(TimeMs, OrderId)>,
    triggers: TriggerBook,
    /// Triggered orders that are tried again.
    retries: BTreeSet<OrderId>,
    /// Pegged orders.
    pegs: BTreeSet<OrderId>,
    /// The pegged order whose turn it is; 0 is the first.
    next_peg: OrderId,
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
        self.waiting.get(&account).copied().unwrap_or(0)
    }

    /// Ids of an account's orders, oldest first.
    pub fn of(&self, account: AccountId) -> impl DoubleEndedIterator<Item = OrderId> + '_ {
        self.by_account.range((account, OrderId::MIN)..=(account, OrderId::MAX)).map(|(_, id)| *id)
    }

    /// Ids of an account's orders that close its whole position, oldest first.
    pub fn attached(&self, account: AccountId) -> impl Iterator<Item = OrderId> + '_ {
        self.attached.range((account, OrderId::MIN)..=(account, OrderId::MAX)).map(|(_, id)| *id)
    }

    /// The ids of all orders, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.slots.keys().copied()
    }

    /// Every order, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Conditional> {
        self.rows.iter().filter_map(|(_, row)| row.as_ref())
    }

    /// Returns true if the mark has reached a trigger price, or if the order would pass others that
    /// were reached and still wait for their turn.
    #[must_use]
    pub fn is_reached(&self, side: Side, trigger: Trigger, mark_ticks: Ticks) -> bool {
        self.triggers.is_reached(reach(side, trigger), trigger.price_ticks, mark_ticks)
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

    /// Ids of at most `max` orders whose trigger the mark has reached, in the order of
    /// [`TriggerBook::pop_reached`]. Each must be removed.
    pub fn pop_reached(&mut self, mark_ticks: Ticks, max: u32) -> Vec<OrderId> {
        self.triggers.pop_reached(mark_ticks, max)
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

    /// Commits to every order in its slot, to the trigger book's backlog, and to the next pegged
    /// order.
    pub fn root(&mut self) -> Hash {
        let rest = encode(&(self.triggers.backlog(), self.next_peg));
        Sha256::new().chain_update(self.rows.root()).chain_update(rest).finalize().into()
    }

    fn index(&mut self, order: &Conditional) {
        let (id, account) = (order.order_id, order.account);
        self.by_account.insert((account, id));
        if order.client_id() != ClientId::NONE {
            self.client_ids.insert((account, order.client_id()), id);
        }
        if order.waits() {
            let count = self.waiting.entry(account).or_default();
            *count = count.saturating_add(1);
        }
        if order.is_attached() {
            self.attached.insert((account, id));
        }
        match order.kind {
            Kind::Pegged(_) => self.pegs.insert(id),
            Kind::Retrying(_) => self.retries.insert(id),
            _ => false,
        };
        if let Some(expires_ms) = order.expires_ms() {
            self.expiries.insert((expires_ms, id));
        }
        if let Some(next_ms) = order.next_ms() {
            self.slices.insert((next_ms, id));
        }
        if let Some((reach, price_ticks)) = order.trigger() {
            self.triggers.insert(id, reach, price_ticks);
        }
    }

    #[expect(
        clippy::arithmetic_side_effects,
        reason = "divisors are at least 1; 64-bit lots times 32-bit slices fit 128 bits"
    )]
    fn unindex(&mut self, order: &Conditional) {
        let (id, account) = (order.order_id, order.account);
        self.by_account.remove(&(account, id));
        if order.client_id() != ClientId::NONE {
            self.client_ids.remove(&(account, order.client_id()));
        }
        if order.waits() {
            match self.waiting.get_mut(&account) {
                Some(count) if *count > 1 => *count -= 1,
                _ => {
                    self.waiting.remove(&account);
                }
            }
        }
        self.attached.remove(&(account, id));
        self.pegs.remove(&id);
        self.retries.remove(&id);
        if let Some(expires_ms) = order.expires_ms() {
            self.expiries.remove(&(expires_ms, id));
        }
        if let Some(next_ms) = order.next_ms() {
            self.slices.remove(&(next_ms, id));
        }
        if let Some((reach, price_ticks)) = order.trigger() {
            self.triggers.remove(id, reach, price_ticks);
        }
    }
}

fn due(times: &BTreeSet<(TimeMs, OrderId)>, now_ms: TimeMs, max: u32) -> Vec<OrderId> {
    times.range(..=(now_ms, OrderId::MAX)).take(max as usize).map(|(_, id)| *id).collect()
}
