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
        let of = kinds
            .into_iter()
            .filter_map(|(kind, of)| Some((market.symbol.as_str(), kind, of.as_ref()?)));
        of.filter(|(_, _, of)| !of.sources.is_empty())
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
    for (symbol, kind, of) in prices(answer) {
        let used =
            of.sources.iter().filter(|source| source.verdict() == wire::Verdict::Used).count();
        together.row(vec![
            symbol.to_owned(),
            kind.to_owned(),
            or_dash(of.price.as_ref().map(|price| &price.price)),
            of.price.as_ref().map_or_else(|| "-".to_owned(), |price| age(price.age_ms)),
            format!("{used} of {}", of.sources.len()),
            of.min_venues.to_string(),
            percent(i64::try_from(of.disagreement_ppm).unwrap_or(i64::MAX)),
            why(&of.why_none),
        ]);
        for source in &of.sources {
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
    for of in &answer.connections {
        table.row(vec![
            of.venue.clone(),
            kind(of).to_owned(),
            state(of).to_owned(),
            age(of.state_ms),
            of.opened.to_string(),
            of.lost.to_string(),
            of.refused.iter().map(|refusals| refusals.count).sum::<u64>().to_string(),
            why(&of.last_error),
        ]);
    }
    table
}

/// For programs: the same, with every count.
#[must_use]
pub fn json(address: &str, answer: &wire::StatusResponse) -> Value {
    let connection = |of: &wire::Connection| {
        let refused: serde_json::Map<String, Value> = of
            .refused
            .iter()
            .map(|refusals| (refusals.reason.clone(), refusals.count.into()))
            .collect();
        json!({
            "venue": of.venue,
            "kind": kind(of),
            "url": of.url,
            "state": state(of),
            "state_ms": of.state_ms,
            "opened": of.opened,
            "lost": of.lost,
            "last_error": (!of.last_error.is_empty()).then_some(&of.last_error),
            "frames": of.frames,
            "last_frame_age_ms": of.last_frame_age_ms,
            "refused": refused,
        })
    };
    let venue = |of: &wire::Source| {
        json!({
            "venue": of.venue,
            "symbol": of.symbol,
            "weight": of.weight,
            "price": of.price,
            "bid": of.bid,
            "ask": of.ask,
            "last": of.last,
            "rate": of.rate,
            "age_ms": of.age_ms,
            "verdict": verdict(of),
        })
    };
    let price = |(symbol, kind, of): (&str, &str, &wire::Aggregation)| {
        json!({
            "market": symbol,
            "kind": kind,
            "price": of.price.as_ref().map(|price| &price.price),
            "age_ms": of.price.as_ref().map(|price| price.age_ms),
            "why_none": (!of.why_none.is_empty()).then_some(&of.why_none),
            "min_venues": of.min_venues,
            "disagreement_ppm": of.disagreement_ppm,
            "venues": of.sources.iter().map(venue).collect::<Vec<_>>(),
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
