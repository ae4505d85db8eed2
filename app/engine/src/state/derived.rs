//! All parts of the state that follow from the hashed ones: the app hash leaves them out, and so
//! does a snapshot.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::types::AgentKey;
use tidemark_proto::units::{AccountId, OwnerId, TimeMs};
use tidemark_risk::at_risk::AtRiskIndex;

use super::audit::Audit;
use super::idle::IdleAccounts;
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
    /// Accounts that held nothing, or traded volume alone, at the last block's end.
    pub idle: IdleAccounts,
    /// Accounts that had an entry of a loss alone at the last block's end (rules §1.9).
    pub owing: BTreeSet<AccountId>,
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
    /// The name of the first part that another one has otherwise; what it is found by, and what no
    /// block has reported yet, is left out.
    pub fn differs(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            ("owners by address", self.owner_index.same(&other.owner_index)),
            ("owners of agents", self.agent_owners == other.agent_owners),
            ("scheduled cancels", self.cancel_schedule == other.cancel_schedule),
            ("idle accounts", self.idle == other.idle),
            ("accounts with an entry of a loss", self.owing == other.owing),
            ("sums of the audit", self.audit.same(&other.audit)),
        ];
        parts.into_iter().find(|(_, same)| !same).map(|(name, _)| name)
    }

    /// A copy that shares nothing with the original.
    pub fn fork(&self) -> Self {
        Self {
            owner_index: self.owner_index.fork(),
            agent_owners: self.agent_owners.clone(),
            cancel_schedule: self.cancel_schedule.clone(),
            idle: self.idle.clone(),
            owing: self.owing.clone(),
            tally_places: Vec::new(),
            audit: self.audit.clone(),
            violations: self.violations.clone(),
            at_risk: self.at_risk.clone(),
            search: self.search,
        }
    }
}
