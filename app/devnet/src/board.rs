//! Counts and recent events of a devnet, for its view and its summary.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tidemark_client::Markets;
use tidemark_proto::units::Atoms;
use tidemark_proto::v1::LiquidationStage;
use tidemark_proto::{v1, Code};

/// Lines that the view shows.
const RECENT_LINES: usize = 12;
/// Heights that wait for the last node's hash.
const MAX_PENDING_HEIGHTS: usize = 10_000;

/// Outcomes of the demo traders' operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Operations sent.
    pub sent: u64,
    /// Of these, refused, by code.
    pub refused: BTreeMap<&'static str, u64>,
    /// Of these, with an outcome that nobody told.
    pub unknown: u64,
}

impl Orders {
    /// Counts refusals; what is `Ok` is not one.
    pub fn count(&mut self, code: Code, operations: u64) {
        if code != Code::Ok {
            *self.refused.entry(code.word()).or_default() += operations;
        }
    }
}

/// The way of the demo traders' transactions into blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Transactions that wait for their block now.
    pub waiting: u64,
    /// Transactions that came into no block since the last one that did.
    pub lost: u64,
    /// When the last one came into a block.
    pub committed: Option<Instant>,
}

impl Traffic {
    /// A trader sends a transaction.
    pub fn send(&mut self) {
        self.waiting += 1;
    }

    /// A transaction came into a block at this moment, or with `None` into none.
    pub fn settle(&mut self, committed: Option<Instant>) {
        self.waiting = self.waiting.saturating_sub(1);
        if committed.is_some() {
            self.committed = committed;
            self.lost = 0;
        } else {
            self.lost += 1;
        }
    }

    /// How long before `end` the last transaction came into a block, and at the longest since
    /// `start`; `None` while no trader wanted one in a block.
    #[must_use]
    pub fn silence(&self, start: Instant, end: Instant) -> Option<Duration> {
        let last = self.committed.map_or(start, |committed| committed.max(start));
        (self.waiting + self.lost > 0).then(|| end.saturating_duration_since(last))
    }
}

/// Comparison of the app hashes of all nodes.
#[derive(Clone, Debug, Default)]
pub struct Hashes {
    nodes: usize,
    pending: BTreeMap<u64, Vec<(usize, Vec<u8>)>>,
    /// Heights that all nodes reported with one hash.
    pub equal: u64,
    /// The first difference, as a sentence.
    pub parted: Option<String>,
}

impl Hashes {
    /// Of as many nodes.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// One node's hash at a height; nodes may report one again.
    pub fn report(&mut self, node: usize, height: u64, app_hash: Vec<u8>) {
        let reports = self.pending.entry(height).or_default();
        if let Some((other, hash)) = reports.iter().find(|(_, hash)| *hash != app_hash) {
            let beginning = |hash: &[u8]| hex::encode(&hash[..hash.len().min(6)]);
            let sentence = format!(
                "app hashes part at height {height}: node {other} has {}…, node {node} has {}…",
                beginning(hash),
                beginning(&app_hash)
            );
            self.parted.get_or_insert(sentence);
        }
        if !reports.iter().any(|(other, _)| *other == node) {
            reports.push((node, app_hash));
        }
        if reports.len() == self.nodes {
            self.pending.remove(&height);
            self.equal += u64::from(self.parted.is_none());
        }
        if self.pending.len() > MAX_PENDING_HEIGHTS {
            self.pending.pop_first();
        }
    }
}

/// Everything that is shown.
#[derive(Debug)]
pub struct Board {
    /// The chain's id.
    pub chain_id: String,
    /// The first node's source of prices.
    pub feed: String,
    /// Markets as last asked for.
    pub markets: Markets,
    /// When traders began; `None` before.
    pub started: Option<Instant>,
    /// The end has come: streams that end now are no failures.
    pub ending: bool,
    /// Last height of the first node.
    pub height: u64,
    /// Blocks of the first node since the traders began.
    pub blocks: u64,
    /// Trades since.
    pub trades: u64,
    /// When the last of them was seen.
    pub last_trade: Option<Instant>,
    /// Liquidation steps by stage.
    pub liquidations: BTreeMap<&'static str, u64>,
    /// Payments of the insurance fund.
    pub fund_paid_atoms: Atoms,
    /// Operations of the demo traders.
    pub orders: Orders,
    /// Their transactions' way into blocks.
    pub traffic: Traffic,
    /// The comparison of nodes.
    pub hashes: Hashes,
    /// Last liquidations as lines.
    pub liquidation_lines: VecDeque<String>,
    /// Last trades as lines.
    pub trade_lines: VecDeque<String>,
    /// Demo accounts as last asked for.
    pub accounts: Vec<(String, v1::Subaccount)>,
}

