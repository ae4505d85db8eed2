//! The bytes that streams may hold for clients that do not read: all streams of a node together.
//!
//! A stream counts the messages of the block, or the page, that it is handing on, until it is asked
//! for the next. Where the budget is used up, the streams that nobody has read from for seconds
//! lose their connections.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connection::Handle;

/// Most bytes of all streams together.
pub(super) const MAX_BYTES: usize = 256 << 20;

/// A stream that holds something and was not read from for this long has stalled.
const STALLED: Duration = Duration::from_secs(2);

/// Bytes of all streams.
#[derive(Debug)]
pub(super) struct Budget {
    max_bytes: usize,
    used: AtomicUsize,
    started: Instant,
    seats: Mutex<Seats>,
}

#[derive(Debug, Default)]
struct Seats {
    by_id: BTreeMap<u64, Arc<Seat>>,
    next_id: u64,
}

#[derive(Debug)]
struct Seat {
    held: AtomicUsize,
    /// When it was last read from, in ms since the budget's start.
    read_ms: AtomicU64,
    connection: Option<Handle>,
}

impl Budget {
    pub fn new(max_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            max_bytes,
            used: AtomicUsize::new(0),
            started: Instant::now(),
            seats: Mutex::default(),
        })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bytes in use.
    #[cfg(test)]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The share of a stream on a connection; it holds nothing yet.
    pub fn share(self: &Arc<Self>, connection: Option<Handle>) -> Share {
        let seat = Arc::new(Seat {
            held: AtomicUsize::new(0),
            read_ms: AtomicU64::new(self.now_ms()),
            connection,
        });
        let mut seats = self.seats();
        let id = seats.next_id;
        seats.next_id += 1;
        seats.by_id.insert(id, Arc::clone(&seat));
        Share { budget: Arc::clone(self), id, seat }
    }

    /// Closes the connections of streams that have stalled.
    fn close_stalled(&self) {
        let long_ago = self.now_ms().saturating_sub(STALLED.as_millis() as u64);
        for seat in self.seats().by_id.values() {
            let holds = seat.held.load(Ordering::Relaxed) > 0;
            if holds && seat.read_ms.load(Ordering::Relaxed) <= long_ago {
                if let Some(connection) = &seat.connection {
                    connection.close();
                }
            }
        }
    }
}

/// The part of the budget that one stream holds, while it lives.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    id: u64,
    seat: Arc<Seat>,
}

impl Share {
    /// Its client has taken what it had and asks for more.
    pub fn read(&self) {
        self.seat.read_ms.store(self.budget.now_ms(), Ordering::Relaxed);
    }

    /// How long nobody has read from it.
    pub fn unread_for(&self) -> Duration {
        let read_ms = self.seat.read_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.budget.now_ms().saturating_sub(read_ms))
    }

    /// Holds so many bytes from now on, and no longer what it held. Returns false if there is no
    /// room: then it holds nothing, and those that have stalled are being closed.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> bool {
        let before = self.seat.held.swap(0, Ordering::Relaxed);
        self.budget.used.fetch_sub(before, Ordering::Relaxed);
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) > self.budget.max_bytes {
            self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
            self.budget.close_stalled();
            return false;
        }
        self.seat.held.store(bytes, Ordering::Relaxed);
        true
    }

    /// Closes its connection.
    pub fn close(&self) {
        if let Some(connection) = &self.seat.connection {
            connection.close();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let held = self.seat.held.swap(0, Ordering::Relaxed);
        self.budget.used.fetch_sub(held, Ordering::Relaxed);
        self.budget.seats().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_together_hold_no_more_than_the_budget_and_give_back_what_they_held() {
        let budget = Budget::new(100);
        let (one, two) = (budget.share(None), budget.share(None));
        assert!(one.hold(60) && two.hold(40));
        assert!(!two.hold(41), "it gave 40 back and asks for 41 of 40");
        assert_eq!(budget.used(), 60);
        assert!(two.hold(40) && one.hold(10) && two.hold(90));
        drop(two);
        assert_eq!(budget.used(), 10);
        drop(one);
        assert_eq!((budget.used(), budget.seats().by_id.len()), (0, 0));
    }

    #[test]
    fn who_has_not_read_for_seconds_gives_way_and_others_do_not() {
        let budget = Budget::new(100);
        let (stalled, reading, empty) = (Handle::new(), Handle::new(), Handle::new());
        let shares = [&stalled, &reading, &empty].map(|it| budget.share(Some(it.clone())));
        assert!(shares[0].hold(60) && shares[1].hold(40));
        std::thread::sleep(STALLED + Duration::from_millis(50));
        shares[1].read();
        assert!(!budget.share(None).hold(1));
        assert!(stalled.is_closed() && !reading.is_closed() && !empty.is_closed());
    }
}
