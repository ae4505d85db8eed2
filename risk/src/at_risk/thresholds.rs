//! Thresholds of one market in one direction, of which those nearest to the market are taken first.
//!
//! A threshold is a key that is crossed when the market's level falls below it. Keys lie in buckets
//! whose width is a fixed part of their size, unsorted: entering one is an append, and a crossed
//! bucket is taken whole. A threshold that an account no longer has stays where it is, is passed
//! over when its bucket is taken, and is cleared away once such entries are the most.

use std::collections::BTreeMap;

use tidemark_proto::units::AccountId;

/// Significant bits of a bucket's number: a bucket is a part in 256 to 512 of its keys wide.
const BUCKET_BITS: u32 = 8;

/// Entries of no account that a list keeps whatever its size is.
const SPARE_ENTRIES: usize = 1_024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: i64,
    account: AccountId,
}

#[derive(Clone, Debug)]
struct Bucket {
    entries: Vec<Entry>,
    /// The largest key: the first that a falling level crosses.
    nearest: i64,
}

/// A list of thresholds.
#[derive(Clone, Debug, Default)]
pub(super) struct Thresholds {
    buckets: BTreeMap<i32, Bucket>,
    entries: usize,
    /// Entries that are their account's threshold.
    live: usize,
}

/// The bucket of a key; larger keys never have a smaller one.
#[expect(clippy::arithmetic_side_effects, reason = "at most 57·2⁸ and its negative")]
fn bucket_of(key: i64) -> i32 {
    let size = key.unsigned_abs();
    let shift = size.checked_ilog2().unwrap_or(0).saturating_sub(BUCKET_BITS);
    let number =
        i32::try_from((u64::from(shift) << BUCKET_BITS) + (size >> shift)).unwrap_or(i32::MAX);
    if key < 0 {
        -number
    } else {
        number
    }
}

impl Thresholds {
    /// Enters an account's threshold.
    #[expect(clippy::arithmetic_side_effects, reason = "entries that are in memory can be counted")]
    pub fn push(&mut self, key: i64, account: AccountId) {
        let bucket = self
            .buckets
            .entry(bucket_of(key))
            .or_insert_with(|| Bucket { entries: Vec::new(), nearest: i64::MIN });
        bucket.nearest = bucket.nearest.max(key);
        bucket.entries.push(Entry { key, account });
        self.entries += 1;
        self.live += 1;
    }

    /// Says that so many entries are their accounts' thresholds no longer.
    pub fn forget(&mut self, entries: usize) {
        self.live = self.live.saturating_sub(entries);
    }

    /// Takes every entry whose key is above `level`, and tells it.
    #[expect(clippy::arithmetic_side_effects, reason = "entries that are in memory can be counted")]
    pub fn take_crossed(&mut self, level: i64, mut tell: impl FnMut(AccountId, i64)) {
        while let Some(mut last) = self.buckets.last_entry() {
            let bucket = last.get_mut();
            if bucket.nearest <= level {
                return;
            }
            let before = bucket.entries.len();
            // In the level's own bucket only some are crossed.
            let is_boundary = *last.key() <= bucket_of(level);
            let bucket = last.get_mut();
            bucket.nearest = i64::MIN;
            bucket.entries.retain(|entry| {
                let stays = is_boundary && entry.key <= level;
                if stays {
                    bucket.nearest = bucket.nearest.max(entry.key);
                } else {
                    tell(entry.account, entry.key);
                }
                stays
            });
            let after = bucket.entries.len();
            if after == 0 {
                last.remove();
            }
            self.entries -= before - after;
        }
    }

    /// Clears away the entries of no account, when they are the most.
    #[expect(clippy::arithmetic_side_effects, reason = "entries that are in memory can be counted")]
    pub fn compact(&mut self, is_live: impl Fn(AccountId, i64) -> bool) {
        if self.entries <= 2 * self.live + SPARE_ENTRIES {
            return;
        }
        self.buckets.retain(|_, bucket| {
            bucket.entries.retain(|entry| is_live(entry.account, entry.key));
            // An account may have come back to a threshold that it had.
            bucket.entries.sort_unstable();
            bucket.entries.dedup();
            bucket.entries.shrink_to_fit();
            bucket.nearest = bucket.entries.last().map_or(i64::MIN, |entry| entry.key);
            !bucket.entries.is_empty()
        });
        self.entries = self.buckets.values().map(|bucket| bucket.entries.len()).sum();
    }

    /// Bytes on the heap, the tree's own nodes aside.
    #[expect(clippy::arithmetic_side_effects, reason = "entries that are in memory can be counted")]
    pub fn memory_bytes(&self) -> usize {
        let of = |bucket: &Bucket| {
            bucket.entries.capacity() * size_of::<Entry>() + size_of::<Bucket>() + size_of::<i32>()
        };
        self.buckets.values().map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> impl Strategy<Value = i64> {
        prop_oneof![-3_000_i64..3_000, any::<i64>(), Just(i64::MIN), Just(i64::MAX)]
    }

    proptest! {
        #[test]
        fn buckets_ascend_with_keys(one in key(), other in key()) {
            let by_bucket = bucket_of(one).cmp(&bucket_of(other)).then(one.cmp(&other));
            prop_assert_eq!(by_bucket, one.cmp(&other));
        }

        /// Against a plain list: exactly what is above the level goes, once.
        #[test]
        fn what_the_level_passed_is_taken_once(
            steps in prop::collection::vec((prop::collection::vec(key(), 0..40), key()), 1..12)
        ) {
            let (mut list, mut plain) = (Thresholds::default(), Vec::new());
            for (account, (keys, level)) in (0..).map(AccountId::new).zip(steps) {
                for key in keys {
                    list.push(key, account);
                    plain.push((account, key));
                }
                let mut taken = Vec::new();
                list.take_crossed(level, |account, key| taken.push((account, key)));
                let mut crossed: Vec<_> = plain.extract_if_above(level);
                taken.sort_unstable();
                crossed.sort_unstable();
                prop_assert_eq!(taken, crossed);
                prop_assert_eq!(list.entries, plain.len());
            }
        }
    }

    trait Above {
        fn extract_if_above(&mut self, level: i64) -> Vec<(AccountId, i64)>;
    }

    impl Above for Vec<(AccountId, i64)> {
        fn extract_if_above(&mut self, level: i64) -> Vec<(AccountId, i64)> {
            let (above, below) = self.iter().partition(|(_, key)| *key > level);
            *self = below;
            above
        }
    }

    #[test]
    fn what_is_forgotten_is_cleared_away() {
        let mut list = Thresholds::default();
        for key in 0..10_000 {
            list.push(key, AccountId::new(7));
            if key > 0 {
                list.forget(1);
            }
            list.compact(|_, of| of == key);
            assert!(list.entries <= 2 + SPARE_ENTRIES, "{}", list.entries);
        }
        let mut taken = Vec::new();
        list.compact(|_, of| of == 9_999);
        list.take_crossed(9_998, |account, key| taken.push((account, key)));
        assert_eq!(taken, [(AccountId::new(7), 9_999)]);
    }
}
