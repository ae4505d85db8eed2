//! `adversary SEED` runs one seed, and exits with 1 and the shortest program found when a bound is
//! passed. `adversary FROM TO` runs a range: each seed's verdict is a line of
//! `target/adversary.txt`, and a range that was interrupted goes on where it ended.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // files are read and written

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

use tidemark_tests::adversary::search::search;
use tidemark_tests::adversary::weather::Weather;
use tidemark_tests::net::target_folder;

/// Programs that one seed tries.
const PROGRAMS: u32 = 400;
const USAGE: &str = "usage: adversary SEED [TO] [--programs N]";

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
    let (mut seeds, mut programs) = (Vec::new(), PROGRAMS);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--programs" {
            programs = words.next().and_then(|text| text.parse().ok()).ok_or(USAGE)?;
        } else {
            seeds.push(word.parse::<u64>().map_err(|_| USAGE)?);
        }
    }
    match seeds[..] {
        [seed] => Ok(one(seed, programs).1),
        [from, to] => range(from, to, programs),
        _ => Err(USAGE.to_owned()),
    }
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

fn range(from: u64, to: u64, programs: u32) -> Result<bool, String> {
    let path = target_folder()?.join("adversary.txt");
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
