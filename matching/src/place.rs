//! Placing an order (rules §§2.2 to 2.6): refused whole or carried out.

use tidemark_proto::units::{ClientId, Lots, OrderId, Ticks};
use tidemark_proto::Code;

use crate::admission::{check_lots, check_reducible};
use crate::arena::{Flags, Order, NONE};
use crate::attributes::Attributes;
use crate::book::Book;
use crate::bounded;
use crate::clients::InsertPosition;
use crate::icebergs::Iceberg;
use crate::ladder::key_of;
use crate::matcher::{MatchResult, Taker};
use crate::types::{Event, Fillable, Host, NewOrder, OrderView, PlaceResult, Reject};
use tidemark_proto::types::{PostOnly, TimeInForce};

impl Book {
    /// Places an order. The order trades as far as possible; its rest rests or is dropped (rules
    /// §§2.2 to 2.6).
    ///
    /// # Errors
    /// A refused order changes nothing and uses no id: `QUANTITY_TOO_SMALL`, `QUANTITY_TOO_LARGE`,
    /// `INVALID_ARGUMENT` (post-only or iceberg, and immediate), `DUPLICATE_CLIENT_ID`,
    /// `WOULD_INCREASE`, `WOULD_CROSS`, `NOT_FILLABLE`, `INSUFFICIENT_COLLATERAL` (the host admits
    /// no lot, or not all of a fill-or-kill order), `OUT_OF_GAS`, `OVERFLOW` (of the level's sum,
    /// or of ids) and `TOO_MANY_OPEN_ORDERS` (the book is full, or the account's reduce-only orders
    /// of the side).
    #[inline]
    pub fn place(&mut self, order: &NewOrder, host: &mut impl Host) -> Result<PlaceResult, Reject> {
        let simple = order.display_lots.is_zero() & !order.reduce_only;
        let makers = order.side.opposite();
        let crosses =
            self.ladders.get(makers).crosses(&self.levels, key_of(makers, order.price_ticks));
        match order.time_in_force {
            TimeInForce::Gtc | TimeInForce::Gtt { .. } if simple & !crosses => {
                self.place_resting(order, host)
            }
            TimeInForce::Ioc if simple & crosses & (order.client_id == ClientId::NONE) => {
                self.place_ioc(order, host)
            }
            _ => self.place_general(order, host),
        }
    }

    /// Places an immediate-or-cancel order without reduce-only flag and client id. The general
    /// path's handling of those costs 3 to 5 % of all operations' time where one order in twelve
    /// takes (ADR 8).
    #[inline(never)]
    fn place_ioc(&mut self, order: &NewOrder, host: &mut impl Host) -> Result<PlaceResult, Reject> {
        check_lots(order.lots)?;
        if order.post_only != PostOnly::Off {
            return Err(Reject::new(Code::InvalidArgument, 0, 0));
        }
        let order_id = self.unused_id()?;
        let mut outcome =
            self.match_taker(&Taker::new(order, order_id, order.price_ticks), order.lots, host);
        if let Some(reject) = outcome.refused_all(order.lots) {
            return Err(reject);
        }
        self.next_order_id = bounded::next_id(order_id);
        if !outcome.remaining_lots.is_zero() && outcome.stop.is_none() {
            outcome.stop = Some(Code::Unfilled);
        }
        Ok(outcome.place_result(order_id, order.price_ticks))
    }

    /// Places an order of the most frequent kind: it crosses no price, hides no lots and is not
    /// reduce-only.
    #[inline(always)]
    fn place_resting(
        &mut self,
        new: &NewOrder,
        host: &mut impl Host,
    ) -> Result<PlaceResult, Reject> {
        let NewOrder { owner, client_id, side, price_ticks, lots, post_only, .. } = *new;
        let expires_ms = new.time_in_force.expires_ms();
        check_lots(lots)?;
        let insert_position = self.client_id_position(owner, client_id)?;
        let level = self.check_room(side, price_ticks, lots, Lots::ZERO)?;
        let order_id = self.unused_id()?;
        self.next_order_id = bounded::next_id(order_id);
        host.event(Event::Rested(OrderView {
            order_id,
            owner,
            client_id,
            side,
            price_ticks,
            lots,
            hidden_lots: Lots::ZERO,
            display_lots: Lots::ZERO,
            reduce_only: false,
            post_only,
            expires_ms,
        }));
        let named = client_id != ClientId::NONE;
        let flags = Flags::new(side, false, post_only, expires_ms.is_some(), named);
        let order = Order::new(order_id, owner, lots, flags);
        let slot = self.store(order, key_of(side, price_ticks), level);
        if flags.is_special() {
            self.index(
                slot,
                0,
                Attributes::new(client_id, expires_ms),
                Iceberg::default(),
                insert_position,
            );
        }
        Ok(PlaceResult {
            order_id,
            filled_lots: Lots::ZERO,
            decremented_lots: Lots::ZERO,
            resting_lots: lots,
            price_ticks,
            rest: None,
            visits: 0,
        })
    }

