//! Identifiers. They count up, and nothing else is computed from them.

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

use super::family::{slot, unit};

unit! {
    /// Identifies a market; assigned in order of listing, from 0.
    MarketId(u16);
    /// Identifies a subaccount: its slot in the account table.
    AccountId(u32);
    /// Identifies an owner (a Cosmos address): its slot in the owner table.
    OwnerId(u32);
    /// Identifies an owner's agent: its slot in the table of agents.
    AgentId(u32);
    /// Identifies an order within its market; assigned in order of acceptance, from 1. Where an
    /// order may be missing, 0 is none.
    OrderId(u64);
    /// Identifies an order among its account's live orders in a market; chosen by the client. 0 is
    /// none.
    ClientId(u64);
}

slot! {
    MarketId(u16);
    AccountId(u32);
    OwnerId(u32);
    AgentId(u32);
}

impl OrderId {
    /// No order.
    pub const NONE: Self = Self(0);

    /// Returns the next id; `None` after the last.
    #[must_use]
    #[inline]
    pub const fn checked_next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

impl ClientId {
    /// No client id.
    pub const NONE: Self = Self(0);

    /// Returns the id `steps` further on; `None` beyond the last.
    #[must_use]
    #[inline]
    pub const fn checked_add(self, steps: u64) -> Option<Self> {
        match self.0.checked_add(steps) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}
