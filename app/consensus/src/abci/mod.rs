//! The ABCI application: what CometBFT asks of the node, one file a phase, and the socket it asks
//! through.

mod check_tx;
mod commit;
mod extend_vote;
mod finalize_block;
mod info;
mod init_chain;
mod prepare_proposal;
mod process_proposal;
mod query;
mod reply_room;
pub mod server;
mod verify_vote_extension;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tendermint_abci::Application;
use tendermint_proto::google::protobuf::Timestamp;
use tendermint_proto::v0_38::abci::{
    RequestCheckTx, RequestExtendVote, RequestFinalizeBlock, RequestInfo, RequestInitChain,
    RequestPrepareProposal, RequestProcessProposal, RequestQuery, RequestVerifyVoteExtension,
    ResponseCheckTx, ResponseCommit, ResponseExtendVote, ResponseFinalizeBlock, ResponseInfo,
    ResponseInitChain, ResponsePrepareProposal, ResponseProcessProposal, ResponseQuery,
    ResponseVerifyVoteExtension,
};
use tendermint_proto::v0_38::types::ConsensusParams;
use tidemark_engine::events::BlockEvents;
use tidemark_engine::state::State;
use tidemark_feed::Feed;
use tidemark_proto::units::TimeMs;

use crate::lag::LagRefusals;
use crate::publish::Publisher;
use crate::queue::TxQueue;
use crate::snapshots::{Loaded, Snapshots};
use crate::timing::{BlockTimes, Clock, SystemClock};
use crate::tx_cache::TxCache;
use crate::votes;

/// The node's application. Clones share everything; CometBFT's connections meet only in the
/// published view, but for the consensus state, which only the consensus connection touches.
///
/// FinalizeBlock changes the consensus state in place, and Commit publishes the state. Between the
/// two, everything but FinalizeBlock and Commit reads the published view, which is the last
/// committed state (ADR 21).
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    consensus: Mutex<Consensus>,
    publisher: Arc<Publisher>,
    cache: Arc<TxCache>,
    queue: Arc<TxQueue>,
    /// The lock is never contended: only ExtendVote asks the feed, from one connection.
    feed: Mutex<Box<dyn Feed>>,
    clock: Arc<dyn Clock>,
    /// Only ProcessProposal asks, from one connection.
    lag_refusals: Mutex<LagRefusals>,
    /// Their maker; until it is set none are made, and no block is pruned.
    snapshots: OnceLock<Arc<Snapshots>>,
    threads: usize,
}

#[derive(Default)]
struct Consensus {
    /// `None` until InitChain or a snapshot. One block ahead of the published view between
    /// FinalizeBlock and Commit.
    state: Option<State>,
    /// The block that made `state`; `None` at genesis and after a start from a snapshot.
    executed: Option<ExecutedBlock>,
    times: BlockTimes,
    /// CometBFT's parameters of consensus, which nothing changes after InitChain.
    params: ConsensusParams,
    /// The height from which on CometBFT keeps its blocks; 0 while it keeps all.
    retained: u64,
}

/// A block that FinalizeBlock has carried out. CometBFT may ask for it again: when CometBFT alone
/// dies before its own record of the block is complete, and starts again.
struct ExecutedBlock {
    /// The block's first transaction has the validators' prices.
    has_prices: bool,
    /// How many transactions its own list has; `None` without a list.
    listed: Option<usize>,
    /// Results and events, from which the same answer can be made again.
    events: Arc<BlockEvents>,
    /// Commit has published the block.
    committed: bool,
}

impl Node {
    /// A node without state: CometBFT sends InitChain and replays its blocks, unless the node
    /// goes on from a snapshot ([`Node::resume`]).
    #[must_use]
    pub fn new(
        publisher: Arc<Publisher>,
        queue: Arc<TxQueue>,
        feed: Box<dyn Feed>,
        threads: usize,
    ) -> Self {
        Self::with_clock(publisher, queue, feed, threads, Arc::new(SystemClock::default()))
    }

    /// [`Node::new`] with another clock than the machine's.
    #[must_use]
    pub fn with_clock(
        publisher: Arc<Publisher>,
        queue: Arc<TxQueue>,
        feed: Box<dyn Feed>,
        threads: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let inner = Inner {
            consensus: Mutex::default(),
            publisher,
            cache: Arc::clone(queue.cache()),
            queue,
            feed: Mutex::new(feed),
            clock,
            lag_refusals: Mutex::default(),
            snapshots: OnceLock::new(),
            threads,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Makes snapshots from now on, and lets CometBFT prune what they make needless.
    pub fn make_snapshots(&self, snapshots: Arc<Snapshots>) {
        self.inner.snapshots.get_or_init(|| snapshots);
    }

    /// Goes on from a snapshot: `Info` tells its height, and CometBFT replays the blocks after it.
    /// Call it before CometBFT connects.
    pub fn resume(&self, loaded: Loaded) {
        let Loaded { state, manifest, consensus_params } = loaded;
        let view = state.view();
        self.inner.cache.begin(view.signing_domain());
        self.inner.queue.begin(votes::room::block_bytes(&consensus_params));
        self.inner.publisher.reset(Arc::new(view));
        let retained = manifest.retain_height;
        let state = Some(state);
        *self.consensus() =
            Consensus { state, params: consensus_params, retained, ..Consensus::default() };
    }

    /// How far a block's time lies behind this node's clock. 0 for the first block, whose time is
    /// that of the genesis file.
    fn behind_ms(&self, block_height: i64, time: Option<&Timestamp>) -> u64 {
        if !votes::required(height(block_height)) {
            return 0;
        }
        self.inner.clock.wall_ms().saturating_sub(time_ms(time).get())
    }

    fn feed(&self) -> MutexGuard<'_, Box<dyn Feed>> {
        self.inner.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lag_refusals(&self) -> MutexGuard<'_, LagRefusals> {
        self.inner.lag_refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn consensus(&self) -> MutexGuard<'_, Consensus> {
        self.inner.consensus.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Block time in milliseconds; times before 1970 are 0.
fn time_ms(time: Option<&Timestamp>) -> TimeMs {
    time.map_or(TimeMs::ZERO, |time| {
        let seconds = u64::try_from(time.seconds).unwrap_or(0);
        let millis = u64::try_from(time.nanos / 1_000_000).unwrap_or(0);
        TimeMs::new(seconds.saturating_mul(1_000).saturating_add(millis))
    })
}

/// CometBFT's heights are never negative.
fn height(height: i64) -> u64 {
    u64::try_from(height).unwrap_or(0)
}

impl Application for Node {
    fn info(&self, request: RequestInfo) -> ResponseInfo {
        info::info(self, &request)
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        init_chain::init_chain(self, request)
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        query::query(self, &request)
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        check_tx::check_tx(self, &request)
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        prepare_proposal::prepare_proposal(self, request)
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        process_proposal::process_proposal(self, &request)
    }

    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        extend_vote::extend_vote(self, &request)
    }

    fn verify_vote_extension(
        &self,
        request: RequestVerifyVoteExtension,
    ) -> ResponseVerifyVoteExtension {
        verify_vote_extension::verify_vote_extension(self, &request)
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        finalize_block::finalize_block(self, &request)
    }

    fn commit(&self) -> ResponseCommit {
        commit::commit(self)
    }
}
