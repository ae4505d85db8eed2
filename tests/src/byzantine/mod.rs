//! A `tidemarkd` that misbehaves, for tests of the honest ones: the frame of the programs
//! `byzantine-*` and `hostile-*`.

pub mod misvote;
pub mod unseen;

use std::path::PathBuf;
use std::process::ExitCode;

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::*;
use tidemark_consensus::abci::Node;
use tidemark_node::start::{start_with, StartOptions};

/// A way to misbehave. Each call is the honest node's until a behaviour overrides the call.
pub trait Behaviour: Clone + Send + 'static {
    /// The honest node.
    fn node(&self) -> &Node;

    /// CometBFT asks for a proposal.
    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        self.node().prepare_proposal(request)
    }

    /// CometBFT asks for a verdict on a proposal.
    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        self.node().process_proposal(request)
    }

    /// CometBFT asks for the extension of this validator's precommit.
    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        self.node().extend_vote(request)
    }

    /// CometBFT asks for a verdict on another validator's extension.
    fn verify_vote_extension(
        &self,
        request: RequestVerifyVoteExtension,
    ) -> ResponseVerifyVoteExtension {
        self.node().verify_vote_extension(request)
    }

    /// CometBFT asks whether its mempool takes, or keeps, a transaction.
    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        self.node().check_tx(request)
    }

    /// Looks at a block that is decided. What it changes is not for a behaviour to say.
    fn decided(&self, _block: &RequestFinalizeBlock) {}
}

/// The node as CometBFT sees the node: a behaviour where it may deviate without another app hash,
/// the honest application everywhere else.
#[derive(Clone)]
struct Byzantine<B>(B);

impl<B: Behaviour> Application for Byzantine<B> {
    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        self.0.prepare_proposal(request)
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        self.0.process_proposal(request)
    }

    fn extend_vote(&self, request: RequestExtendVote) -> ResponseExtendVote {
        self.0.extend_vote(request)
    }

    fn verify_vote_extension(
        &self,
        request: RequestVerifyVoteExtension,
    ) -> ResponseVerifyVoteExtension {
        self.0.verify_vote_extension(request)
    }

    fn info(&self, request: RequestInfo) -> ResponseInfo {
        self.0.node().info(request)
    }

    fn init_chain(&self, request: RequestInitChain) -> ResponseInitChain {
        self.0.node().init_chain(request)
    }

    fn query(&self, request: RequestQuery) -> ResponseQuery {
        self.0.node().query(request)
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        self.0.check_tx(request)
    }

    fn finalize_block(&self, request: RequestFinalizeBlock) -> ResponseFinalizeBlock {
        self.0.decided(&request);
        self.0.node().finalize_block(request)
    }

    fn commit(&self) -> ResponseCommit {
        self.0.node().commit()
    }
}

/// The home that the command line names.
#[must_use]
pub fn home() -> Option<PathBuf> {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == "--home")?;
    words.get(at + 1).map(PathBuf::from)
}

/// The program `NAME start --home HOME`: runs the node at `HOME` with a behaviour around the
/// application.
pub async fn run<B: Behaviour>(name: &str, behaviour: impl FnOnce(Node) -> B) -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let Some(home) = home() else {
        eprintln!("usage: {name} start --home HOME");
        return ExitCode::FAILURE;
    };
    let options = StartOptions { external_comet: false, threads: None, sidecar: None };
    match start_with(&home, &options, |node| Byzantine(behaviour(node))).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}
