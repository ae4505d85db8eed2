//! How a connection to a venue lives and ends.

use std::time::Duration;

use tidemark_proto::oracle_v1 as wire;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{now_ms, Authority, Beat, Rig};
use crate::{all, SCRIPTS};

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
