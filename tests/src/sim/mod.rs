//! Random histories of a chain, each a function of its seed, carried out by nodes that must agree,
//! under an auditor that works everything out again in the simplest way.
//!
//! | node | differs in |
//! |---|---|
//! | A | the reference: it saw every transaction in its mempool, and verifies on one thread |
//! | B | it saw no mempool, verifies on several threads, and looks at every account where the others ask the index |
//! | C | it begins at genesis when all is over, and replays the log |
//! | D | it is written and read back at every so many blocks, by the seed at every one to every ninth |

pub mod audit;
pub mod figures;
pub mod filled;
pub mod prices;
pub mod restored;
pub mod rng;
pub mod story;
pub mod traffic;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::admission;
use tidemark_engine::events::{BlockEvents, Event};
use tidemark_engine::exec::{execute, through_sweep, Block};
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::merkle::Hash;
use tidemark_engine::state::{Search, State};
use tidemark_proto::params::{AdlOrder, ChainParams, MarketParams, MIN_OUTFLOW_ATOMS};
use tidemark_proto::types::DecodedTx;
use tidemark_proto::units::{Atoms, Lots, TimeMs};
use tidemark_proto::v1::LiquidationStage;

use crate::harness::{genesis, test_market, usdc, BlockInput, CHAIN_ID, GENESIS_MS};
use crate::proposer;
use prices::Prices;
use restored::Restored;
use rng::Rng;
use traffic::Traffic;

/// How long a history is, and who is in it.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Decides everything else.
    pub seed: u64,
    /// Blocks.
    pub blocks: u64,
    /// Traders; each has up to two subaccounts.
    pub traders: usize,
    /// The sweep's gas; 0 is the default.
    pub sweep_gas: u64,
}

impl Config {
    /// A history of the usual size.
    #[must_use]
    pub const fn new(seed: u64, blocks: u64) -> Self {
        Self { seed, blocks, traders: 24, sweep_gas: 0 }
    }

    /// A history whose sweep reaches few accounts of a block.
    #[must_use]
    pub const fn with_tiny_budget(seed: u64, blocks: u64) -> Self {
        Self { sweep_gas: 10_000, ..Self::new(seed, blocks) }
    }
}

/// Counts of a history's events, so that a test can see that it was not an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Blocks carried out.
    pub blocks: u64,
    /// Transactions, refused ones included.
    pub txs: u64,
    /// Operations by the word of their code.
    pub codes: BTreeMap<&'static str, u64>,
    /// Trades.
    pub fills: u64,
    /// Liquidation steps by stage.
    pub liquidations: BTreeMap<&'static str, u64>,
    /// Counterparties deleveraged.
    pub adl: u64,
    /// Parts of positions that keepers took over.
    pub taken: u64,
    /// Positions closed by final settlements.
    pub settled: u64,
    /// Accounts below 0 after a sweep, counted in every block: the fund was used up and nobody
    /// could bear the loss.
    pub insolvent: u64,
    /// Accounts that were frozen after a sweep, counted in every block.
    pub frozen: u64,
    /// Hours of funding paid.
    pub funding: u64,
    /// The app hash at the end.
    pub app_hash: Hash,
}

/// A failure and its place: the seed and the height are enough to see it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The history.
    pub seed: u64,
    /// The first block that shows it.
    pub height: u64,
    /// The sentence that does not hold.
    pub what: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { seed, height, what } = self;
        write!(
            f,
            "seed {seed}, height {height}: {what} (again: sim --seed {seed} --blocks {height})"
        )
    }
}

/// A state and the cache of the node that has it.
pub struct ShadowNode {
    /// The state.
    pub state: State,
    cache: TxCache,
    threads: usize,
}

impl ShadowNode {
    /// A node at genesis.
    ///
    /// # Panics
    /// When the genesis is not valid.
    #[must_use]
    pub fn new(genesis: &Genesis, threads: usize) -> Self {
        let state = State::genesis(genesis, CHAIN_ID, TimeMs::new(GENESIS_MS), Vec::new())
            .expect("a valid genesis");
        Self { state, cache: TxCache::new(CHAIN_ID), threads }
    }

