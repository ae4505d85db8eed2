//! Rules that keep one owner of any number of accounts from winning by acting against itself, from
//! the insurance fund, from other traders or from the chain's time.
//!
//! A search for such wins may switch a rule off, to show that the search would find what the rule
//! prevents. A node cannot: without the feature `switches` every rule stands at compile time.

#[cfg(feature = "switches")]
use std::sync::atomic::{AtomicU32, Ordering};

/// A rule, or rules that stand for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Defence {
    /// A book without the depth on both sides says nothing about mark and funding (rules §4.5).
    Depth,
    /// A book's say is clipped to the mark's band (rules §4.5).
    Band,
    /// A keeper sets aside 1 000 USDC at least, an owner has one place, and the smallest makes room
    /// (rules §7.10).
    KeeperPlaces,
    /// An order past its time never trades (rules §2.4).
    Expiry,
    /// The fund pays nothing for lots that were added a short while ago (rules §7.14).
    FreshLots,
    /// The fund pays a part of itself in a day, and a quarter of that in a block (rules §7.15).
    FundBuckets,
    /// Orders that wait to increase reserve collateral, those that reduce come first, larger ones
    /// before smaller ones, and owners have turns (rules §2.11).
    WaitingTurns,
    /// Without free collateral a position is closed at its zero price or better (rules §3.10).
    Exits,
}

#[cfg(feature = "switches")]
static OFF: AtomicU32 = AtomicU32::new(0);

impl Defence {
    /// Every rule, with its name on the command line.
    pub const ALL: [(&'static str, Self); 8] = [
        ("depth", Self::Depth),
        ("band", Self::Band),
        ("keeper-places", Self::KeeperPlaces),
        ("expiry", Self::Expiry),
        ("fresh-lots", Self::FreshLots),
        ("fund-buckets", Self::FundBuckets),
        ("waiting-turns", Self::WaitingTurns),
        ("exits", Self::Exits),
    ];

    /// Returns true if the rule stands: in a node, always.
    #[inline(always)]
    #[must_use]
    pub fn stands(self) -> bool {
        #[cfg(feature = "switches")]
        return OFF.load(Ordering::Relaxed) & (1 << self as u8) == 0;
        #[cfg(not(feature = "switches"))]
        true
    }

    /// Switches the rule off for the rest of the process.
    #[cfg(feature = "switches")]
    pub fn switch_off(self) {
        OFF.fetch_or(1 << self as u8, Ordering::Relaxed);
    }
}
