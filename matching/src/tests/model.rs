//! A reference model of the book: two sorted lists, walked from the front.

use tidemark_proto::types::MAX_REDUCE_ONLY_ORDERS;
use tidemark_proto::units::{
    AccountId, ClientId, Lots, OrderId, SelfTradePrevention, Side, Ticks, TimeMs,
};
use tidemark_proto::Code;

use super::model_taker::{crosses, MatchedTaker};
use crate::{Event, Host, NewOrder, OrderView, PostOnly, Replace, TimeInForce, MAX_ORDER_LOTS};

/// Result of an operation: id, filled, decremented, resting lots, price, the reason why the rest
/// was dropped, and the makers looked at.
pub(crate) type Placed = (OrderId, Lots, Lots, Lots, Ticks, Option<Code>, u32);

/// The result, or the code of the refusal with the makers looked at for it.
pub(crate) type Outcome = Result<Placed, (Code, u32)>;

#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) next_id: OrderId,
    /// Bids, asks; in order of priority.
    pub(crate) sides: [Vec<OrderView>; 2],
}

/// The bounds and the policy of an incoming order.
#[derive(Clone, Copy)]
pub(super) struct Policy {
    pub(super) stp: SelfTradePrevention,
    pub(super) max_fills: u32,
    pub(super) max_visits: u32,
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

    pub(super) fn drop_order(&mut self, id: OrderId) {
        self.sides.iter_mut().for_each(|side| side.retain(|order| order.order_id != id));
    }

    pub(super) fn remove(&mut self, order: OrderView, reason: Code, host: &mut impl Host) {
        self.drop_order(order.order_id);
        host.event(Event::Removed { order, reason });
    }

    pub(super) fn take_off(
        &mut self,
        id: OrderId,
        by_lots: Lots,
        reason: Code,
        host: &mut impl Host,
    ) {
        let order = self.sides.iter_mut().flatten().find(|o| o.order_id == id).expect("live");
        if by_lots >= order.lots {
            let order = *order;
            return self.remove(order, reason, host);
        }
        order.hidden_lots = order.hidden_lots.saturating_sub(by_lots);
        order.lots -= by_lots;
        host.event(Event::Reduced { order: *order, by_lots, reason });
    }

