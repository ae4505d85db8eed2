//! Marks of pegged orders, and the prices of others.

use std::collections::BTreeMap;

use tidemark_proto::units::{OrderId, Side, Ticks};

use crate::book::Book;
use crate::by_side::BySide;
use crate::ladder::{key_of, price_of};
use crate::pegs::Pegs;

impl Book {
    /// Counts the order of an id, which is not in the book yet, as pegged until it leaves the book.
    /// The first call looks at every level once. A snapshot does not have the mark:
    /// [`Book::restore_pegs`].
    pub fn peg(&mut self, order_id: OrderId) {
        if !self.pegs.are_kept() {
            self.pegs = Pegs::begin(BySide::new(self.counts(Side::Buy), self.counts(Side::Sell)));
        }
        self.pegs.mark(order_id);
    }

    /// The orders of each level of a side, by key.
    fn counts(&self, side: Side) -> BTreeMap<u64, u32> {
        let ladder = self.ladders.get(side);
        let levels =
            std::iter::successors(ladder.best(), |level| ladder.next_worse(&self.levels, *level));
        levels.map(|level| self.levels.get(level)).map(|level| (level.key, level.count)).collect()
    }

    /// Marks orders of a book without marks as pegged: those that [`Book::is_pegged`] knew before
    /// the book was written.
    pub fn restore_pegs(&mut self, order_ids: impl IntoIterator<Item = OrderId>) {
        for order_id in order_ids {
            self.peg(order_id);
            if let Some(order) = self.order(order_id) {
                self.pegs.leave_plain(order.side, key_of(order.side, order.price_ticks));
            }
        }
    }

    /// Ends the mark of an order that did not enter the book.
    pub fn unpeg(&mut self, order_id: OrderId) {
        self.pegs.forget(order_id);
    }

    /// Returns true if the order of an id is pegged.
    #[must_use]
    pub fn is_pegged(&self, order_id: OrderId) -> bool {
        self.pegs.contains(order_id)
    }

    /// Returns the prices of a side's levels with an order that is not pegged, best first.
    pub fn plain_prices(&self, side: Side) -> impl Iterator<Item = Ticks> + '_ {
        let plain = self.pegs.plain(side);
        let all = plain.is_none().then(|| self.levels(side).map(|level| level.price_ticks));
        let plain = plain.into_iter().flatten().map(move |key| price_of(side, key));
        all.into_iter().flatten().chain(plain)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tests::TestHost;
    use crate::{NewOrder, PostOnly, TimeInForce};
    use proptest::prelude::*;
    use tidemark_proto::units::{AccountId, ClientId, Lots, SelfTradePrevention};
    use tidemark_proto::Code;

    fn order(side: Side, price: u64, lots: u64, display: u64) -> NewOrder {
        NewOrder {
            owner: AccountId::new(u32::try_from(price % 3).unwrap()),
            client_id: ClientId::NONE,
            side,
            price_ticks: Ticks::new(price),
            lots: Lots::new(lots),
            display_lots: Lots::new(display),
            time_in_force: TimeInForce::Gtc,
            post_only: PostOnly::Off,
            reduce_only: false,
            stp: SelfTradePrevention::CancelMaker,
            max_fills: 100,
            max_visits: 100,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        /// Whatever is placed, trades, refills, is replaced or cancelled, before and after the
        /// first order is pegged: the best price is that of the first order that is not.
        #[test]
        fn the_best_price_of_orders_that_are_not_pegged_is_known(
            steps in prop::collection::vec((0_u8..8, any::<bool>(), 90_u64..110, 1_u64..9), 1..120),
        ) {
            let (mut book, mut host) = (Book::new(), TestHost::default());
            let mut pegged = BTreeSet::new();
            for (step, buys, price, lots) in steps {
                let side = if buys { Side::Buy } else { Side::Sell };
                let live: Vec<_> = [Side::Buy, Side::Sell].into_iter().flat_map(|side| {
                    let levels = book.levels(side).collect::<Vec<_>>();
                    let queue = |level: crate::LevelView| book.queue(side, level.price_ticks);
                    levels.into_iter().flat_map(queue).collect::<Vec<_>>()
                }).collect();
                let picked = live.get(price as usize % live.len().max(1)).copied();
                match (step, picked) {
                    (0..=2, _) => {
                        let _ = book.place(&order(side, price, lots, lots.min(2)), &mut host);
                    }
                    (3..=4, _) => {
                        let id = book.next_order_id();
                        book.peg(id);
                        let post_only = PostOnly::Slide;
                        let peg = NewOrder { post_only, ..order(side, price, lots, 0) };
                        match book.place(&peg, &mut host) {
                            Ok(placed) if !placed.resting_lots.is_zero() => {
                                pegged.insert(id);
                            }
                            _ => book.unpeg(id),
                        }
                    }
                    (5, Some(order)) => {
                        let change = crate::Replace {
                            order_id: order.order_id,
                            owner: order.owner,
                            price_ticks: Some(Ticks::new(price)),
                            lots: Some(Lots::new(lots)),
                            stp: SelfTradePrevention::CancelMaker,
                            max_fills: 100,
                            max_visits: 100,
                        };
                        let _ = book.replace(&change, &mut host);
                    }
                    (_, Some(order)) => {
                        let cancelled =
                            book.cancel(order.order_id, order.owner, Code::Cancelled, &mut host);
                        prop_assert!(cancelled.is_ok());
                    }
                    _ => {}
                }
                pegged.retain(|id| book.order(*id).is_some());
                let mut bytes = Vec::new();
                book.freeze().write(&mut bytes).unwrap();
                let mut restored = Book::from_snapshot(&mut bytes.as_slice()).unwrap();
                restored.restore_pegs(pegged.iter().copied());
                for side in [Side::Buy, Side::Sell] {
                    let levels = book.levels(side).map(|level| level.price_ticks);
                    let is_plain = |price: &Ticks| {
                        book.queue(side, *price).any(|order| !pegged.contains(&order.order_id))
                    };
                    let expected: Vec<_> = levels.filter(is_plain).collect();
                    prop_assert_eq!(book.plain_prices(side).collect::<Vec<_>>(), &*expected);
                    prop_assert_eq!(restored.plain_prices(side).collect::<Vec<_>>(), expected);
                }
                for order in live {
                    let id = order.order_id;
                    prop_assert_eq!(book.is_pegged(id), pegged.contains(&id));
                }
            }
        }
    }
}
