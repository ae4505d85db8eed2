//! Orders that stay on the book and do not trade: their time has passed, or the host says so. A
//! block that has no room to remove them all is still one in which none of them trades.

use tidemark_proto::types::PostOnly;
use tidemark_proto::units::{AccountId, Lots, OrderId, Side, Ticks, TimeMs};
use tidemark_proto::Code;

use crate::book::Book;
use crate::bounded;
use crate::ladder::{key_of, price_of};
use crate::types::{Host, LevelView, OrderView, Reject};

/// Most that one walk over a side's live depth looks at: levels, and where some order may be dead,
/// orders. What is beyond counts as no depth.
pub const DEPTH_VISITS: u32 = 10_000;

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

    /// Returns a side's levels without dead orders, best first, as far as [`DEPTH_VISITS`] go: a
    /// level is a visit, or each of its orders where the book may hold a dead one.
    pub fn live_levels<'a>(
        &'a self,
        side: Side,
        host: &'a impl Host,
    ) -> impl Iterator<Item = LevelView> + 'a {
        let any_dead = self.any_dead(host);
        let mut left = DEPTH_VISITS;
        let visited = self.levels(side).map_while(move |level| {
            let visits = if any_dead { level.count.min(left) } else { left.min(1) };
            left = left.checked_sub(visits).filter(|_| visits > 0)?;
            Some(if any_dead { self.without_dead(level, visits, host) } else { level })
        });
        visited.filter(|level| level.count > 0)
    }

    /// Returns a level's first orders, so many, without the dead.
    fn without_dead(&self, level: LevelView, most: u32, host: &impl Host) -> LevelView {
        let mut live = LevelView { lots: Lots::ZERO, count: 0, ..level };
        let first = self.queue(level.side, level.price_ticks).take(most as usize);
        for order in first.filter(|order| is_live(order, host)) {
            live.lots = bounded::add(live.lots, order.shown_lots());
            live.count = bounded::increment(live.count);
        }
        live
    }

    /// Returns a side's best price of an order that is not dead and does not leave, of those that
    /// `max_visits` reach. Orders that leave are not counted, nor is any where none can be dead.
    pub fn best_live(
        &self,
        side: Side,
        host: &impl Host,
        max_visits: u32,
        leaves: impl Fn(OrderId) -> bool,
    ) -> BestLive {
        let orders = self.levels(side).flat_map(|level| self.queue(side, level.price_ticks));
        let any_dead = self.any_dead(host);
        let mut best = BestLive::default();
        for order in orders.filter(|order| !leaves(order.order_id)) {
            if !any_dead {
                return BestLive { price_ticks: Some(order.price_ticks), ..best };
            }
            if best.visits == max_visits {
                return BestLive { is_cut: true, ..best };
            }
            best.visits = bounded::increment(best.visits);
            if is_live(&order, host) {
                return BestLive { price_ticks: Some(order.price_ticks), ..best };
            }
        }
        best
    }
}

/// A side's best price, and what it took to find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BestLive {
    /// The price; `None` if no order was found.
    pub price_ticks: Option<Ticks>,
    /// Orders that were looked at.
    pub visits: u32,
    /// True if the visits ended before the orders did.
    pub is_cut: bool,
}

fn is_live(order: &OrderView, host: &impl Host) -> bool {
    why_dead(order.owner, order.reduce_only, order.expires_ms, host).is_none()
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
