//! Trigger prices: which orders a new mark price reaches, in which order, and a bound on how many
//! at once.
//!
//! This module knows an order's id, direction and trigger price. The caller decides what a
//! triggered order does.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{OrderId, Ticks};

/// Direction in which the mark price reaches a trigger price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum TriggerDirection {
    /// The mark falls to the trigger price or below: a stop that sells, a take-profit that buys.
    Falling = 0,
    /// The mark rises to the trigger price or above: a stop that buys, a take-profit that sells.
    Rising = 1,
}

/// The lowest and the highest mark while triggered orders wait for their turn, by direction; `None`
/// while none waits. A [`TriggerBook`] consists of its orders and this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Backlog {
    /// Falling orders with trigger prices at or above this mark are triggered.
    pub lowest_ticks: Option<Ticks>,
    /// Rising orders with trigger prices at or below this mark are triggered.
    pub highest_ticks: Option<Ticks>,
}

/// Trigger prices of one market.
///
/// A triggered order stays triggered, even if the mark turns before the order's turn comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TriggerBook {
    /// Sorted by turn: highest price, then oldest.
    falling: BTreeSet<(Reverse<Ticks>, OrderId)>,
    /// Sorted by turn: lowest price, then oldest.
    rising: BTreeSet<(Ticks, OrderId)>,
    backlog: Backlog,
}

impl TriggerBook {
    /// Returns a book without orders that has a backlog: the orders are then to be inserted.
    #[must_use]
    pub fn restored(backlog: Backlog) -> Self {
        Self { backlog, ..Self::default() }
    }

    /// Returns the backlog, which belongs in a snapshot besides the orders.
    #[must_use]
    pub const fn backlog(&self) -> Backlog {
        self.backlog
    }

    /// Returns the number of orders.
    #[must_use]
    pub fn len(&self) -> usize {
        self.falling.len().saturating_add(self.rising.len())
    }

