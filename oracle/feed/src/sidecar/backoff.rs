//! Pauses between attempts to connect: doubling, and drawn at random, so that a venue that comes
//! back is not met by everyone at once.

use std::time::Duration;

use super::config::ConnectionBounds;

/// The pauses of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    min_ms: u64,
    max_ms: u64,
    /// Upper bound of the next pause.
    next_ms: u64,
}

impl Backoff {
    /// From the first pause.
    #[must_use]
    pub fn new(bounds: &ConnectionBounds) -> Self {
        let ConnectionBounds { backoff_min_ms: min_ms, backoff_max_ms: max_ms, .. } = *bounds;
        Self { min_ms, max_ms, next_ms: min_ms }
    }

    /// The next pause, drawn by `random` between half of its bound and the bound, which doubles up
    /// to the longest.
    pub fn next(&mut self, random: u64) -> Duration {
        let bound_ms = self.next_ms;
        self.next_ms = bound_ms.saturating_mul(2).min(self.max_ms);
        let half_ms = bound_ms / 2;
        Duration::from_millis(bound_ms - half_ms + random % (half_ms + 1))
    }

    /// Takes note of how long a connection lasted: after a good one, pauses begin with the first
    /// again. One that breaks at once each time is not.
    pub fn lasted(&mut self, time: Duration) {
        if time >= Duration::from_millis(self.max_ms) {
            self.next_ms = self.min_ms;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_again_after_a_good_connection() {
        let mut backoff = Backoff { min_ms: 500, max_ms: 3_000, next_ms: 500 };
        let mut bounds =
            |random| (0..5).map(|_| backoff.next(random).as_millis()).collect::<Vec<_>>();
        assert_eq!(bounds(0), [250, 500, 1_000, 1_500, 1_500]);
        backoff.lasted(Duration::from_millis(2_999));
        assert_eq!(backoff.next(1_500).as_millis(), 3_000);
        backoff.lasted(Duration::from_millis(3_000));
        assert_eq!(backoff.next(250).as_millis(), 500);
    }

    #[test]
    fn no_random_number_leaves_the_bounds() {
        for random in [0, 1, 249, 250, 251, u64::MAX] {
            let mut backoff = Backoff { min_ms: 1, max_ms: 60_000, next_ms: 1 };
            for bound_ms in [1, 2, 4, 8, 16] {
                let pause_ms = backoff.next(random).as_millis();
                assert!(
                    bound_ms / 2 <= pause_ms && pause_ms <= bound_ms,
                    "{pause_ms} of {bound_ms}"
                );
            }
        }
    }
}
