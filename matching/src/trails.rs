//! Trailing triggers: trigger prices at a distance behind the best mark since each order came.
//!
//! Orders that have the same best mark are a *group*. The best mark of an order that came later is
//! never better, so groups are a stack: the oldest orders, with the best mark, at the bottom. A
//! mark that is better than the top's raises groups from the top on and joins them to one; no other
//! order is touched. Within a group the order with the smallest distance comes first, so only the
//! first ones of a group have their trigger prices in a set by price.

mod groups;

use std::cmp::Reverse;
use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest as _, Sha256};
use tidemark_proto::types::Trail;
use tidemark_proto::units::{OrderId, Ticks};

use crate::digest::Digest;
use crate::triggers::TriggerDirection;
pub use groups::TrailGroups;

/// The marks that a [`Trails`] holds beside the orders of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct TrailMarks {
    /// A chain of SHA-256 over the groups, from the bottom on: `SHA-256(before ‖ id of the first
    /// order u64 ‖ best mark u64)`; zeros without a group.
    pub groups: Digest,
    /// The mark that reached orders which are not taken yet: until they are, best marks stay.
    pub left_ticks: Option<Ticks>,
}

/// Trailing triggers of one market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trails {
    falling: OneWay,
    rising: OneWay,
}

impl Default for Trails {
    fn default() -> Self {
        Self {
            falling: OneWay::new(TriggerDirection::Falling),
            rising: OneWay::new(TriggerDirection::Rising),
        }
    }
}

/// Returns the trigger price at a distance behind a best mark; 0 or the highest price where there
/// is none.
#[must_use]
pub fn trail_price(direction: TriggerDirection, best_ticks: Ticks, trail: Trail) -> Ticks {
    let distance_ticks = trail.distance_ticks(best_ticks);
    match direction {
        TriggerDirection::Falling => best_ticks.saturating_sub(distance_ticks),
        TriggerDirection::Rising => best_ticks.saturating_add(distance_ticks),
    }
}

impl Trails {
    /// Returns the best marks of both directions, falling first; they belong in a snapshot besides
    /// the orders.
    #[must_use]
    pub fn marks(&self) -> [TrailMarks; 2] {
        [self.falling.marks(), self.rising.marks()]
    }

    /// Returns the best mark since an order came.
    #[must_use]
    pub fn best_ticks(&self, order_id: OrderId, direction: TriggerDirection) -> Option<Ticks> {
        let of = self.of(direction);
        of.group(order_id).and_then(|at| of.groups.get(at)).map(|group| group.best_ticks)
    }

    /// Returns true if a mark has reached orders of a direction which are not taken yet: no order
    /// can begin before they are.
    #[must_use]
    pub const fn is_behind(&self, direction: TriggerDirection) -> bool {
        match direction {
            TriggerDirection::Falling => self.falling.left_ticks.is_some(),
            TriggerDirection::Rising => self.rising.left_ticks.is_some(),
        }
    }

    /// Begins an order, whose id is above that of all before: its best mark is this one. The order
    /// is then to be inserted. The caller has asked [`Trails::is_behind`].
    pub fn begin(&mut self, order_id: OrderId, direction: TriggerDirection, mark_ticks: Ticks) {
        let of = self.of_mut(direction);
        of.see(mark_ticks);
        while of.groups.last().is_some_and(Group::is_empty) {
            of.groups.pop();
        }
        if of.groups.last().is_none_or(|top| top.best_ticks != mark_ticks) {
            of.push(Group::new(order_id, mark_ticks));
        }
    }

    /// Inserts an order that has begun.
    pub fn insert(&mut self, order_id: OrderId, direction: TriggerDirection, trail: Trail) {
        self.of_mut(direction).change(order_id, trail, |orders, entry| orders.insert(entry));
    }

    /// Removes an order. Returns true if the order was there. It may be inserted again.
    pub fn remove(&mut self, order_id: OrderId, direction: TriggerDirection, trail: Trail) -> bool {
        self.of_mut(direction).change(order_id, trail, |orders, entry| orders.remove(&entry))
    }

