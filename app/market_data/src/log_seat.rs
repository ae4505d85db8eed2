//! The seat of those who read the event log: one at a time, and for a bounded part of one core.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

/// Pause after a read, in times that the read took: all who share a seat use a tenth of a core at
/// most. A block of the log is read, checked and decoded whole, whoever asks for it and however
/// little of it is wanted.
const PAUSE: u32 = 9;

/// A seat for one reader, taken in the order of arrival.
#[derive(Clone, Debug)]
pub(super) struct LogSeat(Arc<Semaphore>);

impl Default for LogSeat {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl LogSeat {
    /// Runs a read on a thread that may wait for the disk, once the seat is free; `None` when the
    /// runtime stops. The seat is free again after the read and a pause, also when nobody waits for
    /// the read any more.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let seat = Arc::clone(&self.0).acquire_owned().await.ok()?;
        let runtime = tokio::runtime::Handle::current();
        let run = move || {
            let start = Instant::now();
            let found = read();
            let pause = start.elapsed().saturating_mul(PAUSE);
            runtime.spawn(async move {
                tokio::time::sleep(pause).await;
                drop(seat);
            });
            found
        };
        tokio::task::spawn_blocking(run).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn readers_of_the_log_take_turns_with_a_pause_of_nine_times_the_read() {
        let (seat, read) = (LogSeat::default(), Duration::from_millis(20));
        let start = Instant::now();
        // Whoever leaves does not shorten the pause.
        let left = seat.run(move || std::thread::sleep(read));
        assert!(tokio::time::timeout(read / 2, left).await.is_err());
        let others = [0, 1].map(|number| seat.run(move || (number, Instant::now())));
        let [first, second] = others;
        let (first, second) = tokio::join!(first, second);
        let ((first, at), (second, then)) = (first.unwrap(), second.unwrap());
        assert_eq!((first, second), (0, 1));
        assert!(at.duration_since(start) >= read * (1 + PAUSE));
        assert!(then >= at);
    }
}
