//! Floor 4: operations of an account, alone and in batches, and its settings.

pub(crate) mod batch;
pub(crate) mod cancel_schedule;
pub(crate) mod dispatch;
pub(crate) mod keepers;
mod market_plan;
pub(crate) mod orders;
mod plan;
pub(crate) mod prefetch;
mod purse;
mod scale;
pub(crate) mod settings;
mod taker;
pub(crate) mod turn;
