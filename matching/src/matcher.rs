//! Matching: an incoming order against the other side's queues, price first, then arrival (rules
//! §2).

use tidemark_proto::units::{AccountId, Lots, OrderId, SelfTradePrevention, Side, Ticks};
use tidemark_proto::Code;

use crate::arena::{Order, NONE};
use crate::book::Book;
use crate::bounded;
use crate::ladder::key_of;
use crate::types::{Event, Host, NewOrder, Placed};

/// An incoming order while it takes.
pub(crate) struct Taker {
    pub(crate) order_id: OrderId,
    pub(crate) owner: AccountId,
    pub(crate) client_id: u64,
    pub(crate) side: Side,
    /// Its limit as a key of the makers' side: levels at or above it cross.
    pub(crate) limit_key: u64,
    pub(crate) reduce_only: bool,
    pub(crate) stp: SelfTradePrevention,
    pub(crate) max_fills: u32,
}

impl Taker {
    /// A new order of this id, limited at `price_ticks`.
    pub(crate) fn new(order: &NewOrder, order_id: OrderId, price_ticks: Ticks) -> Self {
        Self {
            order_id,
            owner: order.owner,
            client_id: order.client_id,
            side: order.side,
            limit_key: key_of(order.side.opposite(), price_ticks),
            reduce_only: order.reduce_only,
            stp: order.stp,
            max_fills: order.max_fills,
        }
    }
}

/// How far an incoming order got.
#[derive(Default)]
pub(crate) struct MatchResult {
    /// Neither traded nor decremented.
    pub(crate) remaining_lots: Lots,
    pub(crate) filled_lots: Lots,
    pub(crate) decremented_lots: Lots,
    /// Why it may neither go on nor rest.
    pub(crate) stop: Option<Code>,
}

impl Book {
    /// Trades until the order is filled, meets no price it accepts, or must stop. Meets at most
    /// `max_fills` makers.
    pub(crate) fn match_taker(
        &mut self,
        taker: &Taker,
        lots: Lots,
        host: &mut impl Host,
    ) -> MatchResult {
        let mut outcome = MatchResult { remaining_lots: lots, ..MatchResult::default() };
        let mut met = 0_u32;
        // What is outcome adds no order that may only reduce.
        let simple = !taker.reduce_only && !self.owners.any_reduce_only();
        while outcome.remaining_lots > 0 && outcome.stop.is_none() {
            if simple {
                met = self.match_shown(taker, &mut outcome, met, host);
            }
            let Some(slot) = self.next_maker(taker).filter(|_| outcome.remaining_lots > 0) else {
                break;
            };
            if met == taker.max_fills {
                outcome.stop = Some(Code::MaxFills);
                break;
            }
            met = bounded::increment(met);
            if self.orders.get(slot).owner == taker.owner {
                self.prevent_self_trade(slot, taker.stp, &mut outcome, host);
            } else {
                self.match_maker(slot, taker, &mut outcome, host);
            }
        }
        if taker.reduce_only
            && outcome.remaining_lots > 0
            && host.reducible_lots(taker.owner, taker.side) == 0
        {
            outcome.stop = Some(Code::NothingToReduce);
        }
        outcome
    }

    /// The most frequent part of it: trades with makers while each is another account's and hides
    /// nothing. The caller has seen that neither the taker nor an order of the book may only
    /// reduce. Returns how many makers the taker has met.
    #[inline(never)]
    fn match_shown(
        &mut self,
        taker: &Taker,
        outcome: &mut MatchResult,
        mut met: u32,
        host: &mut impl Host,
    ) -> u32 {
        let side = taker.side.opposite();
        let mut remaining = outcome.remaining_lots;
        while remaining > 0 && met < taker.max_fills {
            let Some(level) = self.ladders[side as usize].best() else { break };
            let (key, slot) = (self.levels.get(level).key, self.levels.get(level).head);
            if key < taker.limit_key {
                break;
            }
            // No reference to this copy leaves, or it would be kept in memory and not in registers.
            let maker = *self.orders.get(slot);
            let owner = maker.owner;
            if maker.flags().iceberg() | (owner == taker.owner) {
                break;
            }
            met = bounded::increment(met);
            let lots = remaining.min(maker.lots);
            remaining = bounded::sub(remaining, lots);
            host.event(Event::Fill {
                maker_order_id: maker.id(),
                maker: owner,
                maker_client_id: self.attributes.get(slot, maker.flags()).client_id,
                maker_reduce_only: false,
                maker_remaining_lots: bounded::sub(maker.lots, lots),
                taker_order_id: taker.order_id,
                taker: taker.owner,
                taker_client_id: taker.client_id,
                taker_side: taker.side,
                price_ticks: key_of(side, key),
                lots,
            });
            if lots < maker.lots {
                self.reduce_shown(slot, lots);
                break;
            }
            self.drop_order(slot, self.ids.locate(maker.id()));
        }
        outcome.filled_lots =
            bounded::add(outcome.filled_lots, bounded::sub(outcome.remaining_lots, remaining));
        outcome.remaining_lots = remaining;
        met
    }

    /// The first order of the best level that crosses.
    #[inline]
    fn next_maker(&self, taker: &Taker) -> Option<u32> {
        let level = self.levels.get(self.ladders[taker.side.opposite() as usize].best()?);
        (level.key >= taker.limit_key).then_some(level.head)
    }

