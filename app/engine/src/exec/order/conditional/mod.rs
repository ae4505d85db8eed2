//! Orders that wait for a mark, for a time or beside another order, and orders whose price follows
//! another.

pub(crate) mod amend;
pub(crate) mod bracket;
pub(crate) mod enter;
pub(crate) mod links;
pub(crate) mod pair;
pub(crate) mod peg;
pub(crate) mod removal;
