//! Metrics of the transactions that wait for a block.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};
use tidemark_consensus::queue::QueueStats;

use super::declare::metrics;
use super::figures::count;

metrics! {
    /// Metrics of this node's queue.
    #[derive(Debug)]
    pub(super) struct QueueMetrics {
        transactions: IntGaugeVec = "tidemark_queue_transactions" ["origin"]
            "Transactions that wait for a block, by who brought them: client (of this node) or \
             mempool; at most 16 000";
        owners: IntGauge = "tidemark_queue_owners"
            "Owners with transactions that wait";
        bytes: IntGauge = "tidemark_queue_bytes"
            "Memory of the transactions that wait; at most 128 MiB";
        gap_bytes: IntGauge = "tidemark_queue_gap_bytes"
            "Memory of those that wait behind a missing sequence; at most 32 MiB";
        dropped: IntCounterVec = "tidemark_queue_dropped_total" ["reason"]
            "Transactions that the node has dropped without a block: lifetime (50 blocks), behind \
             (a missing sequence), room (the queue was full), or the word of the refusal";
    }
}

impl QueueMetrics {
    /// Sets the gauges, and the counters to what the queue has counted.
    pub fn refresh(&self, stats: &QueueStats) {
        let by_origin = [("client", stats.from_clients), ("mempool", stats.from_mempool)];
        for (origin, transactions) in by_origin {
            self.transactions.with_label_values(&[origin]).set(count(transactions));
        }
        self.owners.set(count(stats.owners));
        self.bytes.set(count(stats.memory_bytes));
        self.gap_bytes.set(count(stats.gap_bytes));
        for (reason, total) in &stats.drops {
            let counter = self.dropped.with_label_values(&[*reason]);
            counter.inc_by(total.saturating_sub(counter.get()));
        }
    }
}
