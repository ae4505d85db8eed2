//! Conservation of money: what is on the chain is what came in less what went out, to the atom
//! (rules §1.5).
//!
//! `Σ accounts (collateral − Σ cost) + insurance + validators + first credits that wait + Σ markets
//! (funding pool + own insurance + set aside − bad debt) = deposits − withdrawals`
//!
//! Every lot held long is held short, so at any price the accounts' profits sum to `−Σ cost`: the
//! identity needs no price. Bad debt is money that left to those who won against an account that
//! closed below zero: its negative collateral is taken to 0 and its market's debt grows by the
//! same; fees that repay it shrink both sides.

use tidemark_proto::units::Atoms;

use crate::account::Account;
use crate::error::{fits, RiskError};
use crate::market::{Market, Treasury};

/// Part of one account in the identity: `collateral − Σ cost`.
///
/// # Errors
/// `OVERFLOW` beyond 127 bits.
pub fn account_atoms(account: &Account) -> Result<Atoms, RiskError> {
    let costs = account
        .positions
        .iter()
        .try_fold(Atoms::ZERO, |sum, position| sum.checked_add(position.cost_atoms));
    fits(costs.and_then(|costs| account.collateral_atoms.checked_sub(costs)), "an account's money")
}

/// The accounts' running sum, kept by taking a changed account's old part out and its new part in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// `Σ (collateral − Σ cost)`.
    pub accounts_atoms: Atoms,
}

impl Totals {
    /// Puts `after` in the place of `before`; `None` is an account that is not there.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits.
    pub fn replace(
        &mut self,
        before: Option<&Account>,
        after: Option<&Account>,
    ) -> Result<(), RiskError> {
        let part = |account: Option<&Account>| account.map_or(Ok(Atoms::ZERO), account_atoms);
        let change = fits(part(after)?.checked_sub(part(before)?), "a change of money")?;
        self.accounts_atoms = fits(self.accounts_atoms.checked_add(change), "the accounts' money")?;
        Ok(())
    }

    /// Left side less right side of the identity: 0 in a healthy chain. `first_credits_atoms` wait
    /// for their addresses to become owners.
    ///
    /// # Errors
    /// `OVERFLOW` beyond 127 bits.
    pub fn imbalance_atoms<'a>(
        &self,
        treasury: &Treasury,
        markets: impl IntoIterator<Item = &'a Market>,
        first_credits_atoms: Atoms,
        deposits_atoms: Atoms,
        withdrawals_atoms: Atoms,
    ) -> Result<Atoms, RiskError> {
        let funds = [treasury.insurance_atoms, treasury.validators_atoms];
        let mut held = funds.into_iter().chain([first_credits_atoms, withdrawals_atoms]);
        let mut sum = held.try_fold(self.accounts_atoms, Atoms::checked_add);
        for market in markets {
            sum = sum
                .and_then(|sum| sum.checked_add(market.funding_pool_atoms))
                .and_then(|sum| sum.checked_add(market.insurance_atoms))
                .and_then(|sum| sum.checked_add(market.set_aside_atoms()))
                .and_then(|sum| sum.checked_sub(market.bad_debt_atoms));
        }
        fits(sum.and_then(|sum| sum.checked_sub(deposits_atoms)), "the money on the chain")
    }
}
