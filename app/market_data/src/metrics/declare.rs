//! Declaration of metrics: name, labels and help of each once, in a table.

use prometheus::core::Collector;
use prometheus::{
    CounterVec, Error, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry,
};

/// Declares a struct of metrics, a line each, and `register`, which makes it:
/// `field: Type = "name" ["label", …] "help";`. A type with labels and none given is absent until
/// it is set.
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $group:ident {
            $($field:ident: $kind:ty = $name:literal $([$($label:literal),*])? $help:literal;)+
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $group {
            $($field: $kind,)+
        }

        impl $group {
            /// Makes every metric of the group, at zero, and registers it.
            pub(super) fn register(
                registry: &prometheus::Registry,
            ) -> Result<Self, prometheus::Error> {
                Ok(Self {
                    $($field: <$kind as $crate::metrics::declare::Metric>::register(
                        registry,
                        $name,
                        $help,
                        &[$($($label),*)?],
                    )?,)+
                })
            }
        }
    };
}
pub(super) use metrics;

/// A type of metric that a table may declare.
pub(super) trait Metric: Collector + Clone + Sized + 'static {
    /// Makes one.
    fn new(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error>;

    /// Makes one and adds it to a registry.
    fn register(
        registry: &Registry,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<Self, Error> {
        let metric = Self::new(name, help, labels)?;
        registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// Implements [`Metric`] for types without labels.
macro_rules! plain {
    ($($kind:ty),+) => {
        $(impl Metric for $kind {
            fn new(name: &str, help: &str, _: &[&str]) -> Result<Self, Error> {
                Self::new(name, help)
            }
        })+
    };
}

/// Implements [`Metric`] for types with labels.
macro_rules! labelled {
    ($($kind:ty),+) => {
        $(impl Metric for $kind {
            fn new(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
                Self::new(Opts::new(name, help), labels)
            }
        })+
    };
}

plain!(Gauge, IntCounter, IntGauge);
labelled!(CounterVec, GaugeVec, IntCounterVec, IntGaugeVec);

impl Metric for HistogramVec {
    fn new(name: &str, help: &str, labels: &[&str]) -> Result<Self, Error> {
        // Seconds: 50 µs to 1.6 s, doubling.
        let buckets = prometheus::exponential_buckets(0.000_05, 2.0, 16)?;
        Self::new(HistogramOpts::new(name, help).buckets(buckets), labels)
    }
}
