//! `hostile-peer start --home HOME`: a node that is no validator, whose mempool takes everything
//! and forgets everything at each block, so that the same transactions can be handed to its peers
//! again and again. For `just hostile`.

use std::process::ExitCode;

use tendermint_proto::v0_38::abci::{CheckTxType, RequestCheckTx, ResponseCheckTx};
use tidemark_consensus::abci::Node;
use tidemark_tests::byzantine::{self, Behaviour};

#[derive(Clone)]
struct Peer {
    node: Node,
}

impl Behaviour for Peer {
    fn node(&self) -> &Node {
        &self.node
    }

    fn check_tx(&self, request: RequestCheckTx) -> ResponseCheckTx {
        let is_kept = request.r#type != CheckTxType::Recheck as i32;
        ResponseCheckTx { code: u32::from(!is_kept), ..Default::default() }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    byzantine::run("hostile-peer", |node| Peer { node }).await
}
