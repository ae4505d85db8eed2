//! From the node's figures to the checks of `/health` and `/ready`.

use std::time::Duration;

use tidemark_consensus::publish::BEHIND;
use tidemark_market_data::readiness::{Check, Condition};

use super::disk::MIB;
use super::{DiskBounds, Sight};

/// A node without any block for longer does not work.
const BLOCK_WITHIN: Duration = Duration::from_secs(60);

/// This machine's clock may be so far from the validators'. Reports, nonces and proposals bear
/// more; a clock that nobody sets right passes any bound.
pub(super) const CLOCK_WITHIN_MS: u64 = 1_000;

/// A validator that has reported no price for longer has a silent feed.
const PRICE_WITHIN: Duration = Duration::from_secs(10);

fn check(name: &'static str, ok: bool, reason: String) -> Check {
    Check { name, ok, reason }
}

/// The condition of a node with these figures.
pub(super) fn condition(sight: &Sight, bounds: DiskBounds) -> Condition {
    Condition {
        height: sight.height,
        health: vec![blocks(sight), market_data(sight), disk_stop(sight, bounds)],
        ready: vec![synced(sight), prices(sight), disk(sight, bounds), clock(sight)],
    }
}

fn blocks(sight: &Sight) -> Check {
    let without = sight.blocks.without_block;
    let reason = format!(
        "the last block came {} s ago, at most {} s",
        without.as_secs(),
        BLOCK_WITHIN.as_secs()
    );
    check("blocks", without <= BLOCK_WITHIN, reason)
}

fn market_data(sight: &Sight) -> Check {
    match sight.left_out_from {
        None => check("market_data", true, "it takes every block".to_owned()),
        Some(height) => {
            let reason = format!(
                "it took blocks too slowly and stands still before block {height}: start the node \
                 again"
            );
            check("market_data", false, reason)
        }
    }
}

fn free(sight: &Sight, name: &'static str, least_mib: u64) -> Check {
    match &sight.free_bytes {
        Ok(free_bytes) => {
            let free_mib = free_bytes / MIB;
            let reason = format!("{free_mib} MiB are free, at least {least_mib}");
            check(name, free_mib >= least_mib, reason)
        }
        Err(why) => check(name, false, format!("the free room cannot be read: {why}")),
    }
}

fn disk_stop(sight: &Sight, bounds: DiskBounds) -> Check {
    free(sight, "disk_stop", bounds.stop_mib)
}

fn disk(sight: &Sight, bounds: DiskBounds) -> Check {
    free(sight, "disk", bounds.warn_mib)
}

fn synced(sight: &Sight) -> Check {
    let bound_s = BEHIND.as_secs();
    let (height, age_s) = (sight.height, sight.age.as_secs());
    let reason = match height {
        0 => "there is no block yet".to_owned(),
        _ => format!("the newest block, {height}, is {age_s} s old, at most {bound_s} s"),
    };
    check("synced", height > 0 && sight.age <= BEHIND, reason)
}

fn prices(sight: &Sight) -> Check {
    let Some(unpriced) = sight.unpriced else {
        let reason = "this node has no validator that reports prices".to_owned();
        return check("prices", true, reason);
    };
    let bound_s = PRICE_WITHIN.as_secs();
    let reason = format!(
        "this validator's last vote with prices is {} s old, at most {bound_s} s",
        unpriced.as_secs()
    );
    check("prices", unpriced <= PRICE_WITHIN, reason)
}

fn clock(sight: &Sight) -> Check {
    let Some(ahead_ms) = sight.ahead_ms() else {
        return check("clock", true, "not compared with the validators' yet".to_owned());
    };
    let (side, late) = match ahead_ms {
        0.. => ("ahead of", ", or the node takes each block late by that"),
        _ => ("behind", ""),
    };
    let off_ms = ahead_ms.unsigned_abs();
    let is_right = off_ms <= CLOCK_WITHIN_MS;
    let late = if is_right { "" } else { late };
    let reason = format!(
        "this machine's clock is {off_ms} ms {side} the validators', at most \
         {CLOCK_WITHIN_MS} ms{late}"
    );
    check("clock", is_right, reason)
}

#[cfg(test)]
mod tests {
    use super::super::blocks::BlockFigures;
    use super::super::comet::CometFigures;
    use super::*;

    const BOUNDS: DiskBounds = DiskBounds { warn_mib: 100, stop_mib: 10 };

    fn well() -> Sight {
        Sight {
            height: 12,
            age: Duration::from_secs(1),
            left_out_from: None,
            free_bytes: Ok(500 * MIB),
            blocks: BlockFigures {
                without_block: Duration::from_secs(1),
                ahead_ms: Some(80),
                missed_votes: 0,
            },
            comet: Some(CometFigures { peers: 3, ..CometFigures::default() }),
            unpriced: Some(Duration::ZERO),
            own_prices: Some(3),
        }
    }

    /// Names of the checks that fail, with their reasons.
    fn failing(sight: &Sight) -> Vec<(&'static str, String)> {
        let Condition { health, ready, .. } = condition(sight, BOUNDS);
        let failing = health.into_iter().chain(ready).filter(|check| !check.ok);
        failing.map(|check| (check.name, check.reason)).collect()
    }

    #[test]
    fn a_node_that_is_well_passes_every_check() {
        assert_eq!(failing(&well()), []);
        let silent = Sight { unpriced: None, comet: None, ..well() };
        assert_eq!(failing(&silent), [], "a node that is no validator's reports nothing");
    }

    #[test]
    fn each_ill_fails_its_own_check_with_figure_and_bound() {
        let second = Duration::from_secs(1);
        let figures = well().blocks;
        let ill = |name, sight: Sight, figure: &str| {
            let failing = failing(&sight);
            assert_eq!(failing.len(), 1, "{name}: {failing:?}");
            assert!(failing[0].0 == name && failing[0].1.contains(figure), "{failing:?}");
        };
        ill("synced", Sight { age: second * 31, ..well() }, "12, is 31 s old, at most 30");
        ill("synced", Sight { height: 0, ..well() }, "no block yet");
        ill("disk", Sight { free_bytes: Ok(99 * MIB), ..well() }, "99 MiB are free, at least 100");
        ill("prices", Sight { unpriced: Some(second * 11), ..well() }, "11 s old, at most 10");
        ill("market_data", Sight { left_out_from: Some(9), ..well() }, "before block 9");
        for (ahead_ms, figure) in [(1_001, "1001 ms ahead of"), (-60_000, "60000 ms behind")] {
            let blocks = BlockFigures { ahead_ms: Some(ahead_ms), ..figures };
            ill("clock", Sight { blocks, ..well() }, figure);
        }
        let blocks = BlockFigures { without_block: second * 61, ..figures };
        ill("blocks", Sight { blocks, ..well() }, "61 s ago, at most 60");
        let full = failing(&Sight { free_bytes: Ok(9 * MIB), ..well() });
        assert_eq!(full.len(), 2, "below the bound at which it ends it is not ready either");
        let unread = failing(&Sight { free_bytes: Err("no such disk".into()), ..well() });
        assert!(unread.iter().all(|(_, reason)| reason.contains("no such disk")), "{unread:?}");
    }

    #[test]
    fn a_node_that_catches_up_is_not_blamed_for_its_clock() {
        let blocks = BlockFigures { ahead_ms: Some(90_000), ..well().blocks };
        let comet = Some(CometFigures { is_catching_up: true, ..CometFigures::default() });
        assert_eq!(failing(&Sight { blocks, comet, ..well() }), []);
    }
}
