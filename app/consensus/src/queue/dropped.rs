//! Transactions that the queue has dropped: the answer to whoever asks for one, and the memory of
//! them. What a node refused once, it refuses again, else the mempools of two nodes would hand it
//! to each other for ever.

use std::collections::BTreeSet;

use tidemark_proto::types::{TxHash, TxNumber, NONCE_BEHIND_MS};
use tidemark_proto::{Code, Refusal};

use super::limits::TX_LIFETIME_BLOCKS;

/// Whoever is told of each transaction that the queue drops.
pub trait DropSink: std::fmt::Debug + Send + Sync {
    /// Takes transactions that wait no longer and that no block has, as far as this node knows.
    fn dropped(&self, dropped: Vec<Dropped>);
}

/// A transaction that the queue has dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its identity.
    pub hash: TxHash,
    /// The sequence or the nonce that it would have used up.
    pub number: TxNumber,
    /// The last block that may hold it; 0 is any.
    pub timeout_height: u64,
    /// The newest block when it was dropped.
    pub height: u64,
    /// The owner's next free sequence then.
    pub next_free: u64,
    /// The reason.
    pub why: DropReason,
}

/// Reason why the queue drops a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// It has waited for as long as a node keeps one.
    Lifetime,
    /// A sequence before it is missing, or was dropped.
    Behind,
    /// The queue was full, and its owner had most there.
    Room,
    /// No block will carry it out.
    Refused(Refusal),
}

impl DropReason {
    /// The word of a reason in metrics: `lifetime`, `behind`, `room`, or the code of a refusal.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Lifetime => "lifetime",
            Self::Behind => "behind",
            Self::Room => "room",
            Self::Refused(refusal) => refusal.code.word(),
        }
    }
}

impl Dropped {
    /// The answer to whoever waits for it or asks: that of the chain where no block will carry it
    /// out, else `TX_DROPPED`, with what makes its end certain.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let why = match &self.why {
            DropReason::Refused(refusal) if self.number.agent.is_some() => return refusal.clone(),
            DropReason::Refused(refusal) => {
                let next = self.next_free;
                let message = format!("{}; the next free sequence is {next}", refusal.message);
                return Refusal::new(refusal.code, message);
            }
            DropReason::Lifetime => format!("it has waited for {TX_LIFETIME_BLOCKS} blocks"),
            DropReason::Behind => "it waits no longer for the sequences before it".to_owned(),
            DropReason::Room => {
                "the queue was full, and no account had more there than this one".to_owned()
            }
        };
        let until = match self.timeout_height {
            0 => String::new(),
            timeout_height => format!("block {timeout_height} or "),
        };
        let number = self.number.number;
        let (until, next) = match self.number.agent {
            Some(_) => {
                let last_ms = number.saturating_add(NONCE_BEHIND_MS.get());
                (format!("{until}a block time of {last_ms}"), String::new())
            }
            None => (
                format!("{until}the use of sequence {number}"),
                format!("; the next free sequence is {}", self.next_free),
            ),
        };
        let height = self.height;
        Refusal::new(
            Code::TxDropped,
            format!(
                "this node dropped it at block {height}: {why}; another node may have it, up to \
                 {until}{next}"
            ),
        )
    }
}

/// Most hashes of one generation; two are kept: 6 MiB.
const GENERATION: usize = 32_768;

/// Hashes of transactions that were dropped, the newest 32 768 at least.
#[derive(Debug, Default)]
pub(super) struct DroppedHashes {
    young: BTreeSet<TxHash>,
    old: BTreeSet<TxHash>,
}

impl DroppedHashes {
    pub(super) fn contains(&self, hash: &TxHash) -> bool {
        self.young.contains(hash) || self.old.contains(hash)
    }

    pub(super) fn insert(&mut self, hash: TxHash) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
    }
}
