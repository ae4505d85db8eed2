//! The measured parts of a block.

/// The measured parts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Phase {
    /// PrepareProposal, on the proposer.
    Prepare,
    /// ProcessProposal.
    Process,
    /// Decoding and signatures in FinalizeBlock.
    Decode,
    /// Index and marks.
    Prices,
    /// Funding.
    Funding,
    /// Expiries.
    Expiries,
    /// The liquidation sweep.
    Sweep,
    /// Triggers and TWAP slices.
    Triggers,
    /// Transactions.
    Transactions,
    /// Market statistics and invariants.
    Invariants,
    /// The app hash.
    Hash,
    /// Commit: publishing the view.
    Commit,
}

impl Phase {
    /// All, in order.
    pub const ALL: [Self; 12] = [
        Self::Prepare,
        Self::Process,
        Self::Decode,
        Self::Prices,
        Self::Funding,
        Self::Expiries,
        Self::Sweep,
        Self::Triggers,
        Self::Transactions,
        Self::Invariants,
        Self::Hash,
        Self::Commit,
    ];

    /// The name on metrics and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare_proposal",
            Self::Process => "process_proposal",
            Self::Decode => "decode",
            Self::Prices => "prices",
            Self::Funding => "funding",
            Self::Expiries => "expiries",
            Self::Sweep => "liquidation_sweep",
            Self::Triggers => "triggers",
            Self::Transactions => "transactions",
            Self::Invariants => "invariants",
            Self::Hash => "app_hash",
            Self::Commit => "commit",
        }
    }
}
