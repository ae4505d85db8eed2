//! Matching: an incoming order against the other side's queues, price first, then arrival (rules
//! §2.1).

use std::collections::BTreeSet;

use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks};
use tidemark_proto::Code;

use crate::arena::Order;
use crate::book::Book;
use crate::bounded::{self, checked};
use crate::ladder::{key_of, price_of};
use crate::types::{Event, Host, NewOrder, PlaceResult, Reject, MAX_ORDER_LOTS};

/// An incoming order that is being matched.
pub(crate) struct Taker {
    pub(crate) order_id: OrderId,
    pub(crate) owner: AccountId,
    pub(crate) client_id: ClientId,
    pub(crate) side: Side,
    /// Limit price as a key of the makers' side: levels at or above it cross.
    pub(crate) limit_key: u64,
    pub(crate) reduce_only: bool,
    pub(crate) stp: SelfTradePrevention,
    pub(crate) max_fills: u32,
    pub(crate) max_visits: u32,
}

impl Taker {
    /// Returns the taker of a new order with this id, limited at `price_ticks`.
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
            max_visits: order.max_visits,
        }
    }
}

/// Facts that hold for a whole walk over makers.
#[derive(Clone, Copy)]
struct Walk {
    /// The book may hold a dead order.
    any_dead: bool,
    /// The host admits each fill of the taker.
    admits: bool,
}

/// Accounts with reduce-only orders that a walk has met.
#[derive(Default)]
struct Accounts {
    /// Makers that traded and still have some, to be fitted at the walk's end.
    traded: Vec<AccountId>,
    /// Whose orders the taker has been charged for.
    charged: BTreeSet<AccountId>,
}

/// Result of matching an incoming order.
#[derive(Default)]
pub(crate) struct MatchResult {
    /// Lots that neither traded nor were decremented.
    pub(crate) remaining_lots: Lots,
    pub(crate) filled_lots: Lots,
    pub(crate) decremented_lots: Lots,
    /// Reason why the order may neither trade further nor rest.
    pub(crate) stop: Option<Code>,
    /// Reason why an order that rests has dropped lots.
    pub(crate) cut: Option<Code>,
    /// Makers that were looked at.
    pub(crate) visits: u32,
}

impl Book {
    /// Trades until the order is filled, meets no acceptable price, or must stop. The order meets
    /// at most `max_fills` makers, and looks at no more than `max_visits`.
    pub(crate) fn match_taker(
        &mut self,
        taker: &Taker,
        lots: Lots,
        host: &mut impl Host,
    ) -> MatchResult {
        let mut outcome = MatchResult { remaining_lots: lots, ..MatchResult::default() };
        debug_assert!(
            !lots.is_zero() && lots <= MAX_ORDER_LOTS,
            "admission has bounded the quantity"
        );
        let mut met = 0_u32;
        let mut accounts = Accounts::default();
        let walk = Walk { any_dead: self.any_dead(host), admits: host.begin_walk() };
        // Matching adds no reduce-only order.
        let simple =
            !taker.reduce_only && !self.owners.any_reduce_only() && !walk.any_dead && !walk.admits;
        while !outcome.remaining_lots.is_zero() && outcome.stop.is_none() {
            if simple {
                let fills_left = taker.max_fills.saturating_sub(met);
                let visits_left = taker.max_visits.saturating_sub(outcome.visits);
                let most = fills_left.min(visits_left);
                let more = self.match_shown(taker, &mut outcome, most, host);
                met = met.saturating_add(more);
                outcome.visits = outcome.visits.saturating_add(more);
            }
            let Some(slot) = self.next_maker(taker).filter(|_| !outcome.remaining_lots.is_zero())
            else {
                break;
            };
            met = self.visit(slot, taker, met, (&mut outcome, &mut accounts), walk, host);
        }
        for maker in accounts.traded {
            self.fit_reduce_only(maker, taker.side.opposite(), host);
        }
        if !simple && !outcome.filled_lots.is_zero() {
            self.fit_reduce_only(taker.owner, taker.side, host);
        }
        if taker.reduce_only
            && !outcome.remaining_lots.is_zero()
            && host.reducible_lots(taker.owner, taker.side).is_zero()
        {
            outcome.stop = Some(Code::NothingToReduce);
        }
        debug_assert_eq!(
            lots,
            bounded::add(
                bounded::add(outcome.filled_lots, outcome.decremented_lots),
                outcome.remaining_lots
            ),
            "every lot of the taker has traded, was decremented or remains"
        );
        debug_assert!(met <= taker.max_fills, "the taker met at most `max_fills` makers");
        debug_assert!(outcome.visits <= taker.max_visits, "each look was charged before");
        outcome
    }

