//! The operations of rules §2: place, replace, reduce, cancel, expire. Each is refused whole or
//! done.

use tidemark_proto::units::{AccountId, Lots, OrderId, Side, Ticks, TimeMs};
use tidemark_proto::Code;

use crate::arena::{Arena, Flags, Order, MAX_ORDER_ID, NONE};
use crate::book::Book;
use crate::clients::Vacancy;
use crate::expiries::Expiry;
use crate::extras::Extra;
use crate::icebergs::Iceberg;
use crate::ladder::key_of;
use crate::sums;
use crate::take::{Taken, Taker};
use crate::types::{
    Event, Host, NewOrder, OrderView, Placed, PostOnly, Reject, Replace, TimeInForce,
    MAX_ORDER_LOTS,
};

impl Book {
    /// Places an order: it trades as far as it may, and its rest rests or goes (rules §2).
    ///
    /// # Errors
    /// Nothing has happened, and no id was used, on `QUANTITY_TOO_SMALL`, `QUANTITY_TOO_LARGE`,
    /// `INVALID_ARGUMENT` (post-only or iceberg, and immediate), `DUPLICATE_CLIENT_ID`,
    /// `WOULD_INCREASE`, `WOULD_CROSS`, `NOT_FILLABLE`, `OVERFLOW` (of the level's sum, or of ids)
    /// and `TOO_MANY_OPEN_ORDERS` (the book is full).
    #[inline]
    pub fn place(&mut self, order: &NewOrder, host: &mut impl Host) -> Result<Placed, Reject> {
        let simple = (order.display_lots == 0) & !order.reduce_only;
        let makers = order.side.opposite();
        let crosses =
            self.ladders[makers as usize].crosses(&self.levels, key_of(makers, order.price_ticks));
        match order.time_in_force {
            TimeInForce::Gtc | TimeInForce::Gtt { .. } if simple & !crosses => {
                self.rest_whole(order, host)
            }
            TimeInForce::Ioc if simple & crosses & (order.client_id == 0) => {
                self.take_at_once(order, host)
            }
            _ => self.place_any(order, host),
        }
    }

    /// Places an order that takes, hides nothing, asks for no position, has no client id and does
    /// not rest. What the path of any order does about those costs 3 to 5 % of all operations' time
    /// where one in twelve takes (ADR 8).
    #[inline(never)]
    fn take_at_once(&mut self, order: &NewOrder, host: &mut impl Host) -> Result<Placed, Reject> {
        check_lots(order.lots)?;
        if order.post_only != PostOnly::No {
            return Err(Reject::new(Code::InvalidArgument, 0, 0));
        }
        let order_id = self.unused_id()?;
        let mut taken = self.take(&Taker::of(order, order_id, order.price_ticks), order.lots, host);
        self.next_order_id = sums::add(order_id, 1);
        if taken.remaining > 0 && taken.stopped.is_none() {
            taken.stopped = Some(Code::Unfilled);
        }
        Ok(placed(order_id, order.price_ticks, &taken))
    }

    /// Places an order of the most frequent kind: it meets nothing, hides nothing and asks for no
    /// position.
    #[inline(always)]
    fn rest_whole(&mut self, new: &NewOrder, host: &mut impl Host) -> Result<Placed, Reject> {
        let NewOrder { owner, client_id, side, price_ticks, lots, post_only, .. } = *new;
        let expires_ms = new.time_in_force.expires_ms();
        check_lots(lots)?;
        let vacancy = self.vacancy(owner, client_id)?;
        let level = self.check_room(side, price_ticks, lots, 0)?;
        let order_id = self.unused_id()?;
        self.next_order_id = sums::add(order_id, 1);
        host.event(Event::Rested(OrderView {
            order_id,
            owner,
            client_id,
            side,
            price_ticks,
            lots,
            hidden_lots: 0,
            display_lots: 0,
            reduce_only: false,
            post_only,
            expires_ms,
        }));
        let flags = Flags::new(side, false, post_only, expires_ms.is_some(), client_id != 0);
        let order = Order::new(order_id, owner, lots, flags);
        let slot = self.store(order, key_of(side, price_ticks), level);
        if flags.is_special() {
            self.index(slot, 0, Extra::new(client_id, expires_ms), Iceberg::default(), vacancy);
        }
        Ok(Placed {
            order_id,
            filled_lots: 0,
            decremented_lots: 0,
            resting_lots: lots,
            price_ticks,
            rest: None,
        })
    }

