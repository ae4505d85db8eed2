//! One validator's application without CometBFT, and the history of a chain that CometBFT could
//! have asked it for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ed25519_consensus::SigningKey;
use prost::bytes::Bytes;
use prost::Message as _;
use rust_decimal::Decimal;
use sha2::{Digest as _, Sha256};
use tendermint_abci::Application as _;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{
    CommitInfo, ExtendedCommitInfo, ExtendedVoteInfo, RequestCheckTx, RequestExtendVote,
    RequestFinalizeBlock, RequestInfo, RequestInitChain, RequestPrepareProposal,
    RequestProcessProposal, ResponseFinalizeBlock, ResponseInfo, Validator, ValidatorUpdate,
    VoteInfo,
};
use tendermint_proto::v0_38::crypto::{public_key::Sum, PublicKey};
use tendermint_proto::v0_38::types::{
    AbciParams, BlockIdFlag, BlockParams, CanonicalVoteExtension, ConsensusParams,
};
use tidemark_consensus::abci::Node;
use tidemark_consensus::journal::{Journal, Recovered};
use tidemark_consensus::node_key::{NodeIdentity, NodeSecret};
use tidemark_consensus::publish::{Publisher, Subscription};
use tidemark_consensus::queue::{DropSink, Limits, TxQueue};
use tidemark_consensus::timing::Clock;
use tidemark_consensus::tx_cache::TxCache;
use tidemark_engine::genesis::Genesis;
use tidemark_engine::state::View;
use tidemark_feed::{Feed, FeedPrice};
use tidemark_proto::params::{ChainParams, MarketParams, MAX_ALLOWANCE_BASE};
use tidemark_proto::tx::Signer;

use super::traffic::{Sequences, Trade};

/// The chain's id.
pub const CHAIN: &str = "tidemark-abci-1";
/// Block time of genesis.
const GENESIS_SECONDS: i64 = 1_700_000_000;
/// Room for every transaction of most tests.
const MAX_BYTES: i64 = 1_000_000;
/// Price of the proposer's feed, in USDC; also in ticks.
pub const INDEX: u32 = 50_000;
/// The index in ticks.
pub(super) const INDEX_TICKS: u64 = INDEX as u64;
/// Gas of a block: twice the usual, so that bytes bound the largest reply before gas does.
const MAX_BLOCK_GAS: u64 = 200_000_000;
/// Traders that have collateral.
pub const TRADERS: [&str; 3] = ["alice", "bob", "carol"];
pub(super) const FAUCET: &str = "faucet";

/// Always the same price of the only market, in USDC.
struct Fixed(u32);

impl Feed for Fixed {
    fn name(&self) -> String {
        format!("fixed({})", self.0)
    }

    fn snapshot(&self, _now_ms: u64) -> Vec<FeedPrice> {
        let index = Some(Decimal::from(self.0));
        vec![FeedPrice { symbol: "BTC-USD".into(), index, external: None, age_ms: 0 }]
    }
}

/// The hash of every rig's genesis, once there is a rig.
static GENESIS_HASH: OnceLock<[u8; 32]> = OnceLock::new();

pub(super) fn signer(name: &str) -> Signer {
    let signer = Signer::from_secret(&Sha256::digest(name), CHAIN).expect("a hash is a secret key");
    signer.for_genesis(GENESIS_HASH.get().unwrap_or(&[0; 32]))
}

fn validator_key() -> SigningKey {
    SigningKey::from([7; 32])
}

/// The only validator's address.
pub fn validator_address() -> [u8; 20] {
    let digest = Sha256::digest(validator_key().verification_key().to_bytes());
    std::array::from_fn(|at| digest[at])
}

fn validator() -> Validator {
    Validator { address: validator_address().to_vec().into(), power: 10 }
}

fn time(height: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: GENESIS_SECONDS + height, nanos: 0 })
}

/// The time of a history's block, in milliseconds since the Unix epoch.
pub fn block_ms(height: i64) -> u64 {
    (GENESIS_SECONDS + height).unsigned_abs() * 1_000
}

/// A clock that a test sets.
#[derive(Default)]
pub struct TestClock {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: AtomicU64,
    /// Milliseconds at an even pace.
    pub steady_ms: AtomicU64,
}