    /// Looks at the next maker: removes it if it is dead, else the taker meets it. Returns how many
    /// makers the taker has met. Makers that traded and still have reduce-only orders on their side
    /// are noted, for these to be fitted at the end.
    #[inline(always)]
    fn visit(
        &mut self,
        slot: u32,
        taker: &Taker,
        met: u32,
        (outcome, accounts): (&mut MatchResult, &mut Accounts),
        walk: Walk,
        host: &mut impl Host,
    ) -> u32 {
        if outcome.visits == taker.max_visits {
            outcome.stop = Some(Code::OutOfGas);
            return met;
        }
        outcome.visits = bounded::increment(outcome.visits);
        if let Some(code) = walk.any_dead.then(|| self.why_dead(slot, host)).flatten() {
            self.evict(slot, code, host);
            return met;
        }
        if met == taker.max_fills {
            outcome.stop = Some(Code::MaxFills);
            return met;
        }
        if self.orders.get(slot).owner == taker.owner {
            self.prevent_self_trade(slot, taker.stp, outcome, host);
        } else {
            let (maker, visits) = (self.orders.get(slot).owner, outcome.visits);
            let Some(visits) = self.charge_shrinks(&mut accounts.charged, taker, maker, visits)
            else {
                outcome.stop = Some(Code::OutOfGas);
                return met;
            };
            outcome.visits = visits;
            self.match_maker(slot, taker, (outcome, accounts), walk, host);
        }
        bounded::increment(met)
    }