    /// Returns true if there is no order.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.falling.is_empty() && self.rising.is_empty()
    }

    /// Returns true if a trigger price is reached already: by this mark, or by an earlier mark
    /// whose orders still wait for their turn.
    #[must_use]
    pub fn is_reached(
        &self,
        direction: TriggerDirection,
        price_ticks: Ticks,
        mark_ticks: Ticks,
    ) -> bool {
        match direction {
            TriggerDirection::Falling => price_ticks >= self.lowest(mark_ticks),
            TriggerDirection::Rising => price_ticks <= self.highest(mark_ticks),
        }
    }

    /// Inserts an order. The caller has checked with [`TriggerBook::is_reached`] that its price is
    /// not reached. Ids are unique over both directions.
    pub fn insert(&mut self, order_id: OrderId, direction: TriggerDirection, price_ticks: Ticks) {
        match direction {
            TriggerDirection::Falling => self.falling.insert((Reverse(price_ticks), order_id)),
            TriggerDirection::Rising => self.rising.insert((price_ticks, order_id)),
        };
    }

    /// Removes an order. Returns true if the order was there.
    pub fn remove(
        &mut self,
        order_id: OrderId,
        direction: TriggerDirection,
        price_ticks: Ticks,
    ) -> bool {
        match direction {
            TriggerDirection::Falling => self.falling.remove(&(Reverse(price_ticks), order_id)),
            TriggerDirection::Rising => self.rising.remove(&(price_ticks, order_id)),
        }
    }

    /// Returns true if this mark, or an earlier one, has reached an order.
    #[must_use]
    pub fn has_reached(&self, mark_ticks: Ticks) -> bool {
        let falls = self.falling.first();
        let rises = self.rising.first();
        falls.is_some_and(|(Reverse(price_ticks), _)| *price_ticks >= self.lowest(mark_ticks))
            || rises.is_some_and(|(price_ticks, _)| *price_ticks <= self.highest(mark_ticks))
    }

    /// Removes and returns the orders that the mark has reached, at most `max`: first falling
    /// orders, from the highest trigger price down, then rising orders, from the lowest up; equal
    /// prices by id. The next call returns the orders left over, whatever its mark, before any
    /// order that the next mark reaches in the same direction.
    pub fn pop_reached(&mut self, mark_ticks: Ticks, max: u32) -> Vec<OrderId> {
        let (lowest, highest) = (self.lowest(mark_ticks), self.highest(mark_ticks));
        let max = max as usize;
        let mut reached = Vec::new();
        while reached.len() < max {
            let Some((Reverse(price_ticks), order_id)) = self.falling.first().copied() else {
                break;
            };
            if price_ticks < lowest {
                break;
            }
            self.falling.pop_first();
            reached.push(order_id);
        }
        while reached.len() < max {
            let Some((price_ticks, order_id)) = self.rising.first().copied() else { break };
            if price_ticks > highest {
                break;
            }
            self.rising.pop_first();
            reached.push(order_id);
        }
        let falls =
            self.falling.first().is_some_and(|(Reverse(price_ticks), _)| *price_ticks >= lowest);
        let rises = self.rising.first().is_some_and(|(price_ticks, _)| *price_ticks <= highest);
        self.backlog = Backlog {
            lowest_ticks: falls.then_some(lowest),
            highest_ticks: rises.then_some(highest),
        };
        reached
    }

    fn lowest(&self, mark_ticks: Ticks) -> Ticks {
        self.backlog.lowest_ticks.map_or(mark_ticks, |lowest| lowest.min(mark_ticks))
    }

    fn highest(&self, mark_ticks: Ticks) -> Ticks {
        self.backlog.highest_ticks.map_or(mark_ticks, |highest| highest.max(mark_ticks))
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

    fn reached(book: &mut TriggerBook, mark: u64, max: u32) -> Vec<u64> {
        book.pop_reached(ticks(mark), max).into_iter().map(OrderId::get).collect()
    }

    #[test]
    fn the_first_price_reached_comes_first_and_equal_prices_in_order_of_arrival() {
        let mut book = TriggerBook::default();
        for (order, direction, price) in [
            (1, TriggerDirection::Falling, 90),
            (2, TriggerDirection::Falling, 95),
            (3, TriggerDirection::Rising, 110),
            (4, TriggerDirection::Falling, 95),
            (5, TriggerDirection::Falling, 80),
        ] {
            book.insert(id(order), direction, ticks(price));
        }
        assert!(reached(&mut book, 100, 10).is_empty());
        assert_eq!(reached(&mut book, 85, 10), [2, 4, 1]);
        assert_eq!(reached(&mut book, 120, 10), [3]);
        assert_eq!(book.len(), 1);
    }

    #[test]
    fn what_a_bound_leaves_over_comes_next_even_when_the_mark_turns() {
        let mut book = TriggerBook::default();
        for order in 1..=4 {
            book.insert(id(order), TriggerDirection::Falling, ticks(90 - order));
        }
        assert_eq!(reached(&mut book, 80, 3), [1, 2, 3]);
        assert!(
            book.is_reached(TriggerDirection::Falling, ticks(85), ticks(100)),
            "86 is due: nobody can go in before it"
        );
        assert!(!book.is_reached(TriggerDirection::Falling, ticks(79), ticks(100)));
        assert_eq!(reached(&mut book, 100, 3), [4]);
        assert_eq!(book.backlog(), Backlog::default());
        assert!(!book.is_reached(TriggerDirection::Falling, ticks(85), ticks(100)));
    }

    /// A list of everything that ever came, with a flag that says whether a mark has reached it.
    #[derive(Clone, Default)]
    struct Model(Vec<(OrderId, TriggerDirection, Ticks, bool)>);

    impl Model {
        fn reached(direction: TriggerDirection, price: Ticks, mark: Ticks) -> bool {
            match direction {
                TriggerDirection::Falling => mark <= price,
                TriggerDirection::Rising => mark >= price,
            }
        }

        fn pop(&mut self, mark: Ticks, max: u32) -> Vec<OrderId> {
            for (_, direction, price, flag) in &mut self.0 {
                *flag |= Self::reached(*direction, *price, mark);
            }
            let mut due: Vec<_> = self.0.iter().copied().filter(|row| row.3).collect();
            due.sort_by_key(|(id, direction, price, _)| match direction {
                TriggerDirection::Falling => (*direction, Ticks::MAX - *price, *id),
                TriggerDirection::Rising => (*direction, *price, *id),
            });
            due.truncate(max as usize);
            let ids: Vec<_> = due.into_iter().map(|(id, ..)| id).collect();
            self.0.retain(|(id, ..)| !ids.contains(id));
            ids
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Against the list: nothing is lost, comes twice, comes early or out of its turn.
        #[test]
        fn behaves_like_a_list_that_is_searched(
            steps in prop::collection::vec((0_u8..8, 0_u64..24, any::<bool>(), 0_u32..4), 1..200),
        ) {
            let (mut book, mut model) = (TriggerBook::default(), Model::default());
            let (mut next, mut mark) = (1, ticks(12));
            for (kind, price, rising, max) in steps {
                let price = if price == 23 { Ticks::MAX } else { ticks(price) };
                let direction = match rising {
                    true => TriggerDirection::Rising,
                    false => TriggerDirection::Falling,
                };
                match kind {
                    0..=3 => {
                        let waits = model.0.iter().any(|row| {
                            row.1 == direction && row.3 && Model::reached(direction, price, row.2)
                        });
                        let backlog = book.is_reached(direction, price, mark);
                        if backlog {
                            // Refused: the mark reached it, or one that left somebody waiting, who
                            // may be gone since.
                            let left = match direction {
                                TriggerDirection::Falling => book.backlog().lowest_ticks,
                                TriggerDirection::Rising => book.backlog().highest_ticks,
                            };
                            let by_left =
                                left.is_some_and(|left| Model::reached(direction, price, left));
                            prop_assert!(by_left || Model::reached(direction, price, mark));
                        } else {
                            prop_assert!(!waits, "it would pass one that waits");
                            book.insert(id(next), direction, price);
                            model.0.push((id(next), direction, price, false));
                            next += 1;
                        }
                    }
                    4 if !model.0.is_empty() => {
                        let index = price.get() as usize % model.0.len();
                        let (id, direction, price, _) = model.0.remove(index);
                        prop_assert!(book.remove(id, direction, price));
                        prop_assert!(!book.remove(id, direction, price));
                    }
                    _ => {
                        mark = price;
                        let reached = !model.clone().pop(mark, 1).is_empty();
                        prop_assert_eq!(book.has_reached(mark), reached);
                        prop_assert_eq!(book.pop_reached(mark, max), model.pop(mark, max));
                    }
                }
                prop_assert_eq!(book.len(), model.0.len());
                let mut restored = TriggerBook::restored(book.backlog());
                for (id, direction, price, _) in &model.0 {
                    restored.insert(*id, *direction, *price);
                }
                prop_assert_eq!(&restored, &book);
            }
        }
    }
}
