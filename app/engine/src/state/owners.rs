//! Owners and where to find them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::types::Address;
use tidemark_proto::units::{AccountId, AgentId, MarketId, OwnerId, TimeMs};

/// A signer with its accounts.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Owner {
    /// The address.
    pub address: Address,
    /// The sequence that the next transaction must have.
    pub sequence: u64,
    /// Subaccount numbers and their accounts, in order of making: all that were ever opened,
    /// whether or not they have rows now.
    pub accounts: Vec<(u32, AccountId)>,
    /// Markets in which a subaccount is or was in isolated mode, by subaccount and market.
    pub isolated: Vec<IsolatedSlot>,
    /// Places of its agents, at most eight, whether or not each has a row now.
    pub agents: Vec<AgentId>,
    /// The greatest nonce that an agent has used which is no more.
    pub nonce_floor_ms: TimeMs,
}

/// A subaccount's isolated collateral in one market.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct IsolatedSlot {
    /// Number of the subaccount.
    pub subaccount: u32,
    /// The market.
    pub market: MarketId,
    /// The account that holds the collateral, the position and the orders, if there are any.
    pub account: AccountId,
    /// True if the mode is isolated now; the account stays otherwise.
    pub active: bool,
}

impl Owner {
    /// An owner that has signed nothing and holds nothing.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            sequence: 0,
            accounts: Vec::new(),
            isolated: Vec::new(),
            agents: Vec::new(),
            nonce_floor_ms: TimeMs::ZERO,
        }
    }

    /// The account of a subaccount, if it was ever opened.
    #[must_use]
    pub fn account(&self, subaccount: u32) -> Option<AccountId> {
        self.accounts.iter().find(|(number, _)| *number == subaccount).map(|(_, id)| *id)
    }

    fn place(&self, subaccount: u32, market: MarketId) -> Result<usize, usize> {
        self.isolated
            .binary_search_by_key(&(subaccount, market), |slot| (slot.subaccount, slot.market))
    }

    /// A subaccount's isolated collateral in a market, if it ever had any.
    #[must_use]
    pub fn isolated(&self, subaccount: u32, market: MarketId) -> Option<&IsolatedSlot> {
        self.isolated.get(self.place(subaccount, market).ok()?)
    }

    /// All of a subaccount's isolated collateral, by market.
    pub fn isolated_of(&self, subaccount: u32) -> impl Iterator<Item = &IsolatedSlot> + '_ {
        self.isolated.iter().filter(move |slot| slot.subaccount == subaccount)
    }

    /// Puts a slot in its place, over the one of the same subaccount and market.
    #[expect(clippy::indexing_slicing, reason = "the search found the index")]
    pub fn set_isolated(&mut self, slot: IsolatedSlot) {
        match self.place(slot.subaccount, slot.market) {
            Ok(at) => self.isolated[at] = slot,
            Err(at) => self.isolated.insert(at, slot),
        }
    }
}

/// Owners by address. The state and all its views share one index, because entries are never
/// changed or removed; a view treats an id beyond its own table as unknown.
#[derive(Clone, Debug, Default)]
pub struct OwnerIndex(Arc<RwLock<BTreeMap<Address, OwnerId>>>);

impl OwnerIndex {
    /// An index with the same entries that shares nothing with this one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self(Arc::new(RwLock::new(entries)))
    }

    /// Returns true if another index has the same entries.
    pub(super) fn same(&self, other: &Self) -> bool {
        let entries = |index: &Self| index.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        entries(self) == entries(other)
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
