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
use tidemark_tests::byzantine::misvote::Misvote;
use tidemark_tests::byzantine::{self, Behaviour};

/// How long a late vote waits: longer than honest votes take, shorter than the test's
/// `timeout_commit`.
const LATE: Duration = Duration::from_millis(350);

#[derive(Clone)]
struct Voter {
    node: Node,
}

impl Behaviour for Voter {
    fn node(&self) -> &Node {
        &self.node
    }

    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        let misvote = Misvote::at(request.height);
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
