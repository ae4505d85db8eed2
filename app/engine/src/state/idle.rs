//! Accounts that hold nothing, or traded volume alone: their rows are to go (rules §1.9).

use std::collections::{BTreeMap, BTreeSet};

use tidemark_proto::units::AccountId;

/// The reason why an account is idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    /// It holds nothing.
    Empty,
    /// It holds traded volume alone, which counts up to this day.
    Aging {
        /// The day from which on it counts no more.
        until_day: u32,
    },
}

/// All idle accounts, and no others: the sets follow from the accounts as they are at a block's
/// end, whatever was before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct IdleAccounts {
    empty: BTreeSet<AccountId>,
    by_day: BTreeSet<(u32, AccountId)>,
    /// The days in `by_day`.
    days: BTreeMap<AccountId, u32>,
}

impl IdleAccounts {
    /// Puts an account where it belongs; `None` is one that is not idle, or has no row.
    pub fn set(&mut self, account: AccountId, idle: Option<Idle>) {
        self.empty.remove(&account);
        if let Some(day) = self.days.remove(&account) {
            self.by_day.remove(&(day, account));
        }
        match idle {
            Some(Idle::Empty) => {
                self.empty.insert(account);
            }
            Some(Idle::Aging { until_day }) => {
                self.days.insert(account, until_day);
                self.by_day.insert((until_day, account));
            }
            None => {}
        }
    }

    /// Accounts that hold nothing on a day: all that are empty, then at most `most_aged` of those
    /// whose volume counts no more, the oldest first.
    pub fn due(&self, today: u32, most_aged: usize) -> impl Iterator<Item = AccountId> + '_ {
        let aged = self.by_day.range(..=(today, AccountId::MAX)).take(most_aged);
        self.empty.iter().copied().chain(aged.map(|(_, account)| *account))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        /// Against a map of the accounts' reasons.
        #[test]
        fn an_account_is_due_by_its_last_reason(
            steps in prop::collection::vec((0_u32..8, 0_u32..6), 0..60),
            today in 0_u32..6,
            most in 0_usize..4,
        ) {
            let (mut idle, mut model) = (IdleAccounts::default(), BTreeMap::new());
            for (account, kind) in steps {
                let account = AccountId::new(account);
                let reason = match kind {
                    0 => None,
                    1 => Some(Idle::Empty),
                    day => Some(Idle::Aging { until_day: day }),
                };
                idle.set(account, reason);
                model.insert(account, reason);
            }
            let mut aged = Vec::new();
            let mut expected = Vec::new();
            for (account, reason) in &model {
                match reason {
                    Some(Idle::Empty) => expected.push(*account),
                    Some(Idle::Aging { until_day }) if *until_day <= today => {
                        aged.push((*until_day, *account));
                    }
                    _ => {}
                }
            }
            aged.sort_unstable();
            expected.extend(aged.into_iter().take(most).map(|(_, account)| account));
            prop_assert_eq!(idle.due(today, most).collect::<Vec<_>>(), expected);
            let mut again = IdleAccounts::default();
            model.iter().for_each(|(account, reason)| again.set(*account, *reason));
            prop_assert_eq!(again, idle);
        }
    }
}
