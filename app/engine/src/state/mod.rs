//! The authoritative state: in memory, deterministic, covered by the app hash to the last byte.

mod audit;
pub mod conditional;
pub mod merkle;
mod owners;
pub mod sums;
pub mod table;
mod view;

use std::collections::BTreeSet;
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use sha2::{Digest, Sha256};
use tidemark_matching::Book;
use tidemark_oracle::index::IndexState;
use tidemark_oracle::mark::MarkState;
use tidemark_proto::params::{ChainParams, MarketParams};
use tidemark_proto::tx::Address;
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, OwnerId, SignedLots, Ticks, TimeMs};
use tidemark_proto::{Code, Refusal};
use tidemark_risk::endangered::Endangered;
use tidemark_risk::{Account, Market, Treasury};

use crate::canonical_order::CanonicalOrder;
use crate::genesis::{Genesis, MAX_MARKETS};
use audit::Audit;
use conditional::ConditionalOrders;
use merkle::Hash;
pub use owners::{IsolatedSlot, Owner, OwnerIndex};
use sums::OrderSums;
use table::Table;
pub use view::{check_timeout, unknown_signer, View, MAX_PENDING_SEQUENCES};

/// Rules that this binary carries out; part of the app hash, so that nodes of other rules part at
/// once.
pub const PROTOCOL_VERSION: u32 = 1;

/// Most subaccounts of one owner.
pub const MAX_SUBACCOUNTS: u32 = 128;

/// A validator of the chain's set.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Validator {
    /// First 20 bytes of SHA-256 of the key.
    pub address: [u8; 20],
    /// Ed25519.
    pub public_key: [u8; 32],
    /// Voting power.
    pub power: u64,
}

/// State of the whole chain beside accounts and markets.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Chain {
    /// [`PROTOCOL_VERSION`] of the rules in force.
    pub protocol_version: u32,
    /// The chain's id.
    pub chain_id: String,
    /// Height of the last block carried out; 0 at genesis.
    pub height: u64,
    /// Its time.
    pub time_ms: TimeMs,
    /// Its hash: the salt of the next block's canonical order.
    pub block_hash: Hash,
    /// Governed parameters.
    pub params: ChainParams,
    /// Who lists markets and changes parameters.
    pub admin: Address,
    /// Who credits deposits.
    pub minters: Vec<Address>,
    /// The validator set.
    pub validators: Vec<Validator>,
    /// Insurance fund and fee pools.
    pub treasury: Treasury,
    /// All that was ever deposited, the insurance fund's start included.
    pub deposits_atoms: Atoms,
    /// All that was ever withdrawn.
    pub withdrawals_atoms: Atoms,
    /// Last height at which withdrawals are gated.
    pub withdrawals_gated_until: u64,
}

/// A market beside its book.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct MarketCell {
    /// Parameters, mark, funding, open interest.
    pub market: Market,
    /// What the validators report.
    pub index: IndexState,
    /// Averages behind the mark.
    pub mark: MarkState,
    /// Price of the last trade.
    pub last_trade_ticks: Option<Ticks>,
    /// Best bid and ask after the last block: what the next mark is made of (rules §8, phase 7).
    pub top: (Option<Ticks>, Option<Ticks>),
    /// Why the market was quarantined; positions are kept.
    pub quarantined: Option<String>,
    /// The admin asked to end the quarantine: it ends once an audit passes.
    pub quarantine_lift_requested: bool,
    /// Updates of the book so far: the sequence of its stream.
    pub book_sequence: u64,
    /// Positions below maintenance that the last sweep left open, for keepers; at most
    /// [`MAX_LISTED`].
    pub listed: Vec<Listed>,
    /// Takeovers to be served in the next sweep; at most [`MAX_TAKEOVERS`].
    pub takeovers: Vec<Takeover>,
    /// The final settlement, once the market is being closed.
    pub settlement: Option<Settlement>,
}

/// Most listed positions of one market.
pub const MAX_LISTED: usize = 256;

/// Most takeovers of one market that wait.
pub const MAX_TAKEOVERS: usize = 256;

/// A position that keepers may ask for (rules §7.3), as the sweep left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Listed {
    /// Whose it is.
    pub account: AccountId,
    /// Positive is long.
    pub lots: SignedLots,
    /// The zero price of all of it at this block's mark.
    pub zero_price_ticks: Ticks,
    /// The account's equity.
    pub equity_atoms: Atoms,
    /// The account's maintenance margin.
    pub maintenance_atoms: Atoms,
}

/// A keeper's request for part of a listed position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Takeover {
    /// Who asks.
    pub keeper: AccountId,
    /// Whose position.
    pub account: AccountId,
    /// At most so many.
    pub lots: Lots,
}

