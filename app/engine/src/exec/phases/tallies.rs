//! Tallies of a block for the owners' allowances: orders placed, traded and ended, counted once
//! from the results of its transactions and its events.

use std::collections::BTreeMap;

use tidemark_proto::types::{Class, Draw, Message, Operation};
use tidemark_proto::units::{AccountId, Atoms, MarketId, OrderId, OwnerId};
use tidemark_proto::Code;

use crate::events::{Event, Fill};
use crate::exec::ctx::TriggeredOrder;
use crate::exec::phases::schedule::{Progress, Scheduled};
use crate::outcome::OperationResult;
use crate::state::allowance::Tally;
use crate::state::State;

const ONE_ORDER: Draw = Draw { orders: 1, cancels: 0 };
const ONE_CANCEL: Draw = Draw { orders: 0, cancels: 1 };

/// The tallies of the owners that a block is about.
pub(super) struct Tallies<'a> {
    state: &'a State,
    rows: Vec<(OwnerId, Tally)>,
    /// Of each owner the place of its tally, from 1 on; 0 without one.
    places: Vec<u32>,
}

impl<'a> Tallies<'a> {
    /// Without a tally yet. `places` are those that [`Self::end`] gave back, so that a block costs
    /// what its own owners are, not what all are.
    pub(super) fn of(state: &'a State, mut places: Vec<u32>) -> Self {
        places.resize(state.owners.len() as usize, 0);
        Self { state, rows: Vec::new(), places }
    }

    /// The tallies, and the places for the next block.
    pub(super) fn end(mut self) -> (Vec<(OwnerId, Tally)>, Vec<u32>) {
        for (owner, _) in &self.rows {
            if let Some(place) = self.places.get_mut(owner.get() as usize) {
                *place = 0;
            }
        }
        (self.rows, self.places)
    }

    fn of_owner(&mut self, owner: OwnerId) -> Option<&mut Tally> {
        let place = self.places.get_mut(owner.get() as usize)?;
        if *place == 0 {
            self.rows.push((owner, Tally::default()));
            *place = u32::try_from(self.rows.len()).ok()?;
        }
        let (_, tally) = self.rows.get_mut((*place as usize).checked_sub(1)?)?;
        Some(tally)
    }

    fn of_account(&mut self, account: AccountId) -> Option<&mut Tally> {
        let owner = self.state.accounts.get(account)?.owner;
        self.of_owner(owner)
    }

    /// The block whose transactions placed an order, if its draw may still come back.
    fn placed_in(&self, market: MarketId, order_id: OrderId) -> Option<u64> {
        self.state.markets.get(market.index())?.cell.placed.height_of(order_id)
    }

    /// Counts what a transaction placed, and gives back what cancels drew that ended an order, and
    /// replacements that traded or ended theirs.
    pub(super) fn count_results(&mut self, scheduled: &Scheduled<'_>) {
        let Message::Orders { operations, .. } = &scheduled.admitted.tx.message else { return };
        let Progress::Runs(run) = &scheduled.progress else { return };
        let (mut placed, mut back) = (0_u32, Draw::default());
        for (operation, result) in operations.iter().zip(&run.results) {
            placed = placed.saturating_add(placed_by(operation, result));
            back = back.and(back_of(operation, result));
        }
        if (placed, back) == (0, Draw::default()) {
            return;
        }
        if let Some(tally) = self.of_owner(scheduled.admitted.owner) {
            tally.placed = tally.placed.saturating_add(placed);
            tally.back = tally.back.and(back);
        }
    }

    /// Counts trades, and orders that traded, triggered or ended.
    pub(super) fn count_events(&mut self, events: &[Event], triggered: &[TriggeredOrder]) {
        let placed = triggered.iter().filter_map(|of| Some(((of.market, of.placed_order_id?), of)));
        let mut waited: BTreeMap<_, _> = placed.collect();
        for event in events {
            match event {
                Event::Fill(fill) => self.count_fill(fill, &mut waited),
                Event::Removed { market, order_id, account, code, loses_draw: true, .. }
                    if *code != Code::Replaced =>
                {
                    self.note_gone(*market, *account, *order_id, Draw::default());
                }
                Event::Slice { account, slice, .. } if !slice.filled_lots.is_zero() => {
                    if let Some(tally) = self.of_account(*account) {
                        tally.back = tally.back.and(ONE_ORDER);
                    }
                }
                _ => {}
            }
        }
        // What came of the others has not traded in this block.
        let is_refused = |of: &&TriggeredOrder| of.placed_order_id.is_none();
        for of in triggered.iter().filter(is_refused).chain(waited.into_values()) {
            self.note_gone(of.market, of.account, of.order_id, Draw::default());
        }
    }

    fn count_fill(
        &mut self,
        fill: &Fill,
        waited: &mut BTreeMap<(MarketId, OrderId), &TriggeredOrder>,
    ) {
        let Fill { market, maker, taker, maker_order_id, taker_order_id, .. } = *fill;
        let k = self.state.markets.get(market.index()).map(|slot| slot.cell.market.k);
        let notional = k.and_then(|k| fill.price_ticks.notional_atoms(fill.lots, k));
        for account in [maker, taker] {
            if let Some(tally) = self.of_account(account) {
                let more = notional.unwrap_or(Atoms::ZERO);
                tally.traded_atoms = tally.traded_atoms.saturating_add(more);
            }
        }
        if fill.is_makers_first {
            self.note_gone(market, maker, maker_order_id, ONE_ORDER);
        }
        if fill.is_takers_first {
            match waited.remove(&(market, taker_order_id)) {
                Some(of) => self.note_gone(market, of.account, of.order_id, ONE_ORDER),
                None => self.note_gone(market, taker, taker_order_id, ONE_ORDER),
            }
        }
    }

    /// Notes that an order has traded or ended, if its draw was still to come back, and what of it
    /// comes back now.
    fn note_gone(&mut self, market: MarketId, account: AccountId, order_id: OrderId, back: Draw) {
        let Some(height) = self.placed_in(market, order_id) else { return };
        if let Some(tally) = self.of_account(account) {
            tally.note_gone(height);
            tally.back = tally.back.and(back);
        }
    }
}

/// Orders with a draw of their own that an operation has placed. A TWAP has drawn for its slices.
fn placed_by(operation: &Operation, result: &OperationResult) -> u32 {
    if result.refusal.is_some() || !operation.places() {
        return 0;
    }
    match operation {
        Operation::Twap(_) => 0,
        Operation::Scale(_) => result.placed,
        Operation::Oco(_) => 2,
        Operation::Bracket(of) if result.second_order_id != OrderId::NONE => {
            of.exits().fold(1_u32, |sum, _| sum.saturating_add(1))
        }
        _ => 1,
    }
}

/// The part of the draw of an operation which places nothing that comes back at once.
fn back_of(operation: &Operation, result: &OperationResult) -> Draw {
    let has_ended = result.cancelled > 0;
    match operation {
        Operation::Replace { .. } if has_ended || !result.filled_lots.is_zero() => ONE_ORDER,
        operation if operation.class() == Class::Cancels && has_ended => ONE_CANCEL,
        _ => Draw::default(),
    }
}
