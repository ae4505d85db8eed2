//! Prices of one market second by second, from a recording of trades or of minutes.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rust_decimal::prelude::ToPrimitive as _;
use rust_decimal::Decimal;
use tidemark_feed::replay::{Playback, Replay};
use tidemark_proto::units::Ticks;

use super::{Listing, Recording, LISTINGS, OPENING_MS};

/// Index and external price of a second, where there is one.
pub type Second = (Option<Ticks>, Option<Ticks>);

/// The recorded prices of one market.
#[derive(Clone, Debug)]
pub struct Series {
    /// The day.
    pub day: &'static str,
    /// The market.
    pub listing: Listing,
    /// Its prices, second by second.
    pub seconds: Vec<Second>,
}

/// Days that are recorded minute by minute: the name in the table, that of the files, and the
/// markets' places in [`LISTINGS`] with the folders of spot and perpetual.
const DAYS: [(&str, &str); 4] = [
    ("2021-05-19", "20210519"),
    ("2022-05-12", "20220512"),
    ("2022-06-18", "20220618"),
    ("2024-08-05", "20240805"),
];
const FOLDERS: [(usize, &str, &str); 2] =
    [(0, "spot_btcusdt", "perp_btcusdt"), (1, "spot_ethusdt", "perp_ethusdt")];
const MINUTES: usize = 1_440;
const SECONDS: u64 = 60;

/// All series under a folder of recordings; none where nothing is there.
///
/// # Errors
/// A sentence when a recording that is there cannot be read.
pub fn all(folder: &Path) -> Result<Vec<Series>, String> {
    let mut all = trades(&folder.join("replay/crash-2025-10-10.csv.gz"))?;
    for (day, file) in DAYS {
        for (market, spot, perp) in FOLDERS {
            let path = |of: &str| folder.join(format!("candles_1m/{of}/{file}.csv.gz"));
            let listing = LISTINGS[market];
            let Some(index) = minutes(&path(spot), &listing)? else { continue };
            let external = minutes(&path(perp), &listing)?.unwrap_or_default();
            let seconds = index.into_iter().enumerate();
            let seconds = seconds.map(|(at, of)| (of, external.get(at).copied().flatten()));
            all.push(Series { day, listing, seconds: seconds.collect() });
        }
    }
    Ok(all)
}

/// The crash that is recorded trade by trade: the last trade of each second.
fn trades(path: &Path) -> Result<Vec<Series>, String> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let playback = Playback { start_at_ms: 0, speed: 1, looped: false };
    let recording = Recording { replay: Replay::open(path, playback).map_err(|e| e.to_string())? };
    let of = |listing: &Listing| Series { day: "2025-10-10", listing: *listing, seconds: vec![] };
    let mut all: Vec<Series> = LISTINGS.iter().map(of).collect();
    for at_ms in (OPENING_MS..recording.replay.length_ms()).step_by(1_000) {
        for (series, second) in all.iter_mut().zip(recording.prices(at_ms)) {
            series.seconds.push(second);
        }
    }
    Ok(all)
}

/// A day of minutes, interpolated: from the open to the extreme on the other side of the close, to
/// the other extreme, to the close, in straight lines. From a close to the next open prices move in
/// one second. `None` where there is no file.
fn minutes(path: &Path, of: &Listing) -> Result<Option<Vec<Option<Ticks>>>, String> {
    if !path.exists() {
        return Ok(None);
    }
    let cannot = |why: String| format!("cannot read {}: {why}", path.display());
    let file = File::open(path).map_err(|e| cannot(e.to_string()))?;
    let mut text = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut text).map_err(|e| cannot(e.to_string()))?;
    let mut seconds = vec![None; MINUTES * SECONDS as usize];
    for line in text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())) {
        let mut cells = line.split(',');
        let time: u64 = cells.next().and_then(|cell| cell.parse().ok()).unwrap_or(0);
        let minute = (time / 60_000) as usize % MINUTES;
        let prices: Vec<u64> = cells.take(4).filter_map(|cell| ticks(cell, of)).collect();
        let [open, high, low, close] = prices[..] else {
            return Err(cannot(format!("the line {line:?} has no four prices")));
        };
        let way = if close >= open { [open, low, high, close] } else { [open, high, low, close] };
        for second in 0..SECONDS {
            let price = along(&way, second, SECONDS - 1);
            seconds[minute * SECONDS as usize + second as usize] = Some(Ticks::new(price));
        }
    }
    Ok(Some(seconds))
}

fn ticks(price: &str, of: &Listing) -> Option<u64> {
    let e9 = price.parse::<Decimal>().ok()? * Decimal::from(1_000_000_000_u64);
    (e9 / Decimal::from(of.tick_size_e9)).round().to_u64()
}

/// The price after `at` of `whole` parts of a way of three straight lines.
fn along(way: &[u64; 4], at: u64, whole: u64) -> u64 {
    let legs = way.len() as u64 - 1;
    let leg = (at * legs / whole).min(legs - 1);
    let (from, to) = (way[leg as usize], way[leg as usize + 1]);
    let done = at * legs - leg * whole;
    (from * (whole - done) + to * done) / whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_goes_from_open_over_both_extremes_to_close() {
        let way = [100, 90, 130, 120];
        let prices: Vec<u64> =
            (0..SECONDS).map(|second| along(&way, second, SECONDS - 1)).collect();
        assert_eq!((prices[0], prices[59]), (100, 120));
        assert!(
            prices.iter().any(|price| *price <= 91) && prices.iter().any(|price| *price >= 129)
        );
        assert!(prices.iter().all(|price| (90..=130).contains(price)));
    }

    #[test]
    fn what_is_not_there_is_no_recording() {
        let nowhere = Path::new("/nowhere");
        assert!(all(nowhere).is_ok_and(|series| series.is_empty()));
    }
}
