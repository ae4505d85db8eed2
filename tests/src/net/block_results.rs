//! A block's results, as CometBFT tells them.

use base64::engine::general_purpose::STANDARD as BASE64;
use base64::Engine as _;
use serde_json::Value;
use tidemark_proto::tx::list_rows;

/// How many senders' transactions a block has, by the answer to `block_results`: those that stand
/// by themselves behind the prices, and those of its own list.
#[must_use]
pub fn transactions(results: &Value) -> usize {
    let behind_prices = results["txs_results"].as_array().into_iter().flatten().skip(1);
    behind_prices.map(|result| rows(result).unwrap_or(1)).sum()
}

/// How many rows a list's result has; `None` for any other result.
fn rows(result: &Value) -> Option<usize> {
    let data = BASE64.decode(result["data"].as_str()?).ok()?;
    list_rows(&data).map(|rows| rows.len())
}
