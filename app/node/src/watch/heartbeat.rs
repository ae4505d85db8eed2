//! A line a minute: where the node stands, for whoever reads its log afterwards.

use tidemark_consensus::queue::QueueStats;

use super::disk::MIB;
use super::{millis, Sight};

/// Writes the line. A figure of CometBFT is absent while that does not answer, prices where the
/// node reports none.
pub(super) fn beat(sight: &Sight, queue: &QueueStats) {
    let comet = sight.comet;
    tracing::info!(
        height = sight.height,
        age_ms = millis(sight.age),
        round = comet.map(|comet| comet.round),
        peers = comet.map(|comet| comet.peers),
        mempool = comet.map(|comet| comet.mempool),
        queue = queue.from_clients.saturating_add(queue.from_mempool),
        prices = sight.own_prices,
        missed_votes = sight.blocks.missed_votes,
        clock_ahead_ms = sight.ahead_ms(),
        disk_free_mib = sight.free_bytes.as_ref().ok().map(|free_bytes| free_bytes / MIB),
        memory_mib = memory_bytes().map(|bytes| bytes / MIB),
        "heartbeat"
    );
}

/// Resident memory of this process; `None` where the system does not tell.
pub(super) fn memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_some_memory() {
        let bytes = memory_bytes().unwrap();
        assert!((MIB..1 << 40).contains(&bytes), "{bytes}");
    }
}
