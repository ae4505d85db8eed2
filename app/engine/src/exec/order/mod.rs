//! Floor 3: one order, from its checks to its end.

pub(crate) mod admission;
pub(crate) mod book_host;
pub(crate) mod cancel;
pub(crate) mod checks;
pub(crate) mod conditional;
pub(crate) mod ended;
pub(crate) mod find;
pub(crate) mod incoming;
pub(crate) mod live_orders;
pub(crate) mod place;
pub(crate) mod prune;
pub(crate) mod replace;
pub(crate) mod request;
pub(crate) mod taking;
pub(crate) mod walk;
