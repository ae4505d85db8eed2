//! `byzantine-voter start --home HOME`: a `tidemarkd` whose vote extensions are late, large,
//! nonsense or another chain's. For tests of the honest ones.
//!
//! An application cannot sign votes, but it decides when CometBFT can: while ExtendVote sleeps, the
//! others decide the block without this vote and wait their `timeout_commit`. CometBFT then signs
//! the vote and offers it to them as one more of the last commit, and nobody is asked about its
//! extension.

use std::process::ExitCode;
use std::time::Duration;

use tendermint_proto::v0_38::abci::{RequestExtendVote, ResponseExtendVote};
use tidemark_consensus::abci::Node;
use tidemark_consensus::votes::MAX_EXTENSION_BYTES;
use tidemark_oracle::report::{self, Limits, PriceReport, Report};
use tidemark_proto::units::{MarketId, Ticks};
use tidemark_tests::byzantine::{self, Behaviour};

/// How long a late vote waits: longer than honest votes take, shorter than the test's
/// `timeout_commit`.
const LATE: Duration = Duration::from_millis(350);

/// A way to vote. The log names it.
#[derive(Clone, Copy, Debug)]
enum Misvote {
    /// One byte more than an extension may have, late.
    LateLarge,
    /// As much as CometBFT's log and network take, late.
    LateLargest,
    /// Short and undecodable, late.
    LateGarbage,
    /// Undecodable, in time.
    Garbage,
    /// One byte more than an extension may have, in time: honest validators refuse the vote.
    Large,
    /// A right report of markets that only another chain has.
    ForeignMarkets,
}

const MISVOTES: [Misvote; 6] = [
    Misvote::LateLarge,
    Misvote::LateLargest,
    Misvote::LateGarbage,
    Misvote::Garbage,
    Misvote::Large,
    Misvote::ForeignMarkets,
];

impl Misvote {
    fn extension(self) -> Vec<u8> {
        let nonsense = |bytes| vec![0xee; bytes];
        match self {
            // Below a mebibyte: CometBFT bounds a message by that, with its other fields.
            Self::LateLargest => nonsense(1_000_000),
            Self::LateLarge | Self::Large => nonsense(MAX_EXTENSION_BYTES + 1),
            Self::LateGarbage | Self::Garbage => nonsense(60),
            Self::ForeignMarkets => foreign_markets(),
        }
    }

    fn is_late(self) -> bool {
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

#[derive(Clone)]
struct Voter {
    node: Node,
}

impl Behaviour for Voter {
    fn node(&self) -> &Node {
        &self.node
    }

    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        let at = usize::try_from(request.height).unwrap_or(0) % MISVOTES.len();
        let misvote = MISVOTES[at];
        tracing::info!(height = request.height, "votes {misvote:?}");
        if misvote.is_late() {
            std::thread::sleep(LATE);
        }
        ResponseExtendVote { vote_extension: misvote.extension().into() }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    byzantine::run("byzantine-voter", |node| Voter { node }).await
}
