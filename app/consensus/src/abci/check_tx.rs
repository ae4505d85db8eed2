//! CheckTx: whether the mempool takes a transaction or a bundle of them, and keeps it. Against the
//! last committed view; never touches a book.

use tendermint_proto::v0_38::abci::{CheckTxType, RequestCheckTx, ResponseCheckTx};
use tidemark_proto::codes::CODESPACE;
use tidemark_proto::tx::bundle::is_bundle;
use tidemark_proto::{Code, Refusal};

use super::Node;
use crate::queue::Origin;

/// Offers what is new to the node's queue, and asks the queue for what is in the mempool.
pub(super) fn check_tx(node: &Node, request: &RequestCheckTx) -> ResponseCheckTx {
    let (queue, tx, is_bundle) = (&node.inner.queue, &request.tx, is_bundle(&request.tx));
    let is_new = request.r#type != CheckTxType::Recheck as i32;
    let taken = match (is_new, is_bundle) {
        (true, true) => queue.take_bundle(tx, node.inner.threads),
        (true, false) => queue.offer(tx, Origin::Mempool).map(drop),
        (false, true) if queue.carries(tx) => Ok(()),
        (false, false) if queue.holds(tx) => Ok(()),
        (false, _) => Err(Refusal::new(Code::TxExpired, "it waits no longer in this node's queue")),
    };
    // No gas: CometBFT would cut what it offers by it.
    taken.map_or_else(refused, |()| ResponseCheckTx::default())
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