    /// Returns true if a mark moves a best mark or reaches an order.
    #[must_use]
    pub fn has_turns(&self, mark_ticks: Ticks) -> bool {
        [&self.falling, &self.rising]
            .into_iter()
            .any(|of| of.is_better(mark_ticks) || of.first_reached(mark_ticks).is_some())
    }

    /// Removes and returns the orders that the mark has reached, at most `max`: first falling
    /// orders, from the highest trigger price down, then rising orders, from the lowest up. Where
    /// none of a direction is left over, its best marks follow the mark.
    pub fn pop_reached(&mut self, mark_ticks: Ticks, max: u32) -> Vec<OrderId> {
        let mut reached = Vec::new();
        for of in [&mut self.falling, &mut self.rising] {
            of.pop_reached(mark_ticks, max as usize, &mut reached);
            of.see(mark_ticks);
        }
        reached
    }

    const fn of(&self, direction: TriggerDirection) -> &OneWay {
        match direction {
            TriggerDirection::Falling => &self.falling,
            TriggerDirection::Rising => &self.rising,
        }
    }

    fn of_mut(&mut self, direction: TriggerDirection) -> &mut OneWay {
        match direction {
            TriggerDirection::Falling => &mut self.falling,
            TriggerDirection::Rising => &mut self.rising,
        }
    }
}

/// Orders with the same best mark: from the first one's id on, up to the next group's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    first: OrderId,
    best_ticks: Ticks,
    /// The chain up to here.
    digest: Digest,
    by_ticks: BTreeSet<(u64, OrderId)>,
    by_ppm: BTreeSet<(u64, OrderId)>,
}

impl Group {
    const fn new(first: OrderId, best_ticks: Ticks) -> Self {
        let by_ticks = BTreeSet::new();
        Self { first, best_ticks, digest: [0; 32], by_ticks, by_ppm: BTreeSet::new() }
    }

    fn is_empty(&self) -> bool {
        self.by_ticks.is_empty() && self.by_ppm.is_empty()
    }

    /// The first order of each kind of distance.
    fn heads(&self) -> impl Iterator<Item = (Trail, OrderId)> {
        let by_ticks = self.by_ticks.first().map(|(ticks, id)| (Trail::Ticks(*ticks), *id));
        let by_ppm = self.by_ppm.first().map(|(ppm, id)| (Trail::ppm(*ppm), *id));
        by_ticks.into_iter().chain(by_ppm)
    }

    /// Takes in the orders of another group.
    fn join(&mut self, mut other: Self) {
        for (mine, its) in
            [(&mut self.by_ticks, &mut other.by_ticks), (&mut self.by_ppm, &mut other.by_ppm)]
        {
            // The smaller set moves, so that no order moves often.
            if its.len() > mine.len() {
                std::mem::swap(mine, its);
            }
            mine.append(its);
        }
    }
}

/// The orders of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
struct OneWay {
    direction: TriggerDirection,
    groups: Vec<Group>,
    /// The first orders of groups, by turn: the trigger price that is reached first.
    heads: BTreeSet<(Reverse<u64>, OrderId)>,
    left_ticks: Option<Ticks>,
}

impl OneWay {
    const fn new(direction: TriggerDirection) -> Self {
        Self { direction, groups: Vec::new(), heads: BTreeSet::new(), left_ticks: None }
    }

    fn marks(&self) -> TrailMarks {
        let groups = self.groups.last().map_or([0; 32], |top| top.digest);
        TrailMarks { groups, left_ticks: self.left_ticks }
    }

    /// Prices such that a higher rank is a better mark.
    const fn rank(&self, price_ticks: Ticks) -> u64 {
        match self.direction {
            TriggerDirection::Falling => price_ticks.get(),
            TriggerDirection::Rising => u64::MAX.saturating_sub(price_ticks.get()),
        }
    }

    /// The group of an order.
    fn group(&self, order_id: OrderId) -> Option<usize> {
        self.groups.partition_point(|group| group.first <= order_id).checked_sub(1)
    }

    fn is_better(&self, mark_ticks: Ticks) -> bool {
        let top = self.groups.last();
        top.is_some_and(|top| self.rank(top.best_ticks) < self.rank(mark_ticks))
    }