    /// The most frequent part of [`Book::match_taker`]: trades with makers that belong to other
    /// accounts and hide no lots, with at most `most`. The caller has checked that neither the
    /// taker nor any order of the book is reduce-only, and that none is dead. Returns how many
    /// makers the taker has met.
    #[inline(never)]
    fn match_shown(
        &mut self,
        taker: &Taker,
        outcome: &mut MatchResult,
        most: u32,
        host: &mut impl Host,
    ) -> u32 {
        let mut met = 0_u32;
        let side = taker.side.opposite();
        let mut remaining = outcome.remaining_lots;
        while !remaining.is_zero() && met < most {
            let Some(level) = self.ladders.get(side).best() else { break };
            let (key, slot) = (self.levels.get(level).key, self.levels.get(level).head);
            if key < taker.limit_key {
                break;
            }
            // No reference to this copy is passed on: the copy would move from registers to memory.
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
                price_ticks: price_of(side, key),
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

    /// Returns the first order of the best level, if the level crosses.
    #[inline]
    fn next_maker(&self, taker: &Taker) -> Option<u32> {
        let level = self.levels.get(self.ladders.get(taker.side.opposite()).best()?);
        (level.key >= taker.limit_key).then_some(level.head)
    }

    /// Meets another account's order: a fill, unless taker or maker is reduce-only without a
    /// position to reduce.
    #[inline(never)]
    fn match_maker(
        &mut self,
        slot: u32,
        taker: &Taker,
        (outcome, accounts): (&mut MatchResult, &mut Accounts),
        walk: Walk,
        host: &mut impl Host,
    ) {
        let maker = *self.orders.get(slot);
        let maker_side = taker.side.opposite();
        let mut lots = outcome.remaining_lots.min(maker.lots);
        if taker.reduce_only {
            lots = lots.min(host.reducible_lots(taker.owner, taker.side));
            if lots.is_zero() {
                outcome.stop = Some(Code::NothingToReduce);
                return;
            }
        }
        if maker.flags().reduce_only() {
            lots = lots.min(host.reducible_lots(maker.owner, maker_side));
            if lots.is_zero() {
                self.evict(slot, Code::NothingToReduce, host);
                return;
            }
        }
        if walk.admits {
            let price_ticks = price_of(maker_side, self.levels.get(maker.level).key);
            let admitted = host.admit(price_ticks, lots).min(lots);
            if admitted < lots {
                outcome.stop = Some(Code::InsufficientCollateral);
                lots = admitted;
            }
            if lots.is_zero() {
                return;
            }
        }
        outcome.remaining_lots = bounded::sub(outcome.remaining_lots, lots);
        outcome.filled_lots = bounded::add(outcome.filled_lots, lots);
        self.fill(slot, &maker, taker, lots, host);
        let has_more = self.drop_spent_reduce_only(maker.owner, maker_side, host);
        if has_more && accounts.traded.last() != Some(&maker.owner) {
            accounts.traded.push(maker.owner);
        }
        self.drop_spent_reduce_only(taker.owner, taker.side, host);
    }

    fn fill(&mut self, slot: u32, maker: &Order, taker: &Taker, lots: Lots, host: &mut impl Host) {
        let maker_side = taker.side.opposite();
        let key = self.levels.get(maker.level).key;
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
            price_ticks: price_of(maker_side, key),
            lots,
        };
        if lots < maker.lots {
            self.reduce_shown(slot, lots);
            if maker.flags().reduce_only() {
                self.owners.shrink_reduce_only(maker.owner, maker_side, lots);
            }
            return host.event(event);
        }
        host.event(event);
        self.unlink_level(slot, maker);
        if iceberg.hidden_lots.is_zero() {
            return self.remove_unlinked(slot);
        }
        if maker.flags().reduce_only() {
            self.owners.shrink_reduce_only(maker.owner, maker_side, lots);
            self.owners.requeue_reduce_only(maker.owner, maker_side, maker.id());
        }
        self.requeue(slot, key, iceberg.display_lots, iceberg.hidden_lots);
        host.event(Event::Refilled(self.view(slot)));
    }

    /// Meets another order of the taker's owner.
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
                outcome.remaining_lots = checked::sub(outcome.remaining_lots, by_lots);
                outcome.decremented_lots = checked::add(outcome.decremented_lots, by_lots);
                self.reduce_or_evict(slot, by_lots, Code::SelfTrade, host);
            }
        }
    }

    /// After a trade of `owner` on `side`, removes the owner's reduce-only orders there if no
    /// position is left to reduce; returns true if such orders stay. Costs one look at the counts
    /// if the owner has none.
    #[inline(always)]
    fn drop_spent_reduce_only(
        &mut self,
        owner: AccountId,
        side: Side,
        host: &mut impl Host,
    ) -> bool {
        if !self.owners.has_reduce_only(owner, side) {
            return false;
        }
        let spent = host.reducible_lots(owner, side).is_zero();
        if spent {
            self.fit_reduce_only(owner, side, host);
        }
        !spent
    }
}

impl MatchResult {
    /// Cuts what is left of a reduce-only order to its part of the position; 0 may not rest.
    pub(crate) fn cut_to(&mut self, part: Lots) {
        if part.is_zero() {
            self.stop = Some(Code::NothingToReduce);
        } else if part < self.remaining_lots {
            (self.remaining_lots, self.cut) = (part, Some(Code::NothingToReduce));
        }
    }

    /// Returns the refusal of an immediate order of which no lot was admitted. Orders that the walk
    /// removed stay removed.
    pub(crate) fn refused_all(&self, lots: Lots) -> Option<Reject> {
        let refused = self.stop == Some(Code::InsufficientCollateral)
            && self.filled_lots.is_zero()
            && self.decremented_lots.is_zero();
        refused.then(|| Reject::new(Code::InsufficientCollateral, 0, lots.get()).after(self.visits))
    }

    /// Returns the result for the caller; `order_id` and `price_ticks` are those of the incoming
    /// order.
    pub(crate) const fn place_result(&self, order_id: OrderId, price_ticks: Ticks) -> PlaceResult {
        let outcome = self;
        let rests = outcome.stop.is_none();
        PlaceResult {
            order_id,
            filled_lots: outcome.filled_lots,
            decremented_lots: outcome.decremented_lots,
            resting_lots: if rests { outcome.remaining_lots } else { Lots::ZERO },
            price_ticks,
            rest: if rests { outcome.cut } else { outcome.stop },
            visits: outcome.visits,
        }
    }
}
