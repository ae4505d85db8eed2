//! All parts of the state that follow from the hashed ones: the app hash leaves them out, and so
//! does a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::types::AgentKey;
use tidemark_proto::units::{AccountId, OwnerId, TimeMs};
use tidemark_risk::at_risk::AtRiskIndex;

use super::audit::Audit;
use super::owners::OwnerIndex;

/// The way in which accounts are found. Both give the same accounts at different costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Search {
    /// By the index: accounts whose bounds were passed, and those of a market.
    #[default]
    Index,
    /// By looking at every account: tests compare the index with it.
    Scan,
}

/// Indexes and sums beside the hashed state. Totals of open orders, which are derived as well, sit
/// with their market, so that one market's work needs its slot alone.
#[derive(Debug, Default)]
pub(crate) struct Derived {
    /// Owners by address.
    pub owner_index: OwnerIndex,
    /// The owner of each key that is an agent.
    pub agent_owners: BTreeMap<AgentKey, OwnerId>,
    /// Scheduled cancels of all orders, by time.
    pub cancel_schedule: BTreeSet<(TimeMs, AccountId)>,
    /// Accounts that held nothing at the last block's end: their rows go.
    pub empty: BTreeSet<AccountId>,
    /// Accounts that hold traded volume alone, by the day from which it counts no more. An entry of
    /// another account means nothing.
    pub aging: BTreeSet<(u32, AccountId)>,
    /// Accounts of which a loss kept an entry at the last block's end (rules §1.9).
    pub owing: BTreeSet<AccountId>,
    /// The first of them whose turn it is. The rows that go in a block depend on this and on
    /// `aging`: a state that is not replayed from genesis has to bring both along.
    pub owing_from: AccountId,
    /// A 0 for each owner; a block's tallies change those of its own owners and put them back.
    pub tally_places: Vec<u32>,
    /// Running sums of the invariants.
    pub audit: Audit,
    /// Broken invariants that no block has reported yet.
    pub violations: Vec<String>,
    /// Accounts by the price moves that put them at risk; an empty index gives the same results.
    pub at_risk: AtRiskIndex,
    /// The way in which accounts are found.
    pub search: Search,
}

impl Derived {
    /// A copy that shares nothing with the original.
    pub fn fork(&self) -> Self {
        Self {
            owner_index: self.owner_index.fork(),
            agent_owners: self.agent_owners.clone(),
            cancel_schedule: self.cancel_schedule.clone(),
            empty: self.empty.clone(),
            aging: self.aging.clone(),
            owing: self.owing.clone(),
            owing_from: self.owing_from,
            tally_places: Vec::new(),
            audit: self.audit.clone(),
            violations: self.violations.clone(),
            at_risk: self.at_risk.clone(),
            search: self.search,
        }
    }
}