impl Board {
    /// An empty board.
    #[must_use]
    pub fn new(status: &v1::StatusResponse, markets: Markets) -> Self {
        Self {
            chain_id: status.chain_id.clone(),
            feed: status.feed.clone(),
            markets,
            started: None,
            ending: false,
            height: status.height,
            blocks: 0,
            trades: 0,
            last_trade: None,
            liquidations: BTreeMap::new(),
            fund_paid_atoms: Atoms::ZERO,
            orders: Orders::default(),
            traffic: Traffic::default(),
            hashes: Hashes::default(),
            liquidation_lines: VecDeque::new(),
            trade_lines: VecDeque::new(),
            accounts: Vec::new(),
        }
    }

    /// A block of a node.
    pub fn block(&mut self, node: usize, block: v1::BlockSummary) {
        if node == 0 {
            self.height = block.height;
            self.blocks += u64::from(self.started.is_some());
        }
        self.hashes.report(node, block.height, block.app_hash);
    }

    /// A trade, with its line. A node that goes on with its chain first tells old ones again.
    pub fn trade(&mut self, line: Option<String>) {
        if self.started.is_none() {
            return;
        }
        self.trades += 1;
        self.last_trade = Some(Instant::now());
        push(&mut self.trade_lines, line);
    }

    /// A liquidation step, with its line.
    pub fn liquidation(
        &mut self,
        event: &v1::Liquidation,
        stage: &'static str,
        line: Option<String>,
    ) {
        if self.started.is_none() {
            return;
        }
        *self.liquidations.entry(stage).or_default() += 1;
        self.fund_paid_atoms += Atoms::new(i128::from(event.fund_paid_atoms));
        push(&mut self.liquidation_lines, line);
    }

    /// Steps that closed a position, or a part of one.
    #[must_use]
    pub fn closing_steps(&self) -> u64 {
        let prune = tidemark_client::words::stage_word(LiquidationStage::Prune);
        self.liquidations.iter().filter(|(stage, _)| **stage != prune).map(|(_, count)| count).sum()
    }
}

fn push(lines: &mut VecDeque<String>, line: Option<String>) {
    lines.extend(line);
    while lines.len() > RECENT_LINES {
        lines.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_equal_when_every_node_says_so() {
        let mut hashes = Hashes::new(2);
        hashes.report(0, 5, vec![1]);
        assert_eq!(hashes.equal, 0);
        hashes.report(0, 5, vec![1]);
        hashes.report(1, 5, vec![1]);
        assert_eq!((hashes.equal, hashes.parted.clone()), (1, None));
        hashes.report(1, 6, vec![1]);
        hashes.report(0, 6, vec![2]);
        assert!(hashes.parted.as_ref().unwrap().contains("height 6"));
        assert_eq!(hashes.equal, 1);
    }

    #[test]
    fn traders_are_silent_while_what_they_send_comes_into_no_block() {
        let start = Instant::now();
        let second = |second| start + Duration::from_secs(second);
        let silence = |traffic: &Traffic, end| {
            traffic.silence(start, second(end)).map(|silence| silence.as_secs())
        };
        let mut traffic = Traffic::default();
        assert_eq!(silence(&traffic, 60), None, "nobody sends");
        traffic.send();
        assert_eq!(silence(&traffic, 60), Some(60), "the first has not come into a block");
        traffic.settle(Some(second(7)));
        assert_eq!(silence(&traffic, 60), None, "nobody wants more");
        traffic.send();
        traffic.send();
        traffic.settle(Some(second(20)));
        assert_eq!(silence(&traffic, 60), Some(40), "one still waits");
        traffic.settle(None);
        assert_eq!(silence(&traffic, 60), Some(40), "it came into none");
        traffic.send();
        traffic.settle(Some(second(61)));
        assert_eq!(silence(&traffic, 60), None);
        traffic.send();
        assert_eq!(silence(&traffic, 60), Some(0), "the last came after the end");
    }

    #[test]
    fn heights_that_one_node_never_reports_are_forgotten() {
        let mut hashes = Hashes::new(2);
        for height in 0..20_000 {
            hashes.report(0, height, vec![1]);
        }
        assert_eq!(hashes.pending.len(), MAX_PENDING_HEIGHTS);
    }
}
