//! Query over ABCI: what CosmJS needs of a wallet's account. Everything else is on gRPC.

use cosmos_sdk_proto::cosmos::auth::v1beta1::{QueryAccountRequest, QueryAccountResponse};
use prost::Message as _;
use tendermint_proto::v0_38::abci::{RequestQuery, ResponseQuery};
use tidemark_proto::codes::CODESPACE;

use super::Node;
use crate::cosmos_account::{account, cosmos_error};

/// Answers `/cosmos.auth.v1beta1.Query/Account`; refuses other paths with a sentence.
pub(super) fn query(node: &Node, request: &RequestQuery) -> ResponseQuery {
    let view = node.inner.publisher.view();
    // CosmJS takes a height of 0 for "no answer".
    let height = i64::try_from(view.chain.height.max(1)).unwrap_or(i64::MAX);
    let refused = |log: String| ResponseQuery {
        code: 1,
        log,
        codespace: CODESPACE.into(),
        height,
        ..Default::default()
    };
    if request.path != "/cosmos.auth.v1beta1.Query/Account" {
        let shown: String = request.path.chars().take(80).collect();
        return refused(format!("unknown query path {shown:?}; queries are on gRPC"));
    }
    let answer = QueryAccountRequest::decode(request.data.clone())
        .map_err(|e| format!("rpc error: code = InvalidArgument desc = {e}"))
        .and_then(|query| account(&view, &query.address).map_err(|refusal| cosmos_error(&refusal)));
    match answer {
        Ok(account) => {
            let value = QueryAccountResponse { account: Some(account) }.encode_to_vec();
            ResponseQuery { value: value.into(), height, ..Default::default() }
        }
        Err(log) => refused(log),
    }
}
