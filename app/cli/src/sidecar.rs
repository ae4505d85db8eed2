//! The status of a price sidecar: its connections, and how each market's price is made from the
//! prices of its venues.

use serde_json::{json, Value};
use tidemark_client::format::percent;
use tidemark_client::{sidecar_status, ClientError, Table};
use tidemark_proto::oracle_v1 as wire;

use super::CliError;

/// The status of the sidecar at `address`, of all markets or of one.
///
/// # Errors
/// [`CliError`] that names the address when nothing answers there or what answers is no sidecar,
/// and the sidecar's markets when `one` is none of them.
pub async fn ask(address: &str, one: Option<&str>) -> Result<wire::StatusResponse, CliError> {
    let answer = sidecar_status(address).await.map_err(|error| match error {
        ClientError::Unreachable { node, why } => CliError::NoSidecar { address: node, why },
        ClientError::Failed { code, .. } if code == "Unimplemented" => {
            let why = "what answers there is something else".to_owned();
            CliError::NoSidecar { address: address.to_owned(), why }
        }
        other => other.into(),
    });
    let mut answer = answer?;
    if let Some(wanted) = one {
        let known: Vec<String> =
            answer.markets.iter().map(|market| market.symbol.clone()).collect();
        answer.markets.retain(|market| market.symbol.eq_ignore_ascii_case(wanted));
        if answer.markets.is_empty() {
            let known = known.join(", ");
            return Err(CliError::Usage(format!(
                "the sidecar has no market {wanted}; its markets are: {known}"
            )));
        }
    }
    Ok(answer)
}

/// Milliseconds as seconds with one decimal.
pub(super) fn age(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

/// Each market's prices from spot and from perpetuals, where the market has such venues.
fn prices(
    answer: &wire::StatusResponse,
) -> impl Iterator<Item = (&str, &'static str, &wire::Aggregation)> + '_ {
    answer.markets.iter().flat_map(|market| {
        let kinds = [("spot", &market.index), ("perpetual", &market.external)];
        let aggregations = kinds.into_iter().filter_map(|(kind, aggregation)| {
            Some((market.symbol.as_str(), kind, aggregation.as_ref()?))
        });
        aggregations.filter(|(_, _, aggregation)| !aggregation.sources.is_empty())
    })
}

fn verdict(source: &wire::Source) -> &'static str {
    match source.verdict() {
        wire::Verdict::Used => "used",
        wire::Verdict::Silent => "silent",
        wire::Verdict::Stale => "stale",
        wire::Verdict::Outlier => "outlier",
        wire::Verdict::Unusable => "unusable",
        wire::Verdict::NoRate => "no_rate",
        wire::Verdict::Unspecified => "-",
    }
}

fn state(connection: &wire::Connection) -> &'static str {
    match connection.state() {
        wire::ConnectionState::Connecting => "connecting",
        wire::ConnectionState::Open => "open",
        wire::ConnectionState::BackingOff => "waits",
        wire::ConnectionState::Unspecified => "-",
    }
}

fn kind(connection: &wire::Connection) -> &'static str {
    match connection.kind() {
        wire::PriceKind::Spot => "spot",
        wire::PriceKind::Perpetual => "perpetual",
        wire::PriceKind::Unspecified => "-",
    }
}

fn or_dash(text: Option<&String>) -> String {
    text.map_or_else(|| "-".to_owned(), Clone::clone)
}

