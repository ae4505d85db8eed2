//! The crash of 2025-10-10, from recorded trades to marks. Says `skipped` where the recording is
//! not there.

use std::path::Path;

use tidemark_feed::replay::{Playback, Replay};
use tidemark_feed::{to_report, Feed, ReportedMarket};
use tidemark_oracle::impact::Impact;
use tidemark_oracle::index::{by_market, IndexRule, IndexState};
use tidemark_oracle::mark::{LastTrade, MarkInputs, MarkState};
use tidemark_oracle::median::Quorum;
use tidemark_oracle::report::{decode, encode, Limits};
use tidemark_proto::units::{MarketId, NanoTicks, Ppm, Ticks, TimeMs};

const AAVE: ReportedMarket = ReportedMarket {
    id: MarketId::new(4),
    symbol: "AAVE-USD",
    tick_size_e9: 1_000_000,
    max_age_ms: TimeMs::new(5_000),
};

const MAX_AGE_MS: TimeMs = TimeMs::new(30_000);
const BAND: Ppm = Ppm::new(50_000);

/// Runs the hour second by second with a book of `book` around the index: the index, the external
/// price and the mark of each second.
fn play(
    replay: &Replay,
    book: impl Fn(Ticks) -> Option<(Ticks, Ticks)>,
) -> Vec<(Ticks, Option<Ticks>, Ticks)> {
    let (mut index, mut mark) = (IndexState::default(), MarkState::default());
    let rule =
        IndexRule { total_power: 100, quorum: Quorum::MORE_THAN_TWO_THIRDS, move_bound: None };
    let mut seen = Vec::new();
    for now_ms in (0..replay.length_ms()).step_by(1_000) {
        let report = to_report(&replay.snapshot(now_ms), [AAVE]);
        let now_ms = TimeMs::new(now_ms);
        let base = |_| index.voting_base();
        let bytes = encode(&report, &base, Limits::default()).unwrap();
        assert!(bytes.len() <= 9 || index.index.is_none(), "{} bytes for one market", bytes.len());
        let report = decode(&bytes, &base, Limits::default()).unwrap();
        let mut reports = by_market([(&report, 70)]).remove(&AAVE.id).unwrap_or_default();
        index.apply(&mut reports, &rule, now_ms);
        let Some(index_ticks) = index.index_ticks() else { continue };
        let sides = book(index_ticks);
        let inputs = MarkInputs {
            index_ticks: Some(index_ticks),
            index_is_stale: index.is_stale(now_ms, MAX_AGE_MS),
            impact: sides
                .map(|(bid, ask)| Impact { bid: NanoTicks::of(bid), ask: NanoTicks::of(ask) }),
            last_trade: sides.map(|(bid, _)| LastTrade { price_ticks: bid, time_ms: now_ms }),
            external_ticks: index.external_ticks(now_ms, MAX_AGE_MS),
            mark_band_ppm: BAND,
        };
        mark.update(&inputs, now_ms);
        seen.push((index_ticks, inputs.external_ticks, mark.mark_ticks(&inputs).unwrap()));
    }
    seen
}

#[test]
fn the_mark_does_not_follow_one_venue() {
    let folder = std::env::var("TIDEMARK_DATA").unwrap_or_else(|_| "../../../shared/data".into());
    let path = Path::new(&folder).join("replay/crash-2025-10-10.csv.gz");
    if !path.exists() {
        println!("skipped: no {}", path.display());
        return;
    }
    let replay = Replay::open(&path, Playback { start_at_ms: 0, speed: 1, looped: false }).unwrap();
    let (with_book, without) = (
        play(&replay, |index| {
            let half_spread = Ticks::new(index.get() / 2_000);
            Some((index - half_spread, index + half_spread))
        }),
        play(&replay, |_| None),
    );
    let far_below = |(index, external, _): &&(Ticks, Option<Ticks>, Ticks)| {
        external.is_some_and(|e| e + e < *index)
    };
    assert!(
        with_book.iter().filter(far_below).count() >= 10,
        "the recording has a perpetual at less than half of spot"
    );
    for (index, external, mark) in with_book.iter().chain(&without) {
        assert!(
            mark.abs_diff(*index).get() * 1_000 <= index.get(),
            "mark {mark}, index {index}, external {external:?}"
        );
    }
}
