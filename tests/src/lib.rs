//! Case runner, scenarios, simulations, end-to-end tests and benchmarks of Tidemark.
#![allow(clippy::float_arithmetic)]

pub mod adversary;
pub mod byzantine;
pub mod cases;
pub mod crash;
pub mod fuzz;
pub mod harness;
pub mod kills;
pub mod measures;
pub mod net;
pub mod proposer;
pub mod sim;
pub mod snapshot;
