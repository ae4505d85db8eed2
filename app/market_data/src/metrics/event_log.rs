//! Metrics of the event log.

use prometheus::IntGauge;

use super::declare::metrics;
use crate::MarketData;

metrics! {
    /// Metrics of this node's event log.
    #[derive(Debug)]
    pub(super) struct EventLogMetrics {
        first_height: IntGauge = "tidemark_event_log_first_height"
            "First block of the event log from which on none is missing; 0 while it is empty";
        bytes: IntGauge = "tidemark_event_log_bytes"
            "Size of the event log on disk";
        differences: IntGauge = "tidemark_event_log_differences"
            "Replayed blocks that the event log has with other bytes, since the node's start";
        missed: IntGauge = "tidemark_event_log_missed_blocks"
            "Blocks that the event log lacks until the next start replays them";
        failures: IntGauge = "tidemark_event_log_failures"
            "Failed attempts to write the event log, since the node's start";
    }
}

impl EventLogMetrics {
    /// Sets the gauges.
    pub fn refresh(&self, market_data: &MarketData) {
        let Some((counts, bytes, first_height)) = market_data.log_counts() else { return };
        let gauges = [
            (&self.first_height, first_height),
            (&self.bytes, bytes),
            (&self.differences, counts.differences),
            (&self.missed, counts.missed),
            (&self.failures, counts.failures),
        ];
        for (gauge, value) in gauges {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
