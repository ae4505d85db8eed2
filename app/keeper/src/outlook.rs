//! What a node's metrics page says of liquidations to come.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::Note;

/// Largest page that is read.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;
const NEAR: &str = "tidemark_notional_near_liquidation_usdc";

/// Positions near liquidation by market and distance; nothing where the page cannot be read: the
/// keeper works without.
pub(super) async fn read(address: &str) -> Vec<Note> {
    let Ok(uri) = format!("http://{address}/metrics").parse() else { return Vec::new() };
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let Ok(answer) = client.get(uri).await else { return Vec::new() };
    let Ok(body) = Limited::new(answer.into_body(), MAX_PAGE_BYTES).collect().await else {
        return Vec::new();
    };
    let page = body.to_bytes();
    String::from_utf8_lossy(&page).lines().filter_map(near).collect()
}

/// `…{distance="1%",market="BTC-USD"} 1234.5`, with something near.
fn near(line: &str) -> Option<Note> {
    let (labels, value) = line.strip_prefix(NEAR)?.rsplit_once(' ')?;
    let label = |name: &str| {
        let rest = labels.split_once(&format!("{name}=\""))?.1;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let near_usdc = value.split('.').next()?.parse().ok().filter(|usdc| *usdc > 0)?;
    Some(Note::Outlook { market: label("market")?, near_usdc, distance: label("distance")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_page_becomes_a_note() {
        let note = |market: &str, near_usdc, distance: &str| {
            Some(Note::Outlook { market: market.into(), near_usdc, distance: distance.into() })
        };
        for (line, expected) in [
            (
                "tidemark_notional_near_liquidation_usdc{distance=\"1%\",market=\"BTC-USD\"} \
                 1234.5",
                note("BTC-USD", 1234, "1%"),
            ),
            ("tidemark_notional_near_liquidation_usdc{distance=\"1%\",market=\"BTC-USD\"} 0", None),
            ("tidemark_accounts 3", None),
            ("# HELP tidemark_notional_near_liquidation_usdc notional", None),
        ] {
            assert_eq!(near(line), expected, "{line}");
        }
    }
}
