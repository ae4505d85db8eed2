//! The node's watch over itself: once a second it looks at its newest block, disk, clock, prices
//! and peers, tells `/health`, `/ready` and the metrics, and says in the log what has changed.

mod blocks;
mod clock;
mod comet;
mod condition;
pub(crate) mod disk;
mod heartbeat;
mod progress;
mod teller;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tidemark_comet::rpc_client::RpcClient;
use tidemark_consensus::publish::Publisher;
use tidemark_consensus::queue::TxQueue;
use tidemark_market_data::metrics::{Metrics, NodeFigures};
use tidemark_market_data::readiness::Readiness;
use tidemark_market_data::MarketData;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use blocks::{BlockFigures, BlockWatch, Validator};
use comet::CometFigures;
pub use disk::DiskBounds;
use teller::Teller;

/// How often the node looks at itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often CometBFT is asked.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// A vote of so many blocks ago is not this validator's last word on prices.
const VOTE_WITHIN_BLOCKS: u64 = 20;

/// Parts of the node that are looked at.
pub(crate) struct Parts {
    pub home: PathBuf,
    pub publisher: Arc<Publisher>,
    pub market_data: Arc<MarketData>,
    pub queue: Arc<TxQueue>,
    pub metrics: Arc<Metrics>,
    pub readiness: Readiness,
    pub comet: RpcClient,
    pub disk: DiskBounds,
    /// The validator whose key the home has.
    pub validator: Option<Validator>,
    /// The node has a price feed.
    pub has_feed: bool,
    /// A height that the chain is known to have: a replay's end.
    pub known_height: u64,
}

/// The running watch; dropping it ends it.
pub(crate) struct Watch {
    ends: watch::Receiver<Option<String>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watch {
    /// Starts on the current tokio runtime.
    ///
    /// # Errors
    /// A sentence when no thread can be started.
    pub fn start(parts: Parts) -> Result<Self, String> {
        let blocks = BlockWatch::start(&parts.publisher, parts.validator)
            .map_err(|e| format!("cannot start a thread: {e}"))?;
        let (told, comet) = watch::channel(None);
        let rpc = parts.comet.clone();
        let ask = async move {
            loop {
                told.send_replace(comet::ask(&rpc).await);
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let (end, ends) = watch::channel(None);
        let looker = Looker { parts, blocks, comet, priced_at: Instant::now() };
        Ok(Self { ends, tasks: [tokio::spawn(ask), tokio::spawn(look(looker, end))] })
    }

    /// Waits until the node must end in order, and says why.
    pub async fn must_end(&mut self) -> String {
        match self.ends.wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            // The watch has ended: it is the runtime that stops.
            Err(_) => std::future::pending().await,
        }
    }
}

async fn look(mut looker: Looker, end: watch::Sender<Option<String>>) {
    let mut teller = Teller::new(looker.parts.known_height);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sight = looker.sight();
        let Parts { disk, readiness, metrics, queue, .. } = &looker.parts;
        let condition = condition::condition(&sight, *disk);
        metrics.tell_node(&sight.figures(&condition));
        teller.tell(&sight, &condition, &queue.stats());
        readiness.tell(condition);
        let why = sight.free_bytes.as_ref().ok().and_then(|free_bytes| disk.ends(*free_bytes));
        if let Some(why) = why {
            end.send_replace(Some(why));
            return;
        }
    }
}

/// Looks at the node.
struct Looker {
    parts: Parts,
    blocks: BlockWatch,
    comet: watch::Receiver<Option<CometFigures>>,
    /// When this validator's last vote with prices was seen; at first the node's start.
    priced_at: Instant,
}

/// The node's figures at one moment.
#[derive(Debug)]
struct Sight {
    height: u64,
    /// Age of the newest block by this machine's clock.
    age: Duration,
    blocks: BlockFigures,
    /// The height before which market data stand still.
    left_out_from: Option<u64>,
    free_bytes: Result<u64, String>,
    /// `None` while CometBFT does not answer.
    comet: Option<CometFigures>,
    /// Time since this validator's last vote with prices; `None` where it is to report none.
    unpriced: Option<Duration>,
    /// Markets in this validator's last vote.
    own_prices: Option<usize>,
}

impl Sight {
    /// How far this machine's clock is ahead of the validators', unless the node catches up.
    fn ahead_ms(&self) -> Option<i64> {
        self.blocks.ahead_ms.filter(|_| !self.comet.is_some_and(|comet| comet.is_catching_up))
    }

    fn figures<'a>(
        &self,
        condition: &'a tidemark_market_data::readiness::Condition,
    ) -> NodeFigures<'a> {
        NodeFigures {
            checks: [&condition.health, &condition.ready],
            disk_free_bytes: self.free_bytes.as_ref().ok().copied(),
            clock_ahead_ms: self.ahead_ms(),
            votes_missed: self.blocks.missed_votes,
            own_prices: self.own_prices,
            peers: self.comet.map(|comet| comet.peers),
            memory_bytes: heartbeat::memory_bytes(),
        }
    }
}

impl Looker {
    fn sight(&mut self) -> Sight {
        let own_prices = self.own_prices();
        if own_prices.is_none_or(|markets| markets > 0) {
            self.priced_at = Instant::now();
        }
        let chain = self.parts.publisher.view();
        let chain = &chain.chain;
        let age_ms = wall_ms().saturating_sub(chain.time_ms.get());
        Sight {
            height: chain.height,
            age: Duration::from_millis(age_ms),
            blocks: self.blocks.figures(),
            left_out_from: self.parts.market_data.left_out_from(),
            free_bytes: disk::free_bytes(&self.parts.home).map_err(|error| error.to_string()),
            comet: *self.comet.borrow(),
            unpriced: own_prices.map(|_| self.priced_at.elapsed()),
            own_prices,
        }
    }

    /// Markets in this validator's newest vote, 0 if it has not voted lately; `None` for a node
    /// that is to report no prices.
    fn own_prices(&self) -> Option<usize> {
        let Parts { publisher, validator, has_feed, .. } = &self.parts;
        let chain = publisher.view();
        let chain = &chain.chain;
        let validator = validator.filter(|_| *has_feed)?;
        chain.validators.iter().find(|it| it.address == validator && it.power > 0)?;
        let own = publisher.own_report_cell().get();
        let lately = own.filter(|own| own.height.saturating_add(VOTE_WITHIN_BLOCKS) > chain.height);
        Some(lately.map_or(0, |own| own.report.prices.len()))
    }
}

fn wall_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
