//! The running state of the exchange.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidemark_proto::params::{MarketParams, MAX_SUBACCOUNTS};
use tidemark_proto::types::Address;
use tidemark_proto::units::{AccountId, AgentId, Atoms, MarketId, OwnerId, TimeMs};
use tidemark_risk::at_risk::AtRiskIndex;
use tidemark_risk::{Account, Market, RiskError, Treasury};

use super::agents::Agent;
use super::allowance::Allowance;
use super::chain::{Chain, Validator, PROTOCOL_VERSION};
use super::danger::Danger;
use super::derived::{Derived, Search};
use super::first_credits::FirstCredits;
use super::market::{unknown_market, MarketSlot, MarketSlots};
use super::merkle::{self, encode, Hash};
use super::outflow::Outflow;
use super::owners::Owner;
use super::table::Table;
use super::view::View;
use crate::genesis::{Genesis, MAX_MARKETS};
use crate::refusal::Refusal;
use crate::symbol::Symbol;

/// The running state: the parts that the app hash covers, and beside them those that follow.
#[derive(Debug)]
pub struct State {
    /// The chain.
    pub chain: Chain,
    /// Owners by id.
    pub owners: Table<OwnerId, Owner>,
    /// Owners' allowances, by the owner's id.
    pub allowances: Table<OwnerId, Allowance>,
    /// Agents by id.
    pub agents: Table<AgentId, Agent>,
    /// Subaccounts by id.
    pub accounts: Table<AccountId, Account>,
    /// Markets by id.
    pub markets: MarketSlots,
    /// Accounts in danger, as the last sweep left them.
    pub danger: Danger,
    /// Hash of the parts above after the last block.
    pub app_hash: Hash,
    /// Indexes and sums that follow from the parts above.
    pub(crate) derived: Derived,
}

impl State {
    /// The state before the first block.
    ///
    /// # Errors
    /// `INVALID_PARAMS` when the genesis does not fit together.
    pub fn genesis(
        genesis: &Genesis,
        chain_id: &str,
        time_ms: TimeMs,
        validators: Vec<Validator>,
    ) -> Result<Self, Refusal> {
        let insurance_atoms = Atoms::from_u64(genesis.insurance_atoms);
        let chain = Chain {
            protocol_version: PROTOCOL_VERSION,
            chain_id: chain_id.to_owned(),
            genesis_hash: [0; 32],
            height: 0,
            time_ms,
            block_hash: [0; 32],
            params: genesis.params.clone(),
            admin: genesis.admin_address()?,
            minters: genesis.minter_addresses()?,
            validators,
            treasury: Treasury { insurance_atoms, ..Treasury::default() },
            deposits_atoms: insurance_atoms,
            withdrawals_atoms: Atoms::ZERO,
            withdrawals_gated_until: 0,
            skipped_days: 0,
            outflow: Outflow::default(),
            first_credits: FirstCredits::default(),
            owing_from: AccountId::ZERO,
        };
        let mut state = Self::without_rows(chain);
        for market in &genesis.markets {
            state.list(market.clone())?;
        }
        // They sign without ever getting a deposit.
        state.ensure_owner(state.chain.admin)?;
        for minter in state.chain.minters.clone() {
            state.ensure_owner(minter)?;
        }
        state.rehash();
        state.chain.genesis_hash = state.app_hash;
        state.rehash();
        Ok(state)
    }

    /// A chain with nobody in it.
    pub(crate) fn without_rows(chain: Chain) -> Self {
        Self {
            chain,
            owners: Table::default(),
            allowances: Table::default(),
            agents: Table::default(),
            accounts: Table::default(),
            markets: MarketSlots::default(),
            danger: Danger::default(),
            app_hash: [0; 32],
            derived: Derived::default(),
        }
    }