    /// The block's transactions as this node decodes them.
    pub fn decode(
        &self,
        input: &BlockInput,
    ) -> Vec<Result<Arc<DecodedTx>, tidemark_proto::Refusal>> {
        self.cache.check_all(&input.txs, self.state.max_tx_bytes(), self.threads)
    }

    /// Carries out a block.
    pub fn run(&mut self, input: &BlockInput) -> BlockEvents {
        let block = Block { txs: self.decode(input), ..input.block.clone() };
        execute(&mut self.state, &block, &mut |_| ())
    }
}

/// Four markets that differ in tick, lot, `k`, leverage and bounds; the last is isolated for all,
/// and two deleverage by rank.
fn markets() -> (Vec<MarketParams>, Vec<u64>) {
    let mut one = test_market("ONE-USD", 1_000_000_000, 1_000_000_000, 20);
    one.partial_liquidation_atoms = usdc(20_000);
    let mut btc = test_market("BTC-USD", 100_000_000, 1_000_000, 50);
    btc.tiers[0].upper_notional_atoms = usdc(50_000);
    btc.tiers[1].upper_notional_atoms = usdc(200_000);
    let mut thin = test_market("THIN-USD", 100_000, 10_000_000_000, 8);
    (thin.oi_lower_atoms, thin.oi_upper_atoms) = (usdc(20_000), usdc(150_000));
    (thin.max_open_orders, thin.max_fills) = (8, 4);
    thin.max_open_interest_lots = Lots::new(10_000);
    thin.fund_block_cap_atoms = usdc(200);
    thin.adl_order = AdlOrder::Ranked;
    let mut solo = test_market("SOLO-USD", 10_000_000, 100_000_000, 10);
    (solo.isolated_only, solo.adl_order) = (true, AdlOrder::Ranked);
    solo.partial_liquidation_atoms = usdc(5_000);
    (vec![one, btc, thin, solo], vec![100, 600_000, 5_000, 2_000])
}

/// The genesis of every simulation.
#[must_use]
pub fn simulated_genesis() -> Genesis {
    let mut genesis = genesis(markets().0, 3_000);
    // Owners cost what they cost, and so does a second subaccount.
    genesis.params = ChainParams { free_subaccounts: 1, ..ChainParams::default() };
    genesis.params.withdrawal_gate_blocks = 4;
    // Withdrawals of a history are to wait in the queue now and then.
    genesis.params.hour_outflow_atoms = MIN_OUTFLOW_ATOMS;
    genesis.params.day_outflow_atoms = Atoms::from_usdc(50_000);
    genesis.params.halt_ms = TimeMs::new(3_000_000);
    genesis
}

/// Time from genesis to the first block: an hour of funding then ends after some 1 300 s of blocks,
/// of which samples cover more than the quarter that is paid for.
const FIRST_BLOCK_MS: u64 = 2_700_000;

/// Makes the blocks of a history, one after the other, from the reference node's state.
pub struct Proposer {
    rng: Rng,
    prices: Prices,
    traffic: Traffic,
    now_ms: u64,
}

impl Proposer {
    /// The blocks of a history.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            rng: Rng::new(config.seed),
            prices: Prices::new(&markets().1),
            traffic: Traffic::new(config.traders),
            now_ms: GENESIS_MS + FIRST_BLOCK_MS,
        }
    }

    /// The next block; says what is wrong when what was selected is not what the rule accepts.
    ///
    /// # Errors
    /// The sentence of the order check.
    pub fn next(&mut self, node: &ShadowNode) -> Result<BlockInput, String> {
        let (rng, state) = (&mut self.rng, &node.state);
        // Funding samples speak for 10 s at most, and an index that comes later than that is a gap.
        self.now_ms += match rng.within(0, 799) {
            0 => rng.within(600_000, 4_000_000),
            1 => rng.within(20_000_000, 260_000_000),
            2..=25 => rng.within(20_000, 60_000),
            26..=600 => rng.within(6_000, 10_000),
            _ => rng.within(200, 6_000),
        };
        self.prices.step(rng);
        let ballots = self.prices.ballots(state, rng);
        self.traffic.step(state, rng);
        let mut txs = select(&mut self.traffic, node)?;
        if rng.chance(10) {
            // No honest node proposes these, and the state machine does not care.
            let at = rng.within(0, txs.len() as u64) as usize;
            let mut junk = self.traffic.sent.last().cloned().unwrap_or_default();
            if rng.chance(60) && !junk.is_empty() {
                let byte = rng.within(0, junk.len() as u64 - 1) as usize;
                junk[byte] ^= 1 << rng.within(0, 7);
            }
            txs.insert(at, junk);
        }
        let height = state.chain.height + 1;
        let hash: Hash =
            Sha256::digest([self.rng.bits().to_le_bytes(), height.to_le_bytes()].concat()).into();
        let block = Block {
            height,
            time_ms: TimeMs::new(self.now_ms),
            hash,
            proposer: [0; 20],
            ballots: if height > 1 { ballots } else { Vec::new() },
            txs: Vec::new(),
        };
        Ok(BlockInput { block, txs })
    }
}

