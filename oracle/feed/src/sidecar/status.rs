//! The sidecar's knowledge as messages of the wire.

use tidemark_proto::oracle_v1 as wire;

use super::aggregate::Verdict;
use super::state::{wall_clock_ms, Link, LinkReport, LinkState, MarketView, Sidecar, SourceView};
use crate::venues::Kind;

/// The prices now.
#[must_use]
pub fn prices(sidecar: &Sidecar) -> wire::PricesResponse {
    let markets =
        sidecar.view().into_iter().map(|(market, [index, external])| wire::MarketPrices {
            symbol: market.symbol.clone(),
            index: price(&index),
            external: price(&external),
        });
    wire::PricesResponse { time_ms: wall_clock_ms(), markets: markets.collect() }
}

/// Everything behind the prices.
#[must_use]
pub fn status(sidecar: &Sidecar) -> wire::StatusResponse {
    let now_ms = sidecar.now_ms();
    let links = sidecar.links().iter().zip(sidecar.reports());
    let markets = sidecar.view().into_iter().map(|(market, [index, external])| {
        let min_venues = sidecar.config().rules(market).min_venues;
        wire::MarketStatus {
            symbol: market.symbol.clone(),
            index: Some(aggregation(&index, min_venues, now_ms)),
            external: Some(aggregation(&external, min_venues, now_ms)),
        }
    });
    wire::StatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_ms: now_ms,
        markets: markets.collect(),
        connections: links.map(|(link, report)| connection(link, report, now_ms)).collect(),
    }
}

fn price(view: &MarketView) -> Option<wire::Price> {
    let aggregate = view.outcome.price.ok()?;
    Some(wire::Price { price: aggregate.price.normalize().to_string(), age_ms: aggregate.age_ms })
}

fn connection(link: &Link, report: LinkReport, now_ms: u64) -> wire::Connection {
    let state = match report.state {
        LinkState::Connecting => wire::ConnectionState::Connecting,
        LinkState::Open => wire::ConnectionState::Open,
        LinkState::BackingOff => wire::ConnectionState::BackingOff,
    };
    let kind = match link.kind {
        Kind::Spot => wire::PriceKind::Spot,
        Kind::Perpetual => wire::PriceKind::Perpetual,
    };
    let refusals = report
        .refused
        .iter()
        .map(|(reason, count)| wire::Refusals { reason: (*reason).to_owned(), count: *count });
    wire::Connection {
        venue: link.venue.name.to_owned(),
        kind: kind.into(),
        url: link.url.clone(),
        state: state.into(),
        state_ms: now_ms.saturating_sub(report.since_ms),
        opened: report.opened,
        lost: report.lost,
        frames: report.frames,
        last_frame_age_ms: report.last_frame_ms.map(|at_ms| now_ms.saturating_sub(at_ms)),
        refused: refusals.collect(),
        last_error: report.last_error,
    }
}

fn aggregation(view: &MarketView, min_venues: u32, now_ms: u64) -> wire::Aggregation {
    let sources = view.sources.iter().zip(&view.outcome.verdicts).map(|(of, verdict)| {
        let SourceView { source, heard, price, rate } = of;
        let verdict = match verdict {
            Verdict::Used => wire::Verdict::Used,
            Verdict::Silent => wire::Verdict::Silent,
            Verdict::Stale => wire::Verdict::Stale,
            Verdict::Outlier => wire::Verdict::Outlier,
            Verdict::Unusable => wire::Verdict::Unusable,
            Verdict::NoRate => wire::Verdict::NoRate,
        };
        let said = heard.map(|heard| heard.prices).unwrap_or_default();
        let text =
            |price: Option<rust_decimal::Decimal>| price.map(|price| price.normalize().to_string());
        wire::Source {
            venue: source.venue.to_owned(),
            symbol: source.symbol.clone(),
            weight: source.weight,
            verdict: verdict.into(),
            price: text(*price),
            bid: text(said.bid),
            ask: text(said.ask),
            last: text(said.last),
            age_ms: heard.map(|heard| heard.age_ms(now_ms)),
            rate: text(*rate),
        }
    });
    let why_none = match &view.outcome.price {
        Ok(_) => String::new(),
        Err(_) if view.sources.is_empty() => format!("no {} market is configured", view.kind),
        Err(why) => why.to_string(),
    };
    wire::Aggregation {
        price: price(view),
        why_none,
        min_venues,
        disagreement_ppm: view.outcome.disagreement_ppm,
        sources: sources.collect(),
    }
}
