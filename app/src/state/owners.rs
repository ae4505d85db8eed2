//! Owners and where to find them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::tx::Address;
use tidemark_proto::units::{AccountId, OwnerId};

/// Who signs, and what is theirs.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Owner {
    /// The address.
    pub address: Address,
    /// The sequence that the next transaction must have.
    pub sequence: u64,
    /// Subaccount numbers and their accounts, in order of making.
    pub accounts: Vec<(u32, AccountId)>,
}

impl Owner {
    /// The account of a subaccount.
    #[must_use]
    pub fn account(&self, subaccount: u32) -> Option<AccountId> {
        self.accounts.iter().find(|(number, _)| *number == subaccount).map(|(_, id)| *id)
    }
}

/// Owners by address. Entries are only ever added, so the state and all views share one; a view takes an id that is
/// beyond its own table for unknown.
#[derive(Clone, Debug, Default)]
pub struct OwnerIndex(Arc<RwLock<BTreeMap<Address, OwnerId>>>);

impl OwnerIndex {
    /// An index with the same entries that shares nothing with this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self(Arc::new(RwLock::new(entries)))
    }

    /// The id of an address.
    #[must_use]
    pub fn get(&self, address: &Address) -> Option<OwnerId> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(address).copied()
    }

    /// Adds an owner.
    pub fn insert(&self, address: Address, id: OwnerId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(address, id);
    }
}