/// The rule's choice of the mempool; the rest waits, unless it can never come.
fn select(traffic: &mut Traffic, node: &ShadowNode) -> Result<Vec<Vec<u8>>, String> {
    let state = &node.state;
    let next = |address: &_| Some(state.owners.get(state.owner_id(address)?)?.sequence);
    let mut known = Vec::new();
    for bytes in std::mem::take(&mut traffic.mempool) {
        if let Ok(tx) = node.cache.check(&bytes, state.max_tx_bytes()) {
            if next(&tx.signer).is_none_or(|next| tx.sequence >= next) {
                known.push((tx, bytes));
            }
        }
    }
    let candidates: Vec<_> = known.iter().map(|(tx, _)| Arc::clone(tx)).collect();
    let budget = admission::BlockBudget { bytes: 4 << 20, gas: state.chain.params.max_block_gas };
    let view = state.view();
    let mut left = BTreeMap::new();
    let allows = |tx: &DecodedTx| {
        let now = || view.allowance(&tx.signer, state.chain.time_ms).unwrap_or_default();
        left.entry(tx.signer).or_insert_with(now).take(&tx.message).is_ok()
    };
    let chosen = proposer::select(&candidates, budget, next, allows);
    let txs = chosen.iter().map(|at| &*candidates[*at]).enumerate();
    let admission = admission::admit(txs, &view.before_next_block(state.chain.time_ms));
    if let Some((at, refusal)) = admission.first_refused() {
        return Err(format!("transaction {at} was chosen and is refused: {}", refusal.labelled()));
    }
    let bytes: Vec<_> = chosen.iter().map(|at| known[*at].1.clone()).collect();
    traffic.sent.extend(bytes.iter().cloned());
    let recent = traffic.sent.len().saturating_sub(200);
    traffic.sent.drain(..recent);
    let chosen: std::collections::BTreeSet<_> = chosen.into_iter().collect();
    let waiting = known.into_iter().enumerate().filter(|(at, _)| !chosen.contains(at));
    traffic.mempool = waiting.map(|(_, (_, bytes))| bytes).collect();
    Ok(bytes)
}

/// Carries out a history on all nodes.
///
/// # Errors
/// The first thing that does not hold.
pub fn run(config: Config) -> Result<Summary, Failure> {
    let mut genesis = simulated_genesis();
    if config.sweep_gas > 0 {
        genesis.params.sweep_gas = config.sweep_gas;
    }
    let (mut a, mut b) = (ShadowNode::new(&genesis, 1), ShadowNode::new(&genesis, 3));
    b.state.set_search(Search::Scan);
    let mut d = Restored::new(ShadowNode::new(&genesis, 1), config.seed % 9 + 1);
    let mut proposer = Proposer::new(&config);
    let mut summary = Summary::default();
    let mut log: Vec<(BlockInput, Hash)> = Vec::new();
    for height in 1..=config.blocks {
        let failure = |what: String| Failure { seed: config.seed, height, what };
        let input = proposer.next(&a).map_err(failure)?;
        let events = audited(&mut a, &input, &mut summary).map_err(failure)?;
        let hash = events.app_hash;
        d.block(&input, (&a.state, &events)).map_err(failure)?;
        let other = b.run(&input).app_hash;
        audit::ensure(hash == other, || {
            "node B, which saw no mempool and no index, has another app hash".to_owned()
        })
        .map_err(failure)?;
        log.push((input, hash));
    }
    let mut c = ShadowNode::new(&genesis, 2);
    for (input, hash) in &log {
        let height = input.block.height;
        let same = c.run(input).app_hash == *hash;
        audit::ensure(same, || "node C, which replays the log, has another app hash".to_owned())
            .map_err(|what| Failure { seed: config.seed, height, what })?;
    }
    summary.app_hash = a.state.app_hash;
    Ok(summary)
}

