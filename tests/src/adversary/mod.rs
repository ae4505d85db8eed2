//! An adversary: one owner of many accounts and a stated capital, who searches for a sequence of
//! actions that wins from the insurance fund, from the other traders or from the chain's time by
//! acting against itself.
//!
//! A seed decides the chain's weather ([`weather`]: what the index does, who else quotes) and the
//! order in which the search ([`search`]) tries programs ([`program`]): random ones first, then
//! changes of the best. A program runs on the production state machine ([`world`]), and a verdict
//! ([`verdict`]) says by how much it passes a bound. What the search finds is the shortest program
//! that still passes the bound.

mod deeds;
pub mod people;
pub mod program;
pub mod recorded;
pub mod search;
pub mod verdict;
pub mod weather;
pub mod world;
