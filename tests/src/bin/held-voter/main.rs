//! `held-voter start --home HOME`: a `tidemarkd` whose ProcessProposal a test can hold, or have
//! refuse once. For tests in which votes must come in a certain order.
//!
//! Only blocks with transactions are concerned. While the home has a file `hold`, the verdict
//! waits, and the file `held` says so. A file `refuse` has one block refused, and goes.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tendermint_abci::Application as _;
use tendermint_proto::v0_38::abci::response_process_proposal::ProposalStatus;
use tendermint_proto::v0_38::abci::{RequestProcessProposal, ResponseProcessProposal};
use tidemark_consensus::abci::Node;
use tidemark_tests::byzantine::{run, Behaviour};

/// Between two looks at a file.
const POLL: Duration = Duration::from_millis(20);

#[derive(Clone)]
struct Held {
    node: Node,
    home: Arc<PathBuf>,
}

impl Behaviour for Held {
    fn node(&self) -> &Node {
        &self.node
    }

    fn process_proposal(&self, request: RequestProcessProposal) -> ResponseProcessProposal {
        let has_transactions = request.txs.len() > 1;
        if has_transactions && fs::remove_file(self.home.join("refuse")).is_ok() {
            tracing::info!(height = request.height, "refuses a block once");
            return ResponseProcessProposal { status: ProposalStatus::Reject as i32 };
        }
        let hold = self.home.join("hold");
        if has_transactions && hold.exists() {
            tracing::info!(height = request.height, "holds its verdict");
            if let Err(error) = fs::write(self.home.join("held"), []) {
                tracing::error!("cannot say that it holds: {error}");
            }
            while hold.exists() {
                thread::sleep(POLL);
            }
        }
        self.node.process_proposal(request)
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let home = std::env::args().skip_while(|word| word != "--home").nth(1).unwrap_or_default();
    let home = Arc::new(PathBuf::from(home));
    run("held-voter", |node| Held { node, home }).await
}
