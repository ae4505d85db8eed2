//! The price sidecar: asks venues, makes one price of what they say, and tells the node on
//! loopback. One process a validator; nothing that it does can stop the node or reach consensus but
//! through the validator's own vote.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | `oracle.toml` |
//! | [`session`] | one connection to one venue: time-outs, heartbeats, bounds, connecting anew |
//! | [`state`] | the last quote of each venue's market |
//! | [`aggregate`] | from quotes to one price |
//! | [`status`], [`metrics`], [`server`] | what the node, people and Prometheus see |
//!
//! What each venue speaks is in [`crate::venues`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use config::Config;
use state::Sidecar;

pub mod aggregate;
pub mod backoff;
pub mod config;
pub mod metrics;
pub mod server;
pub mod session;
pub mod state;
pub mod status;
pub mod tls;

/// A running sidecar; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    tasks: JoinSet<String>,
}

impl Running {
    /// Where it serves; with port 0 in the configuration, the port that the system chose.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Until something ends that should not; says what.
    pub async fn ended(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Ok(why)) => why,
            Some(Err(error)) => error.to_string(),
            None => "nothing runs".to_owned(),
        }
    }
}

/// Starts everything. Needs a tokio runtime.
///
/// # Errors
/// A sentence that names the setting which cannot be used: certificates, a port that is taken.
pub fn start(config: Config) -> Result<Running, String> {
    let (incoming, address) = server::bind(config.listen)?;
    let publish = Duration::from_millis(config.publish_ms);
    let sidecar = Arc::new(Sidecar::new(config));
    let mut tasks = JoinSet::new();
    for (link, of) in sidecar.links().iter().enumerate() {
        let name = of.venue.name;
        let ca_file = sidecar.config().venues.get(name).and_then(|venue| venue.ca_file.as_deref());
        let tls = tls::client(ca_file).map_err(|why| format!("venues.{name}: {why}"))?;
        let session = session::run(Arc::clone(&sidecar), link, tls);
        tasks.spawn(async move {
            session.await;
            format!("the connection to {name} ended")
        });
    }
    let (publisher, published) = watch::channel(status::prices(&sidecar));
    let router = server::router(&sidecar, published)?;
    tasks.spawn(async move {
        match router.serve_with_incoming(incoming).await {
            Ok(()) => "the service ended".to_owned(),
            Err(error) => format!("the service ended: {error}"),
        }
    });
    tasks.spawn(async move {
        let mut tick = tokio::time::interval(publish);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            publisher.send_replace(status::prices(&sidecar));
        }
    });
    Ok(Running { address, tasks })
}
