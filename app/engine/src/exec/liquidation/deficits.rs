//! Negative equity that a sweep leaves (rules §3.12).

use tidemark_proto::units::{AccountId, Atoms};

use crate::exec::account::health;
use crate::exec::liquidation::step::Step;
use crate::state::State;

/// Accounts below 0 before anything was done about them, by account id, with their equity.
pub(crate) struct BelowZero(Vec<(AccountId, Atoms)>);

impl BelowZero {
    /// Keeps those whose equity is negative.
    pub(crate) fn of(equities: impl Iterator<Item = (AccountId, Atoms)>) -> Self {
        let mut below: Vec<_> = equities.filter(|(_, equity)| equity.is_negative()).collect();
        below.sort_unstable_by_key(|(account, _)| *account);
        Self(below)
    }

    /// The negative equity that their steps have left. No step brings an account below 0 that was
    /// not: only these are looked at once more, and of these only those that the budget reached.
    pub(crate) fn left(&self, state: &State, steps: &[Step]) -> Atoms {
        let equity = |step: &Step| {
            let at = self.0.binary_search_by_key(&step.account, |(account, _)| *account).ok()?;
            if step.reached {
                return health::health(state, step.account).ok().map(|health| health.equity_atoms);
            }
            self.0.get(at).map(|(_, equity_atoms)| *equity_atoms)
        };
        steps.iter().filter_map(equity).fold(Atoms::ZERO, |sum, equity_atoms| {
            sum.saturating_sub(equity_atoms.min(Atoms::ZERO))
        })
    }
}
