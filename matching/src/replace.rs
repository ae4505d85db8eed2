//! Replacing a live order (rules §2.9): refused whole or carried out.

use tidemark_proto::units::Lots;
use tidemark_proto::Code;

use crate::admission::{check_lots, check_reducible};
use crate::arena::NONE;
use crate::book::Book;
use crate::bounded::checked;
use crate::ladder::key_of;
use crate::matcher::{MatchResult, Taker};
use crate::types::{Event, Host, OrderView, PlaceResult, Reject, Replace};

impl Book {
    /// Changes price or unfilled quantity of a live order, which keeps its ids, expiry, flags and
    /// display quantity. The order keeps its place in the queue if only its quantity falls.
    /// Otherwise the order leaves the book (`Removed` with `REPLACED`), may trade as a taker,
    /// hidden lots included, and its rest goes to the back of the queue with a full display.
    ///
    /// # Errors
    /// A refused change changes nothing: `UNKNOWN_ORDER` (no live order of this owner), and the
    /// refusals of [`Book::place`].
    pub fn replace(
        &mut self,
        change: &Replace,
        host: &mut impl Host,
    ) -> Result<PlaceResult, Reject> {
        let slot = self.owned(change.order_id, change.owner)?;
        let old = self.view(slot);
        let lots = change.lots.unwrap_or(old.lots);
        let wanted = change.price_ticks.unwrap_or(old.price_ticks);
        check_lots(lots)?;
        if wanted == old.price_ticks && lots <= old.lots {
            if lots < old.lots {
                self.reduce_or_evict(slot, checked::sub(old.lots, lots), Code::Cancelled, host);
            }
            let outcome = MatchResult { remaining_lots: lots, ..MatchResult::default() };
            return Ok(outcome.place_result(old.order_id, wanted));
        }
        check_reducible(old.owner, old.side, lots, old.reduce_only, host)?;
        let removed = self.remove_dead(old.side, wanted, old.post_only, change.max_visits, host)?;
        let (price_ticks, crosses) = self
            .admissible_price(old.side, wanted, old.post_only)
            .map_err(|reject| reject.after(removed))?;
        let leaving = if price_ticks == old.price_ticks { old.lots } else { Lots::ZERO };
        self.check_room(old.side, price_ticks, lots, leaving)
            .map_err(|reject| reject.after(removed))?;

        host.event(Event::Removed { order: old, reason: Code::Replaced });
        let order = *self.orders.get(slot);
        self.leave_reduce_only(slot);
        self.unlink_level(slot, &order);
        self.orders.get_mut(slot).level = NONE;
        let taker = Taker {
            order_id: old.order_id,
            owner: old.owner,
            client_id: old.client_id,
            side: old.side,
            limit_key: key_of(old.side.opposite(), price_ticks),
            reduce_only: old.reduce_only,
            stp: change.stp,
            max_fills: change.max_fills,
            max_visits: change.max_visits,
        };
        let mut outcome = match crosses {
            true => self.match_taker(&taker, lots, host),
            false => MatchResult { remaining_lots: lots, ..MatchResult::default() },
        };
        // A post-only order meets no maker.
        outcome.visits = outcome.visits.saturating_add(removed);
        self.rest_replaced(slot, &old, key_of(old.side, price_ticks), &mut outcome, host);
        Ok(outcome.place_result(old.order_id, price_ticks))
    }

    /// Rests what is left of a replaced order; of a reduce-only order, its part of the position.
    fn rest_replaced(
        &mut self,
        slot: u32,
        old: &OrderView,
        key: u64,
        outcome: &mut MatchResult,
        host: &mut impl Host,
    ) {
        let lots = outcome.remaining_lots;
        if lots.is_zero() || outcome.stop.is_some() {
            return self.remove_unlinked(slot);
        }
        if old.reduce_only {
            outcome.cut_to(self.part_of(old.owner, old.side, key, lots, host));
            if outcome.stop.is_some() {
                return self.remove_unlinked(slot);
            }
        }
        self.requeue(slot, key, old.display_lots, outcome.remaining_lots);
        self.enter_reduce_only(slot);
        host.event(Event::Rested(self.view(slot)));
        if old.reduce_only {
            self.fit_reduce_only(old.owner, old.side, host);
        }
    }
}