/// Carries out a block on a node, and looks at everything.
fn audited(
    node: &mut ShadowNode,
    input: &BlockInput,
    summary: &mut Summary,
) -> Result<BlockEvents, String> {
    let before = node.state.fork();
    let mut swept = node.state.fork();
    let sweep = through_sweep(&mut swept, &input.block, &mut |_| ());
    let mut quiet = node.state.fork();
    execute(&mut quiet, &input.block, &mut |_| ());
    audit::swept(&swept).map_err(|what| format!("after the sweep: {what}"))?;
    let txs = node.decode(input);
    let events = node.run(input);
    audit::ensure(events.violations.is_empty(), || {
        format!("the chain's own audit: {:?}", events.violations)
    })?;
    audit::state(&node.state)?;
    if input.block.height % 16 == 0 {
        quiet_blocks(&node.state, &input.block)?;
    }
    let block = story::Block {
        before: &before,
        swept: &swept,
        sweep: &sweep,
        quiet: &quiet,
        after: &node.state,
        events: &events,
        txs: &txs,
    };
    block.check()?;
    summary.count(&events);
    let is_insolvent = |account| figures::without_orders(&swept, account).equity.is_negative();
    summary.insolvent +=
        swept.accounts.iter().filter(|(_, account)| is_insolvent(account)).count() as u64;
    summary.frozen += swept.danger.frozen.len() as u64;
    Ok(events)
}

/// Three blocks of nothing: whatever the block has emptied is gone then.
fn quiet_blocks(state: &State, block: &Block) -> Result<(), String> {
    let mut state = state.fork();
    let mut quiet_block = |more: u64| {
        let before = state.fork();
        let block = Block {
            height: block.height + more,
            time_ms: block.time_ms.saturating_add(TimeMs::new(more)),
            ballots: Vec::new(),
            txs: Vec::new(),
            ..block.clone()
        };
        execute(&mut state, &block, &mut |_| ());
        audit::quiet_rows(&before, &state)
    };
    // The first two empty what is still on its way.
    let _ = (quiet_block(1), quiet_block(2));
    quiet_block(3)
}

impl Summary {
    fn count(&mut self, events: &BlockEvents) {
        self.blocks += 1;
        self.txs += events.txs.len() as u64;
        for outcome in &events.txs {
            let codes = outcome.results.iter().map(|result| result.code());
            let refused = outcome.results.is_empty().then_some(outcome.code());
            for code in codes.chain(refused) {
                *self.codes.entry(code.word()).or_default() += 1;
            }
        }
        for event in &events.events {
            match event {
                Event::Fill(_) => self.fills += 1,
                Event::Adl { .. } => self.adl += 1,
                Event::TakenOver { .. } => self.taken += 1,
                Event::Settled { .. } => self.settled += 1,
                Event::Funding { .. } => self.funding += 1,
                Event::Liquidation(step) => {
                    *self
                        .liquidations
                        .entry(LiquidationStage::from(step.stage).as_str_name())
                        .or_default() += 1;
                }
                _ => {}
            }
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hash = hex::encode(&self.app_hash[..8]);
        write!(
            f,
            "{} blocks, {} transactions, {} fills, {:?}, {} deleveraged, {} taken over, {} \
             settled, {} insolvent, {} funding payments, {:?}, app hash {hash}…",
            self.blocks,
            self.txs,
            self.fills,
            self.liquidations,
            self.adl,
            self.taken,
            self.settled,
            self.insolvent,
            self.funding,
            self.codes
        )
    }
}
