//! The authoritative state: in memory, deterministic, covered by the app hash to the last byte.

pub mod agents;
pub mod allowance;
mod audit;
mod chain;
pub mod conditional;
mod danger;
mod derived;
mod ended;
mod exchange;
mod failure;
mod filled;
mod first_credits;
pub(crate) mod holdings;
mod idle;
mod market;
pub mod merkle;
pub mod nonces;
pub mod outflow;
mod owners;
pub mod table;
pub mod totals_cache;
mod view;

pub use allowance::Allowance;
pub use chain::{Chain, RegisteredKey, Validator, PROTOCOL_VERSION};
pub use danger::{Danger, EndangeredAccount, KeptOpen, OVERDUE_BLOCKS};
pub use derived::Search;
pub(crate) use ended::Row as EndedRow;
pub use ended::{EndedClientIds, ENDED_CLIENT_IDS};
pub use exchange::State;
pub use failure::Failure;
pub use filled::FilledLots;
pub(crate) use filled::FilledRow;
pub use first_credits::{FirstCredits, MAX_WAITING};
pub(crate) use idle::Idle;
pub use market::{
    ListedPosition, MarketCell, MarketSlot, MarketSlots, Settlement, SettlementStage, Takeover,
    MAX_LISTED, MAX_TAKEOVERS,
};
pub use outflow::Outflow;
pub use owners::{IsolatedSlot, Owner, OwnerIndex};
pub use tidemark_proto::params::MAX_SUBACCOUNTS;
pub use view::{check_timeout, unknown_signer, View, MAX_PENDING_SEQUENCES};
