//! A chain without consensus: the state machine driven block by block, as CometBFT would drive it.
//!
//! Owners sign real transactions; prices come as a real report of one validator. Several
//! chains can be driven side by side (shadow nodes) with the same blocks. What a test gives is in
//! plain numbers, as on the wire; each parameter's name or document has the unit.

use std::collections::HashMap;
use std::sync::Arc;

use prost::Message as _;
use sha2::{Digest, Sha256};
use tidemark_consensus::encode::tx_result;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::events::{BlockEvents, Event, Liquidation};
use tidemark_engine::exec::{execute, BallotExtension, Block, PriceBallot};
use tidemark_engine::genesis::Genesis;
use tidemark_engine::outcome::TxOutcome;
use tidemark_engine::state::{State, Validator};
use tidemark_oracle::report::{encode, Limits, PriceReport, Report};
use tidemark_proto::params::{ChainParams, MarketParams, MAX_ALLOWANCE_BASE};
use tidemark_proto::tx::{Sendable, Signer, TxOptions};
use tidemark_proto::types::{DecodedTx, SigningDomain};
use tidemark_proto::units::{AccountId, Atoms, Lots, MarketId, Ticks, TimeMs};
use tidemark_proto::v1;
use tidemark_risk::WINDOW_MS;

use crate::snapshot::restored;

/// The chain id of test chains.
pub const CHAIN_ID: &str = "tidemark-scenario-1";

/// Block time of genesis.
pub const GENESIS_MS: u64 = 1_760_000_000_000;

/// Name of the key that lists markets and mints.
pub const FAUCET: &str = "faucet";

/// The chain that named keys sign for, which has no genesis of its own: no node runs it.
#[must_use]
pub fn domain() -> SigningDomain {
    SigningDomain::without_genesis(CHAIN_ID)
}

