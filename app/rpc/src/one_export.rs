//! Exports are read one at a time.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tidemark_proto::Code;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use super::budget::{Budget, Share};
use super::connection::Handle;
use super::status::refuse;

/// An export that nobody has read from for this long gives way to another.
const GIVES_WAY: Duration = Duration::from_secs(10);

/// Exports: one at a time, since each holds a copy of all orders while it is read.
pub(super) struct Exports {
    one: Arc<Semaphore>,
    budget: Arc<Budget>,
    current: Mutex<Weak<Share>>,
}

impl Exports {
    pub fn new(budget: Arc<Budget>) -> Self {
        Self { one: Arc::new(Semaphore::new(1)), budget, current: Mutex::default() }
    }

    /// The seat of the one export.
    ///
    /// # Errors
    /// `OVERLOADED` while another is being read.
    pub fn begin(&self, connection: Option<Handle>) -> Result<Exporting, Status> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(permit) = Arc::clone(&self.one).try_acquire_owned() else {
            let other = current.upgrade().filter(|share| share.unread_for() >= GIVES_WAY);
            if let Some(other) = other {
                other.close();
            }
            let message = "the state is being exported to another client, one at a time can be; \
                           nothing was sent";
            return Err(refuse(Code::Overloaded, message));
        };
        let share = Arc::new(self.budget.share(connection));
        *current = Arc::downgrade(&share);
        Ok(Exporting { share, _permit: permit })
    }
}

/// The one export, while it is read.
pub(super) struct Exporting {
    share: Arc<Share>,
    _permit: OwnedSemaphorePermit,
}

impl Exporting {
    /// Its client asks for the next chunk.
    pub fn read(&self) {
        self.share.read();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_export_is_refused_until_the_first_has_been_read_or_left() {
        let exports = Exports::new(Budget::new(100));
        let first = exports.begin(None).unwrap();
        let refused = exports.begin(None).err().unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        drop(first);
        assert!(exports.begin(None).is_ok());
    }
}
