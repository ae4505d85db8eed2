//! Bytes of a seed for one part of the program, or for each in turn, for so many seconds. An input
//! that a part does not stand is kept in `target/fuzz`, and is run again by naming its file.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // the time of a run is counted

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use tidemark_tests::fuzz::{next_input, Part, PARTS};
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

/// Keeps an input that failed; says how to run it again.
fn kept(part: &Part, bytes: &[u8]) -> Result<String, String> {
    let folder = target_folder()?.join("fuzz");
    let path = folder.join(format!("{}.bin", part.name));
    let cannot = |e: std::io::Error| format!("cannot write {}: {e}", path.display());
    std::fs::create_dir_all(&folder).map_err(cannot)?;
    std::fs::write(&path, bytes).map_err(cannot)?;
    Ok(format!("{} failed; again: FUZZ_TARGET={} fuzz {}", part.name, part.name, path.display()))
}