/// A named key's secret, derived from its name.
#[must_use]
pub fn secret(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

/// A named key.
#[must_use]
pub fn signer(name: &str) -> Signer {
    Signer::from_secret(&secret(name), CHAIN_ID).expect("a hash is a secret key")
}

/// A market of the rules' defaults in which an order may be worth little: tests trade single lots.
#[must_use]
pub fn test_market(
    symbol: &str,
    tick_size_e9: u64,
    lot_size_e9: u64,
    max_leverage: u32,
) -> MarketParams {
    let params = MarketParams::with_defaults(symbol, tick_size_e9, lot_size_e9, max_leverage);
    MarketParams { min_order_atoms: Atoms::ZERO, ..params }
}

/// A market with a tick of 1 USDC and a lot of 1 base unit: `k` is 10⁶, and figures are easy to
/// follow.
#[must_use]
pub fn plain_market(symbol: &str, max_leverage: u32) -> MarketParams {
    test_market(symbol, 1_000_000_000, 1_000_000_000, max_leverage)
}

/// The rules' defaults, but owners and subaccounts cost nothing, so that figures of collateral and
/// of the fund stay round, and no allowance ends.
#[must_use]
pub fn free_entry() -> ChainParams {
    ChainParams {
        first_credit_min_atoms: Atoms::ZERO,
        owner_fee_atoms: Atoms::ZERO,
        subaccount_fee_atoms: Atoms::ZERO,
        allowance_base: MAX_ALLOWANCE_BASE,
        ..ChainParams::default()
    }
}

/// A genesis of these markets, with [`FAUCET`] as admin and minter, and [`free_entry`].
#[must_use]
pub fn genesis(markets: Vec<MarketParams>, insurance_usdc: u64) -> Genesis {
    let faucet = signer(FAUCET).address().to_string();
    Genesis {
        params: free_entry(),
        markets,
        admin: faucet.clone(),
        minters: vec![faucet],
        insurance_atoms: insurance_usdc * 1_000_000,
    }
}

/// The chain under test.
pub struct Chain {
    /// Its state after the last block.
    pub state: State,
    /// Signatures already checked.
    pub cache: Arc<TxCache>,
    /// Block time of the next block.
    pub now_ms: u64,
    /// Milliseconds between blocks.
    pub interval_ms: u64,
    /// Every transaction result so far.
    pub results: ResultsHash,
    /// Gas that each transaction declares; `None` is what its message usually needs.
    pub gas_limit: Option<u64>,
    /// After each block the state is written and read back.
    pub is_restored: bool,
    sequences: HashMap<String, u64>,
    pending: Vec<Vec<u8>>,
    prices: HashMap<MarketId, Ticks>,
    externals: HashMap<MarketId, Ticks>,
}

/// The content of one block, so that another node can carry out the same.
#[derive(Clone)]
pub struct BlockInput {
    /// Height, time, hash, reports.
    pub block: Block,
    /// The raw transactions.
    pub txs: Vec<Vec<u8>>,
}

/// A hash over the results of transactions, as FinalizeBlock encodes them: the app hash does not
/// cover them.
#[derive(Clone, Default)]
pub struct ResultsHash(Sha256);

impl ResultsHash {
    /// Adds the results of a block.
    pub fn add(&mut self, events: &BlockEvents) {
        self.0.update((events.txs.len() as u64).to_le_bytes());
        for outcome in &events.txs {
            self.0.update(tx_result(outcome).encode_length_delimited_to_vec());
        }
    }

    /// The hash of all results so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

impl Chain {
    /// A chain at genesis.
    ///
    /// # Panics
    /// When the genesis is not valid.
    #[must_use]
    pub fn new(genesis: &Genesis) -> Self {
        let validators = vec![Validator::new([1; 20], [1; 32], 10)];
        let mut state = State::genesis(genesis, CHAIN_ID, TimeMs::new(GENESIS_MS), validators)
            .expect("a valid genesis");
        // A test's block holds whatever the test sends.
        state.chain.params.max_block_gas = u64::MAX;
        Self {
            state,
            cache: Arc::new(TxCache::new(CHAIN_ID)),
            now_ms: GENESIS_MS + 1_000,
            interval_ms: 1_000,
            results: ResultsHash::default(),
            gas_limit: Some(u64::from(u32::MAX)),
            is_restored: false,
            sequences: HashMap::new(),
            pending: Vec::new(),
            prices: HashMap::new(),
            externals: HashMap::new(),
        }
    }

    /// From the next block on, the validator reports this index.
    pub fn index(&mut self, market: u16, ticks: u64) {
        self.prices.insert(MarketId::new(market), Ticks::new(ticks));
    }

    /// From the next block on, the validator reports this external perpetual price beside the
    /// index, or none.
    pub fn external(&mut self, market: u16, ticks: Option<u64>) {
        let market = MarketId::new(market);
        match ticks {
            Some(ticks) => self.externals.insert(market, Ticks::new(ticks)),
            None => self.externals.remove(&market),
        };
    }

    /// From the next block on, no price is reported.
    pub fn silence(&mut self) {
        self.prices.clear();
    }

    /// Adds a signed transaction to the next block.
    ///
    /// # Panics
    /// When the key refuses to sign.
    pub fn send<M: Sendable>(&mut self, name: &str, message: M) {
        let sequence = self.sequences.entry(name.to_owned()).or_default();
        let options =
            TxOptions { sequence: *sequence, gas_limit: self.gas_limit, ..Default::default() };
        *sequence += 1;
        self.pending.push(signer(name).sign(message, options).expect("the key signs"));
    }

    /// Adds raw bytes to the next block.
    pub fn send_raw(&mut self, bytes: Vec<u8>) {
        self.pending.push(bytes);
    }

    /// Credits an owner's subaccount 0 in the next block.
    pub fn deposit(&mut self, name: &str, usdc: u64) {
        let message = v1::MsgDeposit {
            recipient: signer(name).address().to_string(),
            amount_atoms: usdc * 1_000_000,
            ..Default::default()
        };
        self.send(FAUCET, message);
    }

    /// Adds a batch of operations of an owner's subaccount 0.
    pub fn orders(&mut self, name: &str, operations: Vec<v1::operation::Operation>) {
        let operations = operations.into_iter().map(v1::Operation::from);
        self.send(name, v1::MsgOrders { operations: operations.collect(), ..Default::default() });
    }

    /// Puts the pending transactions into a block, in the order in which they were sent, and
    /// carries it out.
    pub fn block(&mut self) -> BlockEvents {
        let input = self.next_input();
        self.run(&input)
    }

    /// Carries out several blocks without transactions; returns the last one's events.
    pub fn blocks(&mut self, count: u32) -> BlockEvents {
        let mut last = BlockEvents::default();
        for _ in 0..count {
            last = self.block();
        }
        last
    }

    /// Lets 20 minutes of every market's own time pass at once: no position has fresh lots then.
    pub fn age_positions(&mut self) {
        for cell in self.state.markets.cells_mut() {
            let passed_ms = WINDOW_MS.saturating_add(WINDOW_MS);
            cell.market.clock_ms = cell.market.clock_ms.saturating_add(passed_ms);
        }
    }

    /// The next block, as a proposer would make it.
    pub fn next_input(&mut self) -> BlockInput {
        let raw = std::mem::take(&mut self.pending);
        let height = self.state.chain.height + 1;
        let block = Block {
            height,
            time_ms: TimeMs::new(self.now_ms),
            hash: Sha256::digest(height.to_le_bytes()).into(),
            proposer: [1; 20],
            ballots: vec![self.ballot()],
            txs: Vec::new(),
        };
        self.now_ms += self.interval_ms;
        BlockInput { block, txs: raw }
    }

    /// Carries out a block, with signatures checked by this node's own cache.
    pub fn run(&mut self, input: &BlockInput) -> BlockEvents {
        let txs = self.cache.check_all(&input.txs, self.state.max_tx_bytes(), 1);
        let block = Block { txs, ..input.block.clone() };
        let events = execute(&mut self.state, &block, &mut |_| ());
        self.results.add(&events);
        if self.is_restored {
            self.state = restored(&self.state);
        }
        events
    }

    fn ballot(&self) -> PriceBallot {
        let mut prices: Vec<PriceReport> = self
            .prices
            .iter()
            .map(|(market, ticks)| PriceReport {
                market: *market,
                index_ticks: Some(*ticks),
                external_ticks: self.externals.get(market).copied(),
            })
            .collect();
        prices.sort_by_key(|price| price.market);
        ballot(&self.state, prices)
    }

    /// The subaccount 0 of a name.
    ///
    /// # Panics
    /// When it holds nothing.
    #[must_use]
    pub fn account(&self, name: &str) -> &tidemark_risk::Account {
        let id = self.account_id(name);
        self.state.accounts.get(id).expect("the account exists")
    }

    /// Its id, whether or not it holds anything.
    ///
    /// # Panics
    /// When it was never opened.
    #[must_use]
    pub fn account_id(&self, name: &str) -> AccountId {
        let owner = self.state.owner_id(&signer(name).address()).expect("the owner exists");
        let owner = self.state.owners.get(owner).expect("the owner exists");
        owner.account(0).expect("the subaccount was opened")
    }

    /// The account in which a name's subaccount 0 holds isolated collateral in a market.
    ///
    /// # Panics
    /// When it never had any.
    #[must_use]
    pub fn isolated_id(&self, name: &str, market: u16) -> AccountId {
        let owner = self.state.owner_id(&signer(name).address()).expect("the owner exists");
        let owner = self.state.owners.get(owner).expect("the owner exists");
        owner.isolated(0, MarketId::new(market)).expect("isolated collateral").account
    }

    /// The account of a name's isolated collateral in a market.
    ///
    /// # Panics
    /// When it never had any.
    #[must_use]
    pub fn isolated(&self, name: &str, market: u16) -> &tidemark_risk::Account {
        self.state.accounts.get(self.isolated_id(name, market)).expect("the account exists")
    }

    /// Lots of a name's position.
    #[must_use]
    pub fn lots(&self, name: &str, market: u16) -> i64 {
        let row = self.state.accounts.get(self.account_id(name));
        row.map_or(0, |row| row.lots(MarketId::new(market)).get())
    }

    /// Collateral of a name.
    #[must_use]
    pub fn collateral(&self, name: &str) -> Atoms {
        let row = self.state.accounts.get(self.account_id(name));
        row.map_or(Atoms::ZERO, |row| row.collateral_atoms)
    }
}

/// The ballot of the one validator, with these prices in order of market.
///
/// # Panics
/// When they do not fit a report.
#[must_use]
pub fn ballot(state: &State, prices: Vec<PriceReport>) -> PriceBallot {
    let base = |market: MarketId| state.markets.get(market.index())?.cell.index.commit_base();
    let report = encode(&Report { prices }, &base, Limits::default()).expect("a report that fits");
    PriceBallot { validator: [1; 20], power: 10, extension: BallotExtension::Bytes(report) }
}

/// A chain with one 20x market at index 100, and traders with 10 000 USDC each, whose ids are in
/// this order.
#[must_use]
pub fn one_market(traders: &[&str]) -> Chain {
    let mut chain = Chain::new(&genesis(vec![plain_market("ONE-USD", 20)], 1_000));
    chain.index(0, 100);
    for trader in traders {
        chain.deposit(trader, 10_000);
    }
    healthy(&chain.block());
    chain
}

/// Asserts that no invariant failed in a block.
///
/// # Panics
/// When one did.
pub fn healthy(events: &BlockEvents) {
    assert_eq!(events.violations, Vec::<String>::new(), "height {}", events.height);
}

/// A limit order, GTC unless changed.
#[must_use]
pub fn limit(market: u32, side: v1::Side, price_ticks: u64, lots: u64) -> v1::PlaceOrder {
    v1::PlaceOrder { market, side: side as i32, price_ticks, lots, ..Default::default() }
}

/// As an operation.
#[must_use]
pub fn place(order: v1::PlaceOrder) -> v1::operation::Operation {
    v1::operation::Operation::Place(order)
}

/// The liquidation steps of a block.
#[must_use]
pub fn liquidations(events: &BlockEvents) -> Vec<&Liquidation> {
    let steps = events.events.iter().filter_map(|event| match event {
        Event::Liquidation(step) => Some(step.as_ref()),
        _ => None,
    });
    steps.collect()
}

/// The first operation's code word of a transaction.
#[must_use]
pub fn word(outcome: &TxOutcome) -> &'static str {
    outcome.results.first().map_or(outcome.code(), |result| result.code()).word()
}

/// USDC in atoms.
#[must_use]
pub const fn usdc(amount: i64) -> Atoms {
    Atoms::from_usdc(amount)
}

/// An amount in atoms.
#[must_use]
pub const fn atoms(amount: i128) -> Atoms {
    Atoms::new(amount)
}

/// A quantity in lots.
#[must_use]
pub const fn lots(quantity: u64) -> Lots {
    Lots::new(quantity)
}

/// A price in ticks.
#[must_use]
pub const fn ticks(price: u64) -> Ticks {
    Ticks::new(price)
}

/// A decoded transaction, for checks that need one.
///
/// # Panics
/// When it does not decode.
#[must_use]
pub fn decoded(chain: &Chain, bytes: &[u8]) -> Arc<DecodedTx> {
    chain.cache.check(bytes, chain.state.max_tx_bytes()).expect("a valid transaction")
}
