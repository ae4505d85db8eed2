//! Each adapter against a server on this machine that speaks as its venue documents: over TLS, with
//! pings, nonsense, silence, floods, wrong clocks, gaps and broken connections. One harness, one
//! script a venue; every test runs over every script. No network is needed.

use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use tidemark_feed::venues::{find, Kind, VENUES};
use tidemark_proto::oracle_v1 as wire;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::Message;

#[path = "venues/binance.rs"]
mod binance;
#[path = "venues/bybit.rs"]
mod bybit;
#[path = "venues/coinbase.rs"]
mod coinbase;
#[path = "venues/gate.rs"]
mod gate;
#[path = "venues/harness.rs"]
mod harness;
#[path = "venues/kraken.rs"]
mod kraken;
#[path = "venues/okx.rs"]
mod okx;

use harness::{now_ms, Authority, Beat, Rig, Script, DEADLINE};

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
async fn quotes_become_prices() {
    all(async |script| {
        let rig = Rig::new(script, &[]).await;
        let before = rig.aggregation().await;
        assert_eq!(before.why_none, "0 of 1 venues are fresh, at least 1");
        assert_eq!(before.sources[0].verdict(), wire::Verdict::Silent);
        let mut peer = rig.subscribed().await;
        for (book, price) in [
            ((60_000, 60_002), "60001"),
            ((60_000, 60_003), "60001.5"),
            ((50_000, 50_000), "50000"),
        ] {
            peer.quote(script, book).await;
            rig.price_is(price).await;
        }
        let status = rig.status().await;
        let connection = &status.connections[0];
        assert_eq!(connection.state(), wire::ConnectionState::Open);
        assert_eq!((connection.opened, connection.lost), (1, 0), "{connection:?}");
        assert_eq!(connection.refused, [], "everything in a venue's answers is understood");
        let source = &rig.aggregation().await.sources[0];
        assert_eq!((source.bid.as_deref(), source.ask.as_deref()), (Some("50000"), Some("50000")));
        assert_eq!((source.symbol.as_str(), source.weight), (script.symbols[0], 1));
        // The other market was not quoted.
        let prices = rig.client().prices(wire::PricesRequest {}).await.unwrap().into_inner();
        let of = |market: &wire::MarketPrices| match script.kind {
            Kind::Spot => market.index.clone(),
            Kind::Perpetual => market.external.clone(),
        };
        assert_eq!(
            prices.markets.iter().map(|market| market.symbol.as_str()).collect::<Vec<_>>(),
            ["BTC-USD", "ETH-USD"]
        );
        assert_eq!(of(&prices.markets[0]).unwrap().price, "50000");
        assert_eq!(of(&prices.markets[1]), None);
    })
    .await;
}

#[tokio::test]
async fn pings_are_answered_and_the_venues_heartbeat_is_kept() {
    all(async |script| {
        let rig = Rig::new(script, &[("heartbeat_ms", "50")]).await;
        let mut peer = rig.server.accept().await;
        // Heartbeats begin beside the subscription.
        peer.send_message(Message::Ping("are you there".into())).await.unwrap();
        let (mut pong, mut beats) = (false, 0);
        while !pong || (beats < 3 && !matches!(script.beat, Beat::None)) {
            match (peer.receive().await, script.beat) {
                (Message::Pong(payload), _) => {
                    assert_eq!(payload.as_ref(), b"are you there");
                    pong = true;
                }
                (Message::Ping(_), Beat::Ping) => beats += 1,
                (Message::Text(text), Beat::Text(expected, answer)) if is_beat(&text, expected) => {
                    beats += 1;
                    peer.send(answer).await;
                }
                (Message::Text(_), _) => {}
                (message, _) => panic!("{}: {message:?}", script.venue),
            }
        }
        peer.quote(script, (100, 102)).await;
        rig.price_is("101").await;
        assert_eq!(rig.connection().await.refused, []);
    })
    .await;
}

/// Returns true if a heartbeat is `expected`, but for its time.
fn is_beat(text: &str, expected: &str) -> bool {
    let without_time = |text: &str| {
        let mut value = serde_json::from_str::<serde_json::Value>(text).ok()?;
        value.as_object_mut()?.remove("time");
        Some(value)
    };
    text == expected || without_time(text).is_some_and(|beat| Some(beat) == without_time(expected))
}

