//! Metrics of the node's snapshots.

use std::time::Duration;

use prometheus::{Gauge, IntGauge};
use tidemark_consensus::snapshots::Stats;

use super::declare::metrics;

metrics! {
    /// Metrics of this node's snapshots.
    #[derive(Debug)]
    pub(super) struct SnapshotMetrics {
        height: IntGauge = "tidemark_snapshot_height"
            "Height of the newest snapshot, from which a start would go on; 0 without one";
        bytes: IntGauge = "tidemark_snapshot_bytes"
            "Size of the newest snapshot";
        write_seconds: Gauge = "tidemark_snapshot_write_seconds"
            "How long the newest snapshot took to be written, beside blocks";
        pause_seconds: Gauge = "tidemark_snapshot_pause_seconds"
            "How long the newest snapshot held blocks up";
        failures: IntGauge = "tidemark_snapshot_failures"
            "Snapshots that could not be written, since the node's start";
        left_out: IntGauge = "tidemark_snapshot_left_out"
            "Snapshots that were left out because the one before was not yet written, since the \
             node's start";
        damaged: IntGauge = "tidemark_snapshot_damaged"
            "Damaged snapshots that the node's start has met";
        retain_height: IntGauge = "tidemark_retain_height"
            "First block that CometBFT is to keep; 0 for all";
    }
}

impl SnapshotMetrics {
    /// Sets the gauges.
    pub fn refresh(&self, stats: &Stats) {
        let gauges = [
            (&self.height, stats.height),
            (&self.bytes, stats.bytes),
            (&self.failures, stats.failures),
            (&self.left_out, stats.left_out),
            (&self.damaged, stats.damaged),
            (&self.retain_height, stats.retain_height),
        ];
        for (gauge, value) in gauges {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.write_seconds.set(Duration::from_millis(stats.write_ms).as_secs_f64());
        self.pause_seconds.set(Duration::from_micros(stats.pause_us).as_secs_f64());
    }
}
