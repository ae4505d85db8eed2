//! A validator whose prices come from a price sidecar, which has them from a venue on this machine:
//! over TLS and the venue's protocol into the index of the chain. While the venue is silent, or the
//! sidecar gone, the validator reports nothing; the chain goes on.

use std::future::Future;
use std::time::Duration;

use tidemark_cli::sidecar;
use tidemark_client::Client;
use tidemark_node::config::FeedConfig;
use tidemark_proto::v1;
use tidemark_tests::net::{progress, wait_for, Net, NetOptions};

// Both are shared with the tests of the adapters.
#[allow(dead_code)]
#[path = "../../oracle/feed/tests/venues/binance.rs"]
mod binance;
#[allow(dead_code)]
#[path = "../../oracle/feed/tests/venues/harness.rs"]
mod harness;

use harness::{Book, Peer, Rig, Script};

static VENUE: Script = binance::SPOT;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_venues_price_becomes_the_index_and_silence_costs_only_the_report() {
    let rig = Rig::new(&VENUE, &[("max_age_ms", "2000")]).await;
    let mut venue = rig.subscribed().await;

    let mut net = Net::start(NetOptions::validators(1)).await.unwrap();
    net.stop(0);
    net.set_feed(0, FeedConfig::sidecar(rig.address())).unwrap();
    net.restart(0).unwrap();
    net.ready().await.unwrap();
    let client = net.client(0).await.unwrap();
    assert_eq!(client.status().await.unwrap().feed, format!("sidecar({})", rig.address()));

    // A node is no sidecar, and says so.
    let error = sidecar::ask(client.node(), None).await.unwrap_err();
    assert!(error.to_string().contains("something else"), "{error}");

    // BTC-USD has ticks of 0.1 USDC: nothing made up is exactly this.
    quoting(&mut venue, (61_234, 61_235), index_is(&client, 612_345)).await;
    progress("the index is the venue's price");
    no_reports(&net, &client).await;
    progress("the venue is silent, and blocks go on without reports");
    quoting(&mut venue, (62_000, 62_000), index_is(&client, 620_000)).await;
    progress("the venue speaks again, and so does the validator");
    drop((venue, rig));
    no_reports(&net, &client).await;
    progress("the sidecar is gone, and blocks go on");
}

/// Quotes until `done`: a price ages within two seconds here, so the venue repeats it.
async fn quoting(venue: &mut Peer, book: Book, done: impl Future<Output = ()>) {
    let quotes = async {
        loop {
            venue.quote(&VENUE, book).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = done => {}
        () = quotes => {}
    }
}

async fn btc(client: &Client) -> v1::MarketState {
    client.markets().await.unwrap().find("BTC-USD").unwrap().1.clone()
}

async fn index_is(client: &Client, ticks: u64) {
    wait_for("the venue's price", || async {
        (btc(client).await.index_ticks == ticks).then_some(())
    })
    .await;
}

/// Until twenty blocks pass without a report of BTC-USD.
async fn no_reports(net: &Net, client: &Client) {
    wait_for("blocks without reports", || async {
        let before = btc(client).await.index_time_ms;
        let height = net.height(0).await.ok()?;
        net.wait_height(0, height + 20).await.ok()?;
        (btc(client).await.index_time_ms == before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_command_line_shows_what_a_sidecar_makes_of_its_venues() {
    let rig = Rig::new(&VENUE, &[]).await;
    let address = rig.address().to_string();
    let mut venue = rig.subscribed().await;
    venue.quote(&VENUE, (61_234, 61_235)).await;
    rig.price_is("61234.5").await;

    let answer = sidecar::ask(&address, None).await.unwrap();
    let text = sidecar::text(&address, &answer);
    let line = |words: &[&str]| {
        let has = |line: &&str| {
            words.iter().all(|word| line.split("  ").any(|cell| cell.trim() == *word))
        };
        assert!(text.lines().any(|line| has(&line)), "{words:?} in\n{text}");
    };
    line(&["binance", "spot", "open"]);
    line(&["BTC-USD", "spot", "61234.5", "1 of 1"]);
    line(&["BTC-USD", "spot", "binance", "BTCUSDT", "1", "61234.5", "61234", "61235", "used"]);
    line(&["ETH-USD", "spot", "0 of 1", "0 of 1 venues are fresh, at least 1"]);
    line(&["ETH-USD", "spot", "binance", "ETHUSDT", "-", "silent"]);

    // By one market, however it is written.
    let answer = sidecar::ask(&address, Some("btc-usd")).await.unwrap();
    let json = sidecar::json(&address, &answer);
    let [price] = json["prices"].as_array().unwrap().as_slice() else { panic!("{json:#}") };
    assert_eq!(
        (&price["market"], &price["price"]),
        (&"BTC-USD".into(), &"61234.5".into()),
        "{json:#}"
    );
    let of = &price["venues"][0];
    assert_eq!(
        (&of["venue"], &of["verdict"], &of["weight"]),
        (&"binance".into(), &"used".into(), &1.into())
    );
    assert_eq!(json["connections"][0]["state"], "open", "{json:#}");

    let error = sidecar::ask(&address, Some("DOGE-USD")).await.unwrap_err();
    assert_eq!(
        (error.exit_code(), error.to_string().as_str()),
        (2, "the sidecar has no market DOGE-USD; its markets are: BTC-USD, ETH-USD")
    );
    drop(rig);
    // A port at which nothing listens, for as long as this holds it without listening.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = closed.local_addr().unwrap();
    let error = sidecar::ask(&nobody.to_string(), None).await.unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert_eq!(
        error.to_string(),
        format!(
            "no price sidecar at http://{nobody} (connection refused); `tidemark-oracle start` \
             starts one, and its `listen` is the address"
        )
    );
}
