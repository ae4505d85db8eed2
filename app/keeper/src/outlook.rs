//! Liquidations to come, from a node's metrics page.

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prometheus_parse::{Sample, Scrape, Value};

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
    notes(&String::from_utf8_lossy(&body.to_bytes()))
}

/// A note for every sample of [`NEAR`] above 0.
fn notes(page: &str) -> Vec<Note> {
    let scrape = Scrape::parse(page.lines().map(|line| Ok(line.to_owned())));
    let samples = scrape.map(|scrape| scrape.samples).unwrap_or_default();
    samples.iter().filter(|sample| sample.metric == NEAR).filter_map(note).collect()
}

fn note(sample: &Sample) -> Option<Note> {
    let (Value::Gauge(usdc) | Value::Untyped(usdc)) = sample.value else { return None };
    // USDC without the fraction; the cast saturates.
    let near_usdc = Some(usdc as u64).filter(|usdc| *usdc > 0)?;
    let label = |name: &str| sample.labels.get(name).map(str::to_owned);
    Some(Note::Outlook { market: label("market")?, near_usdc, distance: label("distance")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_page_becomes_a_note() {
        let note = |market: &str, near_usdc, distance: &str| {
            vec![Note::Outlook { market: market.into(), near_usdc, distance: distance.into() }]
        };
        for (line, expected) in [
            (
                "tidemark_notional_near_liquidation_usdc{distance=\"1%\",market=\"BTC-USD\"} \
                 1234.5",
                note("BTC-USD", 1234, "1%"),
            ),
            (
                "tidemark_notional_near_liquidation_usdc{distance=\"1%\",market=\"BTC-USD\"} 0",
                vec![],
            ),
            ("tidemark_accounts 3", vec![]),
            ("# HELP tidemark_notional_near_liquidation_usdc notional", vec![]),
            ("# TYPE tidemark_notional_near_liquidation_usdc gauge", vec![]),
        ] {
            assert_eq!(notes(line), expected, "{line}");
        }
    }
}
