//! Info: which height the application has.

use tendermint_proto::v0_38::abci::{RequestInfo, ResponseInfo};
use tidemark_engine::state::PROTOCOL_VERSION;

use super::Node;

/// The height and app hash of the state in memory; 0 after a start, so that CometBFT replays its
/// blocks.
pub(super) fn info(node: &Node, _request: &RequestInfo) -> ResponseInfo {
    let consensus = node.consensus();
    let (height, app_hash) = consensus
        .state
        .as_ref()
        .map_or((0, Vec::new()), |state| (state.chain.height, state.app_hash.to_vec()));
    ResponseInfo {
        data: "tidemark".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        app_version: u64::from(PROTOCOL_VERSION),
        last_block_height: i64::try_from(height).unwrap_or(i64::MAX),
        last_block_app_hash: app_hash.into(),
    }
}