    /// Places an order of any kind.
    #[inline(never)]
    fn place_any(&mut self, order: &NewOrder, host: &mut impl Host) -> Result<Placed, Reject> {
        let immediate = matches!(order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok);
        check_lots(order.lots)?;
        if immediate && (order.post_only != PostOnly::No || order.display_lots != 0) {
            return Err(Reject::new(Code::InvalidArgument, 0, 0));
        }
        self.vacancy(order.owner, order.client_id)?;
        check_reduces(order.owner, order.side, order.lots, order.reduce_only, host)?;
        let (price_ticks, crosses) =
            self.admissible_price(order.side, order.price_ticks, order.post_only)?;
        let mut level = NONE;
        if !immediate {
            level = self.check_room(order.side, price_ticks, order.lots, 0)?;
        }
        let order_id = self.unused_id()?;
        let mut taken = match crosses {
            true => self.take_new(order, order_id, price_ticks, host)?,
            false if order.time_in_force == TimeInForce::Fok => {
                return Err(Reject::new(Code::NotFillable, 0, order.lots));
            }
            false => Taken { remaining: order.lots, ..Taken::default() },
        };
        self.next_order_id = sums::add(order_id, 1);
        if taken.remaining > 0 && taken.stopped.is_none() {
            if immediate {
                taken.stopped = Some(Code::Unfilled);
            } else {
                // Where it crossed, its own level had no orders, and still has none.
                self.rest_new(order, order_id, price_ticks, level, taken.remaining, host);
            }
        }
        Ok(placed(order_id, price_ticks, &taken))
    }

    /// The next id, if one is left.
    #[inline(always)]
    const fn unused_id(&self) -> Result<OrderId, Reject> {
        if self.next_order_id > MAX_ORDER_ID {
            return Err(Reject::new(Code::Overflow, MAX_ORDER_ID, self.next_order_id));
        }
        Ok(self.next_order_id)
    }

    /// Trades a new order that crosses.
    fn take_new(
        &mut self,
        order: &NewOrder,
        order_id: OrderId,
        price_ticks: Ticks,
        host: &mut impl Host,
    ) -> Result<Taken, Reject> {
        let taker = Taker::of(order, order_id, price_ticks);
        if order.time_in_force == TimeInForce::Fok {
            let fillable = self.fillable(&taker, order.lots, host);
            if fillable < order.lots {
                return Err(Reject::new(Code::NotFillable, fillable, order.lots));
            }
        }
        Ok(self.take(&taker, order.lots, host))
    }

    /// Where to enter a client id that no live order of the account may have; nowhere if it is
    /// none.
    #[inline(always)]
    pub(crate) fn vacancy(&mut self, owner: AccountId, client_id: u64) -> Result<Vacancy, Reject> {
        if client_id == 0 {
            return Ok(Vacancy::NOWHERE);
        }
        let found = self.client_ids.vacancy(owner, client_id);
        found.map_err(|slot| {
            Reject::new(Code::DuplicateClientId, self.orders.get(slot).id(), client_id)
        })
    }

    #[inline(always)]
    fn rest_new(
        &mut self,
        new: &NewOrder,
        id: OrderId,
        price_ticks: Ticks,
        level: u32,
        lots: Lots,
        host: &mut impl Host,
    ) {
        let expires_ms = new.time_in_force.expires_ms();
        let (shown, hidden) = Iceberg::split(new.display_lots, lots);
        host.event(Event::Rested(OrderView {
            order_id: id,
            owner: new.owner,
            client_id: new.client_id,
            side: new.side,
            price_ticks,
            lots,
            hidden_lots: hidden.hidden_lots,
            display_lots: new.display_lots,
            reduce_only: new.reduce_only,
            post_only: new.post_only,
            expires_ms,
        }));
        let flags = Flags::new(
            new.side,
            new.reduce_only,
            new.post_only,
            expires_ms.is_some(),
            new.client_id != 0,
        )
        .with_iceberg(new.display_lots != 0);
        let key = key_of(new.side, price_ticks);
        let slot = self.store(Order::new(id, new.owner, shown, flags), key, level);
        if flags.is_special() {
            // Takes may have changed the table since the check.
            let vacancy = self.vacancy(new.owner, new.client_id).unwrap_or(Vacancy::NOWHERE);
            self.index(slot, key, Extra::new(new.client_id, expires_ms), hidden, vacancy);
        }
    }

