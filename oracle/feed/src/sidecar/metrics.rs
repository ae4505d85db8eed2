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

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, Error> {
    add(registry, GaugeVec::new(Opts::new(name, help), labels))
}

fn markets(registry: &Registry, markets: &[wire::MarketStatus]) -> Result<(), Error> {
    let (prices, voices) = (PriceGauges::register(registry)?, VenueGauges::register(registry)?);
    for market in markets {
        let kinds = [(Kind::Spot, &market.index), (Kind::Perpetual, &market.external)];
        for (kind, aggregation) in kinds {
            let Some(aggregation) = aggregation else { continue };
            if aggregation.sources.is_empty() {
                continue;
            }
            let (market, kind) = (market.symbol.as_str(), kind.name());
            prices.set([market, kind], aggregation);
            for source in &aggregation.sources {
                voices.set([market, kind, source.venue.as_str()], source);
            }
        }
    }
    Ok(())
}

/// The figures of each market's price, by market and kind.
struct PriceGauges {
    has_price: GaugeVec,
    price: GaugeVec,
    age: GaugeVec,
    used: GaugeVec,
    disagreement: GaugeVec,
}

impl PriceGauges {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let gauge = |name: &str, help: &str| gauge(registry, name, help, &["market", "kind"]);
        Ok(Self {
            has_price: gauge("tidemark_feed_has_price", "1 while the market has a price")?,
            price: gauge("tidemark_feed_price_usdc", "The price; absent while there is none")?,
            age: gauge("tidemark_feed_price_age_seconds", "Age of the oldest venue price in it")?,
            used: gauge("tidemark_feed_used_venues", "Venues in the price, or near it")?,
            disagreement: gauge(
                "tidemark_feed_disagreement_ratio",
                "Highest price less lowest of the fresh venues, by their median",
            )?,
        })
    }

    fn set(&self, labels: [&str; 2], aggregation: &wire::Aggregation) {
        let has_price = f64::from(u8::from(aggregation.price.is_some()));
        self.has_price.with_label_values(&labels).set(has_price);
        if let Some(price) = &aggregation.price {
            self.price.with_label_values(&labels).set(number(&price.price));
            self.age.with_label_values(&labels).set(price.age_ms as f64 / 1e3);
        }
        let used = aggregation.sources.iter().filter(|source| is_used(source)).count();
        self.used.with_label_values(&labels).set(used as f64);
        let disagreement = aggregation.disagreement_ppm as f64 / 1e6;
        self.disagreement.with_label_values(&labels).set(disagreement);
    }
}

/// The figures of each venue's part in a price, by market, kind and venue.
struct VenueGauges {
    age: GaugeVec,
    price: GaugeVec,
    weight: GaugeVec,
}

impl VenueGauges {
    fn register(registry: &Registry) -> Result<Self, Error> {
        let labels = ["market", "kind", "venue"];
        let gauge = |name: &str, help: &str| gauge(registry, name, help, &labels);
        Ok(Self {
            age: gauge(
                "tidemark_feed_venue_age_seconds",
                "Age of a venue's last price of a market",
            )?,
            price: gauge("tidemark_feed_venue_price_usdc", "A venue's last price of a market")?,
            weight: gauge(
                "tidemark_feed_venue_weight",
                "A venue's weight in the price of a market; 0 while it does not count",
            )?,
        })
    }

    fn set(&self, labels: [&str; 3], source: &wire::Source) {
        let weight = if is_used(source) { source.weight } else { 0 };
        self.weight.with_label_values(&labels).set(weight.into());
        if let Some(age_ms) = source.age_ms {
            self.age.with_label_values(&labels).set(age_ms as f64 / 1e3);
        }
        if let Some(price) = &source.price {
            self.price.with_label_values(&labels).set(number(price));
        }
    }
}

fn is_used(source: &wire::Source) -> bool {
    source.verdict() == wire::Verdict::Used
}

fn number(decimal: &str) -> f64 {
    decimal.parse().unwrap_or(f64::NAN)
}
