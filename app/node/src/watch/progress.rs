//! How a replay or a sync gets on: its pace, and when it will be done.

use std::time::{Duration, Instant};

use super::millis;

/// A point on the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// When it was looked at.
    pub at: Instant,
    /// The newest block's height.
    pub height: u64,
    /// Its age by this machine's clock.
    pub age: Duration,
}

/// The way between two points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// Whole blocks a second.
    pub blocks_per_s: u64,
    /// Time until the end at this pace; `None` where the end comes no nearer.
    pub left: Option<Duration>,
}

/// The pace from one point to the next, towards `target`, a height that the chain is known to have;
/// beyond that, by the age of the blocks: the replay ends where it is 0.
pub(super) fn pace(from: Point, to: Point, target: u64) -> Pace {
    let took_ms = millis(to.at.saturating_duration_since(from.at)).max(1);
    let blocks = to.height.saturating_sub(from.height);
    let per = |whole: u64, part: u64| -> Option<Duration> {
        let left_ms = u128::from(whole).checked_mul(u128::from(took_ms))?;
        let left_ms = left_ms.checked_div(u128::from(part))?;
        Some(Duration::from_millis(u64::try_from(left_ms).unwrap_or(u64::MAX)))
    };
    let by_height = per(target.saturating_sub(to.height), blocks).filter(|left| !left.is_zero());
    let by_age = per(millis(to.age), millis(from.age.saturating_sub(to.age)));
    let blocks_per_s = blocks.saturating_mul(1_000) / took_ms;
    Pace { blocks_per_s, left: by_height.or(by_age) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_estimated_by_height_where_it_is_known_and_else_by_age() {
        let start = Instant::now();
        let hour = Duration::from_secs(3_600);
        let from = Point { at: start, height: 1_000, age: hour * 10 };
        let to = Point { at: start + Duration::from_secs(5), height: 11_000, age: hour * 9 };
        let seconds = |s| Some(Duration::from_secs(s));
        let known = Pace { blocks_per_s: 2_000, left: seconds(10) };
        assert_eq!(pace(from, to, 31_000), known);
        assert_eq!(pace(from, to, 0), Pace { blocks_per_s: 2_000, left: seconds(45) });
        assert_eq!(pace(from, to, 11_000).left, seconds(45), "the chain has gone on since");
        let stands = Pace { blocks_per_s: 0, left: None };
        assert_eq!(pace(to, Point { at: to.at + hour, ..to }, 31_000), stands);
    }
}
