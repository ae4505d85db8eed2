//! Scale orders: a ladder of limit orders in one operation.

use super::order::{OrderType, Place, PostOnly, TimeInForce};
use crate::units::{ClientId, Lots, MarketId, Ppm, Side, Ticks};

/// Most rungs of a ladder.
pub const MAX_RUNGS: u32 = 100;

/// A ladder of limit orders on one side of one market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    /// Where.
    pub market: MarketId,
    /// Which way.
    pub side: Side,
    /// Price of the first rung, at least 1.
    pub from_ticks: Ticks,
    /// Price of the last rung, at least 1; another than the first's.
    pub to_ticks: Ticks,
    /// Of all rungs.
    pub lots: Lots,
    /// Rungs: 2 to [`MAX_RUNGS`].
    pub count: u32,
    /// Size of the last rung as a part of the first's, in parts per million: 10 000 to 100 000 000.
    pub skew_ppm: u32,
    /// Of every rung.
    pub post_only: PostOnly,
    /// Of every rung.
    pub reduce_only: bool,
    /// Of every rung.
    pub time_in_force: TimeInForce,
    /// The first rung's; the others count on from it. 0 is none.
    pub client_id: ClientId,
}

impl Scale {
    /// The orders of the ladder, from the first rung on.
    ///
    /// Rung `i` of `n` has the price `from + (to − from)·i/(n−1)`, rounded towards `from`, and of
    /// the lots a part in proportion to `10⁶ + (skew − 10⁶)·i/(n−1)`, rounded down; the lots that
    /// rounding leaves go one by one to the rungs from the first on.
    pub fn rungs(&self) -> impl Iterator<Item = Place> + '_ {
        let one = Ppm::ONE.wide();
        let last = i128::from(self.count) - 1;
        let weight = move |rung: i128| one * last + (i128::from(self.skew_ppm) - one) * rung;
        let sum: i128 = (0..=last).map(weight).sum();
        let part = move |rung: i128| self.lots.wide() * weight(rung) / sum;
        let left = self.lots.wide() - (0..=last).map(part).sum::<i128>();
        let (from, to) = (self.from_ticks.wide(), self.to_ticks.wide());
        (0..=last).map(move |rung| {
            // Between two prices and at most all lots: both fit.
            let price = from + (to - from) * rung / last;
            let lots = part(rung) + i128::from(rung < left);
            Place {
                market: self.market,
                side: self.side,
                price_ticks: u64::try_from(price).map_or(self.from_ticks, Ticks::new),
                lots: u64::try_from(lots).map_or(Lots::ZERO, Lots::new),
                order_type: OrderType::Limit,
                time_in_force: self.time_in_force,
                post_only: self.post_only,
                reduce_only: self.reduce_only,
                client_id: match self.client_id {
                    ClientId::NONE => ClientId::NONE,
                    first => {
                        first.checked_add(u64::try_from(rung).unwrap_or(0)).unwrap_or(ClientId::MAX)
                    }
                },
                trigger: None,
                whole_position: false,
                display_lots: Lots::ZERO,
                peg: None,
            }
        })
    }
}
