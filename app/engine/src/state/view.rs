//! The committed state as queries, CheckTx and proposals read it, without a lock.

use std::sync::Arc;

use tidemark_proto::types::{Address, DecodedTx, SigningDomain};
use tidemark_proto::units::{AccountId, AgentId, Atoms, MarketId, OwnerId, TimeMs};
use tidemark_risk::{Account, Market, Markets};

use super::agents::{self, Agent};
use super::allowance::{Allowance, Left};
use super::chain::{Chain, PROTOCOL_VERSION};
use super::first_credits::FirstCredits;
use super::market::{unknown_market, MarketCell};
use super::merkle::Hash;
use super::outflow::Outflow;
use super::owners::{Owner, OwnerIndex};
use super::table::TableView;

use crate::refusal::Refusal;

/// How far ahead of its account's sequence a transaction may wait in the mempool.
pub const MAX_PENDING_SEQUENCES: u64 = 64;

/// An immutable state after one block.
#[derive(Debug)]
pub struct View {
    /// The chain.
    pub chain: Chain,
    /// The app hash.
    pub app_hash: Hash,
    /// Owners by id.
    pub owners: TableView<OwnerId, Owner>,
    /// Owners' allowances.
    pub allowances: TableView<OwnerId, Allowance>,
    /// Agents by id.
    pub agents: TableView<AgentId, Agent>,
    /// Subaccounts by id.
    pub accounts: TableView<AccountId, Account>,
    /// Markets by id.
    pub markets: Arc<Vec<MarketCell>>,
    pub(super) owner_index: OwnerIndex,
}

impl View {
    /// A view of nothing, before InitChain.
    #[must_use]
    pub fn empty(chain_id: &str) -> Self {
        let chain = Chain {
            protocol_version: PROTOCOL_VERSION,
            chain_id: chain_id.to_owned(),
            genesis_hash: [0; 32],
            height: 0,
            time_ms: TimeMs::ZERO,
            block_hash: [0; 32],
            params: tidemark_proto::params::ChainParams::default(),
            admin: Address([0; 20]),
            minters: Vec::new(),
            validators: Vec::new(),
            treasury: tidemark_risk::Treasury::default(),
            deposits_atoms: Atoms::ZERO,
            withdrawals_atoms: Atoms::ZERO,
            withdrawals_gated_until: 0,
            skipped_days: 0,
            outflow: Outflow::default(),
            first_credits: FirstCredits::default(),
            owing_from: AccountId::ZERO,
        };
        Self {
            chain,
            app_hash: [0; 32],
            owners: TableView::default(),
            allowances: TableView::default(),
            agents: TableView::default(),
            accounts: TableView::default(),
            markets: Arc::default(),
            owner_index: OwnerIndex::default(),
        }
    }

    /// The chain that signatures are for.
    #[must_use]
    pub fn signing_domain(&self) -> SigningDomain {
        SigningDomain::new(&self.chain.chain_id, &self.chain.genesis_hash)
    }

    /// The owner of an address.
    #[must_use]
    pub fn owner(&self, address: &Address) -> Option<&Owner> {
        self.owners.get(self.owner_index.get(address)?)
    }

    /// An account with its owner's address.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<(&Owner, &Account)> {
        let account = self.accounts.get(id)?;
        Some((self.owners.get(account.owner)?, account))
    }

    /// The market of an id.
    ///
    /// # Errors
    /// `UNKNOWN_MARKET` naming the ids that exist.
    pub fn market(&self, id: u32) -> Result<&MarketCell, Refusal> {
        let known = usize::try_from(id).ok().and_then(|at| self.markets.get(at));
        known.ok_or_else(|| unknown_market(id, self.markets.len()))
    }

    /// The id and the next sequence of an owner.
    #[must_use]
    pub fn signer(&self, address: &Address) -> Option<(OwnerId, u64)> {
        let id = self.owner_index.get(address)?;
        Some((id, self.owners.get(id)?.sequence))
    }

    /// The sequence that an account's next transaction must have.
    #[must_use]
    pub fn sequence(&self, address: &Address) -> Option<u64> {
        self.owner(address).map(|owner| owner.sequence)
    }

    /// The contents of an owner's buckets in the next block, which has this time.
    #[must_use]
    pub fn allowance(&self, address: &Address, time_ms: TimeMs) -> Option<Left> {
        let row = self.allowances.get(self.owner_index.get(address)?)?;
        Some(row.left(&self.chain.next_moment(time_ms)))
    }

    /// Most bytes of a transaction.
    #[must_use]
    pub fn max_tx_bytes(&self) -> usize {
        self.chain.params.max_tx_bytes as usize
    }

    /// Most gas of a block.
    #[must_use]
    pub fn max_block_gas(&self) -> u64 {
        self.chain.params.max_block_gas
    }

    /// Checks that a transaction may wait in the mempool: its signer is known, its sequence near or
    /// its agent's nonce new, its time not past.
    ///
    /// # Errors
    /// `UNKNOWN_ACCOUNT`, `SEQUENCE_REPLAYED`, `SEQUENCE_GAP`, `TX_EXPIRED` or `OUT_OF_GAS`, each
    /// naming bound and value; for an agent's those of [`agents::admits`].
    pub fn admits(&self, tx: &DecodedTx) -> Result<(), Refusal> {
        self.admits_at(tx, self.chain.time_ms)
    }

    /// As [`Self::admits`], for a next block of this time.
    ///
    /// # Errors
    /// As of [`Self::admits`].
    pub fn admits_at(&self, tx: &DecodedTx, now_ms: TimeMs) -> Result<(), Refusal> {
        let owner = self.owner(&tx.signer).ok_or_else(|| unknown_signer(&tx.signer))?;
        match &tx.agent {
            Some(key) => {
                let at = (self.chain.height.saturating_add(1), now_ms);
                agents::admits(Some(owner), &self.agents, (tx, key), at)?;
            }
            None => admits_sequence(tx.sequence, owner.sequence)?,
        }
        check_timeout(tx, self.chain.height.saturating_add(1))?;
        let (gas, max_gas) = (tx.gas_limit, self.max_block_gas());
        if gas > max_gas {
            return Err(Refusal::GasAboveBlock { gas, left: max_gas, max_gas });
        }
        Ok(())
    }
}

/// The markets as margin reads them.
impl Markets for View {
    fn market(&self, id: MarketId) -> Option<&Market> {
        self.markets.get(id.index()).map(|cell| &cell.market)
    }
}

/// Checks that an owner's sequence may wait behind its next one.
#[expect(clippy::arithmetic_side_effects, reason = "the bound is at least 64")]
fn admits_sequence(sequence: u64, next: u64) -> Result<(), Refusal> {
    let last = next.saturating_add(MAX_PENDING_SEQUENCES);
    if sequence < next {
        return Err(Refusal::SequenceReplayed { sequence, next });
    }
    if sequence >= last {
        return Err(Refusal::SequenceTooFar { sequence, next, last: last - 1 });
    }
    Ok(())
}

/// The refusal of a signer that the chain does not know.
pub fn unknown_signer(address: &Address) -> Refusal {
    Refusal::UnknownSigner(*address)
}

/// Refuses a transaction whose last height has passed.
///
/// # Errors
/// `TX_EXPIRED`.
pub fn check_timeout(tx: &DecodedTx, height: u64) -> Result<(), Refusal> {
    if tx.timeout_height != 0 && tx.timeout_height < height {
        return Err(Refusal::TimedOut { timeout_height: tx.timeout_height, height });
    }
    Ok(())
}