/// How far the final settlement of a market is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Settlement {
    /// The last good index: what every position is settled at. 0 where there never was one, nor a
    /// position then.
    pub price_ticks: Ticks,
    /// What is being done.
    pub stage: SettlementStage,
}

/// The stages of a final settlement; one stage's work may take several blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum SettlementStage {
    /// Orders are cancelled.
    Orders,
    /// Accounts whose equity is below 0 at the price: the fund pays, the rest is deleveraged. From
    /// this account id on.
    Insolvent(AccountId),
    /// Longs are closed against shorts at the price.
    Positions,
    /// Nothing is left.
    Done,
}

impl MarketCell {
    /// A market at listing.
    #[must_use]
    pub fn new(market: Market) -> Self {
        Self {
            market,
            index: IndexState::default(),
            mark: MarkState::default(),
            last_trade_ticks: None,
            top: (None, None),
            quarantined: None,
            quarantine_lift_requested: false,
            book_sequence: 0,
            listed: Vec::new(),
            takeovers: Vec::new(),
            settlement: None,
        }
    }
}

/// How accounts are found. The result is the same; what it costs is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Search {
    /// By the index: the accounts whose bounds were passed, those of a market.
    #[default]
    Index,
    /// By looking at every account: what the index is compared with.
    Scan,
}

