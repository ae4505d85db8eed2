//! Counts and recent events of a devnet, for its view and its summary.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

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
    /// Liquidation steps by stage.
    pub liquidations: BTreeMap<&'static str, u64>,
    /// Payments of the insurance fund.
    pub fund_paid_atoms: Atoms,
    /// Operations of the demo traders.
    pub orders: Orders,
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
            liquidations: BTreeMap::new(),
            fund_paid_atoms: Atoms::ZERO,
            orders: Orders::default(),
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
    fn heights_that_one_node_never_reports_are_forgotten() {
        let mut hashes = Hashes::new(2);
        for height in 0..20_000 {
            hashes.report(0, height, vec![1]);
        }
        assert_eq!(hashes.pending.len(), MAX_PENDING_HEIGHTS);
    }
}
