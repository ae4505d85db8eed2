//! Pairs of one owner, as a table.

use std::path::Path;
use std::process::ExitCode;

use tidemark_tests::crash::pairs::{sums, Sums, Terms};
use tidemark_tests::crash::recordings;

use super::report::bps;

/// The highest leverage of the deepest markets, to compare with.
const MAJORS_LEVERAGE: u32 = 50;

/// Prints a line for each recording, leverage and book.
pub fn run(folder: &Path, pairs: u64, leverage: Option<u32>) -> Result<ExitCode, String> {
    let all = recordings::all(folder)?;
    if all.is_empty() {
        println!("skipped: there are no recordings under {}", folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "| day | market | leverage | book | pairs | closed | mean net | after a fast minute | \
         with a gain | largest gain | fund | strangers | old quotes |"
    );
    println!("|---|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let mut gains = false;
    for series in &all {
        let highest = series.listing.max_leverage;
        let mut leverages = vec![highest, MAJORS_LEVERAGE];
        leverages.extend(leverage);
        leverages.sort_unstable();
        leverages.dedup();
        for leverage in leverages {
            for has_book in [true, false] {
                let terms = Terms { leverage, has_book };
                let of = sums(series, terms, usize::try_from(pairs).unwrap_or(usize::MAX))?;
                print((series.day, series.listing.symbol), terms, &of);
                gains |= leverage == highest && of.mean_ppm() > 0;
            }
        }
    }
    Ok(if gains { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print((day, symbol): (&str, &str), terms: Terms, of: &Sums) {
    let [fund, strangers, makers] = of.paid_ppm().map(bps);
    let fast = match of.fast {
        0 => "–".to_owned(),
        count => format!("{} ({count})", bps(of.mean_fast_ppm())),
    };
    println!(
        "| {day} | {symbol} | {}x | {} | {} | {} | {} | {fast} | {} | {} | {fund} | {strangers} | \
         {makers} |",
        terms.leverage,
        if terms.has_book { "makers" } else { "empty" },
        of.attempts,
        of.closed,
        bps(of.mean_ppm()),
        of.wins,
        bps(of.largest_ppm)
    );
}
