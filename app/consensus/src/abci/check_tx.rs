//! CheckTx: whether the mempool takes a transaction, and keeps it. Against the last committed view;
//! never touches a book.

use tendermint_proto::v0_38::abci::{CheckTxType, RequestCheckTx, ResponseCheckTx};
use tidemark_proto::codes::CODESPACE;
use tidemark_proto::{Code, Refusal};

use super::Node;
use crate::queue::Origin;

/// Offers a new transaction to the node's queue, and asks the queue for one that is in the mempool.
pub(super) fn check_tx(node: &Node, request: &RequestCheckTx) -> ResponseCheckTx {
    let queue = &node.inner.queue;
    if request.r#type == CheckTxType::Recheck as i32 {
        return if queue.holds(&request.tx) {
            ResponseCheckTx::default()
        } else {
            refused(Refusal::new(Code::TxExpired, "it waits no longer in this node's queue"))
        };
    }
    match queue.offer(&request.tx, Origin::Mempool) {
        // No gas: CometBFT would cut what it offers by it.
        Ok(_) => ResponseCheckTx::default(),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> ResponseCheckTx {
    let Refusal { code, message } = refusal;
    debug_assert_ne!(code, Code::Ok, "a refusal has a code");
    ResponseCheckTx {
        code: code.number(),
        log: format!("{code}: {message}"),
        codespace: CODESPACE.into(),
        ..Default::default()
    }
}
