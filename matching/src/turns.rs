//! The order in which reached orders have their turn: by class, the highest first, and within a
//! class owner by owner.
//!
//! This module knows an order's id, owner and class. The caller decides what a class is, and what a
//! turn does.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::units::{OrderId, OwnerId};

/// Orders whose turn is to come.
///
/// An order gets a round within its class when it comes: the first that has not begun, or the one
/// after its owner's last, whichever is later. Rounds follow each other, so that an owner has two
/// turns at most before any other's next, however many orders it has; who cancels its next order
/// waits for the round of the one after it. A [`TurnQueue`] consists of its orders with their
/// rounds, and of the rounds that have begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TurnQueue {
    turns: BTreeMap<(Reverse<u8>, u64, OrderId), OwnerId>,
    /// Of each owner in each class: the rounds of its orders.
    owners: BTreeMap<(u8, OwnerId), BTreeSet<u64>>,
    /// Of each class with orders: the round after the last that has begun.
    begun: BTreeMap<u8, u64>,
}

impl TurnQueue {
    /// Returns a queue without orders in which these rounds have begun ([`TurnQueue::begun`]): the
    /// orders are then to be inserted.
    #[must_use]
    pub fn restored(begun: BTreeMap<u8, u64>) -> Self {
        Self { begun, ..Self::default() }
    }

    /// Returns true if no order waits for its turn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Returns the first round that has not begun, of each class where some has: it belongs in a
    /// snapshot besides the orders.
    #[must_use]
    pub const fn begun(&self) -> &BTreeMap<u8, u64> {
        &self.begun
    }

    /// Returns the round that an owner's next order of a class gets.
    #[must_use]
    pub fn next_round(&self, class: u8, owner: OwnerId) -> u64 {
        let open = self.begun.get(&class).copied().unwrap_or(0);
        let last = self.owners.get(&(class, owner)).and_then(BTreeSet::last);
        last.map_or(open, |last| last.saturating_add(1).max(open))
    }

    /// Inserts an order with a round of [`TurnQueue::next_round`]. Ids are unique over all classes.
    pub fn insert(&mut self, order_id: OrderId, owner: OwnerId, class: u8, round: u64) {
        self.turns.insert((Reverse(class), round, order_id), owner);
        self.owners.entry((class, owner)).or_default().insert(round);
    }

    /// Returns the order whose turn it is, which must be removed; its round has begun.
    pub fn begin_turn(&mut self) -> Option<OrderId> {
        let ((Reverse(class), round, order_id), _) = self.turns.first_key_value()?;
        self.begun.insert(*class, round.saturating_add(1));
        Some(*order_id)
    }

