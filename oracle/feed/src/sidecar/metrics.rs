//! The status as Prometheus metrics. Nothing is counted twice: a scrape is made of the same report
//! as the status.
#![allow(clippy::float_arithmetic)] // metrics are floats, and nothing is computed from them

use prometheus::core::Collector;
use prometheus::{
    Encoder as _, Error, GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};
use tidemark_proto::oracle_v1 as wire;

use crate::venues::Kind;

/// The metrics of `status` in Prometheus' text format.
///
/// # Errors
/// Never, as long as no two metrics have one name.
pub fn text(status: &wire::StatusResponse) -> Result<String, Error> {
    let registry = Registry::new();
    connections(&registry, &status.connections)?;
    markets(&registry, &status.markets)?;
    let mut bytes = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut bytes)?;
    String::from_utf8(bytes).map_err(|error| Error::Msg(error.to_string()))
}

fn add<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: Result<C, Error>,
) -> Result<C, Error> {
    let metric = metric?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn connections(registry: &Registry, connections: &[wire::Connection]) -> Result<(), Error> {
    let labels = ["venue", "kind"];
    let counter =
        |name: &str, help: &str| add(registry, IntCounterVec::new(Opts::new(name, help), &labels));
    let connected = add(
        registry,
        IntGaugeVec::new(
            Opts::new("tidemark_feed_connected", "1 while the connection is open"),
            &labels,
        ),
    )?;
    let opened = counter("tidemark_feed_connections_opened_total", "Connections opened")?;
    let lost = counter("tidemark_feed_connections_lost_total", "Connections lost or not opened")?;
    let frames = counter("tidemark_feed_frames_total", "Data frames received")?;
    let refused = add(
        registry,
        IntCounterVec::new(
            Opts::new("tidemark_feed_refused_total", "Frames and quotes thrown away"),
            &["venue", "kind", "reason"],
        ),
    )?;
    for connection in connections {
        let kind = match connection.kind() {
            wire::PriceKind::Perpetual => Kind::Perpetual,
            _ => Kind::Spot,
        };
        let (venue, kind) = (connection.venue.as_str(), kind.name());
        let open = connection.state() == wire::ConnectionState::Open;
        connected.with_label_values(&[venue, kind]).set(open.into());
        opened.with_label_values(&[venue, kind]).inc_by(connection.opened);
        lost.with_label_values(&[venue, kind]).inc_by(connection.lost);
        frames.with_label_values(&[venue, kind]).inc_by(connection.frames);
        for refusals in &connection.refused {
            refused
                .with_label_values(&[venue, kind, refusals.reason.as_str()])
                .inc_by(refusals.count);
        }
    }
    Ok(())
}

fn markets(registry: &Registry, markets: &[wire::MarketStatus]) -> Result<(), Error> {
    let gauge = |name: &str, help: &str, labels: &[&str]| {
        add(registry, GaugeVec::new(Opts::new(name, help), labels))
    };
    let of_market = ["market", "kind"];
    let of_venue = ["market", "kind", "venue"];
    let has_price = gauge("tidemark_feed_has_price", "1 while the market has a price", &of_market)?;
    let price =
        gauge("tidemark_feed_price_usdc", "The price; absent while there is none", &of_market)?;
    let age = gauge(
        "tidemark_feed_price_age_seconds",
        "Age of the oldest venue price in it",
        &of_market,
    )?;
    let used = gauge("tidemark_feed_used_venues", "Venues in the price, or near it", &of_market)?;
    let disagreement = gauge(
        "tidemark_feed_disagreement_ratio",
        "Highest price less lowest of the fresh venues, by their median",
        &of_market,
    )?;
    let venue_age = gauge(
        "tidemark_feed_venue_age_seconds",
        "Age of a venue's last price of a market",
        &of_venue,
    )?;
    let venue_price =
        gauge("tidemark_feed_venue_price_usdc", "A venue's last price of a market", &of_venue)?;
    let venue_weight = gauge(
        "tidemark_feed_venue_weight",
        "A venue's weight in the price of a market; 0 while it does not count",
        &of_venue,
    )?;
    for market in markets {
        let kinds = [(Kind::Spot, &market.index), (Kind::Perpetual, &market.external)];
        for (kind, aggregation) in
            kinds.into_iter().filter_map(|(kind, of)| Some((kind, of.as_ref()?)))
        {
            if aggregation.sources.is_empty() {
                continue;
            }
            let labels = [market.symbol.as_str(), kind.name()];
            has_price.with_label_values(&labels).set(if aggregation.price.is_some() {
                1.0
            } else {
                0.0
            });
            if let Some(of) = &aggregation.price {
                price.with_label_values(&labels).set(number(&of.price));
                age.with_label_values(&labels).set(of.age_ms as f64 / 1e3);
            }
            let in_price =
                aggregation.sources.iter().filter(|of| of.verdict() == wire::Verdict::Used);
            used.with_label_values(&labels).set(in_price.count() as f64);
            disagreement.with_label_values(&labels).set(aggregation.disagreement_ppm as f64 / 1e6);
            for source in &aggregation.sources {
                let labels = [labels[0], labels[1], source.venue.as_str()];
                let counts = source.verdict() == wire::Verdict::Used;
                venue_weight.with_label_values(&labels).set(if counts {
                    source.weight.into()
                } else {
                    0.0
                });
                if let Some(age_ms) = source.age_ms {
                    venue_age.with_label_values(&labels).set(age_ms as f64 / 1e3);
                }
                if let Some(price) = &source.price {
                    venue_price.with_label_values(&labels).set(number(price));
                }
            }
        }
    }
    Ok(())
}

fn number(decimal: &str) -> f64 {
    decimal.parse().unwrap_or(f64::NAN)
}
