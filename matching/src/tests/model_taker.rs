//! The model's incoming order: it walks the other side's list from the front.

use std::collections::BTreeSet;

use tidemark_proto::units::{AccountId, Lots, SelfTradePrevention, Side, Ticks};
use tidemark_proto::Code;

use super::model::{Model, Policy};
use crate::{Event, Host, OrderView, PostOnly};

struct Incoming {
    order: OrderView,
    policy: Policy,
    filled: Lots,
    decremented: Lots,
    visits: u32,
    /// In a trial, the owners that have traded.
    traded: Option<BTreeSet<AccountId>>,
    /// Owners of makers that traded, in order of their trades.
    makers: Vec<AccountId>,
    /// Accounts whose reduce-only orders were charged for.
    charged: BTreeSet<AccountId>,
    /// The orders that there were before, which a trial counts.
    before: Vec<OrderView>,
}

/// An incoming order after matching.
pub(super) struct MatchedTaker {
    pub(super) order: OrderView,
    pub(super) filled: Lots,
    pub(super) decremented: Lots,
    pub(super) stopped: Option<Code>,
    pub(super) visits: u32,
}

/// Why an order may not trade any more, though it is on the book.
fn dead(order: &OrderView, host: &impl Host) -> Option<Code> {
    match order.expires_ms {
        Some(expires_ms) if expires_ms <= host.now_ms() => Some(Code::Expired),
        _ => host.why_dead(order.owner, order.reduce_only),
    }
}

pub(super) fn crosses(side: Side, limit: Ticks, maker_price: Ticks) -> bool {
    match side {
        Side::Buy => maker_price <= limit,
        Side::Sell => maker_price >= limit,
    }
}

impl Model {
    /// Removes the dead makers that a post-only order would meet before a live one.
    pub(super) fn clear_ahead(
        &mut self,
        order: &OrderView,
        max_visits: u32,
        host: &mut impl Host,
    ) -> Result<u32, (Code, u32)> {
        let mut visits = 0;
        // A book without a dead order is not looked at.
        if order.post_only == PostOnly::Off || !self.any_dead(host) {
            return Ok(visits);
        }
        loop {
            let maker = self.sides[order.side.opposite() as usize].first().copied();
            let Some(maker) =
                maker.filter(|m| crosses(order.side, order.price_ticks, m.price_ticks))
            else {
                return Ok(visits);
            };
            if visits == max_visits {
                return Err((Code::OutOfGas, visits));
            }
            visits += 1;
            let Some(code) = dead(&maker, host) else { return Ok(visits) };
            self.remove(maker, code, host);
        }
    }

    fn any_dead(&self, host: &impl Host) -> bool {
        let expired =
            |order: &OrderView| order.expires_ms.is_some_and(|expiry| expiry <= host.now_ms());
        host.any_dead() || self.all().any(expired)
    }

    fn take(&mut self, taker: &mut Incoming, host: &mut impl Host) -> Option<Code> {
        let makers = taker.order.side.opposite();
        let mut stopped = None;
        let mut met = 0;
        loop {
            let maker = self.sides[makers as usize].first().copied();
            let maker =
                maker.filter(|m| crosses(taker.order.side, taker.order.price_ticks, m.price_ticks));
            let (Some(maker), None, false) = (maker, stopped, taker.order.lots.is_zero()) else {
                break;
            };
            // A trial ends with the taker's position.
            let reducible = host.reducible_lots(taker.order.owner, taker.order.side);
            if taker.traded.is_some() && taker.order.reduce_only && reducible.is_zero() {
                break;
            }
            if taker.visits == taker.policy.max_visits {
                stopped = Some(Code::OutOfGas);
                break;
            }
            taker.visits += 1;
            if let Some(code) = dead(&maker, host) {
                self.remove(maker, code, host);
                continue;
            }
            let spent = maker.reduce_only
                && host.reducible_lots(maker.owner, maker.side).is_zero()
                && maker.owner != taker.order.owner;
            if spent && taker.traded.as_ref().is_some_and(|owners| owners.contains(&maker.owner)) {
                self.drop_order(maker.order_id);
                continue;
            }
            if met == taker.policy.max_fills {
                stopped = Some(Code::MaxFills);
                break;
            }
            met += 1;
            stopped = if maker.owner == taker.order.owner {
                self.same_owner(&maker, taker, host)
            } else if !self.pays_for_shrinks(&maker, taker) {
                Some(Code::OutOfGas)
            } else {
                self.trade(&maker, taker, host)
            };
        }
        let spent = taker.order.reduce_only
            && host.reducible_lots(taker.order.owner, taker.order.side).is_zero();
        if spent && !taker.order.lots.is_zero() {
            return Some(Code::NothingToReduce);
        }
        stopped
    }

    /// Charges one visit for four reduce-only orders that a trade may shrink, each account once.
    fn pays_for_shrinks(&self, maker: &OrderView, taker: &mut Incoming) -> bool {
        let mut visits = taker.visits;
        for order in [maker, &taker.order] {
            let of = |o: &&OrderView| (o.owner, o.side) == (order.owner, order.side);
            let reduce_only = |o: &&OrderView| o.reduce_only;
            let count = if taker.traded.is_some() {
                taker.before.iter().filter(of).filter(reduce_only).count() as u32
            } else {
                self.all().filter(of).filter(reduce_only).count() as u32
            };
            if count >= 2 && taker.charged.insert(order.owner) {
                visits += count.saturating_sub(1);
            }
        }
        let pays = visits <= taker.policy.max_visits;
        if pays {
            taker.visits = visits;
        }
        pays
    }