    /// Lists a market under the next free id.
    ///
    /// # Errors
    /// `INVALID_PARAMS` when its parameters do not fit together, its symbol is taken, or there are
    /// too many markets.
    pub fn list(&mut self, mut params: MarketParams) -> Result<MarketId, Refusal> {
        params.check()?;
        if self.markets.iter().any(|slot| slot.cell.market.params.symbol == params.symbol) {
            return Err(Refusal::SymbolListed(Symbol::from(&params.symbol)));
        }
        let id = MarketId::from_index(self.markets.len()).filter(|id| id.index() < MAX_MARKETS);
        let id = id.ok_or(Refusal::TooManyMarkets(MAX_MARKETS))?;
        params.id = id;
        self.markets.push(MarketSlot::new(Market::new(params)?));
        Ok(id)
    }

    /// The market of an id.
    ///
    /// # Errors
    /// `UNKNOWN_MARKET` naming the ids that exist.
    pub fn market(&self, id: MarketId) -> Result<&MarketSlot, Refusal> {
        let listed = self.markets.len();
        self.markets.get(id.index()).ok_or_else(|| unknown_market(id.get(), listed))
    }

    /// The market of an id, to be changed.
    ///
    /// # Errors
    /// As for [`Self::market`].
    pub fn market_mut(&mut self, id: MarketId) -> Result<&mut MarketSlot, Refusal> {
        let listed = self.markets.len();
        self.markets.get_mut(id.index()).ok_or_else(|| unknown_market(id.get(), listed))
    }

    /// The owner of an address.
    #[must_use]
    pub fn owner_id(&self, address: &Address) -> Option<OwnerId> {
        self.derived.owner_index.get(address)
    }

    /// The id and the next sequence of an owner.
    #[must_use]
    pub fn signer(&self, address: &Address) -> Option<(OwnerId, u64)> {
        let id = self.owner_id(address)?;
        Some((id, self.owners.get(id)?.sequence))
    }

    /// The owner of an address, made when there is none.
    ///
    /// # Errors
    /// `OVERFLOW` when every id is taken.
    pub fn ensure_owner(&mut self, address: Address) -> Result<OwnerId, Refusal> {
        if let Some(id) = self.owner_id(&address) {
            return Ok(id);
        }
        let owner = Owner::new(address);
        let id =
            self.owners.push(owner).ok_or_else(|| Refusal::overflow("the number of owners"))?;
        let (height, base) = (self.chain.height, self.chain.params.allowance_base);
        self.allowances.push(Allowance::new(height, base));
        self.derived.owner_index.insert(address, id);
        Ok(id)
    }

    /// Counts a deposit of an owner, or a withdrawal where it is negative, for its allowance.
    pub(crate) fn note_deposit(&mut self, owner: OwnerId, change_atoms: Atoms) {
        let at = self.chain.moment();
        if let Some(row) = self.allowances.get_mut(owner) {
            row.deposit(&at, change_atoms);
        }
    }

    /// The account of a subaccount, if it has a row.
    #[must_use]
    pub fn account_id(&self, owner: OwnerId, subaccount: u32) -> Option<AccountId> {
        let id = self.owners.get(owner)?.account(subaccount)?;
        self.accounts.has(id).then_some(id)
    }

    /// The account of a subaccount, made when there is none. One whose row has gone gets it anew,
    /// under the id that it had.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a number of [`MAX_SUBACCOUNTS`] or more; `OVERFLOW` when every id is
    /// taken.
    pub fn ensure_account(
        &mut self,
        owner: OwnerId,
        subaccount: u32,
    ) -> Result<AccountId, Refusal> {
        if let Some(id) = self.owners.get(owner).and_then(|row| row.account(subaccount)) {
            if !self.accounts.has(id) {
                self.accounts.put(id, Account::new(owner, subaccount));
            }
            return Ok(id);
        }
        if subaccount >= MAX_SUBACCOUNTS {
            return Err(Refusal::SubaccountTooHigh { subaccount, bound: MAX_SUBACCOUNTS });
        }
        let account = Account::new(owner, subaccount);
        let id = self
            .accounts
            .push(account)
            .ok_or_else(|| Refusal::overflow("the number of accounts"))?;
        let row = self.owners.get_mut(owner);
        let row = row.ok_or(RiskError::Invariant("an account's owner exists"))?;
        row.accounts.push((subaccount, id));
        Ok(id)
    }