    pub(super) fn insert(&mut self, mut order: OrderView) -> OrderView {
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
    fn admit(&self, order: &OrderView, may_rest: bool) -> Result<Ticks, Code> {
        let best =
            self.sides[order.side.opposite() as usize].first().map(|maker| maker.price_ticks);
        let price = match best.filter(|best| crosses(order.side, order.price_ticks, *best)) {
            Some(_) if order.post_only == PostOnly::Reject => return Err(Code::WouldCross),
            Some(best) if order.post_only == PostOnly::Slide => match order.side {
                Side::Buy => best.checked_sub(Ticks::ONE).filter(|price| !price.is_zero()),
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

    pub(crate) fn place(&mut self, new: &NewOrder, host: &mut (impl Host + Clone)) -> Outcome {
        let immediate = matches!(new.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        check_lots(new.lots).map_err(unseen)?;
        if immediate && (new.post_only != PostOnly::Off || !new.display_lots.is_zero()) {
            return Err(unseen(Code::InvalidArgument));
        }
        if new.client_id != ClientId::NONE
            && self.all().any(|o| (o.owner, o.client_id) == (new.owner, new.client_id))
        {
            return Err(unseen(Code::DuplicateClientId));
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
        let mut policy =
            Policy { stp: new.stp, max_fills: new.max_fills, max_visits: new.max_visits };
        check_reducible(&order, host).map_err(unseen)?;
        let reduce_only = self.reduce_only(order.owner, order.side).count();
        if order.reduce_only && !immediate && reduce_only >= MAX_REDUCE_ONLY_ORDERS as usize {
            return Err(unseen(Code::TooManyOpenOrders));
        }
        let cleared = self.clear_ahead(&order, policy.max_visits, host)?;
        let price = self.admit(&order, !immediate).map_err(|code| (code, cleared))?;
        order.price_ticks = price;
        let mut tried = 0;
        if new.time_in_force == TimeInForce::Fok {
            policy.max_visits /= 2;
            tried = self.try_all(order, policy, host)?;
        }
        self.next_id = self.next_id.checked_next().expect("ids are left");
        let mut taken = self.run(order, policy, None, host);
        taken.visits += tried + cleared;
        Ok(self.finish(taken, immediate, host))
    }

    fn finish(&mut self, taken: MatchedTaker, immediate: bool, host: &mut impl Host) -> Placed {
        let MatchedTaker { order, filled, decremented, mut stopped, visits } = taken;
        let mut resting = Lots::ZERO;
        if !order.lots.is_zero() && stopped.is_none() {
            let part = self.part(&order, host);
            if immediate {
                stopped = Some(Code::Unfilled);
            } else if part.is_zero() {
                stopped = Some(Code::NothingToReduce);
            } else {
                stopped = (part < order.lots).then_some(Code::NothingToReduce);
                resting = part;
                host.event(Event::Rested(self.insert(OrderView { lots: part, ..order })));
                if order.reduce_only {
                    self.fit(order.owner, order.side, host);
                }
            }
        }
        (order.order_id, filled, decremented, resting, order.price_ticks, stopped, visits)
    }

    pub(crate) fn replace(&mut self, change: &Replace, host: &mut impl Host) -> Outcome {
        let old = self.find(change.order_id, change.owner).map_err(unseen)?;
        let mut new = old;
        new.lots = change.lots.unwrap_or(old.lots);
        new.price_ticks = change.price_ticks.unwrap_or(old.price_ticks);
        check_lots(new.lots).map_err(unseen)?;
        if new.price_ticks == old.price_ticks && new.lots <= old.lots {
            if new.lots < old.lots {
                self.take_off(old.order_id, old.lots - new.lots, Code::Cancelled, host);
            }
            return Ok((old.order_id, Lots::ZERO, Lots::ZERO, new.lots, old.price_ticks, None, 0));
        }
        check_reducible(&new, host).map_err(unseen)?;
        let cleared = self.clear_ahead(&new, change.max_visits, host)?;
        new.price_ticks = self.admit(&new, true).map_err(|code| (code, cleared))?;
        self.remove(old, Code::Replaced, host);
        let Replace { stp, max_fills, max_visits, .. } = *change;
        let mut taken = self.run(new, Policy { stp, max_fills, max_visits }, None, host);
        taken.visits += cleared;
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

    /// Returns how many went, and whether some were not looked at.
    pub(crate) fn cancel_all(
        &mut self,
        owner: AccountId,
        side: Option<Side>,
        max: u32,
        host: &mut impl Host,
    ) -> (u32, bool) {
        let mut of_owner: Vec<OrderId> =
            self.all().filter(|order| order.owner == owner).map(|order| order.order_id).collect();
        of_owner.sort_by_key(|id| std::cmp::Reverse(*id));
        let more = of_owner.len() > max as usize;
        of_owner.truncate(max as usize);
        let chosen = |order: &OrderView| {
            of_owner.contains(&order.order_id) && side.is_none_or(|side| side == order.side)
        };
        (self.cancel_where(chosen, Code::Cancelled, host), more)
    }

    /// An account's reduce-only orders of a side, in order of priority.
    fn reduce_only(&self, owner: AccountId, side: Side) -> impl Iterator<Item = &OrderView> {
        self.sides[side as usize].iter().filter(move |o| o.owner == owner && o.reduce_only)
    }

    /// The lots of an order that may rest, behind its owner's orders of its price or a better one.
    fn part(&self, order: &OrderView, host: &impl Host) -> Lots {
        if !order.reduce_only {
            return order.lots;
        }
        let ahead = self.reduce_only(order.owner, order.side).filter(|other| match order.side {
            Side::Buy => other.price_ticks >= order.price_ticks,
            Side::Sell => other.price_ticks <= order.price_ticks,
        });
        let ahead: i128 = ahead.map(|other| other.lots.wide()).sum();
        let left = host.reducible_lots(order.owner, order.side).wide() - ahead;
        order.lots.min(u64::try_from(left.max(0)).map_or(Lots::MAX, Lots::new))
    }

    /// Gives each reduce-only order its part of the position, in order of priority; the last is
    /// told first. Returns how many have less than before.
    pub(crate) fn fit(&mut self, owner: AccountId, side: Side, host: &mut impl Host) -> u32 {
        let mut left = host.reducible_lots(owner, side);
        let mut less = Vec::new();
        for order in self.reduce_only(owner, side) {
            let part = order.lots.min(left);
            left -= part;
            if part < order.lots {
                less.push((order.order_id, order.lots - part));
            }
        }
        for (id, by_lots) in less.iter().rev() {
            self.take_off(*id, *by_lots, Code::NothingToReduce, host);
        }
        less.len() as u32
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

/// A refusal for which no maker was looked at.
fn unseen(code: Code) -> (Code, u32) {
    (code, 0)
}

fn check_reducible(order: &OrderView, host: &impl Host) -> Result<(), Code> {
    match order.reduce_only && host.reducible_lots(order.owner, order.side).is_zero() {
        true => Err(Code::WouldIncrease),
        false => Ok(()),
    }
}

fn check_lots(lots: Lots) -> Result<(), Code> {
    match lots {
        Lots::ZERO => Err(Code::QuantityTooSmall),
        lots if lots > MAX_ORDER_LOTS => Err(Code::QuantityTooLarge),
        _ => Ok(()),
    }
}
