//! CheckTx: whether the mempool takes a transaction. Against the last committed view; never touches
//! a book.

use tendermint_proto::v0_38::abci::{RequestCheckTx, ResponseCheckTx};
use tidemark_proto::codes::CODESPACE;
use tidemark_proto::{Code, Refusal};

use super::Node;

/// Checks form, signature (once), sequence and timeout.
pub(super) fn check_tx(node: &Node, request: &RequestCheckTx) -> ResponseCheckTx {
    let view = node.inner.publisher.view();
    let result = node.inner.cache.check(&request.tx, view.max_tx_bytes()).and_then(|tx| {
        view.admits(&tx)?;
        Ok(tx.gas_limit)
    });
    match result {
        Ok(gas) => ResponseCheckTx {
            gas_wanted: i64::try_from(gas).unwrap_or(i64::MAX),
            ..Default::default()
        },
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