    /// Best marks follow a mark, if all that was reached is taken. Each group is joined once.
    fn see(&mut self, mark_ticks: Ticks) {
        if self.left_ticks.is_some() || !self.is_better(mark_ticks) {
            return;
        }
        let rank = self.rank(mark_ticks);
        let mut joined = Group::new(OrderId::NONE, mark_ticks);
        while self.groups.last().is_some_and(|top| self.rank(top.best_ticks) <= rank) {
            let Some(top) = self.groups.pop() else { break };
            self.enter_heads(&top, false);
            joined.first = top.first;
            joined.join(top);
        }
        if !joined.is_empty() {
            self.enter_heads(&joined, true);
            self.push(joined);
        }
    }

    fn push(&mut self, mut group: Group) {
        let before = self.groups.last().map_or([0; 32], |top| top.digest);
        let chain = Sha256::new_with_prefix(before)
            .chain_update(group.first.get().to_le_bytes())
            .chain_update(group.best_ticks.get().to_le_bytes());
        group.digest = chain.finalize().into();
        self.groups.push(group);
    }

    /// Enters the first orders of a group by their trigger prices, or takes them out.
    fn enter_heads(&mut self, group: &Group, enter: bool) {
        for (trail, order_id) in group.heads() {
            let price_ticks = trail_price(self.direction, group.best_ticks, trail);
            let head = (Reverse(self.rank(price_ticks)), order_id);
            if enter {
                self.heads.insert(head);
            } else {
                self.heads.remove(&head);
            }
        }
    }

    /// Changes a group's orders of a kind of distance.
    fn change(
        &mut self,
        order_id: OrderId,
        trail: Trail,
        change: impl FnOnce(&mut BTreeSet<(u64, OrderId)>, (u64, OrderId)) -> bool,
    ) -> bool {
        let Some(at) = self.group(order_id) else { return false };
        let Some(group) = self.groups.get_mut(at) else { return false };
        let empty = Group::new(group.first, group.best_ticks);
        let mut group = std::mem::replace(group, empty);
        self.enter_heads(&group, false);
        let changed = match trail {
            Trail::Ticks(ticks) => change(&mut group.by_ticks, (ticks, order_id)),
            Trail::Ppm(ppm) => change(&mut group.by_ppm, (u64::from(ppm), order_id)),
        };
        self.enter_heads(&group, true);
        if let Some(place) = self.groups.get_mut(at) {
            *place = group;
        }
        changed
    }

    /// The first order that a mark, or an earlier one, has reached.
    fn first_reached(&self, mark_ticks: Ticks) -> Option<OrderId> {
        let worst = self.worst_rank(mark_ticks);
        let (Reverse(rank), order_id) = self.heads.first()?;
        (*rank >= worst).then_some(*order_id)
    }

    fn worst_rank(&self, mark_ticks: Ticks) -> u64 {
        let rank = self.rank(mark_ticks);
        self.left_ticks.map_or(rank, |left| self.rank(left).min(rank))
    }

