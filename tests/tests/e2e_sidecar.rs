//! A validator whose prices come from a price sidecar, which has them from a venue on this machine: over TLS and the venue's protocol into the
//! index of the chain. When the sidecar is gone the validator reports nothing; when it is back, so are the prices.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)]

use std::net::SocketAddr;
use std::time::Duration;

use tidemark_app::client::Client;
use tidemark_app::node::config::FeedConfig;
use tidemark_proto::v1;
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

// Both are shared with the tests of the adapters.
#[allow(dead_code)]
#[path = "../../oracle/feed/tests/venues/binance.rs"]
mod binance;
#[allow(dead_code)]
#[path = "../../oracle/feed/tests/venues/harness.rs"]
mod harness;

use harness::{Rig, Script};

static VENUE: Script = binance::SPOT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_venues_price_becomes_the_index_and_a_lost_sidecar_costs_only_its_reports() {
    let rig = Rig::new(&VENUE, &[]).await;
    let mut venue = rig.subscribed().await;
    let address = rig.address();

    let mut net = Net::start(NetOptions::validators(1)).await.unwrap();
    net.stop(0);
    net.set_feed(0, FeedConfig::Sidecar { address, max_age_ms: 60_000 }).unwrap();
    net.restart(0).unwrap();
    net.ready().await.unwrap();
    let client = net.client(0).await.unwrap();
    assert_eq!(client.status().await.unwrap().feed, format!("sidecar({address})"));

    // BTC-USD has ticks of 0.1 USDC: nothing made up is exactly this.
    venue.quote(&VENUE, (61_234, 61_235)).await;
    index_is(&client, 612_345).await;
    progress("the index is the venue's price");
    venue.quote(&VENUE, (61_000, 61_000)).await;
    index_is(&client, 610_000).await;

    // Whoever would have listened there again: the port is free and nobody answers.
    drop((venue, rig));
    net.stop(0);
    net.set_feed(0, FeedConfig::Sidecar { address, max_age_ms: 500 }).unwrap();
    net.restart(0).unwrap();
    net.ready().await.unwrap();
    let client = net.client(0).await.unwrap();
    let silent_from = btc(&client).await.index_time_ms;
    let height = net.height(0).await.unwrap();
    net.wait_height(0, height + 20).await.unwrap();
    assert_eq!(btc(&client).await.index_time_ms, silent_from, "no report without a sidecar");
    progress("blocks go on without prices");

    let rig = at(address).await;
    let mut venue = rig.subscribed().await;
    // A price ages within half a second here, so the venue repeats it as venues do.
    let quoting = async {
        loop {
            venue.quote(&VENUE, (62_000, 62_000)).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = index_is(&client, 620_000) => {}
        () = quoting => {}
    }
}

/// A sidecar at an address that another one had: the system may keep it for a while.
async fn at(address: SocketAddr) -> Rig {
    let listen = format!("\"{address}\"");
    wait_for("the sidecar's port", || async { std::net::TcpListener::bind(address).ok().map(drop) }).await;
    Rig::new(&VENUE, &[("listen", &listen)]).await
}

async fn btc(client: &Client) -> v1::MarketState {
    client.markets().await.unwrap().find("BTC-USD").unwrap().1.clone()
}

async fn index_is(client: &Client, ticks: u64) {
    wait_for("the venue's price", || async { (btc(client).await.index_ticks == ticks).then_some(()) }).await;
}
