//! Case runner, scenarios, simulations, end-to-end tests and benchmarks of Tidemark.
#![allow(clippy::float_arithmetic)]

pub mod cases;
pub mod crash;
pub mod harness;
pub mod net;
pub mod sim;
