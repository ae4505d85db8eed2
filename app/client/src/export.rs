//! The whole state of a running node, as JSON.

use std::io::Write;

use tidemark_proto::v1::ExportRequest;

use super::Client;

/// Writes the state after the node's newest block to `out`; returns the number of bytes.
///
/// # Errors
/// A sentence: the node cannot be reached, or `out` not be written.
pub async fn export(node: &str, out: &mut impl Write) -> Result<u64, String> {
    let client = Client::connect(node).await.map_err(|error| error.to_string())?;
    let mut queries = client.queries();
    let mut chunks = queries
        .export(ExportRequest {})
        .await
        .map_err(|status| status.message().to_owned())?
        .into_inner();
    let mut bytes = 0_u64;
    while let Some(chunk) = chunks.message().await.map_err(|status| status.message().to_owned())? {
        out.write_all(&chunk.json).map_err(|e| format!("cannot write the export: {e}"))?;
        bytes += chunk.json.len() as u64;
    }
    Ok(bytes)
}
