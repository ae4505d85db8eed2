//! Client ids of orders that have ended: of each account the last in a market, so that an order
//! that is sent again is known again (rules §2.7).

use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{AccountId, ClientId, OrderId};

use super::merkle::Hash;
use super::table::Table;

/// Client ids of ended orders that are kept of an account in a market.
pub const ENDED_CLIENT_IDS: usize = 16;

/// One account's, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
struct Row {
    account: AccountId,
    ids: Vec<(ClientId, OrderId)>,
}

/// Those of one market: rows with a Merkle root. Only accounts whose orders had client ids have a
/// row, of 16 pairs at most.
#[derive(Clone, Debug, Default)]
pub struct EndedClientIds {
    rows: Table<u32, Row>,
    slots: BTreeMap<AccountId, u32>,
}

impl EndedClientIds {
    /// The order of an account that had a client id, if it is among the last that have ended.
    #[must_use]
    pub fn get(&self, account: AccountId, client_id: ClientId) -> Option<OrderId> {
        let row = self.rows.get(*self.slots.get(&account)?)?;
        row.ids.iter().find(|(id, _)| *id == client_id).map(|(_, order_id)| *order_id)
    }

    /// Remembers the client id of an order that has ended, as the account's newest; an id of none
    /// is not remembered. Returns false if there is no room for one more account.
    pub fn note(&mut self, account: AccountId, client_id: ClientId, order_id: OrderId) -> bool {
        if client_id == ClientId::NONE {
            return true;
        }
        let slot = match self.slots.get(&account).copied() {
            Some(slot) => slot,
            None => {
                let Some(slot) = self.rows.push(Row { account, ids: Vec::new() }) else {
                    return false;
                };
                self.slots.insert(account, slot);
                slot
            }
        };
        if let Some(row) = self.rows.get_mut(slot) {
            row.ids.retain(|(id, _)| *id != client_id);
            if row.ids.len() >= ENDED_CLIENT_IDS {
                row.ids.remove(0);
            }
            row.ids.push((client_id, order_id));
        }
        true
    }

    /// Commits to every row in its slot.
    pub fn root(&mut self) -> Hash {
        self.rows.root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Against a list of everything that ever ended.
        #[test]
        fn the_last_sixteen_are_known_and_no_others(
            ends in prop::collection::vec((0_u32..3, 0_u64..24), 0..200),
        ) {
            let (mut ended, mut all) = (EndedClientIds::default(), Vec::new());
            for (number, (account, client_id)) in (1..).zip(ends) {
                let (account, client_id) = (AccountId::new(account), ClientId::new(client_id));
                prop_assert!(ended.note(account, client_id, OrderId::new(number)));
                let ended: (AccountId, ClientId) = (account, client_id);
                all.retain(|row: &(AccountId, ClientId, u64)| (row.0, row.1) != ended);
                all.push((account, client_id, number));
            }
            for account in (0..3).map(AccountId::new) {
                let of = all.iter().rev().filter(|row| row.0 == account);
                let of = of.filter(|row| row.1 != ClientId::NONE);
                let last: Vec<_> = of.take(ENDED_CLIENT_IDS).collect();
                for client_id in (0..24).map(ClientId::new) {
                    let known = last.iter().find(|row| row.1 == client_id);
                    let expected = known.map(|row| OrderId::new(row.2));
                    prop_assert_eq!(ended.get(account, client_id), expected);
                }
            }
        }
    }
}
