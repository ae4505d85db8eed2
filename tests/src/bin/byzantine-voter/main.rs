//! `byzantine-voter start --home HOME`: a `tidemarkd` whose vote extensions are late, large, or
//! nonsense. For tests of the honest ones.
//!
//! An application cannot sign votes, but it decides when CometBFT can: while ExtendVote sleeps, the
//! others decide the block without this vote and wait their `timeout_commit`. CometBFT then signs
//! the vote and offers it to them as one more of the last commit, and nobody is asked about its
//! extension.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::*;
use tidemark_consensus::abci::Node;
use tidemark_consensus::votes::MAX_EXTENSION_BYTES;
use tidemark_node::start::{start_with, StartOptions};

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
}

const MISVOTES: [Misvote; 5] = [
    Misvote::LateLarge,
    Misvote::LateLargest,
    Misvote::LateGarbage,
    Misvote::Garbage,
    Misvote::Large,
];

impl Misvote {
    fn bytes(self) -> usize {
        match self {
            // Below a mebibyte: CometBFT bounds a message by that, with its other fields.
            Self::LateLargest => 1_000_000,
            Self::LateLarge | Self::Large => MAX_EXTENSION_BYTES + 1,
            Self::LateGarbage | Self::Garbage => 60,
        }
    }

    fn is_late(self) -> bool {
        matches!(self, Self::LateLarge | Self::LateLargest | Self::LateGarbage)
    }
}

#[derive(Clone)]
struct Byzantine {
    node: Node,
}

impl Application for Byzantine {
    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        let at = usize::try_from(request.height).unwrap_or(0) % MISVOTES.len();
        let misvote = MISVOTES[at];
        tracing::info!(height = request.height, "votes {misvote:?}");
        if misvote.is_late() {
            std::thread::sleep(LATE);
        }
        ResponseExtendVote { vote_extension: vec![0xee; misvote.bytes()].into() }
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        self.node.prepare_proposal(request)
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        self.node.process_proposal(request)
    }

    fn info(&self, request: RequestInfo) -> ResponseInfo {
        self.node.info(request)
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        self.node.init_chain(request)
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        self.node.query(request)
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        self.node.check_tx(request)
    }

    fn verify_vote_extension(
        &self,
        request: RequestVerifyVoteExtension,
    ) -> ResponseVerifyVoteExtension {
        self.node.verify_vote_extension(request)
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        self.node.finalize_block(request)
    }

    fn commit(&self) -> ResponseCommit {
        self.node.commit()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let words: Vec<String> = std::env::args().collect();
    let home = words.iter().position(|word| word == "--home").and_then(|at| words.get(at + 1));
    let Some(home) = home.map(PathBuf::from) else {
        eprintln!("usage: byzantine-voter start --home HOME");
        return ExitCode::FAILURE;
    };
    let options = StartOptions { external_comet: false, threads: None, sidecar: None };
    match start_with(&home, &options, |node| Byzantine { node }).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("byzantine-voter: {why}");
            ExitCode::FAILURE
        }
    }
}
