//! `adversary SEED` runs one seed, and exits with 1 and the shortest program found when a bound is
//! passed. `adversary FROM TO` runs a range: each seed's verdict is a line of
//! `target/adversary.txt`, and a range that was interrupted goes on where it ended.
//!
//! `adversary SEED --seconds N` runs seeds from that one on until the time is over.
//!
//! `--recorded` lets the index go as markets went on violent days, where there are recordings of
//! them: in `TIDEMARK_DATA`, or beside the repository.
//!
//! With the feature `switches`, `--off RULE` switches a rule off: the seeds run until one finds
//! what the rule prevents.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // files are written, time is kept

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidemark_tests::adversary::search::search;
use tidemark_tests::adversary::weather::Weather;
use tidemark_tests::net::target_folder;

/// Programs that one seed tries.
const PROGRAMS: u32 = 400;
const USAGE: &str =
    "usage: adversary SEED [TO] [--programs N] [--seconds N] [--off RULE] [--recorded]";

fn main() -> ExitCode {
    match run() {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("adversary: {why}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let (mut seeds, mut programs, mut off) = (Vec::new(), PROGRAMS, None);
    let (mut time, mut recorded) = (None, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--programs" => {
                programs = words.next().and_then(|text| text.parse().ok()).ok_or(USAGE)?;
            }
            "--seconds" => {
                let seconds = words.next().and_then(|text| text.parse().ok()).ok_or(USAGE)?;
                time = Some(Duration::from_secs(seconds));
            }
            "--recorded" => recorded = true,
            "--off" => off = Some(words.next().ok_or(USAGE)?),
            _ => seeds.push(word.parse::<u64>().map_err(|_| USAGE)?),
        }
    }
    if let Some(name) = &off {
        switch_off(name)?;
    }
    if recorded && open_recordings()? == 0 {
        println!("skipped: there are no recordings in $TIDEMARK_DATA or beside the repository");
        return Ok(false);
    }
    let start = Instant::now();
    match (&seeds[..], time, off) {
        ([seed], None, _) => Ok(one(*seed, programs).1),
        ([seed], Some(time), _) => {
            Ok((*seed..).take_while(|_| start.elapsed() < time).any(|seed| one(seed, programs).1))
        }
        ([from, to], None, None) => range((*from, *to), programs, recorded),
        ([from, to], None, Some(_)) => Ok((*from..=*to).any(|seed| one(seed, programs).1)),
        _ => Err(USAGE.to_owned()),
    }
}

fn open_recordings() -> Result<usize, String> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data");
    let folder =
        std::env::var_os("TIDEMARK_DATA").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    tidemark_tests::adversary::recorded::open(&folder)
}

#[cfg(feature = "switches")]
fn switch_off(name: &str) -> Result<(), String> {
    use tidemark_proto::defence::Defence;
    let rule = Defence::ALL.iter().find(|(known, _)| *known == name);
    let (_, rule) = rule.ok_or_else(|| {
        let names = Defence::ALL.map(|(name, _)| name).join(", ");
        format!("there is no rule {name:?}, one of {names}")
    })?;
    rule.switch_off();
    Ok(())
}

#[cfg(not(feature = "switches"))]
fn switch_off(_: &str) -> Result<(), String> {
    Err("this build has no switches: add --features switches to cargo run".to_owned())
}

/// Prints a seed's verdict; true if a bound was passed.
fn one(seed: u64, programs: u32) -> (String, bool) {
    let found = search(seed, programs);
    println!("seed {seed}: {}", Weather::of(seed));
    if found.is_empty() {
        println!("  nothing in {programs} programs");
        return ("nothing".to_owned(), false);
    }
    for finding in &found {
        println!("  {}: {}", finding.bound, finding.verdict);
        print!("{}", finding.program);
    }
    let bounds: Vec<_> = found.iter().map(|finding| finding.bound).collect();
    (bounds.join(", "), true)
}

fn range((from, to): (u64, u64), programs: u32, recorded: bool) -> Result<bool, String> {
    let name = if recorded { "adversary-recorded.txt" } else { "adversary.txt" };
    let path = target_folder()?.join(name);
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    let done: BTreeSet<u64> =
        known.lines().filter_map(|line| line.split_once(": ")?.0.parse().ok()).collect();
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    let mut found = known.lines().any(|line| !line.ends_with(": nothing"));
    for seed in (from..=to).filter(|seed| !done.contains(seed)) {
        let (verdict, passed) = one(seed, programs);
        found |= passed;
        writeln!(file, "{seed}: {verdict}").map_err(|e| e.to_string())?;
    }
    Ok(found)
}
