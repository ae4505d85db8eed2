//! Floor 2: collateral, shared and isolated.

pub(crate) mod cash;
pub(crate) mod entry;
pub(crate) mod isolated;
pub(crate) mod outflow;
pub(crate) mod rows;
