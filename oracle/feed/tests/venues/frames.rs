//! Frames of a venue: prices, nonsense, old ones, and damaged ones.

use tidemark_feed::venues::{find, Kind};
use tidemark_proto::oracle_v1 as wire;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{self, now_ms, Rig};
use crate::{all, SCRIPTS};

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
