//! `byzantine-proposer start --home HOME`: a `tidemarkd` that proposes blocks with a wrong extended
//! commit, and accepts whatever it proposed. For tests of the honest ones.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tendermint_abci::Application;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::*;
use tendermint_proto::v0_38::types::BlockIdFlag;
use tidemark_consensus::abci::Node;
use tidemark_consensus::votes;
use tidemark_tests::byzantine::{self, Behaviour};

/// A change of an extended commit. The log names the change.
#[derive(Clone, Copy, Debug)]
enum Tamper {
    /// No extended commit.
    Omit,
    /// One vote fewer.
    Drop,
    /// Two votes in each other's place.
    Reorder,
    /// Another validator's report exchanged.
    Forge,
    /// So many votes marked absent that no quorum is left.
    Trim,
    /// The extended commit of an earlier block.
    Replay,
}

const TAMPERS: [Tamper; 6] =
    [Tamper::Omit, Tamper::Drop, Tamper::Reorder, Tamper::Forge, Tamper::Trim, Tamper::Replay];

#[derive(Clone)]
struct Proposer {
    node: Node,
    proposals: Arc<AtomicUsize>,
    earlier: Arc<Mutex<Option<ExtendedCommitInfo>>>,
}

impl Proposer {
    /// The block's transactions with another extended commit in front. `None` where this commit
    /// cannot be tampered with in that way.
    fn tampered(
        &self,
        tamper: Tamper,
        mut commit: ExtendedCommitInfo,
    ) -> Option<Option<ExtendedCommitInfo>> {
        let committed = |vote: &ExtendedVoteInfo| vote.block_id_flag == BlockIdFlag::Commit as i32;
        match tamper {
            Tamper::Omit => return Some(None),
            Tamper::Drop => drop(commit.votes.pop()?),
            Tamper::Reorder => {
                let (first, last) = (commit.votes.first()?.clone(), commit.votes.last()?.clone());
                let end = commit.votes.len() - 1;
                (commit.votes[0], commit.votes[end]) = (last, first);
            }
            Tamper::Forge => {
                let victim = commit.votes.iter_mut().find(|vote| committed(vote))?;
                // An empty report, which no honest validator sends.
                victim.vote_extension = vec![1, 0].into();
            }
            Tamper::Trim => {
                for vote in commit.votes.iter_mut().skip(1) {
                    *vote = ExtendedVoteInfo {
                        validator: vote.validator.clone(),
                        block_id_flag: BlockIdFlag::Absent as i32,
                        ..ExtendedVoteInfo::default()
                    };
                }
            }
            Tamper::Replay => {
                commit = self.earlier.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
            }
        }
        Some(Some(commit))
    }
}

impl Behaviour for Proposer {
    fn node(&self) -> &Node {
        &self.node
    }

    fn prepare_proposal(&self, request: RequestPrepareProposal) -> ResponsePrepareProposal {
        let (height, commit) =
            (request.height, request.local_last_commit.clone().unwrap_or_default());
        let mut response = self.node.prepare_proposal(request);
        if height > 1 {
            let count = self.proposals.fetch_add(1, Ordering::Relaxed);
            let tamper = TAMPERS[count % TAMPERS.len()];
            if let Some(forged) = self.tampered(tamper, commit.clone()) {
                tracing::info!(height, "proposes {tamper:?}");
                response.txs.splice(..1, forged.iter().map(|commit| votes::encode(commit).into()));
            }
            *self.earlier.lock().unwrap_or_else(PoisonError::into_inner) = Some(commit);
        }
        response
    }

    fn process_proposal(&self, _request: RequestProcessProposal) -> ResponseProcessProposal {
        ResponseProcessProposal { status: ProposalStatus::Accept as i32 }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    byzantine::run("byzantine-proposer", |node| Proposer {
        node,
        proposals: Arc::default(),
        earlier: Arc::default(),
    })
    .await
}
