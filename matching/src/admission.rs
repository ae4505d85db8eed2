//! The checks that an order passes before it enters the book.

use tidemark_proto::units::{AccountId, ClientId, Lots, OrderId, Side, Ticks};
use tidemark_proto::Code;

use crate::arena::{Arena, MAX_ORDER_ID};
use crate::book::Book;
use crate::bounded;
use crate::clients::InsertPosition;
use crate::ladder::{key_of, price_of};
use crate::types::{Host, Reject, MAX_ORDER_LOTS};
use tidemark_proto::types::PostOnly;

impl Book {
    /// Returns the next id, if an id is left.
    #[inline(always)]
    pub(crate) fn unused_id(&self) -> Result<OrderId, Reject> {
        let next = self.next_order_id;
        if next > MAX_ORDER_ID {
            return Err(Reject::new(Code::Overflow, MAX_ORDER_ID.get(), next.get()));
        }
        Ok(next)
    }

    /// Returns the position for a client id, which no live order of the account may have;
    /// [`InsertPosition::NONE`] for client id 0.
    #[inline(always)]
    pub(crate) fn client_id_position(
        &mut self,
        owner: AccountId,
        client_id: ClientId,
    ) -> Result<InsertPosition, Reject> {
        if client_id == ClientId::NONE {
            return Ok(InsertPosition::NONE);
        }
        let found = self.client_ids.insert_position(owner, client_id);
        found.map_err(|slot| {
            let live = self.orders.get(slot).id();
            Reject::new(Code::DuplicateClientId, live.get(), client_id.get())
        })
    }

    /// Returns the price at which an order is admitted (its own, or one tick outside the best
    /// opposite price for a slide), and true if the order crosses the best opposite price there.
    #[inline]
    pub(crate) fn admissible_price(
        &self,
        side: Side,
        price: Ticks,
        post_only: PostOnly,
    ) -> Result<(Ticks, bool), Reject> {
        let key = key_of(side.opposite(), price);
        let crosses = self.ladders.get(side.opposite()).crosses(&self.levels, key);
        if crosses && post_only != PostOnly::Off {
            return self.slid_price(side, price, post_only).map(|price| (price, false));
        }
        Ok((price, crosses))
    }

    #[cold]
    fn slid_price(&self, side: Side, price: Ticks, post_only: PostOnly) -> Result<Ticks, Reject> {
        let best = self.ladders.get(side.opposite()).best();
        let best =
            best.map_or(price, |level| price_of(side.opposite(), self.levels.get(level).key));
        let outside = match side {
            // Below an ask of 1 tick there is no price.
            Side::Buy => best.checked_sub(Ticks::ONE).filter(|price| !price.is_zero()),
            Side::Sell => best.checked_add(Ticks::ONE),
        };
        outside.filter(|_| post_only == PostOnly::Slide).ok_or(Reject::new(
            Code::WouldCross,
            best.get(),
            price.get(),
        ))
    }

    /// Checks that an order can rest, and returns its level, or [`NONE`](crate::arena::NONE) if the
    /// level must be created. An order that crosses finds its own level empty, so the answer stays
    /// valid after the order has traded. Hidden lots of the level count, so that any refill fits
    /// too; `leaving` lots, shown and hidden, do not count.
    #[inline]
    pub(crate) fn check_room(
        &mut self,
        side: Side,
        price: Ticks,
        lots: Lots,
        leaving: Lots,
    ) -> Result<u32, Reject> {
        if self.orders.is_full() {
            let (bound, live) = (Arena::CAPACITY.into(), self.orders.live().into());
            return Err(Reject::new(Code::TooManyOpenOrders, bound, live));
        }
        let key = key_of(side, price);
        let level = self.ladders.get_mut(side).find_for_insert(key);
        let shown = self.levels.get(level).lots;
        let resting =
            bounded::sub(bounded::add(shown, self.icebergs.hidden_lots((side, key))), leaving);
        match resting.checked_add(lots) {
            Some(_) => Ok(level),
            None => Err(Reject::new(Code::Overflow, u64::MAX, lots.get())),
        }
    }
}

pub(crate) fn check_lots(lots: Lots) -> Result<(), Reject> {
    if lots.is_zero() {
        return Err(Reject::new(Code::QuantityTooSmall, 1, 0));
    }
    if lots > MAX_ORDER_LOTS {
        return Err(Reject::new(Code::QuantityTooLarge, MAX_ORDER_LOTS.get(), lots.get()));
    }
    Ok(())
}

/// Checks that a reduce-only order has a position to reduce (rules §2.5).
pub(crate) fn check_reducible(
    owner: AccountId,
    side: Side,
    lots: Lots,
    reduce_only: bool,
    host: &impl Host,
) -> Result<(), Reject> {
    if reduce_only && host.reducible_lots(owner, side).is_zero() {
        return Err(Reject::new(Code::WouldIncrease, 0, lots.get()));
    }
    Ok(())
}