/// Everything that the app hash covers.
#[derive(Debug)]
pub struct State {
    /// The chain.
    pub chain: Chain,
    /// Owners by id.
    pub owners: Table<Owner>,
    /// Subaccounts by id.
    pub accounts: Table<Account>,
    /// Markets by id.
    pub markets: Vec<MarketCell>,
    /// Books by market id.
    pub books: Vec<Book>,
    /// Orders that wait, by market id.
    pub conditional: Vec<ConditionalOrders>,
    /// Of each market, totals of open orders that this block has worked out; not part of the app
    /// hash.
    pub order_sums: Vec<OrderSums>,
    /// Hash of all of it after the last block.
    pub app_hash: Hash,
    /// Owners by address; derived.
    owner_index: OwnerIndex,
    /// Dead man's switches that are set, by time; derived from the accounts.
    pub(crate) switches: BTreeSet<(TimeMs, AccountId)>,
    /// Running sums of the invariants; derived.
    pub(crate) audit: Audit,
    /// Accounts by the moves that could endanger them; derived: an empty one is as good.
    pub(crate) endangered: Endangered,
    /// How accounts are found: with either the state goes the same way.
    pub(crate) search: Search,
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
        let insurance_atoms = Atoms::from(genesis.insurance_atoms);
        let chain = Chain {
            protocol_version: PROTOCOL_VERSION,
            chain_id: chain_id.to_owned(),
            height: 0,
            time_ms,
            block_hash: [0; 32],
            params: genesis.params.clone(),
            admin: genesis.admin_address()?,
            minters: genesis.minter_addresses()?,
            validators,
            treasury: Treasury { insurance_atoms, ..Treasury::default() },
            deposits_atoms: insurance_atoms,
            withdrawals_atoms: 0,
            withdrawals_gated_until: 0,
        };
        let mut state = Self {
            chain,
            owners: Table::default(),
            accounts: Table::default(),
            markets: Vec::new(),
            books: Vec::new(),
            conditional: Vec::new(),
            order_sums: Vec::new(),
            app_hash: [0; 32],
            owner_index: OwnerIndex::default(),
            switches: BTreeSet::new(),
            audit: Audit::default(),
            endangered: Endangered::default(),
            search: Search::default(),
        };
        for market in &genesis.markets {
            state.list(market.clone())?;
        }
        // They sign without ever getting a deposit.
        state.ensure_owner(state.chain.admin)?;
        for minter in state.chain.minters.clone() {
            state.ensure_owner(minter)?;
        }
        state.rehash();
        Ok(state)
    }

    /// Lists a market under the next free id.
    ///
    /// # Errors
    /// `INVALID_PARAMS` when its parameters do not fit together, its symbol is taken, or there are
    /// too many markets.
    pub fn list(&mut self, mut params: MarketParams) -> Result<MarketId, Refusal> {
        params.check()?;
        if self.markets.iter().any(|cell| cell.market.params.symbol == params.symbol) {
            return Err(Refusal::new(
                Code::InvalidParams,
                format!("symbol {} is listed already", params.symbol),
            ));
        }
        let id =
            MarketId::try_from(self.markets.len()).ok().filter(|id| usize::from(*id) < MAX_MARKETS);
        let id = id.ok_or_else(|| {
            Refusal::new(Code::InvalidParams, format!("{MAX_MARKETS} markets are listed"))
        })?;
        params.id = id;
        self.markets.push(MarketCell::new(Market::new(params)?));
        self.books.push(Book::new());
        self.conditional.push(ConditionalOrders::default());
        self.order_sums.push(OrderSums::default());
        Ok(id)
    }

    /// The owner of an address.
    #[must_use]
    pub fn owner_id(&self, address: &Address) -> Option<OwnerId> {
        self.owner_index.get(address)
    }

    /// The owner of an address, made when there is none.
    ///
    /// # Errors
    /// `OVERFLOW` when every id is taken.
    pub fn ensure_owner(&mut self, address: Address) -> Result<OwnerId, Refusal> {
        if let Some(id) = self.owner_id(&address) {
            return Ok(id);
        }
        let owner = Owner { address, sequence: 0, accounts: Vec::new(), isolated: Vec::new() };
        let id =
            self.owners.push(owner).ok_or_else(|| Refusal::overflow("the number of owners"))?;
        self.owner_index.insert(address, id);
        Ok(id)
    }

    /// The account of a subaccount, if it exists.
    #[must_use]
    pub fn account_id(&self, owner: OwnerId, subaccount: u32) -> Option<AccountId> {
        self.owners.get(owner)?.account(subaccount)
    }

    /// The account of a subaccount, made when there is none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for a number of [`MAX_SUBACCOUNTS`] or more; `OVERFLOW` when every id is
    /// taken.
    pub fn ensure_account(
        &mut self,
        owner: OwnerId,
        subaccount: u32,
    ) -> Result<AccountId, Refusal> {
        if let Some(id) = self.account_id(owner, subaccount) {
            return Ok(id);
        }
        if subaccount >= MAX_SUBACCOUNTS {
            return Err(Refusal::new(
                Code::InvalidArgument,
                format!("subaccount is {subaccount}, must be below {MAX_SUBACCOUNTS}"),
            ));
        }
        let account = Account::new(owner, subaccount);
        let id = self
            .accounts
            .push(account)
            .ok_or_else(|| Refusal::overflow("the number of accounts"))?;
        if let Some(owner) = self.owners.get_mut(owner) {
            owner.accounts.push((subaccount, id));
        }
        Ok(id)
    }

    /// Most bytes of a transaction.
    #[must_use]
    pub fn max_tx_bytes(&self) -> usize {
        self.chain.params.max_tx_bytes as usize
    }

    /// The order of the next block.
    #[must_use]
    pub fn canonical_order(&self) -> CanonicalOrder {
        CanonicalOrder {
            previous_block_hash: self.chain.block_hash,
            cancels_first: self.chain.params.cancels_first,
        }
    }

    /// Has accounts found in one way or the other from now on.
    pub fn set_search(&mut self, search: Search) {
        // An index that was not kept up is worth nothing.
        self.endangered = Endangered::default();
        self.search = search;
    }

    /// The index of accounts by the moves that could endanger them.
    #[must_use]
    pub fn endangered(&self) -> &Endangered {
        &self.endangered
    }

    /// Recomputes the app hash from what was written since the last time:
    /// `SHA-256("tidemark" ‖ chain ‖ owners root ‖ accounts root ‖ per market: cell ‖ L3 root ‖ L2
    /// root ‖ waiting root)`, where chain and cells are SHA-256 of their borsh form.
    pub fn rehash(&mut self) {
        let mut hasher = Sha256::new().chain_update(b"tidemark");
        hasher.update(merkle::leaf_hash(&encode(&self.chain)));
        hasher.update(self.owners.root());
        if self.search == Search::Index {
            // The one place where what was written is taken note of, rows and orders alike.
            for id in self.accounts.dirty() {
                self.endangered.touch(*id);
            }
        }
        hasher.update(self.accounts.root());
        let books = self.books.iter_mut().zip(&mut self.conditional);
        for (cell, (book, conditional)) in self.markets.iter().zip(books) {
            hasher.update(merkle::leaf_hash(&encode(cell)));
            hasher.update(book.l3_root());
            hasher.update(book.l2_root());
            hasher.update(conditional.root());
        }
        self.app_hash = hasher.finalize().into();
    }

    /// A state of its own with the same content: what happens to one does not reach the other.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            owners: self.owners.clone(),
            accounts: self.accounts.clone(),
            markets: self.markets.clone(),
            books: self.books.clone(),
            conditional: self.conditional.clone(),
            order_sums: self.order_sums.clone(),
            app_hash: self.app_hash,
            owner_index: self.owner_index.fork(),
            switches: self.switches.clone(),
            audit: self.audit.clone(),
            endangered: self.endangered.clone(),
            search: self.search,
        }
    }

    /// An immutable view of the state as it is now.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            chain: self.chain.clone(),
            app_hash: self.app_hash,
            owners: self.owners.view(),
            accounts: self.accounts.view(),
            markets: Arc::new(self.markets.clone()),
            owner_index: self.owner_index.clone(),
        }
    }
}

/// Borsh into memory does not fail.
fn encode(value: &impl BorshSerialize) -> Vec<u8> {
    borsh::to_vec(value).unwrap_or_default()
}
