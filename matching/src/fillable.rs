//! The lots that an order would trade, without trading them.

use std::collections::{BTreeMap, VecDeque};

use tidemark_proto::units::{AccountId, Lots, OrderId, SelfTradePrevention, Side};

use crate::book::Book;
use crate::bounded::checked;
use crate::icebergs::Iceberg;
use crate::matcher::Taker;
use crate::types::{Host, NewOrder};

impl Book {
    /// Returns the lots that an order would trade at once, at most its own, with at most
    /// `max_fills` makers; changes nothing. Fill-or-kill relies on this quantity
    /// (rules §2.3).
    #[must_use]
    pub fn fillable_lots(&self, order: &NewOrder, host: &impl Host) -> Lots {
        let taker = Taker::new(order, OrderId::MAX, order.price_ticks);
        self.fillable(&taker, order.lots, host)
    }

    /// Returns the lots that [`Book::match_taker`] would trade for a fill-or-kill order, hidden
    /// lots included, up to `lots`; changes nothing. Counts at most `max_fills` makers, each refill
    /// of an iceberg order as another maker.
    pub(crate) fn fillable(&self, taker: &Taker, lots: Lots, host: &impl Host) -> Lots {
        let ladder = self.ladders.get(taker.side.opposite());
        let cap =
            if taker.reduce_only { host.reducible_lots(taker.owner, taker.side) } else { lots };
        let mut walk =
            FillWalk { book: self, side: taker.side.opposite(), met: 0, traded: BTreeMap::new() };
        let mut sum = Lots::ZERO;
        let crosses = |level: &u32| self.levels.get(*level).key >= taker.limit_key;
        let mut level = ladder.best().filter(crosses);
        while let Some(index) = level {
            let shown = |slot| {
                (
                    slot,
                    self.orders.get(slot).lots,
                    self.iceberg(slot, self.orders.get(slot).flags()),
                )
            };
            let mut queue = self.queue_slots(self.levels.get(index).head).map(shown);
            let mut refilled = VecDeque::new();
            while let Some((slot, shown, iceberg)) = queue.next().or_else(|| refilled.pop_front()) {
                if sum >= lots.min(cap) {
                    return lots.min(cap);
                }
                let Some(more) = walk.meet(slot, shown, taker, checked::sub(lots, sum), host)
                else {
                    return sum;
                };
                sum = checked::add(sum, more);
                if more == shown && !iceberg.hidden_lots.is_zero() {
                    let (shown, iceberg) =
                        Iceberg::split(iceberg.display_lots, iceberg.hidden_lots);
                    refilled.push_back((slot, shown, iceberg));
                }
            }
            level = ladder.next_worse(&self.levels, index).filter(crosses);
        }
        sum.min(cap)
    }
}

/// Simulates [`Book::match_taker`] over the makers without changing the book.
struct FillWalk<'a> {
    book: &'a Book,
    /// The makers' side.
    side: Side,
    met: u32,
    /// Lots traded so far by owners that have reduce-only orders on this side.
    traded: BTreeMap<AccountId, Lots>,
}

impl FillWalk<'_> {
    /// Returns the lots that one maker, which shows `shown`, trades; `None` at the end of the walk.
    fn meet(
        &mut self,
        slot: u32,
        shown: Lots,
        taker: &Taker,
        wanted: Lots,
        host: &impl Host,
    ) -> Option<Lots> {
        let maker = self.book.orders.get(slot);
        let mut lots = wanted.min(shown);
        let may_be_removed =
            maker.owner != taker.owner && self.book.owners.has_reduce_only(maker.owner, self.side);
        if may_be_removed && maker.flags().reduce_only() {
            let traded = self.traded.get(&maker.owner).copied().unwrap_or_default();
            lots = lots.min(host.reducible_lots(maker.owner, self.side).saturating_sub(traded));
            if lots.is_zero() && !traded.is_zero() {
                // The fill that closed the position would have removed this maker: the taker does
                // not meet it.
                return Some(Lots::ZERO);
            }
        }
        if self.met == taker.max_fills {
            return None;
        }
        self.met = checked::increment(self.met);
        if maker.owner == taker.owner {
            return (taker.stp == SelfTradePrevention::CancelMaker).then_some(Lots::ZERO);
        }
        if may_be_removed {
            let traded = self.traded.entry(maker.owner).or_default();
            *traded = traded.saturating_add(lots);
        }
        Some(lots)
    }
}
