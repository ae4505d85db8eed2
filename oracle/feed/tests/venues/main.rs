//! Each adapter against a server on this machine that speaks as its venue documents: over TLS, with
//! pings, nonsense, silence, floods, wrong clocks, gaps and broken connections. One harness, one
//! script a venue; every test runs over every script. No network is needed.

use std::future::Future;

use futures_util::future::join_all;
use tidemark_feed::venues::{Kind, VENUES};
use tidemark_proto::oracle_v1 as wire;

mod binance;
mod bybit;
mod coinbase;
mod connections;
mod frames;
mod gate;
mod harness;
mod kraken;
mod okx;

use harness::{Rig, Script, DEADLINE};

static SCRIPTS: [Script; 12] = [
    binance::SPOT,
    binance::PERPETUAL,
    bybit::SPOT,
    bybit::PERPETUAL,
    coinbase::SPOT,
    coinbase::PERPETUAL,
    gate::SPOT,
    gate::PERPETUAL,
    kraken::SPOT,
    kraken::PERPETUAL,
    okx::SPOT,
    okx::PERPETUAL,
];

/// Runs `test` over every script, at the same time.
async fn all<F: Future<Output = ()>>(test: impl Fn(&'static Script) -> F) {
    join_all(SCRIPTS.iter().map(test)).await;
}

#[test]
fn every_venue_has_a_script_for_both_kinds() {
    for venue in VENUES {
        for kind in Kind::ALL {
            let script =
                SCRIPTS.iter().find(|script| script.venue == venue.name && script.kind == kind);
            assert!(script.is_some(), "{} {kind}", venue.name);
        }
    }
}

#[tokio::test]
async fn prices_are_streamed_whether_they_change_or_not() {
    let rig = Rig::new(&SCRIPTS[0], &[("publish_ms", "20")]).await;
    let mut peer = rig.subscribed().await;
    peer.quote(rig.script, (100, 102)).await;
    rig.price_is("101").await;
    let mut stream = rig.client().stream_prices(wire::PricesRequest {}).await.unwrap().into_inner();
    let mut seen = 0;
    while seen < 5 {
        let prices =
            tokio::time::timeout(DEADLINE, stream.message()).await.unwrap().unwrap().unwrap();
        if prices.markets[0].index.as_ref().is_some_and(|price| price.price == "101") {
            seen += 1;
        }
    }
}

#[tokio::test]
async fn metrics_are_on_the_same_port() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Rig::new(&SCRIPTS[0], &[]).await;
    let mut peer = rig.subscribed().await;
    peer.quote(rig.script, (100, 102)).await;
    peer.send("{").await;
    rig.price_is("101").await;
    rig.refused_is("malformed", 1).await;
    let mut http = tokio::net::TcpStream::connect(rig.address()).await.unwrap();
    http.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    http.read_to_string(&mut text).await.unwrap();
    for line in [
        "tidemark_feed_connected{kind=\"spot\",venue=\"binance\"} 1",
        "tidemark_feed_refused_total{kind=\"spot\",reason=\"malformed\",venue=\"binance\"} 1",
        "tidemark_feed_price_usdc{kind=\"spot\",market=\"BTC-USD\"} 101",
        "tidemark_feed_has_price{kind=\"spot\",market=\"ETH-USD\"} 0",
        "tidemark_feed_venue_price_usdc{kind=\"spot\",market=\"BTC-USD\",venue=\"binance\"} 101",
        "tidemark_feed_venue_weight{kind=\"spot\",market=\"BTC-USD\",venue=\"binance\"} 1",
        "tidemark_feed_venue_weight{kind=\"spot\",market=\"ETH-USD\",venue=\"binance\"} 0",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