    /// Places an order of any kind.
    #[inline(never)]
    fn place_general(
        &mut self,
        order: &NewOrder,
        host: &mut impl Host,
    ) -> Result<PlaceResult, Reject> {
        let immediate = immediate(order);
        check_lots(order.lots)?;
        if immediate && (order.post_only != PostOnly::Off || !order.display_lots.is_zero()) {
            return Err(Reject::new(Code::InvalidArgument, 0, 0));
        }
        self.client_id_position(order.owner, order.client_id)?;
        check_reducible(order.owner, order.side, order.lots, order.reduce_only, host)?;
        if order.reduce_only && !immediate {
            self.check_reduce_only_room(order.owner, order.side)?;
        }
        let NewOrder { side, price_ticks, post_only, max_visits, .. } = *order;
        let removed = self.remove_dead(side, price_ticks, post_only, max_visits, host)?;
        let (price_ticks, crosses) = self
            .admissible_price(order.side, order.price_ticks, order.post_only)
            .map_err(|reject| reject.after(removed))?;
        let mut level = NONE;
        if !immediate {
            level = self
                .check_room(order.side, price_ticks, order.lots, Lots::ZERO)
                .map_err(|reject| reject.after(removed))?;
        }
        let order_id = self.unused_id().map_err(|reject| reject.after(removed))?;
        let mut outcome = match crosses {
            true => self.match_new(order, order_id, price_ticks, host)?,
            false if order.time_in_force == TimeInForce::Fok => {
                return Err(Reject::new(Code::NotFillable, 0, order.lots.get()));
            }
            false => MatchResult { remaining_lots: order.lots, ..MatchResult::default() },
        };
        self.next_order_id = bounded::next_id(order_id);
        // A post-only order meets no maker.
        outcome.visits = outcome.visits.saturating_add(removed);
        if !outcome.remaining_lots.is_zero() && outcome.stop.is_none() {
            if immediate {
                outcome.stop = Some(Code::Unfilled);
            } else {
                // If the order crossed, its own level had no orders and still has none.
                self.rest_part(order, order_id, price_ticks, level, &mut outcome, host);
            }
        }
        Ok(outcome.place_result(order_id, price_ticks))
    }

    /// Matches a new order that crosses.
    fn match_new(
        &mut self,
        order: &NewOrder,
        order_id: OrderId,
        price_ticks: Ticks,
        host: &mut impl Host,
    ) -> Result<MatchResult, Reject> {
        let mut taker = Taker::new(order, order_id, price_ticks);
        if order.time_in_force != TimeInForce::Fok {
            let outcome = self.match_taker(&taker, order.lots, host);
            let refused = outcome.refused_all(order.lots).filter(|_| immediate(order));
            return refused.map_or(Ok(outcome), Err);
        }
        // The walk that trades looks at no maker that this one has not looked at, so half of the
        // visits are enough for it.
        taker.max_visits = order.max_visits / 2;
        let Fillable { lots, visits, stop } = self.fillable(&taker, order.lots, host);
        if lots < order.lots {
            let (code, bound) = match stop {
                Some(Code::OutOfGas) => (Code::OutOfGas, u64::from(visits)),
                Some(Code::InsufficientCollateral) => (Code::InsufficientCollateral, lots.get()),
                _ => (Code::NotFillable, lots.get()),
            };
            return Err(Reject::new(code, bound, order.lots.get()).after(visits));
        }
        let mut outcome = self.match_taker(&taker, order.lots, host);
        outcome.visits = outcome.visits.saturating_add(visits);
        Ok(outcome)
    }

    /// Rests what is left of an order; of a reduce-only order, its part of the position.
    #[inline(always)]
    fn rest_part(
        &mut self,
        new: &NewOrder,
        id: OrderId,
        price_ticks: Ticks,
        level: u32,
        outcome: &mut MatchResult,
        host: &mut impl Host,
    ) {
        if new.reduce_only {
            let key = key_of(new.side, price_ticks);
            outcome.cut_to(self.part_of(new.owner, new.side, key, outcome.remaining_lots, host));
        }
        if outcome.stop.is_some() {
            return;
        }
        self.rest_remainder(new, id, price_ticks, level, outcome.remaining_lots, host);
        if new.reduce_only {
            self.fit_reduce_only(new.owner, new.side, host);
        }
    }

    #[inline(always)]
    fn rest_remainder(
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
            new.client_id != ClientId::NONE,
        )
        .with_iceberg(!new.display_lots.is_zero());
        let key = key_of(new.side, price_ticks);
        let slot = self.store(Order::new(id, new.owner, shown, flags), key, level);
        if flags.is_special() {
            // Matching may have changed the table since the check.
            let found = self.client_id_position(new.owner, new.client_id);
            debug_assert!(found.is_ok(), "matching adds no client id");
            let insert_position = found.unwrap_or(InsertPosition::NONE);
            self.index(
                slot,
                key,
                Attributes::new(new.client_id, expires_ms),
                hidden,
                insert_position,
            );
            self.enter_reduce_only(slot);
        }
    }
}

/// Returns true for an order that never rests.
const fn immediate(order: &NewOrder) -> bool {
    matches!(order.time_in_force, TimeInForce::Ioc | TimeInForce::Fok)
}
