//! Money that leaves the exchange: how much an hour and a day let out, and who waits for it (rules
//! §§3.12, 3.15).

mod buckets;
mod hourly;
mod losses;
mod queue;
#[cfg(test)]
mod tests;

pub use buckets::{Outflow, Sizes};
pub use hourly::Hourly;
pub use losses::Losses;
pub use queue::{Queue, QueuedWithdrawal, MAX_QUEUED, TURN_ATOMS};