    /// Changes price or unfilled quantity of a live order, which keeps its ids, expiry, flags and
    /// the lots that it displays at most. It keeps its place when only the quantity falls;
    /// otherwise it leaves the book (`Removed` with `REPLACED`), may trade as a taker, with hidden
    /// lots too, and its rest goes to the back of the queue, its display full again.
    ///
    /// # Errors
    /// Nothing has happened on `UNKNOWN_ORDER` (no live order of this owner), and on the refusals
    /// of [`Book::place`].
    pub fn replace(&mut self, change: &Replace, host: &mut impl Host) -> Result<Placed, Reject> {
        let slot = self.owned(change.order_id, change.owner)?;
        let old = self.view(slot);
        let lots = change.lots.unwrap_or(old.lots);
        let wanted = change.price_ticks.unwrap_or(old.price_ticks);
        check_lots(lots)?;
        if wanted == old.price_ticks && lots <= old.lots {
            if lots < old.lots {
                self.reduce_or_evict(slot, old.lots - lots, Code::Cancelled, host);
            }
            let taken = Taken { remaining: lots, ..Taken::default() };
            return Ok(placed(old.order_id, wanted, &taken));
        }
        check_reduces(old.owner, old.side, lots, old.reduce_only, host)?;
        let (price_ticks, crosses) = self.admissible_price(old.side, wanted, old.post_only)?;
        let leaving = if price_ticks == old.price_ticks { old.lots } else { 0 };
        self.check_room(old.side, price_ticks, lots, leaving)?;

        host.event(Event::Removed { order: old, reason: Code::Replaced });
        let order = *self.orders.get(slot);
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
        };
        let taken = match crosses {
            true => self.take(&taker, lots, host),
            false => Taken { remaining: lots, ..Taken::default() },
        };
        if taken.remaining > 0 && taken.stopped.is_none() {
            self.show(slot, key_of(old.side, price_ticks), old.display_lots, taken.remaining);
            host.event(Event::Rested(self.view(slot)));
        } else {
            self.delist(slot);
        }
        Ok(placed(old.order_id, price_ticks, &taken))
    }

    /// Takes `by_lots` off a live order, which keeps its place; as many as it has, or more, cancel
    /// it. Returns the lots left.
    ///
    /// # Errors
    /// `UNKNOWN_ORDER`, and `QUANTITY_TOO_SMALL` for 0.
    pub fn reduce(
        &mut self,
        order_id: OrderId,
        owner: AccountId,
        by_lots: Lots,
        host: &mut impl Host,
    ) -> Result<Lots, Reject> {
        let slot = self.owned(order_id, owner)?;
        if by_lots == 0 {
            return Err(Reject::new(Code::QuantityTooSmall, 1, 0));
        }
        let left = self.total_lots(slot).saturating_sub(by_lots);
        self.reduce_or_evict(slot, by_lots, Code::Cancelled, host);
        Ok(left)
    }

    /// Takes lots off a resting order, hidden ones first; all of them remove it.
    pub(crate) fn reduce_or_evict(
        &mut self,
        slot: u32,
        by_lots: Lots,
        reason: Code,
        host: &mut impl Host,
    ) {
        if by_lots >= self.total_lots(slot) {
            self.evict(slot, reason, host);
            return;
        }
        let (flags, level) = (self.orders.get(slot).flags(), self.orders.get(slot).level);
        let Iceberg { display_lots, hidden_lots } = self.iceberg(slot, flags);
        let hidden = by_lots.min(hidden_lots);
        if hidden > 0 {
            let place = (flags.side(), self.levels.get(level).key);
            self.icebergs.set(
                slot,
                place,
                Iceberg { display_lots, hidden_lots: hidden_lots - hidden },
            );
        }
        self.shrink(slot, by_lots - hidden);
        host.event(Event::Reduced { order: self.view(slot), by_lots, reason });
    }

    /// Cancels a live order of `owner`; `reason` goes into its event. Returns the lots that were
    /// unfilled.
    ///
    /// # Errors
    /// `UNKNOWN_ORDER` when it is not live, or another account's.
    pub fn cancel(
        &mut self,
        order_id: OrderId,
        owner: AccountId,
        reason: Code,
        host: &mut impl Host,
    ) -> Result<Lots, Reject> {
        match self.ids.find(order_id) {
            Some((slot, place)) if self.orders.get(slot).owner == owner => {
                Ok(self.evict_from(slot, place, reason, host))
            }
            _ => Err(Reject::new(Code::UnknownOrder, 0, order_id)),
        }
    }

    /// Cancels the live order that `owner` gave this client id. Returns the lots that were
    /// unfilled.
    ///
    /// # Errors
    /// `UNKNOWN_ORDER` when there is none; client id 0 names none.
    pub fn cancel_by_client_id(
        &mut self,
        owner: AccountId,
        client_id: u64,
        reason: Code,
        host: &mut impl Host,
    ) -> Result<Lots, Reject> {
        let found = self.client_ids.get(owner, client_id);
        let slot = found.ok_or(Reject::new(Code::UnknownOrder, 0, client_id))?;
        Ok(self.evict(slot, reason, host))
    }

    /// Cancels all orders of an account, or those of one side, newest first. Returns how many. At
    /// most the owner's open orders.
    pub fn cancel_all(
        &mut self,
        owner: AccountId,
        side: Option<Side>,
        reason: Code,
        host: &mut impl Host,
    ) -> u32 {
        let mut gone = 0;
        let mut slot = self.owners.get(owner).newest;
        while slot != NONE {
            let older = self.owners.older(slot);
            if side.is_none_or(|side| side == self.orders.get(slot).flags().side()) {
                self.evict(slot, reason, host);
                gone += 1;
            }
            slot = older;
        }
        gone
    }

    /// Removes orders whose time has come (`expires_ms ≤ now_ms`) with `EXPIRED`, earliest first,
    /// then by id; at most `max`. Returns how many: `max` means that there may be more.
    pub fn expire(&mut self, now_ms: TimeMs, max: u32, host: &mut impl Host) -> u32 {
        let mut gone = 0;
        while gone < max {
            let Some(Expiry { expires_ms, slot, .. }) = self.expiries.first().copied() else {
                break;
            };
            if expires_ms > now_ms {
                break;
            }
            self.evict(slot, Code::Expired, host);
            gone += 1;
        }
        gone
    }

    /// The price at which an order may be admitted, its own or one tick outside the best opposite
    /// for a slide; and whether it meets the best opposite there.
    #[inline]
    fn admissible_price(
        &self,
        side: Side,
        price: Ticks,
        post_only: PostOnly,
    ) -> Result<(Ticks, bool), Reject> {
        let key = key_of(side.opposite(), price);
        let crosses = self.ladders[side.opposite() as usize].crosses(&self.levels, key);
        if crosses && post_only != PostOnly::No {
            return self.slid_price(side, price, post_only).map(|price| (price, false));
        }
        Ok((price, crosses))
    }

    #[cold]
    fn slid_price(&self, side: Side, price: Ticks, post_only: PostOnly) -> Result<Ticks, Reject> {
        let best = self.ladders[side.opposite() as usize].best();
        let best = best.map_or(price, |level| key_of(side.opposite(), self.levels.get(level).key));
        let outside = match side {
            Side::Buy => best.checked_sub(1),
            Side::Sell => best.checked_add(1),
        };
        outside.filter(|_| post_only == PostOnly::Slide).ok_or(Reject::new(
            Code::WouldCross,
            best,
            price,
        ))
    }

    /// That an order can rest. An order that crosses finds its own level empty, so this holds after
    /// it has traded too. The level's hidden lots count, so that any refill fits too; `leaving`
    /// ones, shown and hidden, do not. Returns the level, [`NONE`] if it is to be made.
    #[inline]
    pub(crate) fn check_room(
        &mut self,
        side: Side,
        price: Ticks,
        lots: Lots,
        leaving: Lots,
    ) -> Result<u32, Reject> {
        if self.orders.is_full() {
            return Err(Reject::new(Code::TooManyOpenOrders, u64::from(Arena::CAPACITY), 1));
        }
        let key = key_of(side, price);
        let level = self.ladders[side as usize].locate(key);
        let shown = self.levels.get(level).lots;
        let resting = sums::sub(sums::add(shown, self.icebergs.hidden_lots((side, key))), leaving);
        match resting.checked_add(lots) {
            Some(_) => Ok(level),
            None => Err(Reject::new(Code::Overflow, u64::MAX, lots)),
        }
    }
}

const fn check_lots(lots: Lots) -> Result<(), Reject> {
    if lots == 0 {
        return Err(Reject::new(Code::QuantityTooSmall, 1, 0));
    }
    if lots > MAX_ORDER_LOTS {
        return Err(Reject::new(Code::QuantityTooLarge, MAX_ORDER_LOTS, lots));
    }
    Ok(())
}

/// That a reduce-only order has something to reduce.
fn check_reduces(
    owner: AccountId,
    side: Side,
    lots: Lots,
    reduce_only: bool,
    host: &impl Host,
) -> Result<(), Reject> {
    if reduce_only && host.reducible_lots(owner, side) == 0 {
        return Err(Reject::new(Code::WouldIncrease, 0, lots));
    }
    Ok(())
}

const fn placed(order_id: OrderId, price_ticks: Ticks, taken: &Taken) -> Placed {
    let rests = taken.stopped.is_none();
    Placed {
        order_id,
        filled_lots: taken.filled,
        decremented_lots: taken.decremented,
        resting_lots: if rests { taken.remaining } else { 0 },
        price_ticks,
        rest: taken.stopped,
    }
}
