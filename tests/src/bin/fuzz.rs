//! Bytes of a seed for one part of the program, or for each in turn, for so many seconds. An input
//! that a part does not stand is kept in `target/fuzz`, and is run again by naming its file.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // the time of a run is counted

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidemark_tests::fuzz::{next_input, work, Part, PARTS};
use tidemark_tests::net::target_folder;
use tidemark_tests::sim::rng::Rng;

const USAGE: &str = "usage: FUZZ_TARGET=PART fuzz [--seconds N] [--seed N] [FILE]";

struct Options {
    parts: Vec<&'static Part>,
    seconds: u64,
    seed: u64,
    file: Option<PathBuf>,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let parts = match std::env::var("FUZZ_TARGET") {
            Err(_) => PARTS.iter().collect(),
            Ok(name) => {
                let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
                let part = Part::find(&name);
                vec![part.ok_or_else(|| format!("no part {name:?}, one of {}", names.join(", ")))?]
            }
        };
        let mut options = Self { parts, seconds: 10, seed: 1, file: None };
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|text| text.parse().ok()).ok_or(USAGE);
            match word.as_str() {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                file if !file.starts_with('-') => options.file = Some(file.into()),
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    match Options::read(std::env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("fuzz: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    if let Some(file) = &options.file {
        let bytes =
            std::fs::read(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        for part in &options.parts {
            part.run(&bytes);
        }
        return Ok(());
    }
    for part in &options.parts {
        if part.name == "work" {
            search(part, options)?;
            continue;
        }
        let (seeds, mut rng) = (part.seeds(), Rng::new(options.seed));
        let (start, mut count) = (Instant::now(), 0_u64);
        while start.elapsed() < Duration::from_secs(options.seconds) {
            let bytes = next_input(&mut rng, &seeds);
            if catch_unwind(AssertUnwindSafe(|| part.run(&bytes))).is_err() {
                return Err(kept(part, &bytes)?);
            }
            count += 1;
        }
        println!("{}: {count} inputs", part.name);
    }
    Ok(())
}

/// Inputs that a search for the worst keeps.
const KEPT: usize = 16;

/// Searches for the transaction that takes longest for its gas; prints and keeps the worst. What
/// comes among the worst is measured once more: another program may have had the processor's cache.
fn search(part: &Part, options: &Options) -> Result<(), String> {
    let mut rng = Rng::new(options.seed);
    let ns = |bytes: &[u8]| work::cost(bytes).map(|cost| cost.ns_per_kilogas_of_its_own());
    let measured = |bytes: Vec<u8>| Some((ns(&bytes)?, bytes));
    let mut worst: Vec<(u64, Vec<u8>)> = part.seeds().into_iter().filter_map(measured).collect();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(options.seconds) {
        let from: Vec<Vec<u8>> = worst.iter().map(|(_, bytes)| bytes.clone()).collect();
        let Some((first, bytes)) = measured(next_input(&mut rng, &from)) else { continue };
        let least_kept = worst.last().map_or(0, |(kept, _)| *kept);
        if worst.len() >= KEPT && first <= least_kept {
            continue;
        }
        worst.push((ns(&bytes).map_or(first, |again| again.min(first)), bytes));
        worst.sort_by(|a, b| b.cmp(a));
        worst.dedup();
        worst.truncate(KEPT);
    }
    let folder = target_folder()?.join("fuzz");
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    for (rank, (_, bytes)) in worst.iter().enumerate() {
        let path = folder.join(format!("work-{rank}.bin"));
        std::fs::write(&path, bytes).map_err(|e| e.to_string())?;
    }
    for (ns, bytes) in worst.iter().take(5) {
        let Some(cost) = work::cost(bytes) else { continue };
        println!(
            "work: worst {} ns per gas, {} with what orders paid before, {} gas a visit: {}",
            thousandths(cost.ns_per_kilogas_of_its_own().min(*ns)),
            thousandths(cost.ns_per_kilogas()),
            cost.gas / cost.visits.max(1),
            hex::encode(bytes)
        );
    }
    Ok(())
}

fn thousandths(number: u64) -> String {
    format!("{}.{:03}", number / 1_000, number % 1_000)
}

/// Keeps an input that failed; says how to run it again.
fn kept(part: &Part, bytes: &[u8]) -> Result<String, String> {
    let folder = target_folder()?.join("fuzz");
    let path = folder.join(format!("{}.bin", part.name));
    let cannot = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    std::fs::create_dir_all(&folder).map_err(cannot)?;
    std::fs::write(&path, bytes).map_err(cannot)?;
    Ok(format!("{} failed; again: FUZZ_TARGET={} fuzz {}", part.name, part.name, path.display()))
}