/// Why there is none, or `-`.
fn why(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// For people: connections, prices, and every venue of every market.
#[must_use]
pub fn text(address: &str, answer: &wire::StatusResponse) -> String {
    let mut together = Table::new(
        2,
        &["market", "kind", "price", "age", "venues", "least", "disagreement", "why none"],
    );
    let mut venues = Table::new(
        4,
        &[
            "market", "kind", "venue", "symbol", "weight", "price", "age", "bid", "ask", "rate",
            "verdict",
        ],
    );
    for (symbol, kind, aggregation) in prices(answer) {
        let used = aggregation
            .sources
            .iter()
            .filter(|source| source.verdict() == wire::Verdict::Used)
            .count();
        together.row(vec![
            symbol.to_owned(),
            kind.to_owned(),
            or_dash(aggregation.price.as_ref().map(|price| &price.price)),
            aggregation.price.as_ref().map_or_else(|| "-".to_owned(), |price| age(price.age_ms)),
            format!("{used} of {}", aggregation.sources.len()),
            aggregation.min_venues.to_string(),
            percent(i64::try_from(aggregation.disagreement_ppm).unwrap_or(i64::MAX)),
            why(&aggregation.why_none),
        ]);
        for source in &aggregation.sources {
            venues.row(vec![
                symbol.to_owned(),
                kind.to_owned(),
                source.venue.clone(),
                source.symbol.clone(),
                source.weight.to_string(),
                or_dash(source.price.as_ref()),
                source.age_ms.map_or_else(|| "-".to_owned(), age),
                or_dash(source.bid.as_ref()),
                or_dash(source.ask.as_ref()),
                or_dash(source.rate.as_ref()),
                verdict(source).to_owned(),
            ]);
        }
    }
    format!(
        "sidecar {address}, version {}, up for {}\n\n{}\n\n{}\n\n{}",
        answer.version,
        age(answer.uptime_ms),
        connections(answer).render(),
        together.render(),
        venues.render()
    )
}

fn connections(answer: &wire::StatusResponse) -> Table {
    let mut table = Table::new(
        3,
        &["venue", "kind", "connection", "since", "opened", "lost", "refused", "last error"],
    );
    for connection in &answer.connections {
        table.row(vec![
            connection.venue.clone(),
            kind(connection).to_owned(),
            state(connection).to_owned(),
            age(connection.state_ms),
            connection.opened.to_string(),
            connection.lost.to_string(),
            connection.refused.iter().map(|refusals| refusals.count).sum::<u64>().to_string(),
            why(&connection.last_error),
        ]);
    }
    table
}

/// For programs: the same, with every count.
#[must_use]
pub fn json(address: &str, answer: &wire::StatusResponse) -> Value {
    let connection = |link: &wire::Connection| {
        let refused: serde_json::Map<String, Value> = link
            .refused
            .iter()
            .map(|refusals| (refusals.reason.clone(), refusals.count.into()))
            .collect();
        json!({
            "venue": link.venue,
            "kind": kind(link),
            "url": link.url,
            "state": state(link),
            "state_ms": link.state_ms,
            "opened": link.opened,
            "lost": link.lost,
            "last_error": (!link.last_error.is_empty()).then_some(&link.last_error),
            "frames": link.frames,
            "last_frame_age_ms": link.last_frame_age_ms,
            "refused": refused,
        })
    };
    let venue = |source: &wire::Source| {
        json!({
            "venue": source.venue,
            "symbol": source.symbol,
            "weight": source.weight,
            "price": source.price,
            "bid": source.bid,
            "ask": source.ask,
            "last": source.last,
            "rate": source.rate,
            "age_ms": source.age_ms,
            "verdict": verdict(source),
        })
    };
    let price = |(symbol, kind, aggregation): (&str, &str, &wire::Aggregation)| {
        json!({
            "market": symbol,
            "kind": kind,
            "price": aggregation.price.as_ref().map(|price| &price.price),
            "age_ms": aggregation.price.as_ref().map(|price| price.age_ms),
            "why_none": (!aggregation.why_none.is_empty()).then_some(&aggregation.why_none),
            "min_venues": aggregation.min_venues,
            "disagreement_ppm": aggregation.disagreement_ppm,
            "venues": aggregation.sources.iter().map(venue).collect::<Vec<_>>(),
        })
    };
    json!({
        "sidecar": address,
        "version": answer.version,
        "uptime_ms": answer.uptime_ms,
        "connections": answer.connections.iter().map(connection).collect::<Vec<_>>(),
        "prices": prices(answer).map(price).collect::<Vec<_>>(),
    })
}
