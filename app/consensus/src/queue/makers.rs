//! Bundles that wait in CometBFT's mempool, by the validator whose node made them.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_engine::state::Chain;
use tidemark_proto::tx::bundle::BundleHead;
use tidemark_proto::types::TxHash;

use super::bundle_refusal::BundleRefusal;
use super::TX_LIFETIME_BLOCKS;

/// Most counters of a maker that are remembered; what is below all of them counts as used: 8 KiB of
/// numbers a validator. A maker makes a tenth as many bundles within their lives.
const COUNTERS: usize = 1_024;

/// How far ahead of this node a bundle may have been made, in blocks.
const AHEAD_BLOCKS: u64 = TX_LIFETIME_BLOCKS;

/// The least share of waiting bytes that a validator's bundles have, as a part of all.
const LEAST_SHARE: u64 = 16;

/// Blocks whose bytes all waiting bundles may have together, where no validator has its least
/// share.
const WAITING_BLOCKS: u64 = 2;

/// A bundle that was taken.
#[derive(Debug)]
struct Waiting {
    maker: [u8; 20],
    bytes: u64,
    /// The last block for which it is carried.
    last_height: u64,
    /// Hashes of the bytes of those of its transactions that waited when it came.
    txs: Vec<TxHash>,
}

#[derive(Debug, Default)]
struct Maker {
    waiting_bytes: u64,
    /// The newest counters that were used.
    counters: BTreeSet<u64>,
}

/// The bundles of all makers. Its bytes are bounded by the makers' shares.
#[derive(Debug, Default)]
pub(super) struct Makers {
    waiting: BTreeMap<TxHash, Waiting>,
    makers: BTreeMap<[u8; 20], Maker>,
}

/// Bytes of bundles that a validator may have waiting: its part, by power, of two blocks' bytes,
/// and at least a sixteenth. 0 for an address that is no validator's.
pub(super) fn share(chain: &Chain, maker: &[u8; 20], block_bytes: u64) -> u64 {
    let all_bytes = u128::from(block_bytes.saturating_mul(WAITING_BLOCKS));
    // CometBFT keeps the sum of all voting power below 2⁶⁰.
    let total = chain.validators.iter().map(|it| it.power).fold(0, u64::saturating_add);
    let validator = chain.validators.iter().find(|validator| validator.address == *maker);
    validator.map_or(0, |validator| {
        let by_power = all_bytes
            .saturating_mul(u128::from(validator.power))
            .checked_div(u128::from(total))
            .unwrap_or(0);
        let least = all_bytes / u128::from(LEAST_SHARE);
        u64::try_from(by_power.max(least)).unwrap_or(u64::MAX)
    })
}

impl Makers {
    /// Returns true if a bundle by the hash of its bytes waits.
    pub(super) fn holds(&self, hash: &TxHash) -> bool {
        self.waiting.contains_key(hash)
    }

    /// Checks what can be told of a bundle before its signature: height, counter, room.
    pub(super) fn check(
        &self,
        head: &BundleHead,
        (bytes, share): (u64, u64),
        height: u64,
    ) -> Result<(), BundleRefusal> {
        let &BundleHead { maker, counter, made_at_height } = head;
        let last_height = made_at_height.saturating_add(TX_LIFETIME_BLOCKS);
        if last_height <= height || made_at_height > height.saturating_add(AHEAD_BLOCKS) {
            return Err(BundleRefusal::Height { made_at_height, height });
        }
        let none = Maker::default();
        let known = self.makers.get(&maker).unwrap_or(&none);
        if known.has_used(counter) {
            return Err(BundleRefusal::CounterUsed { counter });
        }
        let waiting_bytes = known.waiting_bytes;
        if waiting_bytes.saturating_add(bytes) > share {
            return Err(BundleRefusal::MakerFull { bytes, waiting_bytes, share });
        }
        Ok(())
    }

    /// Uses a counter up; the bundle waits if it has carried anything that does.
    pub(super) fn take(&mut self, head: &BundleHead, hash: TxHash, bytes: u64, txs: Vec<TxHash>) {
        let maker = self.makers.entry(head.maker).or_default();
        maker.counters.insert(head.counter);
        if maker.counters.len() > COUNTERS {
            maker.counters.pop_first();
        }
        if txs.is_empty() {
            return;
        }
        maker.waiting_bytes = maker.waiting_bytes.saturating_add(bytes);
        let last_height = head.made_at_height.saturating_add(TX_LIFETIME_BLOCKS);
        self.waiting.insert(hash, Waiting { maker: head.maker, bytes, last_height, txs });
    }

    /// Lets go of a bundle unless one of its transactions still waits.
    pub(super) fn recheck(&mut self, hash: &TxHash, waits: impl Fn(&TxHash) -> bool) -> bool {
        let Some(bundle) = self.waiting.get(hash) else { return false };
        let lives = bundle.txs.iter().any(waits);
        if !lives {
            self.release(hash);
        }
        lives
    }

    /// Lets go of the bundles that may be carried no longer than this height, and of makers that
    /// are no validators any more.
    pub(super) fn expire(&mut self, height: u64, is_validator: impl Fn(&[u8; 20]) -> bool) {
        let ended = self.waiting.iter().filter(|(_, bundle)| bundle.last_height <= height);
        let ended: Vec<TxHash> = ended.map(|(hash, _)| *hash).collect();
        ended.iter().for_each(|hash| self.release(hash));
        self.makers.retain(|address, maker| maker.waiting_bytes > 0 || is_validator(address));
    }

    fn release(&mut self, hash: &TxHash) {
        let Some(bundle) = self.waiting.remove(hash) else { return };
        if let Some(maker) = self.makers.get_mut(&bundle.maker) {
            maker.waiting_bytes = maker.waiting_bytes.saturating_sub(bundle.bytes);
        }
    }

    /// The waiting bytes of each maker that has any.
    pub(super) fn waiting_bytes(&self) -> Vec<([u8; 20], u64)> {
        let waiting = self.makers.iter().filter(|(_, maker)| maker.waiting_bytes > 0);
        waiting.map(|(address, maker)| (*address, maker.waiting_bytes)).collect()
    }
}

impl Maker {
    fn has_used(&self, counter: u64) -> bool {
        let is_below_all = self.counters.len() >= COUNTERS
            && self.counters.first().is_some_and(|first| counter < *first);
        is_below_all || self.counters.contains(&counter)
    }
}

#[cfg(test)]
mod tests;
