//! `byzantine-twin start --home HOME`: a `tidemarkd` that refuses every second block, whatever it
//! holds. With the key of a validator that accepts the blocks, it makes that validator vote for
//! both. For tests of the honest ones.

use std::process::ExitCode;

use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{RequestProcessProposal, ResponseProcessProposal};
use tidemark_consensus::abci::Node;
use tidemark_tests::byzantine::{self, Behaviour};

#[derive(Clone)]
struct Twin {
    node: Node,
}

impl Behaviour for Twin {
    fn node(&self) -> &Node {
        &self.node
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        let accepts = request.height % 2 == 0;
        let status = if accepts { ProposalStatus::Accept } else { ProposalStatus::Reject };
        tracing::info!(height = request.height, "votes {status:?}");
        ResponseProcessProposal { status: status as i32 }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    byzantine::run("byzantine-twin", |node| Twin { node }).await
}
