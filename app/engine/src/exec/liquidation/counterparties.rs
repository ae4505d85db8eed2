//! Holders of the other side: those that deleveraging looks at, and how it reads and writes them.

use tidemark_proto::params::AdlOrder;
use tidemark_proto::units::{AccountId, Lots, MarketId, Side, SignedLots};
use tidemark_risk::adl::{self, Counterparty};
use tidemark_risk::Account;

use crate::exec::account::at_risk::Holders;
use crate::exec::account::lookup;
use crate::exec::liquidation::budget::{COUNTERPARTY_GAS, HOLDER_GAS};
use crate::refusal::Refusal;
use crate::state::table::Table;
use crate::state::State;

/// Least holders that a round looks at, however little gas is left.
const LEAST_HOLDERS: u64 = 64;

/// How far a round goes through the holders of a market.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// Most holders that it looks at.
    holders: u64,
    /// Most counterparties in profit that it takes: with more of them, each would be asked for so
    /// little that the gas would end with the first accounts that close.
    counterparties: u64,
}

impl Bound {
    /// Of a round that may spend so much gas on each.
    pub fn of(gas: u64) -> Self {
        Self {
            holders: (gas / HOLDER_GAS).max(LEAST_HOLDERS),
            counterparties: (gas / COUNTERPARTY_GAS).max(1),
        }
    }
}

/// Those with a position opposite to one of `side`, of the holders from the drawn account on, as
/// far as the bound goes; and how many holders that were. By rank, all holders within the bound
/// are looked at.
pub(super) fn counterparties(
    state: &mut State,
    market: MarketId,
    side: Side,
    bound: Bound,
) -> Result<(Vec<Counterparty>, u64), Refusal> {
    let first = drawn(state);
    let is_shared = state.markets.slot(market).cell.market.params.adl_order == AdlOrder::ProRata;
    let most = if is_shared { bound.counterparties } else { u64::MAX };
    let closing = Lots::ONE.signed(side).unwrap_or(SignedLots::ZERO);
    let holders = Holders::of(state, market);
    let (mut found, mut in_profit, mut looked_at) = (Vec::new(), 0_u64, 0_u64);
    for id in holders.around(first) {
        if in_profit >= most || looked_at >= bound.holders {
            break;
        }
        looked_at = looked_at.saturating_add(1);
        let account = lookup::account(holders.state(), id)?;
        let markets = &holders.state().markets;
        let Some(one) = adl::counterparty(id, account, market, closing, markets)? else { continue };
        in_profit = in_profit.saturating_add(u64::from(one.weight_atoms.is_positive()));
        found.push(one);
    }
    Ok((found, looked_at))
}

/// The account from which on holders are looked at and shares are asked for: drawn from the block
/// before, which nobody has in their hand.
#[expect(clippy::arithmetic_side_effects, reason = "the divisor is at least 1")]
pub(super) fn drawn(state: &State) -> AccountId {
    let [a, b, c, d, ..] = state.chain.block_hash;
    AccountId::new(u32::from_le_bytes([a, b, c, d]) % state.accounts.len().max(1))
}

/// Accounts as deleveraging reads and writes them.
pub(super) struct TableAccounts<'a>(pub &'a mut Table<AccountId, Account>);

impl adl::Accounts for TableAccounts<'_> {
    fn load(&self, id: AccountId) -> Option<Account> {
        self.0.get(id).cloned()
    }

    fn store(&mut self, id: AccountId, account: Account) -> Option<()> {
        *self.0.get_mut(id)? = account;
        Some(())
    }
}
