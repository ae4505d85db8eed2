//! A reference model of the book: two sorted lists, walked from the front.

use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::Code;

use crate::{Event, Host, NewOrder, OrderView, PostOnly, Replace, TimeInForce, MAX_ORDER_LOTS};

/// Result of an operation: id, filled, decremented, resting lots, price, and the reason why the
/// rest was dropped.
pub(crate) type Outcome = Result<(OrderId, Lots, Lots, Lots, Ticks, Option<Code>), Code>;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) next_id: OrderId,
    /// Bids, asks; in order of priority.
    pub(crate) sides: [Vec<OrderView>; 2],
}

struct Incoming {
    order: OrderView,
    stp: SelfTradePrevention,
    max_fills: u32,
    filled: Lots,
    decremented: Lots,
}

fn crosses(side: Side, limit: Ticks, maker_price: Ticks) -> bool {
    match side {
        Side::Buy => maker_price <= limit,
        Side::Sell => maker_price >= limit,
    }
}

impl Model {
    pub(crate) const fn new() -> Self {
        Self { next_id: OrderId::new(1), sides: [Vec::new(), Vec::new()] }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &OrderView> {
        self.sides.iter().flatten()
    }

    fn find(&self, id: OrderId, owner: AccountId) -> Result<OrderView, Code> {
        self.all().find(|o| o.order_id == id && o.owner == owner).copied().ok_or(Code::UnknownOrder)
    }

    fn drop_order(&mut self, id: OrderId) {
        self.sides.iter_mut().for_each(|side| side.retain(|order| order.order_id != id));
    }

    fn remove(&mut self, order: OrderView, reason: Code, host: &mut impl Host) {
        self.drop_order(order.order_id);
        host.event(Event::Removed { order, reason });
    }

    fn take_off(&mut self, id: OrderId, by_lots: Lots, reason: Code, host: &mut impl Host) {
        let order = self.sides.iter_mut().flatten().find(|o| o.order_id == id).expect("live");
        if by_lots >= order.lots {
            let order = *order;
            return self.remove(order, reason, host);
        }
        order.hidden_lots = order.hidden_lots.saturating_sub(by_lots);
        order.lots -= by_lots;
        host.event(Event::Reduced { order: *order, by_lots, reason });
    }

    fn insert(&mut self, mut order: OrderView) -> OrderView {
        let shown = match order.display_lots {
            Lots::ZERO => order.lots,
            display_lots => order.lots.min(display_lots),
        };
        order.hidden_lots = order.lots - shown;
        let queue = &mut self.sides[order.side as usize];
        let place = queue.iter().position(|other| match order.side {
            Side::Buy => other.price_ticks < order.price_ticks,
            Side::Sell => other.price_ticks > order.price_ticks,
        });
        queue.insert(place.unwrap_or(queue.len()), order);
        order
    }

    /// The refusals that place and replace share, and the price after a slide.
    fn admit(&self, order: &OrderView, may_rest: bool, host: &impl Host) -> Result<Ticks, Code> {
        if order.reduce_only && host.reducible_lots(order.owner, order.side).is_zero() {
            return Err(Code::WouldIncrease);
        }
        let best =
            self.sides[order.side.opposite() as usize].first().map(|maker| maker.price_ticks);
        let price = match best.filter(|best| crosses(order.side, order.price_ticks, *best)) {
            Some(_) if order.post_only == PostOnly::Reject => return Err(Code::WouldCross),
            Some(best) if order.post_only == PostOnly::Slide => match order.side {
                Side::Buy => best.checked_sub(Ticks::ONE),
                Side::Sell => best.checked_add(Ticks::ONE),
            }
            .ok_or(Code::WouldCross)?,
            _ => order.price_ticks,
        };
        let at_price = self.sides[order.side as usize]
            .iter()
            .filter(|o| o.price_ticks == price && o.order_id != order.order_id)
            .map(|o| o.lots.wide())
            .sum::<i128>();
        if may_rest && at_price + order.lots.wide() > Lots::MAX.wide() {
            return Err(Code::Overflow);
        }
        Ok(price)
    }

    fn take(&mut self, taker: &mut Incoming, host: &mut impl Host) -> Option<Code> {
        let makers = taker.order.side.opposite();
        let mut stopped = None;
        for met in 0.. {
            let maker = self.sides[makers as usize].first().copied();
            let maker =
                maker.filter(|m| crosses(taker.order.side, taker.order.price_ticks, m.price_ticks));
            let (Some(maker), None, false) = (maker, stopped, taker.order.lots.is_zero()) else {
                break;
            };
            if met == taker.max_fills {
                stopped = Some(Code::MaxFills);
            } else if maker.owner == taker.order.owner {
                stopped = self.same_owner(&maker, taker, host);
            } else {
                stopped = self.trade(&maker, taker, host);
            }
        }
        let spent = taker.order.reduce_only
            && host.reducible_lots(taker.order.owner, taker.order.side).is_zero();
        if spent && !taker.order.lots.is_zero() {
            return Some(Code::NothingToReduce);
        }
        stopped
    }

    fn same_owner(
        &mut self,
        maker: &OrderView,
        taker: &mut Incoming,
        host: &mut impl Host,
    ) -> Option<Code> {
        match taker.stp {
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
        for order in [maker, &taker.order] {
            if host.reducible_lots(order.owner, order.side).is_zero() {
                self.cancel_reduce_only(order.owner, order.side, host);
            }
        }
        None
    }

    fn run(
        &mut self,
        order: OrderView,
        stp: SelfTradePrevention,
        max_fills: u32,
        host: &mut impl Host,
    ) -> MatchedTaker {
        let mut taker =
            Incoming { order, stp, max_fills, filled: Lots::ZERO, decremented: Lots::ZERO };
        let stopped = self.take(&mut taker, host);
        MatchedTaker {
            order: taker.order,
            filled: taker.filled,
            decremented: taker.decremented,
            stopped,
        }
    }

    pub(crate) fn place(&mut self, new: &NewOrder, host: &mut (impl Host + Clone)) -> Outcome {
        let immediate = matches!(new.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        check_lots(new.lots)?;
        if immediate && (new.post_only != PostOnly::Off || !new.display_lots.is_zero()) {
            return Err(Code::InvalidArgument);
        }
        if new.client_id != ClientId::NONE
            && self.all().any(|o| (o.owner, o.client_id) == (new.owner, new.client_id))
        {
            return Err(Code::DuplicateClientId);
        }
        let mut order = OrderView {
            order_id: self.next_id,
            owner: new.owner,
            client_id: new.client_id,
            side: new.side,
            price_ticks: new.price_ticks,
            lots: new.lots,
            hidden_lots: Lots::ZERO,
            display_lots: new.display_lots,
            reduce_only: new.reduce_only,
            post_only: new.post_only,
            expires_ms: match new.time_in_force {
                TimeInForce::Gtt { expires_ms } => Some(expires_ms),
                _ => None,
            },
        };
        order.price_ticks = self.admit(&order, !immediate, host)?;
        if new.time_in_force == TimeInForce::Fok {
            let (mut trial, mut trial_host) = (self.clone(), host.clone());
            if trial.run(order, new.stp, new.max_fills, &mut trial_host).filled < new.lots {
                return Err(Code::NotFillable);
            }
        }
        self.next_id = self.next_id.checked_next().expect("ids are left");
        let taken = self.run(order, new.stp, new.max_fills, host);
        Ok(self.finish(taken, immediate, host))
    }

    fn finish(
        &mut self,
        taken: MatchedTaker,
        immediate: bool,
        host: &mut impl Host,
    ) -> (OrderId, Lots, Lots, Lots, Ticks, Option<Code>) {
        let MatchedTaker { order, filled, decremented, mut stopped } = taken;
        let mut resting = Lots::ZERO;
        if !order.lots.is_zero() && stopped.is_none() {
            if immediate {
                stopped = Some(Code::Unfilled);
            } else {
                resting = order.lots;
                host.event(Event::Rested(self.insert(order)));
            }
        }
        (order.order_id, filled, decremented, resting, order.price_ticks, stopped)
    }

    pub(crate) fn replace(&mut self, change: &Replace, host: &mut impl Host) -> Outcome {
        let old = self.find(change.order_id, change.owner)?;
        let mut new = old;
        new.lots = change.lots.unwrap_or(old.lots);
        new.price_ticks = change.price_ticks.unwrap_or(old.price_ticks);
        check_lots(new.lots)?;
        if new.price_ticks == old.price_ticks && new.lots <= old.lots {
            if new.lots < old.lots {
                self.take_off(old.order_id, old.lots - new.lots, Code::Cancelled, host);
            }
            return Ok((old.order_id, Lots::ZERO, Lots::ZERO, new.lots, old.price_ticks, None));
        }
        new.price_ticks = self.admit(&new, true, host)?;
        self.remove(old, Code::Replaced, host);
        let taken = self.run(new, change.stp, change.max_fills, host);
        Ok(self.finish(taken, false, host))
    }

    pub(crate) fn reduce(
        &mut self,
        id: OrderId,
        owner: AccountId,
        by_lots: Lots,
        host: &mut impl Host,
    ) -> Result<Lots, Code> {
        let order = self.find(id, owner)?;
        if by_lots.is_zero() {
            return Err(Code::QuantityTooSmall);
        }
        self.take_off(id, by_lots, Code::Cancelled, host);
        Ok(order.lots.saturating_sub(by_lots))
    }

    pub(crate) fn cancel(
        &mut self,
        id: OrderId,
        owner: AccountId,
        host: &mut impl Host,
    ) -> Result<Lots, Code> {
        let order = self.find(id, owner)?;
        self.remove(order, Code::Cancelled, host);
        Ok(order.lots)
    }

    pub(crate) fn cancel_by_client_id(
        &mut self,
        owner: AccountId,
        client_id: ClientId,
        host: &mut impl Host,
    ) -> Result<Lots, Code> {
        let found = self
            .all()
            .find(|o| o.owner == owner && o.client_id == client_id && client_id != ClientId::NONE)
            .copied();
        let order = found.ok_or(Code::UnknownOrder)?;
        self.remove(order, Code::Cancelled, host);
        Ok(order.lots)
    }

    /// Removes the chosen orders, newest first.
    fn cancel_where(
        &mut self,
        chosen: impl Fn(&OrderView) -> bool,
        reason: Code,
        host: &mut impl Host,
    ) -> u32 {
        let mut orders: Vec<_> = self.all().filter(|order| chosen(order)).copied().collect();
        orders.sort_by_key(|order| std::cmp::Reverse(order.order_id));
        for order in &orders {
            self.remove(*order, reason, host);
        }
        orders.len() as u32
    }

    pub(crate) fn cancel_all(
        &mut self,
        owner: AccountId,
        side: Option<Side>,
        host: &mut impl Host,
    ) -> u32 {
        let chosen = |o: &OrderView| o.owner == owner && side.is_none_or(|side| side == o.side);
        self.cancel_where(chosen, Code::Cancelled, host)
    }

    pub(crate) fn cancel_reduce_only(
        &mut self,
        owner: AccountId,
        side: Side,
        host: &mut impl Host,
    ) -> u32 {
        let chosen = |o: &OrderView| o.owner == owner && o.side == side && o.reduce_only;
        self.cancel_where(chosen, Code::NothingToReduce, host)
    }

    pub(crate) fn expire(&mut self, now_ms: TimeMs, max: u32, host: &mut impl Host) -> u32 {
        let due = |o: &&OrderView| o.expires_ms.is_some_and(|expires_ms| expires_ms <= now_ms);
        let mut orders: Vec<_> = self.all().filter(due).copied().collect();
        orders.sort_by_key(|order| (order.expires_ms, order.order_id));
        orders.truncate(max as usize);
        for order in &orders {
            self.remove(*order, Code::Expired, host);
        }
        orders.len() as u32
    }
}

/// An incoming order after matching.
struct MatchedTaker {
    order: OrderView,
    filled: Lots,
    decremented: Lots,
    stopped: Option<Code>,
}

fn check_lots(lots: Lots) -> Result<(), Code> {
    match lots {
        Lots::ZERO => Err(Code::QuantityTooSmall),
        lots if lots > MAX_ORDER_LOTS => Err(Code::QuantityTooLarge),
        _ => Ok(()),
    }
}
