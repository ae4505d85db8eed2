//! The lots that an order would trade, without trading them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidemark_proto::units::{AccountId, Lots, OrderId, SelfTradePrevention, Side};
use tidemark_proto::Code;

use crate::book::Book;
use crate::bounded::checked;
use crate::icebergs::Iceberg;
use crate::ladder::price_of;
use crate::matcher::Taker;
use crate::types::{Fillable, Host, NewOrder};

impl Book {
    /// Returns the lots that an order would trade at once, at most its own, with at most
    /// `max_fills` makers, looking at no more than `max_visits`; changes nothing. Fill-or-kill
    /// relies on this quantity (rules §2.3).
    #[must_use]
    pub fn fillable_lots(&self, order: &NewOrder, host: &mut impl Host) -> Fillable {
        let taker = Taker::new(order, OrderId::MAX, order.price_ticks);
        self.fillable(&taker, order.lots, host)
    }

    /// Returns the lots that [`Book::match_taker`] would trade for a fill-or-kill order, hidden
    /// lots included, up to `lots`; changes nothing. Counts at most `max_fills` makers, each refill
    /// of an iceberg order as another maker, and looks at no more than `max_visits`.
    pub(crate) fn fillable(&self, taker: &Taker, lots: Lots, host: &mut impl Host) -> Fillable {
        let cap =
            if taker.reduce_only { host.reducible_lots(taker.owner, taker.side) } else { lots };
        let mut walk = FillWalk {
            book: self,
            side: taker.side.opposite(),
            any_dead: self.any_dead(host),
            admits: host.begin_walk(),
            met: 0,
            visits: 0,
            ended: None,
            traded: BTreeMap::new(),
            charged: BTreeSet::new(),
        };
        let sum = walk.sum(taker, lots, cap, host);
        Fillable { lots: sum.min(cap), visits: walk.visits, stop: walk.ended.and_then(End::stop) }
    }
}

/// Why a walk ended before its lots.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// For a reason that ends the order.
    Stopped(Code),
    /// At an order of the taker's owner that takes lots off both: the order would go on.
    Decrement,
}

impl End {
    const fn stop(self) -> Option<Code> {
        match self {
            Self::Stopped(code) => Some(code),
            Self::Decrement => None,
        }
    }
}

/// Simulates [`Book::match_taker`] over the makers without changing the book.
struct FillWalk<'a> {
    book: &'a Book,
    /// The makers' side.
    side: Side,
    any_dead: bool,
    admits: bool,
    met: u32,
    visits: u32,
    ended: Option<End>,
    /// Lots traded so far by owners that have reduce-only orders on this side.
    traded: BTreeMap<AccountId, Lots>,
    /// Accounts whose reduce-only orders the taker has been charged for.
    charged: BTreeSet<AccountId>,
}

impl FillWalk<'_> {
    /// Returns the lots of all makers up to `lots`, or up to the walk's end.
    fn sum(&mut self, taker: &Taker, lots: Lots, cap: Lots, host: &mut impl Host) -> Lots {
        let lots = lots.min(cap);
        let book = self.book;
        let ladder = book.ladders.get(self.side);
        let mut sum = Lots::ZERO;
        let crosses = |level: &u32| book.levels.get(*level).key >= taker.limit_key;
        let mut level = ladder.best().filter(crosses);
        while let Some(index) = level {
            let shown = |slot| {
                let order = book.orders.get(slot);
                (slot, order.lots, book.iceberg(slot, order.flags()))
            };
            let mut queue = book.queue_slots(book.levels.get(index).head).map(shown);
            let mut refilled = VecDeque::new();
            while let Some((slot, shown, iceberg)) = queue.next().or_else(|| refilled.pop_front()) {
                if sum >= lots {
                    return lots;
                }
                let more = self.visit(slot, shown, taker, checked::sub(lots, sum), host);
                sum = checked::add(sum, more);
                if self.ended.is_some() {
                    return sum;
                }
                if more == shown && !iceberg.hidden_lots.is_zero() {
                    let (shown, iceberg) =
                        Iceberg::split(iceberg.display_lots, iceberg.hidden_lots);
                    refilled.push_back((slot, shown, iceberg));
                }
            }
            level = ladder.next_worse(&book.levels, index).filter(crosses);
        }
        sum
    }

    /// Returns the lots that one maker, which shows `shown`, trades. Every maker that is looked at
    /// counts before anything is known of it: else a walk past makers that do not trade would cost
    /// nothing.
    fn visit(
        &mut self,
        slot: u32,
        shown: Lots,
        taker: &Taker,
        wanted: Lots,
        host: &mut impl Host,
    ) -> Lots {
        if self.visits == taker.max_visits {
            self.ended = Some(End::Stopped(Code::OutOfGas));
            return Lots::ZERO;
        }
        self.visits = checked::increment(self.visits);
        if self.any_dead && self.book.why_dead(slot, host).is_some() {
            return Lots::ZERO;
        }
        self.meet(slot, shown, taker, wanted, host)
    }

    fn meet(
        &mut self,
        slot: u32,
        shown: Lots,
        taker: &Taker,
        wanted: Lots,
        host: &mut impl Host,
    ) -> Lots {
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
                return Lots::ZERO;
            }
        }
        if self.met == taker.max_fills {
            self.ended = Some(End::Stopped(Code::MaxFills));
            return Lots::ZERO;
        }
        self.met = checked::increment(self.met);
        if maker.owner == taker.owner {
            self.ended = match taker.stp {
                SelfTradePrevention::CancelMaker => None,
                SelfTradePrevention::Decrement => Some(End::Decrement),
                SelfTradePrevention::CancelTaker | SelfTradePrevention::CancelBoth => {
                    Some(End::Stopped(Code::SelfTrade))
                }
            };
            return Lots::ZERO;
        }
        let charged = &mut self.charged;
        match self.book.charge_shrinks(charged, taker, maker.owner, self.visits) {
            Some(visits) => self.visits = visits,
            None => {
                self.ended = Some(End::Stopped(Code::OutOfGas));
                return Lots::ZERO;
            }
        }
        if self.admits && !lots.is_zero() {
            let price_ticks = price_of(self.side, self.book.levels.get(maker.level).key);
            let admitted = host.admit(price_ticks, lots).min(lots);
            if admitted < lots {
                self.ended = Some(End::Stopped(Code::InsufficientCollateral));
                lots = admitted;
            }
        }
        if may_be_removed {
            let traded = self.traded.entry(maker.owner).or_default();
            *traded = traded.saturating_add(lots);
        }
        lots
    }
}
