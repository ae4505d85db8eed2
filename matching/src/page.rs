//! A page of 4 096 adjacent price keys: occupied keys, changed keys, and the digests over them.

#![expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "offsets are below 4096, groups and words below 64"
)]

use crate::arena::NONE;
use crate::digest::Digest;

pub(crate) const PAGE_BITS: u32 = 12;
/// Keys in a page.
pub(crate) const PAGE_KEYS: usize = 1 << PAGE_BITS;
/// Binary logarithm of the keys in a group, which is one word of a bitmap.
pub(crate) const GROUP_BITS: u32 = 6;

/// Returns the page number of a key.
pub(crate) const fn page_number(key: u64) -> u64 {
    key >> PAGE_BITS
}
/// Returns the key's offset in its page.
pub(crate) const fn page_offset(key: u64) -> usize {
    (key & (PAGE_KEYS as u64 - 1)) as usize
}

/// A set of offsets in a page: 64 words, and a summary word with a bit for each word that is not 0.
#[derive(Clone, Debug)]
pub(crate) struct Bits {
    words: [u64; 64],
    summary: u64,
}

impl Bits {
    pub(crate) const EMPTY: Self = Self { words: [0; 64], summary: 0 };

    #[inline]
    pub(crate) const fn is_empty(&self) -> bool {
        self.summary == 0
    }
    #[inline]
    #[cfg(any(test, feature = "model"))]
    pub(crate) const fn contains(&self, offset: usize) -> bool {
        self.words[offset >> GROUP_BITS] & (1 << (offset & 63)) != 0
    }
    /// Inserts an offset. Returns true if the set was empty.
    #[inline]
    pub(crate) fn insert(&mut self, offset: usize) -> bool {
        let was_empty = self.summary == 0;
        self.words[offset >> GROUP_BITS] |= 1 << (offset & 63);
        self.summary |= 1 << (offset >> GROUP_BITS);
        was_empty
    }
    #[inline]
    pub(crate) fn remove(&mut self, offset: usize) {
        let word = &mut self.words[offset >> GROUP_BITS];
        *word &= !(1 << (offset & 63));
        if *word == 0 {
            self.summary &= !(1 << (offset >> GROUP_BITS));
        }
    }
    /// Returns the highest offset.
    pub(crate) const fn last(&self) -> Option<usize> {
        if self.summary == 0 {
            return None;
        }
        let group = self.summary.ilog2() as usize;
        Some((group << GROUP_BITS) | self.words[group].ilog2() as usize)
    }
    /// Returns the highest offset below `offset`.
    pub(crate) const fn before(&self, offset: usize) -> Option<usize> {
        let group = offset >> GROUP_BITS;
        let word = self.words[group] & ((1 << (offset & 63)) - 1);
        if word != 0 {
            return Some((group << GROUP_BITS) | word.ilog2() as usize);
        }
        let lower = self.summary & ((1 << group) - 1);
        if lower == 0 {
            return None;
        }
        let group = lower.ilog2() as usize;
        Some((group << GROUP_BITS) | self.words[group].ilog2() as usize)
    }
    /// Returns the groups that contain an offset, ascending.
    pub(crate) fn groups(&self) -> impl Iterator<Item = usize> {
        ones(self.summary)
    }
    /// Returns the offsets of one group, ascending.
    pub(crate) fn group(&self, group: usize) -> impl Iterator<Item = usize> {
        ones(self.words[group]).map(move |bit| (group << GROUP_BITS) | bit)
    }
}

/// Returns the set bits of a word, ascending.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) number: u64,
    pub(crate) occupied: Bits,
    /// Levels changed since their digests were computed.
    pub(crate) stale: Bits,
    /// Levels changed since they were last reported.
    pub(crate) changed: Bits,
    /// Level of each occupied offset; [`NONE`] elsewhere.
    pub(crate) levels: [u32; PAGE_KEYS],
    pub(crate) groups: [Digest; 64],
    pub(crate) digest: Digest,
}

impl Page {
    pub(crate) fn new(number: u64) -> Self {
        Self {
            number,
            occupied: Bits::EMPTY,
            stale: Bits::EMPTY,
            changed: Bits::EMPTY,
            levels: [NONE; PAGE_KEYS],
            groups: [Digest::default(); 64],
            digest: Digest::default(),
        }
    }
    /// Returns true if the page has no level and no change left to hash or report.
    pub(crate) const fn is_unused(&self) -> bool {
        self.occupied.is_empty() && self.stale.is_empty() && self.changed.is_empty()
    }
    pub(crate) const fn key(&self, offset: usize) -> u64 {
        (self.number << PAGE_BITS) | offset as u64
    }
}
