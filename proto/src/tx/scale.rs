//! Reads scale orders from the wire and checks every field.

use super::message::{invalid, market_id};
use crate::codes::Refusal;
use crate::convert;
use crate::types::{Scale, TimeInForce, MAX_RUNGS};
use crate::units::{ClientId, Lots, Ticks, TimeMs};
use crate::v1;

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
        from_ticks: Ticks::new(wire.from_ticks),
        to_ticks: Ticks::new(wire.to_ticks),
        lots: Lots::new(wire.lots),
        count: wire.count,
        skew_ppm,
        post_only: convert::post_only(wire.post_only)?,
        reduce_only: wire.reduce_only,
        time_in_force: match wire.expires_ms {
            0 => TimeInForce::Gtc,
            expires_ms => TimeInForce::Gtt { expires_ms: TimeMs::new(expires_ms) },
        },
        client_id: ClientId::new(wire.client_id),
    };
    let empty = scale.rungs().position(|rung| rung.lots.is_zero());
    if let Some(at) = empty {
        return Err(invalid(format!(
            "lots is {}: rung {at} of {} would have none",
            scale.lots, scale.count
        )));
    }
    Ok(scale)
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
        scale(wire).unwrap().rungs().map(|rung| (rung.price_ticks.get(), rung.lots.get())).collect()
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
