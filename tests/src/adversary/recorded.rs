//! Weather from recordings: the index goes as a market went on a violent day.

use std::path::Path;
use std::sync::OnceLock;

use tidemark_proto::units::Ticks;

use super::weather::{Index, HORIZON, INDEX_TICKS};
use crate::crash::recordings::{self, Series};
use crate::sim::rng::Rng;

static SERIES: OnceLock<Vec<Series>> = OnceLock::new();

/// From now on every seed's weather is a piece of a recording. Returns the number of recordings in
/// the folder; with none, nothing changes.
///
/// # Errors
/// A sentence when a recording that is there cannot be read.
pub fn open(folder: &Path) -> Result<usize, String> {
    let all = recordings::all(folder)?;
    let count = all.len();
    if count > 0 {
        // Only the first call counts.
        let _ = SERIES.set(all);
    }
    Ok(count)
}

/// A piece of a recording for a seed; `None` where none is open.
pub(super) fn piece(rng: &mut Rng, interval_ms: u64) -> Option<Index> {
    let all = SERIES.get()?;
    let of = rng.within(0, all.len() as u64 - 1);
    let seconds = &all[of as usize].seconds;
    let length = u64::from(HORIZON) * interval_ms / 1_000;
    let last = (seconds.len() as u64).saturating_sub(length + 1);
    let from = rng.within(0, last);
    // A piece begins where there is a price.
    let from = (from..=last).find(|at| seconds[*at as usize].0.is_some())?;
    Some(Index::Recorded { of: of as u8, from: from as u32 })
}

/// The day and symbol of a recording.
pub(super) fn name(of: u8) -> String {
    let series = &SERIES.get().expect("recordings are open")[usize::from(of)];
    format!("{} on {}", series.listing.symbol, series.day)
}

/// The index so many seconds after a second of a recording, where there is one: in proportion to
/// [`INDEX_TICKS`] at that second.
pub(super) fn index_ticks((of, from): (u8, u32), seconds: u64) -> Option<u64> {
    let series = &SERIES.get()?[usize::from(of)].seconds;
    let at = |second: u64| series.get(usize::try_from(second).ok()?)?.0.map(Ticks::get);
    let scaled = u128::from(INDEX_TICKS) * u128::from(at(u64::from(from) + seconds)?)
        / u128::from(at(from.into())?);
    u64::try_from(scaled).ok()
}

/// The largest move between two blocks of a piece, in hundredths of a percent.
pub(super) fn largest_move_bps(piece: (u8, u32), interval_ms: u64) -> u64 {
    let (mut before, mut largest) = (INDEX_TICKS, 0);
    for block in 0..u64::from(HORIZON) {
        let Some(now) = index_ticks(piece, block * interval_ms / 1_000) else { continue };
        largest = largest.max(now.abs_diff(before) * 10_000 / before.max(1));
        before = now;
    }
    largest
}