    /// Removes an order. Returns true if the order was there.
    pub fn remove(&mut self, order_id: OrderId, class: u8, round: u64) -> bool {
        let Some(owner) = self.turns.remove(&(Reverse(class), round, order_id)) else {
            return false;
        };
        if let Some(rounds) = self.owners.get_mut(&(class, owner)) {
            rounds.remove(&round);
            if rounds.is_empty() {
                self.owners.remove(&(class, owner));
            }
        }
        let next = self.turns.range((Reverse(class), 0, OrderId::MIN)..).next();
        if next.is_none_or(|((of, _, _), _)| of.0 != class) {
            self.begun.remove(&class);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn higher_classes_come_first_and_owners_in_turn_within_a_class() {
        let mut queue = TurnQueue::default();
        let mut rounds = BTreeMap::new();
        for (id, owner, class) in [(1, 7, 1), (2, 7, 1), (3, 7, 1), (4, 8, 1), (5, 9, 3), (6, 8, 1)]
        {
            let (id, owner) = (OrderId::new(id), OwnerId::new(owner));
            let round = queue.next_round(class, owner);
            queue.insert(id, owner, class, round);
            rounds.insert(id, (class, round));
        }
        let mut served = Vec::new();
        while let Some(id) = queue.begin_turn() {
            let (class, round) = rounds[&id];
            assert!(queue.remove(id, class, round));
            assert!(!queue.remove(id, class, round));
            served.push(id.get());
        }
        assert_eq!(served, [5, 1, 4, 2, 6, 3]);
        assert!(queue.is_empty() && queue.owners.is_empty() && queue.begun.is_empty());
    }

    #[test]
    fn who_comes_late_has_its_turn_in_the_round_that_begins_next() {
        let mut queue = TurnQueue::default();
        let (many, late) = (OwnerId::new(1), OwnerId::new(2));
        for id in 1..=10 {
            let round = queue.next_round(0, many);
            queue.insert(OrderId::new(id), many, 0, round);
        }
        assert_eq!(queue.next_round(0, late), 0);
        for id in 1..=5 {
            assert_eq!(queue.begin_turn(), Some(OrderId::new(id)));
            assert!(queue.remove(OrderId::new(id), 0, id - 1));
        }
        assert_eq!(queue.next_round(0, late), 5);
        assert_eq!(queue.next_round(1, late), 0, "another class has rounds of its own");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Whatever comes, goes and has its turn: the next order is of the highest class, each
        /// owner's orders come as they came, and nobody has a third turn while another owner waits
        /// for its next in that class.
        #[test]
        fn nobody_is_passed_over(
            steps in prop::collection::vec((0_u8..7, 0_u32..4, 0_u8..3), 1..200),
        ) {
            let mut queue = TurnQueue::default();
            // Id, owner, class, round; in order of arrival.
            let mut model: Vec<(OrderId, OwnerId, u8, u64)> = Vec::new();
            // Turns of an owner in a class while another waited for its next.
            let mut turns: BTreeMap<(u8, OwnerId, OwnerId), u32> = BTreeMap::new();
            // Owners that have cancelled an order of a class and have others there.
            let mut cancelled = BTreeSet::new();
            for (at, (step, owner, class)) in (1..).zip(steps) {
                let mut restored = TurnQueue::restored(queue.begun().clone());
                for (id, owner, class, round) in &model {
                    restored.insert(*id, *owner, *class, *round);
                }
                prop_assert_eq!(&restored, &queue);
                if step < 3 {
                    let (id, owner) = (OrderId::new(at), OwnerId::new(owner));
                    let round = queue.next_round(class, owner);
                    queue.insert(id, owner, class, round);
                    model.push((id, owner, class, round));
                    continue;
                }
                if step == 3 && !model.is_empty() {
                    let (id, owner, class, round) = model.remove(owner as usize % model.len());
                    prop_assert!(queue.remove(id, class, round));
                    cancelled.insert((class, owner));
                    if !model.iter().any(|row| (row.1, row.2) == (owner, class)) {
                        // It waits for nothing any more.
                        turns.retain(|(of, _, other), _| (*of, *other) != (class, owner));
                    }
                    cancelled.retain(|(class, owner)| {
                        model.iter().any(|row| (row.1, row.2) == (*owner, *class))
                    });
                    continue;
                }
                let Some(id) = queue.begin_turn() else {
                    prop_assert!(model.is_empty());
                    continue;
                };
                let index = model.iter().position(|row| row.0 == id).unwrap();
                let (_, owner, class, round) = model.remove(index);
                prop_assert!(model.iter().all(|row| row.2 <= class));
                let older = model[..index].iter().any(|row| (row.1, row.2) == (owner, class));
                prop_assert!(!older, "an owner's orders come in their order");
                prop_assert!(queue.remove(id, class, round));
                cancelled.retain(|(class, owner)| {
                    model.iter().any(|row| (row.1, row.2) == (*owner, *class))
                });
                for other in (0..4).map(OwnerId::new).filter(|other| *other != owner) {
                    turns.remove(&(class, other, owner));
                    if model.iter().any(|row| (row.1, row.2) == (other, class)) {
                        let had = turns.entry((class, owner, other)).or_default();
                        *had += 1;
                        let waits = !cancelled.contains(&(class, other));
                        prop_assert!(*had <= 2 || !waits, "{owner} had {had}, {other} waited");
                    } else {
                        turns.remove(&(class, owner, other));
                    }
                }
            }
        }
    }
}
