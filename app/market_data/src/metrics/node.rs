//! Metrics of the node's watch over itself.

use prometheus::{GaugeVec, IntCounter, IntGaugeVec};

use super::declare::metrics;
use super::figures::count;
use crate::readiness::Check;

metrics! {
    /// Metrics of this node and the machine that it runs on.
    #[derive(Debug)]
    pub(super) struct NodeMetrics {
        check_ok: IntGaugeVec = "tidemark_check_ok" ["check"]
            "1 while a check of /health or /ready holds, else 0";
        disk_free: IntGaugeVec = "tidemark_disk_free_bytes" []
            "Room on the disk of the node's home";
        clock_ahead: GaugeVec = "tidemark_clock_ahead_seconds" []
            "Time by which this machine's clock is ahead of the validators', or by which the node \
             takes each block late; negative: behind; absent while the node catches up";
        votes_missed: IntCounter = "tidemark_own_votes_missed_total"
            "Blocks whose commit lacks this validator's vote, since the node's start";
        own_prices: IntGaugeVec = "tidemark_own_report_markets" []
            "Markets in this validator's last vote; absent on a node that is to report no prices";
        peers: IntGaugeVec = "tidemark_peers" []
            "Peers of the node's CometBFT; absent while that does not answer";
        memory: IntGaugeVec = "tidemark_memory_bytes" []
            "Resident memory of the node's process, without CometBFT's";
    }
}

/// Figures of a node at one moment.
#[derive(Clone, Copy, Debug)]
pub struct NodeFigures<'a> {
    /// Checks of `/health` and of `/ready`.
    pub checks: [&'a [Check]; 2],
    /// Room on the home's disk, in bytes.
    pub disk_free_bytes: Option<u64>,
    /// How far this machine's clock is ahead of the validators', in ms.
    pub clock_ahead_ms: Option<i64>,
    /// Blocks without this validator's vote since the start.
    pub votes_missed: u64,
    /// Markets in this validator's last vote.
    pub own_prices: Option<usize>,
    /// CometBFT's peers.
    pub peers: Option<u64>,
    /// Resident memory, in bytes.
    pub memory_bytes: Option<u64>,
}

impl NodeMetrics {
    /// Sets the metrics to the figures.
    pub fn tell(&self, figures: &NodeFigures<'_>) {
        for check in figures.checks.into_iter().flatten() {
            self.check_ok.with_label_values(&[check.name]).set(i64::from(check.ok));
        }
        let own_prices = figures.own_prices.map(count);
        let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (gauge, value) in [
            (&self.disk_free, figures.disk_free_bytes.map(whole)),
            (&self.own_prices, own_prices),
            (&self.peers, figures.peers.map(whole)),
            (&self.memory, figures.memory_bytes.map(whole)),
        ] {
            match value {
                Some(value) => gauge.with_label_values::<&str>(&[]).set(value),
                // A figure that nobody knows any more is not to stand as if it were.
                None => gauge.reset(),
            }
        }
        match figures.clock_ahead_ms {
            Some(ahead_ms) => {
                self.clock_ahead.with_label_values::<&str>(&[]).set(ahead_ms as f64 / 1e3);
            }
            None => self.clock_ahead.reset(),
        }
        self.votes_missed.inc_by(figures.votes_missed.saturating_sub(self.votes_missed.get()));
    }
}
