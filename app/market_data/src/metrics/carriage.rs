//! Metrics of the bundles by which transactions travel between nodes.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec};
use tidemark_consensus::queue::BundleCounts;

use super::declare::metrics;

metrics! {
    /// Metrics of bundles.
    #[derive(Debug)]
    pub(super) struct CarriageMetrics {
        made: IntCounter = "tidemark_bundles_made_total"
            "Bundles that this node has made of what its clients brought, and CometBFT's mempool \
             has taken";
        taken: IntCounter = "tidemark_bundles_taken_total"
            "Bundles that this node has taken, its own among them";
        refused: IntCounterVec = "tidemark_bundles_refused_total" ["outcome"]
            "Bundles that this node has refused, by the word of the refusal";
        waiting: IntGaugeVec = "tidemark_bundle_waiting_bytes" ["maker"]
            "Bundles in the mempool that carry something still, by the validator that made them";
    }
}

impl CarriageMetrics {
    /// Sets the gauges, and counts what came since the last call.
    pub fn refresh(&self, counts: BundleCounts) {
        catch_up(&self.made, counts.made);
        catch_up(&self.taken, counts.taken);
        for (code, count) in counts.refused {
            catch_up(&self.refused.with_label_values(&[code.word()]), count);
        }
        self.waiting.reset();
        for (maker, bytes) in counts.waiting_bytes {
            let gauge = self.waiting.with_label_values(&[&hex::encode_upper(maker)]);
            gauge.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
    }
}

fn catch_up(counter: &IntCounter, count: u64) {
    counter.inc_by(count.saturating_sub(counter.get()));
}
