//! Ways to vote wrongly.

use tidemark_consensus::votes::MAX_EXTENSION_BYTES;
use tidemark_oracle::report::{self, Limits, PriceReport, Report};
use tidemark_proto::units::{MarketId, Ticks};

/// A way to vote. The log names it.
#[derive(Clone, Copy, Debug)]
pub enum Misvote {
    /// A late extension with a byte more than it may have.
    LateLarge,
    /// As much as CometBFT's log and network take, late.
    LateLargest,
    /// Short and undecodable, late.
    LateGarbage,
    /// Undecodable, in time.
    Garbage,
    /// As large an extension in time: honest validators refuse the vote.
    Large,
    /// A right report of markets that only another chain has.
    ForeignMarkets,
}

/// All of them.
pub const MISVOTES: [Misvote; 6] = [
    Misvote::LateLarge,
    Misvote::LateLargest,
    Misvote::LateGarbage,
    Misvote::Garbage,
    Misvote::Large,
    Misvote::ForeignMarkets,
];

impl Misvote {
    /// The way for a height: each in turn.
    #[must_use]
    pub fn at(height: i64) -> Self {
        MISVOTES[usize::try_from(height).unwrap_or(0) % MISVOTES.len()]
    }

    /// The bytes in the vote.
    #[must_use]
    pub fn extension(self) -> Vec<u8> {
        let nonsense = |bytes| vec![0xee; bytes];
        match self {
            // Below a mebibyte: CometBFT bounds a message by that, with its other fields.
            Self::LateLargest => nonsense(1_000_000),
            Self::LateLarge | Self::Large => nonsense(MAX_EXTENSION_BYTES + 1),
            Self::LateGarbage | Self::Garbage => nonsense(60),
            Self::ForeignMarkets => foreign_markets(),
        }
    }

    /// True if the vote comes when the others have decided.
    #[must_use]
    pub fn is_late(self) -> bool {
        matches!(self, Self::LateLarge | Self::LateLargest | Self::LateGarbage)
    }
}

fn foreign_markets() -> Vec<u8> {
    let price = |id| PriceReport {
        market: MarketId::new(id),
        index_ticks: Some(Ticks::new(1_000)),
        external_ticks: None,
    };
    let report = Report { prices: (100..110).map(price).collect() };
    report::encode(&report, &|_| None, Limits::default()).unwrap_or_default()
}
