//! Client ids of orders that have ended: of each account the last in a market, so that an order
//! that is sent again is known again (rules §2.7).

use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};
use tidemark_proto::units::{AccountId, ClientId, OrderId, TimeMs};

use super::merkle::Hash;
use super::table::{Table, TableView};

/// Client ids of ended orders that are kept of an account in a market.
pub const ENDED_CLIENT_IDS: usize = 16;

const HOUR_MS: u64 = 3_600_000;

/// For how many hours at least they are kept of an account that holds nothing in the market: what
/// is sent again is sent again within the day.
const KEPT_HOURS: u32 = 25;

/// One account's, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Row {
    account: AccountId,
    ids: Vec<(ClientId, OrderId)>,
    /// The hour, since the Unix epoch, in which an order ended last, or in which the account was
    /// seen to hold something.
    hour: u32,
}

/// Those of one market: rows with a Merkle root. Only accounts whose orders had client ids have a
/// row, of 16 pairs at most.
#[derive(Clone, Debug, Default)]
pub struct EndedClientIds {
    rows: Table<u32, Row>,
    /// Slots without a row; a new row takes the lowest.
    free: BTreeSet<u32>,
    slots: BTreeMap<AccountId, u32>,
    /// Accounts by their rows' hour.
    hours: BTreeSet<(u32, AccountId)>,
}

fn hour(now_ms: TimeMs) -> u32 {
    let hour = now_ms.get().checked_div(HOUR_MS).and_then(|hour| u32::try_from(hour).ok());
    hour.unwrap_or(u32::MAX)
}

impl EndedClientIds {
    /// The order of an account that had a client id, if it is among the last that have ended.
    #[must_use]
    pub fn get(&self, account: AccountId, client_id: ClientId) -> Option<OrderId> {
        let row = self.rows.get(*self.slots.get(&account)?)?;
        row.ids.iter().find(|(id, _)| *id == client_id).map(|(_, order_id)| *order_id)
    }

    /// Accounts that have a row.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.slots.keys().copied()
    }

    /// Remembers the client id of an order that has ended, as the account's newest; an id of none
    /// is not remembered. Returns false if there is no room for one more account.
    pub fn note(
        &mut self,
        account: AccountId,
        (client_id, order_id): (ClientId, OrderId),
        now_ms: TimeMs,
    ) -> bool {
        if client_id == ClientId::NONE {
            return true;
        }
        let Some(slot) = self.slot(account, hour(now_ms)) else { return false };
        if let Some(row) = self.rows.get_mut(slot) {
            row.ids.retain(|(id, _)| *id != client_id);
            if row.ids.len() >= ENDED_CLIENT_IDS {
                row.ids.remove(0);
            }
            row.ids.push((client_id, order_id));
        }
        self.keep(account, now_ms);
        true
    }

    /// The slot of an account, made when there is none.
    fn slot(&mut self, account: AccountId, hour: u32) -> Option<u32> {
        if let Some(slot) = self.slots.get(&account) {
            return Some(*slot);
        }
        let row = Row { account, ids: Vec::new(), hour };
        let slot = match self.free.pop_first() {
            Some(slot) => self.rows.put(slot, row).then_some(slot),
            None => self.rows.push(row),
        }?;
        self.slots.insert(account, slot);
        self.hours.insert((hour, account));
        Some(slot)
    }

    /// The account whose row has stood longest, if that is more than a day.
    #[must_use]
    pub fn idle(&self, now_ms: TimeMs) -> Option<AccountId> {
        let (since, account) = self.hours.first()?;
        (since.saturating_add(KEPT_HOURS) <= hour(now_ms)).then_some(*account)
    }

    /// Keeps an account's row for one more day.
    pub fn keep(&mut self, account: AccountId, now_ms: TimeMs) {
        let Some(slot) = self.slots.get(&account) else { return };
        let (since, now) = (self.rows.get(*slot).map_or(0, |row| row.hour), hour(now_ms));
        if since == now {
            return;
        }
        self.hours.remove(&(since, account));
        self.hours.insert((now, account));
        if let Some(row) = self.rows.get_mut(*slot) {
            row.hour = now;
        }
    }

    /// Forgets an account's client ids.
    pub fn forget(&mut self, account: AccountId) {
        let Some(slot) = self.slots.remove(&account) else { return };
        if let Some(row) = self.rows.remove(slot) {
            self.hours.remove(&(row.hour, account));
        }
        self.free.insert(slot);
    }

    /// The rows as they are now.
    pub(crate) fn view(&self) -> TableView<u32, Row> {
        self.rows.view()
    }

    /// The rows of a snapshot, found by account and by hour again; `None` if an account has two.
    pub(crate) fn restored(rows: Table<u32, Row>) -> Option<Self> {
        let free = rows.ids().filter(|slot| !rows.has(*slot)).collect();
        let hours = rows.iter().map(|(_, row)| (row.hour, row.account)).collect();
        let slots: BTreeMap<_, _> = rows.iter().map(|(slot, row)| (row.account, slot)).collect();
        let is_whole = slots.len() == rows.rows() as usize;
        is_whole.then_some(Self { rows, free, slots, hours })
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
                let now_ms = TimeMs::new(1_000_000 * number);
                prop_assert!(ended.note(account, (client_id, OrderId::new(number)), now_ms));
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

    #[test]
    fn a_row_goes_a_day_after_its_last_end_and_its_slot_is_used_again() {
        let mut ended = EndedClientIds::default();
        let [one, two, three] = [1, 2, 3].map(AccountId::new);
        let of = |id| (ClientId::new(id), OrderId::new(id));
        let hours = |hours: u64| TimeMs::new(hours * HOUR_MS + 7);
        assert!(ended.note(one, of(1), hours(0)) && ended.note(two, of(2), hours(1)));
        assert_eq!((ended.idle(hours(24)), ended.idle(hours(25))), (None, Some(one)));
        // The next end keeps the row, and so does something that the account holds.
        assert!(ended.note(one, of(3), hours(20)));
        assert_eq!(ended.idle(hours(26)), Some(two));
        ended.keep(two, hours(26));
        assert_eq!((ended.idle(hours(44)), ended.idle(hours(45))), (None, Some(one)));
        ended.forget(one);
        assert_eq!(ended.get(one, ClientId::new(1)), None);
        assert_eq!((ended.idle(hours(45)), ended.idle(hours(51))), (None, Some(two)));
        assert!(ended.note(three, of(4), hours(45)));
        assert_eq!(ended.rows.len(), 2, "in the slot that was free");
        assert_eq!(ended.accounts().collect::<Vec<_>>(), [two, three]);
    }
}
