//! Floor 6: the numbered phases of a block.

mod allowances;
mod clock;
pub(crate) mod execute;
mod expiries;
mod forfeits;
mod funding;
mod impact;
mod invariants;
mod node_keys;
mod prices;
mod schedule;
mod slices;
mod statistics;
mod tallies;
mod transactions;
mod triggers;
