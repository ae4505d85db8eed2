//! Info: which height the application has.

use tendermint_proto::v0_38::abci::{RequestInfo, ResponseInfo};
use tidemark_engine::state::PROTOCOL_VERSION;

use super::Node;

/// The height and app hash of the last committed block. CometBFT sends a block that was carried out
/// but not committed again. After a start the height is that of the snapshot that the node goes on
/// from, 0 without one: CometBFT replays the blocks after it.
pub(super) fn info(node: &Node, _request: &RequestInfo) -> ResponseInfo {
    let view = node.inner.publisher.view();
    let height = view.chain.height;
    let app_hash = if height == 0 { Vec::new() } else { view.app_hash.to_vec() };
    ResponseInfo {
        data: "tidemark".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        app_version: u64::from(PROTOCOL_VERSION),
        last_block_height: i64::try_from(height).unwrap_or(i64::MAX),
        last_block_app_hash: app_hash.into(),
    }
}