    /// Most bytes of a transaction.
    #[must_use]
    pub fn max_tx_bytes(&self) -> usize {
        self.chain.params.max_tx_bytes as usize
    }

    /// Sets how the sweep finds accounts at risk: by the index or by a full scan. A node never
    /// calls this: a simulated node that scans must reach the app hash of one with the index, and
    /// the benchmark of risk compares the cost of both.
    pub fn set_search(&mut self, search: Search) {
        // The index is not kept up to date during full scans, so it starts anew.
        self.derived.at_risk = AtRiskIndex::default();
        self.derived.search = search;
    }

    /// The index of accounts by the moves that could endanger them.
    #[must_use]
    pub fn at_risk(&self) -> &AtRiskIndex {
        &self.derived.at_risk
    }

    /// Recomputes the app hash from the parts written since the last time:
    /// `SHA-256("tidemark" ‖ chain ‖ owners root ‖ allowances root ‖ agents root ‖ accounts root ‖
    /// per market: cell ‖ L3 root ‖ L2 root ‖ waiting root ‖ ended root ‖ filled root, danger)`,
    /// where chain, cells and danger are SHA-256 of their borsh form.
    pub fn rehash(&mut self) {
        let mut hasher = Sha256::new().chain_update(b"tidemark");
        hasher.update(merkle::leaf_hash(&encode(&self.chain)));
        hasher.update(self.owners.root());
        hasher.update(self.allowances.root());
        hasher.update(self.agents.root());
        if self.derived.search == Search::Index {
            // The one place where what was written is taken note of, rows and orders alike.
            for id in self.accounts.dirty() {
                self.derived.at_risk.touch(*id);
            }
        }
        hasher.update(self.accounts.root());
        for slot in self.markets.iter_mut() {
            hasher.update(merkle::leaf_hash(&encode(&slot.cell)));
            hasher.update(slot.book.l3_root());
            hasher.update(slot.book.l2_root());
            hasher.update(slot.conditional.root());
            hasher.update(slot.ended.root());
            hasher.update(slot.filled.root());
        }
        hasher.update(merkle::leaf_hash(&encode(&self.danger)));
        self.app_hash = hasher.finalize().into();
    }

    /// A copy of the state that shares nothing with the original.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            owners: self.owners.clone(),
            allowances: self.allowances.clone(),
            agents: self.agents.clone(),
            accounts: self.accounts.clone(),
            markets: self.markets.clone(),
            danger: self.danger.clone(),
            app_hash: self.app_hash,
            derived: self.derived.fork(),
        }
    }

    /// Makes the indexes and sums beside the hashed parts that follow from one row each, in a state
    /// that has none of them.
    ///
    /// # Errors
    /// `OVERFLOW` if a sum leaves 127 bits.
    pub(crate) fn derive_indexes(&mut self) -> Result<(), RiskError> {
        for (id, owner) in self.owners.iter() {
            self.derived.owner_index.insert(owner.address, id);
        }
        for (_, agent) in self.agents.iter() {
            self.derived.agent_owners.insert(agent.authorisation.key, agent.owner);
        }
        for (id, account) in self.accounts.iter() {
            if !account.cancel_all_at_ms.is_zero() {
                self.derived.cancel_schedule.insert((account.cancel_all_at_ms, id));
            }
            self.derived.audit.replace(id, Some(account))?;
        }
        Ok(())
    }

    /// The name of a part beside the hashed ones that a state with the same hash has otherwise.
    /// The simulation compares a state that was read from a snapshot with one that was not.
    #[must_use]
    pub fn derived_differs(&self, other: &Self) -> Option<&'static str> {
        self.derived.differs(&other.derived)
    }

    /// An immutable view of the state as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            chain: self.chain.clone(),
            app_hash: self.app_hash,
            owners: self.owners.view(),
            allowances: self.allowances.view(),
            agents: self.agents.view(),
            accounts: self.accounts.view(),
            markets: Arc::new(self.markets.iter().map(|slot| slot.cell.clone()).collect()),
            owner_index: self.derived.owner_index.clone(),
        }
    }
}
