//! The node's CometBFT as its RPC tells it, asked every few seconds.

use serde_json::{json, Value};
use tidemark_comet::rpc_client::RpcClient;

/// Figures of CometBFT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CometFigures {
    /// It fetches old blocks and takes no part in consensus.
    pub is_catching_up: bool,
    /// Connected peers.
    pub peers: u64,
    /// Transactions in its mempool.
    pub mempool: u64,
    /// The round that it is in: above 0 where a proposal has failed.
    pub round: u64,
}

/// Asks; `None` while it does not answer, as during the replay at its start.
pub(super) async fn ask(rpc: &RpcClient) -> Option<CometFigures> {
    let is_catching_up = rpc.status().await.ok()?.catching_up;
    let net = rpc.call("net_info", json!({})).await.ok()?;
    let mempool = rpc.call("num_unconfirmed_txs", json!({})).await.ok()?;
    let consensus = rpc.call("consensus_state", json!({})).await.ok()?;
    Some(CometFigures {
        is_catching_up,
        peers: number(&net["n_peers"])?,
        mempool: number(&mempool["n_txs"])?,
        round: round(&consensus).unwrap_or(0),
    })
}

/// CometBFT writes its integers as texts.
fn number(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

/// The round of `height/round/step`.
fn round(consensus: &Value) -> Option<u64> {
    let place = consensus["round_state"]["height/round/step"].as_str()?;
    place.split('/').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_comet_bft_writes_them() {
        let consensus = json!({ "round_state": { "height/round/step": "36/2/3" } });
        assert_eq!((round(&consensus), round(&json!({}))), (Some(2), None));
        assert_eq!((number(&json!("3")), number(&json!(3))), (Some(3), None));
    }
}