    /// Meets another account's order: a fill, unless there is nothing to reduce for one of the two.
    #[inline(never)]
    fn match_maker(
        &mut self,
        slot: u32,
        taker: &Taker,
        outcome: &mut MatchResult,
        host: &mut impl Host,
    ) {
        let maker = *self.orders.get(slot);
        let maker_side = taker.side.opposite();
        let mut lots = outcome.remaining_lots.min(maker.lots);
        if taker.reduce_only {
            lots = lots.min(host.reducible_lots(taker.owner, taker.side));
            if lots == 0 {
                outcome.stop = Some(Code::NothingToReduce);
                return;
            }
        }
        if maker.flags().reduce_only() {
            lots = lots.min(host.reducible_lots(maker.owner, maker_side));
            if lots == 0 {
                self.evict(slot, Code::NothingToReduce, host);
                return;
            }
        }
        outcome.remaining_lots = bounded::sub(outcome.remaining_lots, lots);
        outcome.filled_lots = bounded::add(outcome.filled_lots, lots);
        self.fill(slot, &maker, taker, lots, host);
        self.drop_spent_reduce_only(maker.owner, maker_side, host);
        self.drop_spent_reduce_only(taker.owner, taker.side, host);
    }

    fn fill(&mut self, slot: u32, maker: &Order, taker: &Taker, lots: Lots, host: &mut impl Host) {
        let maker_side = taker.side.opposite();
        let price_ticks = key_of(maker_side, self.levels.get(maker.level).key);
        let iceberg = self.iceberg(slot, maker.flags());
        let event = Event::Fill {
            maker_order_id: maker.id(),
            maker: maker.owner,
            maker_client_id: self.attributes.get(slot, maker.flags()).client_id,
            maker_reduce_only: maker.flags().reduce_only(),
            maker_remaining_lots: bounded::add(bounded::sub(maker.lots, lots), iceberg.hidden_lots),
            taker_order_id: taker.order_id,
            taker: taker.owner,
            taker_client_id: taker.client_id,
            taker_side: taker.side,
            price_ticks,
            lots,
        };
        if lots < maker.lots {
            self.reduce_shown(slot, lots);
            return host.event(event);
        }
        host.event(event);
        self.unlink_level(slot, maker);
        if iceberg.hidden_lots == 0 {
            return self.remove_unlinked(slot);
        }
        self.requeue(
            slot,
            key_of(maker_side, price_ticks),
            iceberg.display_lots,
            iceberg.hidden_lots,
        );
        host.event(Event::Refilled(self.view(slot)));
    }

    /// Meets the taker's own order.
    #[inline(never)]
    fn prevent_self_trade(
        &mut self,
        slot: u32,
        policy: SelfTradePrevention,
        outcome: &mut MatchResult,
        host: &mut impl Host,
    ) {
        match policy {
            SelfTradePrevention::CancelTaker => outcome.stop = Some(Code::SelfTrade),
            SelfTradePrevention::CancelMaker => {
                self.evict(slot, Code::SelfTrade, host);
            }
            SelfTradePrevention::CancelBoth => {
                self.evict(slot, Code::SelfTrade, host);
                outcome.stop = Some(Code::SelfTrade);
            }
            SelfTradePrevention::Decrement => {
                let by_lots = outcome.remaining_lots.min(self.total_lots(slot));
                outcome.remaining_lots -= by_lots;
                outcome.decremented_lots += by_lots;
                self.reduce_or_evict(slot, by_lots, Code::SelfTrade, host);
            }
        }
    }

    /// After a trade of `owner` on `side`: its reduce-only orders there go, if nothing is left to
    /// reduce. Costs one look at the owner's counts when it has none.
    #[inline(always)]
    fn drop_spent_reduce_only(&mut self, owner: AccountId, side: Side, host: &mut impl Host) {
        if self.owners.has_reduce_only(owner, side) && host.reducible_lots(owner, side) == 0 {
            self.cancel_reduce_only(owner, side, host);
        }
    }

    /// Cancels an account's reduce-only orders on a side with `NOTHING_TO_REDUCE`, newest first; to
    /// be called when its position has closed or turned other than by a fill in this book. Returns
    /// how many went. At most the owner's open orders.
    pub fn cancel_reduce_only(
        &mut self,
        owner: AccountId,
        side: Side,
        host: &mut impl Host,
    ) -> u32 {
        let mut left = self.owners.get(owner).reduce_only[side as usize];
        let mut gone = 0;
        let mut slot = self.owners.get(owner).newest;
        while slot != NONE && left > 0 {
            let older = self.owners.older(slot);
            let (flags, level) = (self.orders.get(slot).flags(), self.orders.get(slot).level);
            if flags.reduce_only() && flags.side() == side {
                left -= 1;
                // An order that is being replaced is in no level: its rest is decided where it
                // takes.
                if level != NONE {
                    self.evict(slot, Code::NothingToReduce, host);
                    gone += 1;
                }
            }
            slot = older;
        }
        gone
    }
}

impl MatchResult {
    /// The answer for the caller: `order_id` and `price_ticks` are those of the incoming order.
    pub(crate) const fn placed(&self, order_id: OrderId, price_ticks: Ticks) -> Placed {
        let outcome = self;
        let rests = outcome.stop.is_none();
        Placed {
            order_id,
            filled_lots: outcome.filled_lots,
            decremented_lots: outcome.decremented_lots,
            resting_lots: if rests { outcome.remaining_lots } else { 0 },
            price_ticks,
            rest: outcome.stop,
        }
    }
}