    fn pop_reached(&mut self, mark_ticks: Ticks, max: usize, reached: &mut Vec<OrderId>) {
        let worst = self.worst_rank(mark_ticks);
        while let Some(order_id) = self.first_reached(mark_ticks) {
            if reached.len() >= max {
                let left_ticks = match self.left_ticks {
                    Some(left) if self.rank(left) == worst => left,
                    _ => mark_ticks,
                };
                self.left_ticks = Some(left_ticks);
                return;
            }
            let group = self.group(order_id).and_then(|at| self.groups.get(at));
            let head = group.and_then(|group| group.heads().find(|(_, id)| *id == order_id));
            let Some((trail, _)) = head else { break };
            self.change(order_id, trail, |orders, entry| orders.remove(&entry));
            reached.push(order_id);
        }
        self.left_ticks = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ticks(ticks: u64) -> Ticks {
        Ticks::new(ticks)
    }

    fn id(id: u64) -> OrderId {
        OrderId::new(id)
    }

    #[test]
    fn a_trigger_follows_the_best_mark_and_never_goes_back() {
        let mut trails = Trails::default();
        let direction = TriggerDirection::Falling;
        trails.begin(id(1), direction, ticks(100));
        trails.insert(id(1), direction, Trail::Ticks(10));
        assert!(trails.pop_reached(ticks(91), 9).is_empty());
        assert!(trails.pop_reached(ticks(150), 9).is_empty());
        // One that comes later knows nothing of 150.
        trails.begin(id(2), direction, ticks(145));
        trails.insert(id(2), direction, Trail::Ppm(50_000));
        assert_eq!(trails.best_ticks(id(1), direction), Some(ticks(150)));
        assert_eq!(trails.best_ticks(id(2), direction), Some(ticks(145)));
        assert!(!trails.has_turns(ticks(141)));
        assert_eq!(trails.pop_reached(ticks(140), 9), [id(1)]);
        // Five in a hundred of 145 are 7.25: 8 ticks.
        assert!(trails.pop_reached(ticks(138), 9).is_empty());
        assert_eq!(trails.pop_reached(ticks(137), 9), [id(2)]);
    }

    /// Each order with its best mark, and whether it is reached.
    type Model = Vec<(OrderId, TriggerDirection, Trail, Ticks, bool)>;

    fn is_reached(direction: TriggerDirection, trail: Trail, best: Ticks, mark: Ticks) -> bool {
        let price = trail_price(direction, best, trail);
        match direction {
            TriggerDirection::Falling => mark <= price,
            TriggerDirection::Rising => mark >= price,
        }
    }

    fn see(model: &mut Model, direction: TriggerDirection, mark: Ticks) {
        for order in model.iter_mut().filter(|order| order.1 == direction) {
            order.3 = match direction {
                TriggerDirection::Falling => order.3.max(mark),
                TriggerDirection::Rising => order.3.min(mark),
            };
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        /// Against a list in which every order follows every mark by itself.
        #[test]
        fn behaves_like_orders_that_follow_by_themselves(
            steps in prop::collection::vec((0_u8..9, 1_u64..40, any::<bool>(), 0_u32..4), 1..200),
        ) {
            let (mut trails, mut model) = (Trails::default(), Model::new());
            let (mut next, mut mark) = (1, ticks(20));
            for (kind, number, rising, max) in steps {
                let direction = match rising {
                    true => TriggerDirection::Rising,
                    false => TriggerDirection::Falling,
                };
                match kind {
                    0..=3 if !trails.is_behind(direction) => {
                        let trail = match kind {
                            0 | 1 => Trail::Ticks(number % 7 + 1),
                            _ => Trail::ppm(number * 9_000),
                        };
                        see(&mut model, direction, mark);
                        trails.begin(id(next), direction, mark);
                        trails.insert(id(next), direction, trail);
                        model.push((id(next), direction, trail, mark, false));
                        next += 1;
                    }
                    4 | 5 if !model.is_empty() => {
                        let at = number as usize % model.len();
                        let (id, direction, trail, ..) = model[at];
                        prop_assert!(trails.remove(id, direction, trail));
                        prop_assert!(!trails.remove(id, direction, trail));
                        if kind == 4 {
                            model.remove(at);
                        } else {
                            trails.insert(id, direction, trail);
                        }
                    }
                    _ => {
                        mark = ticks(number);
                        for order in &mut model {
                            order.4 |= is_reached(order.1, order.2, order.3, mark);
                        }
                        let expected: Vec<_> = model.iter().filter(|order| order.4).collect();
                        prop_assert!(expected.is_empty() || trails.has_turns(mark));
                        let popped = trails.pop_reached(mark, max);
                        prop_assert_eq!(popped.len(), expected.len().min(max as usize));
                        prop_assert!(popped.iter().all(|id| expected.iter().any(|of| of.0 == *id)));
                        model.retain(|order| !popped.contains(&order.0));
                        for direction in [TriggerDirection::Falling, TriggerDirection::Rising] {
                            let behind = model.iter().any(|of| of.1 == direction && of.4);
                            prop_assert_eq!(trails.is_behind(direction), behind);
                            if !behind {
                                see(&mut model, direction, mark);
                            }
                        }
                    }
                }
                let mut restored = Trails::restored(trails.groups());
                for (id, direction, trail, best, _) in &model {
                    prop_assert_eq!(trails.best_ticks(*id, *direction), Some(*best));
                    restored.insert(*id, *direction, *trail);
                }
                prop_assert_eq!(&restored, &trails);
            }
        }
    }
}
