//! Conditional orders as a snapshot holds them: the rows, and what the indexes have beside them.

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_matching::{Backlog, TrailGroups, Trails, TriggerBook, TurnQueue};
use tidemark_proto::units::OrderId;

use super::{Conditional, ConditionalOrders};
use crate::state::table::{Table, TableView};

/// Marks that follow from no row.
#[derive(Clone, Debug, BorshSerialize, BorshDeserialize)]
pub(crate) struct Marks {
    /// Of orders that only reduce, and of the others.
    backlogs: [Backlog; 2],
    /// Rounds that have begun, by class.
    begun: BTreeMap<u8, u64>,
    next_peg: OrderId,
    trails: [TrailGroups; 2],
}

/// Conditional orders of one market as they were.
#[derive(Debug)]
pub(crate) struct FrozenConditional {
    pub rows: TableView<u32, Option<Conditional>>,
    pub marks: Marks,
}

impl ConditionalOrders {
    /// Copies what a snapshot is made of.
    pub(crate) fn freeze(&self) -> FrozenConditional {
        let marks = Marks {
            backlogs: [self.exit_triggers.backlog(), self.other_triggers.backlog()],
            begun: self.turns.begun().clone(),
            next_peg: self.next_peg,
            trails: self.trails.groups(),
        };
        FrozenConditional { rows: self.rows.view(), marks }
    }

    /// The orders of a snapshot, found in every way again; `None` if an order has two rows.
    pub(crate) fn restored(rows: Table<u32, Option<Conditional>>, marks: Marks) -> Option<Self> {
        let [exits, others] = marks.backlogs;
        let mut orders = Self {
            exit_triggers: TriggerBook::restored(exits),
            other_triggers: TriggerBook::restored(others),
            trails: Trails::restored(marks.trails),
            turns: TurnQueue::restored(marks.begun),
            next_peg: marks.next_peg,
            ..Self::default()
        };
        for (slot, row) in rows.iter() {
            let Some(order) = row else {
                orders.free.insert(slot);
                continue;
            };
            orders.index(order);
            if orders.slots.insert(order.order_id, slot).is_some() {
                return None;
            }
        }
        let is_whole = rows.rows() == rows.len();
        orders.rows = rows;
        is_whole.then_some(orders)
    }

    /// Orders on the book that are pegged.
    pub(crate) fn pegged_ids(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.pegs.iter().copied()
    }
}