    fn same_owner(
        &mut self,
        maker: &OrderView,
        taker: &mut Incoming,
        host: &mut impl Host,
    ) -> Option<Code> {
        match taker.policy.stp {
            // A trial ends where less than all would trade.
            SelfTradePrevention::Decrement if taker.traded.is_some() => {
                return Some(Code::SelfTrade);
            }
            SelfTradePrevention::CancelTaker => return Some(Code::SelfTrade),
            SelfTradePrevention::CancelMaker => self.remove(*maker, Code::SelfTrade, host),
            SelfTradePrevention::CancelBoth => {
                self.remove(*maker, Code::SelfTrade, host);
                return Some(Code::SelfTrade);
            }
            SelfTradePrevention::Decrement => {
                let both = maker.lots.min(taker.order.lots);
                taker.order.lots -= both;
                taker.decremented += both;
                self.take_off(maker.order_id, both, Code::SelfTrade, host);
            }
        }
        None
    }

    fn trade(
        &mut self,
        maker: &OrderView,
        taker: &mut Incoming,
        host: &mut impl Host,
    ) -> Option<Code> {
        let cap = |order: &OrderView, host: &dyn Fn(AccountId, Side) -> Lots| {
            if order.reduce_only {
                host(order.owner, order.side)
            } else {
                Lots::MAX
            }
        };
        let (taker_cap, maker_cap) = {
            let reducible = |owner, side| host.reducible_lots(owner, side);
            (cap(&taker.order, &reducible), cap(maker, &reducible))
        };
        if taker_cap.is_zero() {
            return Some(Code::NothingToReduce);
        }
        if maker_cap.is_zero() {
            self.remove(*maker, Code::NothingToReduce, host);
            return None;
        }
        let shown = maker.lots - maker.hidden_lots;
        let lots = shown.min(taker.order.lots).min(taker_cap).min(maker_cap);
        taker.order.lots -= lots;
        taker.filled += lots;
        let mut refilled = None;
        if lots == shown {
            self.drop_order(maker.order_id);
            if !maker.hidden_lots.is_zero() {
                refilled = Some(self.insert(OrderView { lots: maker.hidden_lots, ..*maker }));
            }
        } else {
            self.sides[maker.side as usize][0].lots -= lots;
        }
        host.event(Event::Fill {
            maker_order_id: maker.order_id,
            maker: maker.owner,
            maker_client_id: maker.client_id,
            maker_reduce_only: maker.reduce_only,
            maker_remaining_lots: maker.lots - lots,
            taker_order_id: taker.order.order_id,
            taker: taker.order.owner,
            taker_client_id: taker.order.client_id,
            taker_side: taker.order.side,
            price_ticks: maker.price_ticks,
            lots,
        });
        refilled.into_iter().for_each(|order| host.event(Event::Refilled(order)));
        if let Some(owners) = &mut taker.traded {
            owners.insert(maker.owner);
            // Its owner's position is closed: the fill would have taken the rest of it out.
            if lots < shown {
                self.drop_order(maker.order_id);
            }
            return None;
        }
        for order in [maker, &taker.order] {
            if host.reducible_lots(order.owner, order.side).is_zero() {
                self.fit(order.owner, order.side, host);
            }
        }
        taker.makers.push(maker.owner);
        None
    }

    pub(super) fn run(
        &mut self,
        order: OrderView,
        policy: Policy,
        traded: Option<BTreeSet<AccountId>>,
        host: &mut impl Host,
    ) -> MatchedTaker {
        let mut taker = Incoming {
            order,
            policy,
            filled: Lots::ZERO,
            decremented: Lots::ZERO,
            visits: 0,
            traded,
            makers: Vec::new(),
            charged: BTreeSet::new(),
            before: self.all().copied().collect(),
        };
        let stopped = self.take(&mut taker, host);
        if taker.traded.is_none() {
            for maker in &taker.makers {
                self.fit(*maker, order.side.opposite(), host);
            }
            if !taker.filled.is_zero() {
                self.fit(order.owner, order.side, host);
            }
        }
        MatchedTaker {
            order: taker.order,
            filled: taker.filled,
            decremented: taker.decremented,
            stopped,
            visits: taker.visits,
        }
    }

    /// Carries an order out on a copy, where orders that their owner's fills would take out stay to
    /// be looked at. Returns the makers looked at.
    pub(super) fn try_all(
        &self,
        order: OrderView,
        policy: Policy,
        host: &(impl Host + Clone),
    ) -> Result<u32, (Code, u32)> {
        let (mut trial, mut trial_host) = (self.clone(), host.clone());
        let trial = trial.run(order, policy, Some(BTreeSet::new()), &mut trial_host);
        match trial.stopped {
            Some(Code::OutOfGas) => Err((Code::OutOfGas, trial.visits)),
            _ if trial.filled < order.lots => Err((Code::NotFillable, trial.visits)),
            _ => Ok(trial.visits),
        }
    }
}