#[tokio::test]
async fn malformed_frames_are_counted_and_change_nothing() {
    all(async |script| {
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        peer.quote(script, (100, 102)).await;
        rig.price_is("101").await;
        let deep = "[".repeat(3_000);
        let nonsense = [
            "",
            "{",
            "[]",
            "null",
            "7",
            "\"\"",
            "{\"a\":1}",
            "\u{0}",
            &deep,
            "{\"data\":[{\"s\":1e999}]}",
        ];
        for frame in nonsense {
            peer.send(frame).await;
        }
        peer.send_message(Message::binary(vec![0xff; 100])).await.unwrap();
        peer.quote(script, (104, 106)).await;
        rig.price_is("105").await;
        assert_eq!(rig.refused("binary").await, 1);
        assert_eq!(
            rig.refused("malformed").await,
            nonsense.len() as u64,
            "{:?}",
            rig.connection().await
        );
        assert_eq!(rig.connection().await.opened, 1);
    })
    .await;
}

#[tokio::test]
async fn a_market_that_was_not_asked_for_is_refused() {
    all(async |script| {
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        let time_ms = now_ms();
        let frame = (script.quote)(&mut peer.wire, "OTHER", (100, 102), time_ms);
        peer.send(frame).await;
        rig.until("refusal", async || {
            rig.refused("unknown_symbol").await + rig.refused("malformed").await == 1
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn prices_that_are_none_are_refused() {
    all(async |script| {
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        // Crossed; 100 % wide: neither has a middle that means something.
        for book in [(102, 100), (100, 200)] {
            peer.quote(script, book).await;
            rig.until("quote", async || {
                rig.aggregation().await.sources[0].bid == Some(book.0.to_string())
            })
            .await;
            let source = rig.aggregation().await.sources.remove(0);
            // Venues that give a last trade still have a price.
            assert_eq!(source.price, source.last, "{source:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn silence_opens_the_connection_anew() {
    all(async |script| {
        let rig = Rig::new(script, &[("silence_ms", "300")]).await;
        // A venue that quotes once a connection, and then only pings: a ping is no price. On a slow
        // machine it may lose a connection at any step.
        let venue = async {
            loop {
                let mut peer = rig.server.accept().await;
                let frame = (script.quote)(&mut peer.wire, script.symbols[0], (100, 102), now_ms());
                let _ = peer.send_message(Message::text(frame)).await;
                tokio::spawn(async move {
                    while peer.send_message(Message::Ping("".into())).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                });
            }
        };
        let told = async {
            rig.until("second silence", async || {
                let connection = rig.connection().await;
                connection.lost >= 2 && connection.last_error == "no quote for 300 ms"
            })
            .await;
            rig.price_is("101").await;
        };
        tokio::select! {
            () = venue => {}
            () = told => {}
        }
    })
    .await;
}

#[tokio::test]
async fn of_a_burst_the_newest_price_stays() {
    all(async |script| {
        let rig = Rig::new(script, &[("max_frames_per_second", "1000000")]).await;
        let mut peer = rig.subscribed().await;
        for price in 10_000..11_000 {
            peer.quote(script, (price, price)).await;
        }
        rig.price_is("10999").await;
        let connection = rig.connection().await;
        assert_eq!((connection.opened, connection.refused.len()), (1, 0), "{connection:?}");
        assert!(connection.frames >= 1_000);
    })
    .await;
}

#[tokio::test]
async fn a_flood_ends_the_connection() {
    all(async |script| {
        let rig = Rig::new(script, &[("max_frames_per_second", "100")]).await;
        let mut peer = rig.subscribed().await;
        let flood = async {
            loop {
                let frame = (script.quote)(&mut peer.wire, script.symbols[0], (100, 102), now_ms());
                if peer.send_message(Message::text(frame)).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let again = async {
            let mut peer = rig.subscribed().await;
            assert!(rig.refused("flood").await >= 1);
            assert_eq!(rig.connection().await.last_error, "more than 100 frames in a second");
            peer.quote(script, (200, 202)).await;
            rig.price_is("201").await;
        };
        tokio::select! {
            () = again => {}
            () = flood => {}
        }
    })
    .await;
}

#[tokio::test]
async fn a_frame_above_the_bound_ends_the_connection() {
    all(async |script| {
        let rig = Rig::new(script, &[("max_frame_bytes", "4096")]).await;
        let mut peer = rig.subscribed().await;
        peer.send(" ".repeat(4_097)).await;
        let mut peer = rig.subscribed().await;
        let connection = rig.connection().await;
        assert!(connection.last_error.contains("4097 > 4096"), "{}", connection.last_error);
        peer.quote(script, (200, 202)).await;
        rig.price_is("201").await;
    })
    .await;
}

#[tokio::test]
async fn a_venues_clock_may_be_off_within_bounds() {
    all(async |script| {
        if !script.timed {
            return;
        }
        let rig = Rig::new(script, &[("max_ahead_ms", "60000"), ("max_behind_ms", "60000")]).await;
        let mut peer = rig.subscribed().await;
        peer.quote_at(script, (1, 1), now_ms() - 180_000).await;
        rig.refused_is("clock_behind", 1).await;
        assert_eq!(rig.price().await, None);
        let time_ms = now_ms();
        peer.quote_at(script, (100, 102), time_ms - 30_000).await;
        // By the venue's clock the price is 30 s old, however fast it came.
        rig.price_is("101").await;
        let age_ms = rig.aggregation().await.price.unwrap().age_ms;
        assert!(age_ms >= 30_000, "{age_ms}");
        peer.quote_at(script, (200, 202), time_ms + 30_000).await;
        rig.price_is("201").await;
        assert!(
            rig.aggregation().await.price.unwrap().age_ms < 30_000,
            "it is not from the future"
        );
        peer.quote_at(script, (3, 3), now_ms() + 180_000).await;
        rig.refused_is("clock_ahead", 1).await;
        assert_eq!(rig.price().await.as_deref(), Some("201"));
    })
    .await;
}

#[tokio::test]
async fn a_lost_connection_comes_back_and_its_price_ages_meanwhile() {
    all(async |script| {
        let rig = Rig::new(script, &[("max_age_ms", "300")]).await;
        let mut peer = rig.subscribed().await;
        peer.quote(script, (100, 102)).await;
        let close = CloseFrame { code: CloseCode::Restart, reason: "24 hours are over".into() };
        peer.send_message(Message::Close(Some(close))).await.unwrap();
        let mut peer = rig.subscribed().await;
        let last_error = rig.connection().await.last_error;
        assert!(last_error.contains("24 hours are over"), "{last_error}");
        rig.until("stale", async || {
            rig.aggregation().await.sources[0].verdict() == wire::Verdict::Stale
        })
        .await;
        assert_eq!(rig.price().await, None);
        peer.quote(script, (104, 106)).await;
        rig.until("quote", async || {
            rig.aggregation().await.sources[0].bid.as_deref() == Some("104")
        })
        .await;
        // Without a word.
        drop(peer);
        let _peer = rig.subscribed().await;
        let connection = rig.connection().await;
        assert_eq!((connection.opened, connection.lost), (3, 2), "{connection:?}");
    })
    .await;
}

#[tokio::test]
async fn late_frames_change_nothing() {
    all(async |script| {
        let Some(late) = script.late else { return };
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        peer.quote(script, (100, 102)).await;
        peer.quote(script, (104, 106)).await;
        rig.price_is("105").await;
        let frame = late(&mut peer.wire, script.symbols[0], (1, 1), now_ms());
        peer.send(frame).await;
        rig.refused_is("out_of_order", 1).await;
        assert_eq!(rig.price().await.as_deref(), Some("105"));
    })
    .await;
}

#[tokio::test]
async fn what_is_missing_is_asked_for_anew() {
    all(async |script| {
        let Some(broken) = script.broken else { return };
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        peer.quote(script, (100, 102)).await;
        rig.price_is("101").await;
        let symbol = script.symbols[0];
        let frame = (broken.frame)(&mut peer.wire, symbol, (200, 202), now_ms());
        peer.send(frame).await;
        rig.until("silence", async || {
            rig.aggregation().await.sources[0].verdict() == wire::Verdict::Silent
        })
        .await;
        let requests = (broken.requests)(symbol);
        if requests.is_empty() {
            peer = rig.subscribed().await;
            assert_eq!(rig.refused("gap").await, 1);
        } else {
            peer.expect(requests).await;
            assert_eq!((rig.refused("checksum").await, rig.connection().await.opened), (1, 1));
        }
        peer.quote(script, (104, 106)).await;
        rig.price_is("105").await;
    })
    .await;
}

#[tokio::test]
async fn a_refused_subscription_is_told() {
    all(async |script| {
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        let (refusal, words) = script.refusal;
        peer.send(refusal).await;
        rig.refused_is("subscription", 1).await;
        let last_error = rig.connection().await.last_error;
        assert!(last_error.contains(words), "{last_error}");
        // The other markets go on.
        peer.quote(script, (104, 106)).await;
        rig.price_is("105").await;
    })
    .await;
}

#[tokio::test]
async fn an_announced_end_is_not_waited_for() {
    all(async |script| {
        let Some(closing) = script.closing else { return };
        let rig = Rig::new(script, &[]).await;
        let mut peer = rig.subscribed().await;
        peer.send(closing).await;
        let _peer = rig.subscribed().await;
        let last_error = rig.connection().await.last_error;
        assert!(last_error.starts_with("the venue closes the connection"), "{last_error}");
    })
    .await;
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_trusted() {
    let rig = Rig::with_trust(&SCRIPTS[0], &[], Some(&Authority::new())).await;
    tokio::select! {
        _ = rig.server.accept() => panic!("connected"),
        () = rig.until("loss", async || rig.connection().await.lost >= 3) => {}
    }
    let connection = rig.connection().await;
    assert_eq!(connection.opened, 0);
    assert!(connection.last_error.contains("certificate"), "{}", connection.last_error);
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

/// Recorded frames of the real venue, where they are: every book ticker is read as it is, and
/// nothing else disturbs.
#[test]
fn recorded_frames_of_binance_are_read() {
    use std::io::BufRead as _;
    let folder = std::env::var("TIDEMARK_DATA").unwrap_or_else(|_| "../../../shared/data".into());
    let path = std::path::Path::new(&folder).join("l2_binance_ws/usdm_btcusdt_20240808.ndjson.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: no {}", path.display());
        return;
    };
    let mut adapter = (find("binance").unwrap().adapter)(Kind::Perpetual);
    adapter.subscribe(&["BTCUSDT".to_owned()]);
    let mut read = 0;
    for line in std::io::BufReader::new(flate2::read::MultiGzDecoder::new(file)).lines() {
        let line = line.unwrap();
        let (_, frame) = line.split_once(' ').unwrap();
        let mut quotes = Vec::new();
        let result = adapter.read(frame, &mut quotes);
        let value: serde_json::Value = serde_json::from_str(frame).unwrap();
        let data = &value["data"];
        if data["e"] != "bookTicker" {
            assert!(quotes.is_empty() && result.is_err(), "{frame}");
            continue;
        }
        assert_eq!(result, Ok(()), "{frame}");
        let side = |name: &str| data[name].as_str().unwrap().parse().ok();
        assert_eq!((quotes[0].prices.bid, quotes[0].prices.ask), (side("b"), side("a")));
        assert_eq!(quotes[0].venue_time_ms, data["E"].as_u64());
        read += 1;
    }
    assert_eq!(read, 66_089);
}

mod damaged {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    proptest! {
        /// A venue's frames with a few bytes changed, cut or doubled: read or refused, never a
        /// panic.
        #[test]
        fn frames_never_panic_an_adapter(
            script in 0..SCRIPTS.len(),
            damage in prop::collection::vec((any::<Index>(), any::<u8>(), 0_u8..3), 0..6),
        ) {
            let script = &SCRIPTS[script];
            let mut adapter = (find(script.venue).unwrap().adapter)(script.kind);
            let symbols = script.symbols.map(str::to_owned);
            adapter.subscribe(&symbols);
            let mut wire = harness::Wire::default();
            let mut frames = (script.answers)(&mut wire, &script.symbols);
            for bid in 100..104 {
                let (symbol, book) = (script.symbols[0], (bid, bid + 2));
                frames.push((script.quote)(&mut wire, symbol, book, 1_700_000_000_000));
            }
            for frame in frames {
                let mut bytes = frame.into_bytes();
                for (at, value, how) in &damage {
                    if bytes.is_empty() {
                        break;
                    }
                    let at = at.index(bytes.len());
                    match how {
                        0 => bytes[at] = *value,
                        1 => bytes.truncate(at),
                        _ => bytes.extend_from_within(at..),
                    }
                }
                let mut quotes = Vec::new();
                let _ = adapter.read(&String::from_utf8_lossy(&bytes), &mut quotes);
            }
        }
    }
}
