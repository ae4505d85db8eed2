//! Orders that stay on the book and do not trade: their time has passed, or the host says so. A
//! block that has no room to remove them all is still one in which none of them trades.

use tidemark_proto::types::PostOnly;
use tidemark_proto::units::{AccountId, Side, Ticks, TimeMs};
use tidemark_proto::Code;

use crate::book::Book;
use crate::bounded;
use crate::ladder::{key_of, price_of};
use crate::types::{Host, LevelView, OrderView, Reject};

impl Book {
    /// Returns true if the book may hold a dead order.
    #[inline(always)]
    pub fn any_dead(&self, host: &impl Host) -> bool {
        let first = self.expiries.first();
        host.any_dead() | first.is_some_and(|expiry| expiry.expires_ms <= host.now_ms())
    }

    /// Returns why an order is dead, if it is: `EXPIRED`, or the host's code.
    #[inline]
    pub(crate) fn why_dead(&self, slot: u32, host: &impl Host) -> Option<Code> {
        let order = self.orders.get(slot);
        let expires_ms = self.attributes.get(slot, order.flags()).expires_ms(order.flags());
        why_dead(order.owner, order.flags().reduce_only(), expires_ms, host)
    }

    /// Removes the dead orders that a post-only order of `side` at `price_ticks` would meet before
    /// it meets a live one. Returns how many orders were looked at, at most `max_visits`.
    ///
    /// # Errors
    /// `OUT_OF_GAS`; the orders removed by then stay removed.
    pub(crate) fn remove_dead(
        &mut self,
        side: Side,
        price_ticks: Ticks,
        post_only: PostOnly,
        max_visits: u32,
        host: &mut impl Host,
    ) -> Result<u32, Reject> {
        let mut visits = 0_u32;
        if post_only == PostOnly::Off || !self.any_dead(host) {
            return Ok(visits);
        }
        let (makers, limit_key) = (side.opposite(), key_of(side.opposite(), price_ticks));
        while let Some(level) = self.ladders.get(makers).best() {
            let (key, slot) = (self.levels.get(level).key, self.levels.get(level).head);
            if key < limit_key {
                break;
            }
            if visits == max_visits {
                let price = price_of(makers, key);
                return Err(Reject::new(Code::OutOfGas, visits.into(), price.get()).after(visits));
            }
            visits = bounded::increment(visits);
            let Some(code) = self.why_dead(slot, host) else { break };
            self.evict(slot, code, host);
        }
        Ok(visits)
    }

    /// Returns a side's levels without dead orders, best first. Looks at every order of the levels
    /// that it passes if the book may hold a dead order, so the caller bounds how far it goes.
    pub fn live_levels<'a>(
        &'a self,
        side: Side,
        host: &'a impl Host,
    ) -> impl Iterator<Item = LevelView> + 'a {
        let any_dead = self.any_dead(host);
        self.levels(side)
            .map(move |level| if any_dead { self.without_dead(level, host) } else { level })
            .filter(|level| level.count > 0)
    }

    fn without_dead(&self, mut level: LevelView, host: &impl Host) -> LevelView {
        let is_dead = |order: &OrderView| {
            why_dead(order.owner, order.reduce_only, order.expires_ms, host).is_some()
        };
        for order in self.queue(level.side, level.price_ticks).filter(is_dead) {
            level.lots = bounded::sub(level.lots, order.shown_lots());
            level.count = bounded::decrement(level.count);
        }
        level
    }
}

fn why_dead(
    owner: AccountId,
    reduce_only: bool,
    expires_ms: Option<TimeMs>,
    host: &impl Host,
) -> Option<Code> {
    match expires_ms {
        Some(expires_ms) if expires_ms <= host.now_ms() => Some(Code::Expired),
        _ => host.why_dead(owner, reduce_only),
    }
}
