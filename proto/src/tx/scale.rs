//! Scale orders: a ladder of limit orders in one operation.

use super::message::{invalid, market_id};
use super::place::{OrderType, Place, PostOnly, TimeInForce};
use crate::codes::Refusal;
use crate::convert;
use crate::units::{Lots, MarketId, Side, Ticks, PPM};
use crate::v1;

/// Most rungs of a ladder.
pub const MAX_RUNGS: u32 = 100;

/// A ladder as the wire describes it, checked.
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
    pub client_id: u64,
}

/// Reads a ladder.
pub(super) fn scale(wire: &v1::PlaceScale) -> Result<Scale, Refusal> {
    let market = market_id(wire.market)?;
    let side = convert::side(wire.side)?.ok_or_else(|| invalid("side is missing".into()))?;
    if wire.from_ticks == 0 || wire.to_ticks == 0 || wire.from_ticks == wire.to_ticks {
        return Err(invalid(format!(
            "from_ticks is {}, to_ticks is {}: must be two prices of at least 1",
            wire.from_ticks, wire.to_ticks
        )));
    }
    if !(2..=MAX_RUNGS).contains(&wire.count) {
        return Err(invalid(format!("count is {}, must be 2 to {MAX_RUNGS}", wire.count)));
    }
    let skew_ppm = if wire.skew_ppm == 0 { 1_000_000 } else { wire.skew_ppm };
    if !(10_000..=100_000_000).contains(&skew_ppm) {
        return Err(invalid(format!("skew_ppm is {skew_ppm}, must be 10000 to 100000000")));
    }
    if wire.client_id.checked_add(u64::from(wire.count)).is_none() {
        return Err(invalid(format!(
            "client_id is {}: the last rung's would pass 2^64",
            wire.client_id
        )));
    }
    let scale = Scale {
        market,
        side,
        from_ticks: wire.from_ticks,
        to_ticks: wire.to_ticks,
        lots: wire.lots,
        count: wire.count,
        skew_ppm,
        post_only: convert::post_only(wire.post_only)?,
        reduce_only: wire.reduce_only,
        time_in_force: match wire.expires_ms {
            0 => TimeInForce::Gtc,
            expires_ms => TimeInForce::Gtt(expires_ms),
        },
        client_id: wire.client_id,
    };
    let empty = scale.rungs().position(|rung| rung.lots == 0);
    if let Some(at) = empty {
        return Err(invalid(format!(
            "lots is {}: rung {at} of {} would have none",
            scale.lots, scale.count
        )));
    }
    Ok(scale)
}

impl Scale {
    /// The orders of the ladder, from the first rung on.
    ///
    /// Rung `i` of `n` has the price `from + (to − from)·i/(n−1)`, rounded towards `from`, and of
    /// the lots a part in proportion to `10⁶ + (skew − 10⁶)·i/(n−1)`, rounded down; the lots that
    /// rounding leaves go one by one to the rungs from the first on.
    pub fn rungs(&self) -> impl Iterator<Item = Place> + '_ {
        let last = i128::from(self.count) - 1;
        let weight = move |rung: i128| PPM * last + (i128::from(self.skew_ppm) - PPM) * rung;
        let sum: i128 = (0..=last).map(weight).sum();
        let part = move |rung: i128| i128::from(self.lots) * weight(rung) / sum;
        let left = i128::from(self.lots) - (0..=last).map(part).sum::<i128>();
        let (from, to) = (i128::from(self.from_ticks), i128::from(self.to_ticks));
        (0..=last).map(move |rung| {
            // Between two prices and at most all lots: both fit.
            let price = from + (to - from) * rung / last;
            let lots = part(rung) + i128::from(rung < left);
            Place {
                market: self.market,
                side: self.side,
                price_ticks: u64::try_from(price).unwrap_or(self.from_ticks),
                lots: u64::try_from(lots).unwrap_or(0),
                order_type: OrderType::Limit,
                time_in_force: self.time_in_force,
                post_only: self.post_only,
                reduce_only: self.reduce_only,
                client_id: match self.client_id {
                    0 => 0,
                    first => first.saturating_add(u64::try_from(rung).unwrap_or(0)),
                },
                trigger: None,
                whole_position: false,
                display_lots: 0,
                peg: None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ladder(
        from_ticks: u64,
        to_ticks: u64,
        lots: u64,
        count: u32,
        skew_ppm: u32,
    ) -> v1::PlaceScale {
        v1::PlaceScale {
            side: 1,
            from_ticks,
            to_ticks,
            lots,
            count,
            skew_ppm,
            ..Default::default()
        }
    }

    fn rungs(wire: &v1::PlaceScale) -> Vec<(u64, u64)> {
        scale(wire).unwrap().rungs().map(|rung| (rung.price_ticks, rung.lots)).collect()
    }

    #[test]
    fn prices_and_sizes_are_spread_evenly_or_by_the_skew_and_no_lot_is_lost() {
        assert_eq!(rungs(&ladder(100, 90, 10, 3, 0)), [(100, 4), (95, 3), (90, 3)]);
        assert_eq!(rungs(&ladder(90, 97, 12, 3, 3_000_000)), [(90, 2), (93, 4), (97, 6)]);
        assert_eq!(rungs(&ladder(1, u64::MAX, u64::MAX, 2, 0))[1], (u64::MAX, u64::MAX / 2));
        for (lots, count, skew) in [(1_000_003, 100, 10_000), (999_999_937, 7, 100_000_000)] {
            let wire = ladder(1_000, 10, lots, count, skew);
            assert_eq!(rungs(&wire).iter().map(|rung| rung.1).sum::<u64>(), lots);
        }
    }

    #[test]
    fn a_ladder_beyond_its_bounds_is_refused() {
        for wire in [
            ladder(0, 10, 10, 2, 0),
            ladder(10, 10, 10, 2, 0),
            ladder(10, 20, 10, 1, 0),
            ladder(10, 20, 1_000, 101, 0),
            ladder(10, 20, 3, 4, 0),
            ladder(10, 20, 10, 2, 1),
            v1::PlaceScale { client_id: u64::MAX, ..ladder(10, 20, 10, 2, 0) },
        ] {
            assert!(scale(&wire).is_err(), "{wire:?}");
        }
    }
}