impl TestClock {
    /// Sets both.
    pub fn set(&self, wall_ms: u64, steady_ms: u64) {
        self.wall_ms.store(wall_ms, Ordering::Relaxed);
        self.steady_ms.store(steady_ms, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn wall_ms(&self) -> u64 {
        self.wall_ms.load(Ordering::Relaxed)
    }

    fn steady_ms(&self) -> u64 {
        self.steady_ms.load(Ordering::Relaxed)
    }
}

/// An application, and what its watchers got.
pub struct Rig {
    /// The application.
    pub node: Node,
    /// The clock that the application sees: at the start it is behind every block's time.
    pub clock: Arc<TestClock>,
    /// Where the application publishes.
    pub publisher: Arc<Publisher>,
    /// The transactions that it has verified.
    pub cache: Arc<TxCache>,
    /// The transactions that wait for a block.
    pub queue: Arc<TxQueue>,
    published: Subscription,
}

impl Rig {
    /// An application at genesis that verifies on `threads` and whose feed says `price`.
    pub fn new(threads: usize, price: u32) -> Self {
        Self::with_limits(threads, price, Limits::default())
    }

    /// [`Rig::new`] with other bounds of what waits.
    pub fn with_limits(threads: usize, price: u32, limits: Limits) -> Self {
        Self::with_queue(threads, price, |publisher, cache| {
            TxQueue::with_limits(publisher, cache, limits)
        })
    }

    /// [`Rig::with_limits`] with somebody who is told what the queue drops.
    pub fn with_drops(limits: Limits, drops: Arc<dyn DropSink>) -> Self {
        Self::with_queue(1, INDEX, |publisher, cache| {
            TxQueue::with_limits(publisher, cache, limits).with_drops(drops)
        })
    }

    /// [`Rig::new`] with a journal.
    pub fn with_journal(
        threads: usize,
        price: u32,
        journal: Journal,
        recovered: Vec<Recovered>,
    ) -> Self {
        Self::with_queue(threads, price, |publisher, cache| {
            TxQueue::new(publisher, cache).with_journal(journal, recovered)
        })
    }

    /// [`Rig::new`] of the validator's node, which signs bundles with this key.
    pub fn with_node_key(secret: NodeSecret) -> Self {
        Self::with_queue(1, INDEX, |publisher, cache| {
            let identity = NodeIdentity::new(secret, validator_address());
            TxQueue::new(publisher, cache).with_identity(identity)
        })
    }

    /// An application that has no chain yet.
    pub fn without_chain(threads: usize, price: u32) -> Self {
        Self::unbegun(threads, price, TxQueue::new)
    }

    fn with_queue(
        threads: usize,
        price: u32,
        queue: impl FnOnce(Arc<Publisher>, Arc<TxCache>) -> TxQueue,
    ) -> Self {
        let rig = Self::unbegun(threads, price, queue);
        rig.init_chain();
        GENESIS_HASH.get_or_init(|| rig.publisher.view().chain.genesis_hash);
        rig
    }

    fn unbegun(
        threads: usize,
        price: u32,
        queue: impl FnOnce(Arc<Publisher>, Arc<TxCache>) -> TxQueue,
    ) -> Self {
        let publisher = Arc::new(Publisher::new(Arc::new(View::empty(CHAIN))));
        let published = publisher.subscribe();
        let cache = Arc::new(TxCache::new(CHAIN));
        let queue = Arc::new(queue(publisher.clone(), cache.clone()));
        let clock = Arc::new(TestClock::default());
        let feed = Box::new(Fixed(price));
        let node = Node::with_clock(publisher.clone(), queue.clone(), feed, threads, clock.clone());
        Self { node, clock, publisher, cache, queue, published }
    }

    /// InitChain, as CometBFT asks for it while it knows of no committed block.
    pub fn init_chain(&self) {
        let faucet = signer(FAUCET).address().to_string();
        let genesis = Genesis {
            params: ChainParams {
                max_block_gas: MAX_BLOCK_GAS,
                allowance_base: MAX_ALLOWANCE_BASE,
                ..ChainParams::default()
            },
            markets: vec![MarketParams::with_defaults("BTC-USD", 1_000_000_000, 1_000_000_000, 50)],
            admin: faucet.clone(),
            minters: vec![faucet],
            insurance_atoms: 0,
        };
        let key = validator_key().verification_key().to_bytes().to_vec();
        let pub_key = Some(PublicKey { sum: Some(Sum::Ed25519(key)) });
        let abci = AbciParams { vote_extensions_enable_height: 1 };
        let block = BlockParams { max_bytes: 4 << 20, max_gas: -1 };
        self.node.init_chain(RequestInitChain {
            time: time(0),
            chain_id: CHAIN.into(),
            consensus_params: Some(ConsensusParams {
                abci: Some(abci),
                block: Some(block),
                ..Default::default()
            }),
            validators: vec![ValidatorUpdate { pub_key, power: 10 }],
            app_state_bytes: serde_json::to_vec(&genesis).expect("a genesis is JSON").into(),
            initial_height: 1,
        });
    }

    /// CheckTx of a new transaction: its code.
    pub fn check(&self, tx: &Bytes) -> u32 {
        self.node.check_tx(RequestCheckTx { tx: tx.clone(), ..Default::default() }).code
    }

    /// CheckTx of new transactions, whatever it says.
    pub fn check_all(&self, txs: &[Bytes]) {
        for tx in txs {
            self.check(tx);
        }
    }

    /// PrepareProposal after CheckTx of each transaction that CometBFT offers.
    pub fn prepare(&self, request: RequestPrepareProposal) -> Vec<Bytes> {
        self.check_all(&request.txs);
        self.node.prepare_proposal(request).txs
    }

    /// FinalizeBlock's answer as bytes.
    pub fn finalize(&self, block: &RequestFinalizeBlock) -> Vec<u8> {
        self.node.finalize_block(block.clone()).encode_to_vec()
    }

    /// The answer to Info.
    pub fn info(&self) -> ResponseInfo {
        self.node.info(RequestInfo::default())
    }

    /// Heights of the blocks that watchers got since the last call.
    pub fn published(&self) -> Vec<u64> {
        self.published.ready().map(|block| block.events.height).collect()
    }

    /// Events of the blocks that watchers got since the last call, as text.
    pub fn published_events(&self) -> Vec<String> {
        self.published.ready().map(|block| format!("{:?}", block.events)).collect()
    }
}

/// A decided block, and what CometBFT asked the proposer on the way to it.
#[derive(Clone)]
pub struct DecidedBlock {
    /// The mempool of the proposer.
    pub mempool: Vec<Bytes>,
    /// PrepareProposal.
    pub prepare: RequestPrepareProposal,
    /// ProcessProposal.
    pub process: RequestProcessProposal,
    /// ExtendVote.
    pub extend: RequestExtendVote,
    /// FinalizeBlock.
    pub block: RequestFinalizeBlock,
    /// The proposer's answer to FinalizeBlock.
    pub answer: ResponseFinalizeBlock,
}

/// The chain that one honest validator makes: deposits in the first block, the first prices in the
/// second, then one block for each of `trades`.
pub fn history(trades: &[Vec<Trade>]) -> Vec<DecidedBlock> {
    history_of(&Rig::new(1, INDEX), trades)
}

/// [`history`], made by this validator's node.
pub fn history_of(proposer: &Rig, trades: &[Vec<Trade>]) -> Vec<DecidedBlock> {
    let mut sequences = Sequences::default();
    let deposits = TRADERS.map(|name| sequences.deposit(name)).to_vec();
    let mut mempools = vec![deposits, Vec::new()];
    mempools.extend(
        trades.iter().map(|block| block.iter().map(|trade| sequences.order(*trade)).collect()),
    );
    let mut last_vote = None;
    let mut decided = Vec::new();
    for (height, mempool) in (1..).zip(mempools) {
        let (block, extension) = decide(proposer, height, mempool, last_vote);
        last_vote = Some(vote(height, extension));
        decided.push(block);
    }
    decided
}

/// The block after a history with other transactions behind the validators' prices.
pub fn block_after(decided: &[DecidedBlock], txs: Vec<Bytes>) -> RequestFinalizeBlock {
    let last = &decided[decided.len() - 1].block;
    let txs = last.txs[..1].iter().cloned().chain(txs).collect();
    let height = last.height + 1;
    let hash = Sha256::digest(height.to_le_bytes()).to_vec().into();
    RequestFinalizeBlock { txs, hash, height, time: time(height), ..last.clone() }
}

/// A block from proposal to Commit, and the validator's vote extension on it.
fn decide(
    proposer: &Rig,
    height: i64,
    mempool: Vec<Bytes>,
    last_vote: Option<ExtendedVoteInfo>,
) -> (DecidedBlock, Bytes) {
    let node = &proposer.node;
    let votes: Vec<_> = last_vote.into_iter().collect();
    let prepare = RequestPrepareProposal {
        max_tx_bytes: MAX_BYTES,
        txs: mempool.clone(),
        local_last_commit: Some(ExtendedCommitInfo { round: 0, votes: votes.clone() }),
        height,
        time: time(height),
        ..Default::default()
    };
    let txs = proposer.prepare(prepare.clone());
    let hash: Bytes = Sha256::digest(height.to_le_bytes()).to_vec().into();
    let votes = votes.iter().map(|vote| VoteInfo {
        validator: vote.validator.clone(),
        block_id_flag: vote.block_id_flag,
    });
    let last_commit = Some(CommitInfo { round: 0, votes: votes.collect() });
    let process = RequestProcessProposal {
        txs: txs.clone(),
        proposed_last_commit: last_commit.clone(),
        hash: hash.clone(),
        height,
        time: time(height),
        ..Default::default()
    };
    let status = node.process_proposal(process.clone()).status;
    assert_eq!(status, ProposalStatus::Accept as i32, "height {height}");
    let extend = RequestExtendVote { hash: hash.clone(), height, ..Default::default() };
    let extension = node.extend_vote(extend.clone()).vote_extension;
    let block = RequestFinalizeBlock {
        txs,
        decided_last_commit: last_commit,
        hash,
        height,
        time: time(height),
        ..Default::default()
    };
    let answer = node.finalize_block(block.clone());
    node.commit();
    (DecidedBlock { mempool, prepare, process, extend, block, answer }, extension)
}

/// The validator's vote on a block, with its signed extension.
fn vote(height: i64, extension: Bytes) -> ExtendedVoteInfo {
    let signed = CanonicalVoteExtension {
        extension: extension.to_vec(),
        height,
        round: 0,
        chain_id: CHAIN.to_owned(),
    };
    let signature = validator_key().sign(&signed.encode_length_delimited_to_vec()).to_bytes();
    ExtendedVoteInfo {
        validator: Some(validator()),
        vote_extension: extension,
        extension_signature: signature.to_vec().into(),
        block_id_flag: BlockIdFlag::Commit as i32,
    }
}
