//! The height from which on CometBFT keeps its blocks.

use tendermint_proto::v0_38::types::ConsensusParams;

/// Blocks that are kept behind the newest snapshot, for nodes that have fallen behind.
const BEHIND_NEWEST: u64 = 1_000;

/// Most blocks that one commit prunes: CometBFT prunes while consensus waits.
pub const PRUNED_A_COMMIT: u64 = 20;

/// The blocks of which some must stay.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of the block that is committed.
    pub height: u64,
    /// Of the oldest snapshot.
    pub oldest: u64,
    /// Of the newest snapshot.
    pub newest: u64,
}

/// For how many blocks evidence counts. CometBFT needs their headers and validators. A chain that
/// does not say has no evidence that ends by height.
pub fn evidence_blocks(params: &ConsensusParams) -> u64 {
    let blocks = params.evidence.as_ref().map(|evidence| evidence.max_age_num_blocks);
    blocks.and_then(|blocks| u64::try_from(blocks).ok()).unwrap_or(u64::MAX)
}

/// The next retain height: behind every snapshot, the newest one's thousand blocks and the blocks
/// of evidence, and not far from the last.
pub fn next(bounds: &Bounds, evidence_blocks: u64, retained: u64) -> u64 {
    let target = bounds
        .oldest
        .min(bounds.newest.saturating_sub(BEHIND_NEWEST))
        .min(bounds.height.saturating_sub(evidence_blocks));
    target.min(retained.max(1).saturating_add(PRUNED_A_COMMIT)).max(retained)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(height: u64, oldest: u64, newest: u64) -> Bounds {
        Bounds { height, oldest, newest }
    }

    #[test]
    fn blocks_stay_for_the_oldest_snapshot_for_the_late_and_for_evidence() {
        let far = 1_000_000;
        assert_eq!(next(&at(9_500, 7_000, 9_000), 100, far.min(6_999)), 7_000);
        assert_eq!(next(&at(9_500, 8_500, 9_000), 100, 7_999), 8_000);
        assert_eq!(next(&at(9_500, 8_500, 9_000), 3_000, 6_499), 6_500);
        assert_eq!(next(&at(9_500, 8_500, 9_000), far, 0), 0);
    }

    #[test]
    fn a_commit_prunes_twenty_blocks_at_most_and_never_takes_one_back() {
        assert_eq!(next(&at(9_500, 7_000, 9_000), 100, 0), 21);
        assert_eq!(next(&at(9_500, 7_000, 9_000), 100, 21), 41);
        assert_eq!(next(&at(9_500, 7_000, 9_000), 5_000, 6_000), 6_000);
    }

    #[test]
    fn a_chain_without_a_bound_of_evidence_keeps_all() {
        assert_eq!(evidence_blocks(&ConsensusParams::default()), u64::MAX);
    }
}
