//! The setting of a test network, and of each of its nodes.

use std::path::PathBuf;

use tidemark_node::config::FeedConfig;
use tidemark_node::snapshots::INTERVAL;
use tidemark_proto::params::{MarketParams, MAX_ALLOWANCE_BASE};

use super::markets;

/// One node of a network to come.
#[derive(Clone, Debug)]
pub struct NodeOptions {
    /// Its voting power; 0 for a node that only follows.
    pub power: u64,
    /// `--threads`, when given.
    pub threads: Option<u16>,
    /// True if its mempool takes transactions. A node whose mempool takes none sees them only in
    /// blocks.
    pub mempool: bool,
    /// Where its prices come from; without one, a validator's are made up.
    pub feed: Option<FeedConfig>,
    /// The program in place of `tidemarkd`: a node that misbehaves.
    pub program: Option<PathBuf>,
    /// Its CometBFT is a process of its own, which can crash alone.
    pub external_comet: bool,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            power: 10,
            threads: None,
            mempool: true,
            feed: None,
            program: None,
            external_comet: false,
        }
    }
}

/// The setting of a network.
#[derive(Clone, Debug)]
pub struct NetOptions {
    /// Its nodes.
    pub nodes: Vec<NodeOptions>,
    /// CometBFT's pause after each block.
    pub timeout_commit_ms: u64,
    /// CometBFT's wait for late prevotes once two thirds are there.
    pub timeout_prevote_ms: u64,
    /// True if nodes reach each other through relays, which a test can hold and cut.
    pub relays: bool,
    /// The insurance fund at the start.
    pub insurance_usdc: u64,
    /// Operations that every owner's allowance holds at the start.
    pub allowance_base: u64,
    /// The listed markets.
    pub markets: Vec<MarketParams>,
    /// True if every node indexes transactions.
    pub tx_index: bool,
    /// Blocks from one snapshot of a node to the next; 0 for none.
    pub snapshot_interval: u64,
}

impl NetOptions {
    /// Validators of equal power, with a pause of 50 ms after each block.
    #[must_use]
    pub fn validators(count: usize) -> Self {
        Self {
            nodes: vec![NodeOptions::default(); count],
            timeout_commit_ms: 50,
            timeout_prevote_ms: 500,
            relays: false,
            insurance_usdc: 50_000,
            allowance_base: MAX_ALLOWANCE_BASE,
            markets: markets(),
            tx_index: false,
            snapshot_interval: INTERVAL,
        }
    }
}
