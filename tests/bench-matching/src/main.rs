//! `bench-matching`: the order book beside other engines on one stream, in one run, on one thread;
//! then what a single operation takes, the worst cases, memory, and what the commitment costs a
//! block.

mod commitment;
mod compare;
mod engines;
mod floor;
mod generate;
mod latency;
#[path = "../../src/measures.rs"]
mod measures;
mod memory;
mod options;
mod process;
mod profile;
mod report;
mod stream;
mod worst;

use std::path::Path;
use std::process::ExitCode;

use options::{Options, USAGE};
use process::again;
use report::Report;
use stream::Stream;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("bench-matching: {why}");
            ExitCode::FAILURE
        }
    }
}

/// With options: all that there is to measure. Otherwise one measurement, for which this program
/// starts itself again.
fn run(words: &[&str]) -> Result<(), String> {
    match words {
        ["play", name, stream, runs] => {
            let runs = runs.parse().map_err(|_| USAGE.to_owned())?;
            answer(&engines::play_named(name, read(stream)?, runs)?)
        }
        ["latency", stream] => answer(&latency::latency(read(stream)?)),
        ["commitment", stream] => answer(&commitment::commitment(&read(stream)?)),
        ["worst"] => answer(&worst::worst()),
        ["memory"] => answer(&memory::memory()),
        ["floor"] => answer(&floor::floor()),
        options => measure(&Options::parse(options)?),
    }
}

fn read(stream: &str) -> Result<Stream, String> {
    Stream::read(Path::new(stream)).map_err(|e| format!("cannot read {stream}: {e}"))
}

fn answer(figures: &impl serde::Serialize) -> Result<(), String> {
    println!("{}", serde_json::to_string(figures).map_err(|e| e.to_string())?);
    Ok(())
}

fn measure(options: &Options) -> Result<(), String> {
    for difference in profile::differences() {
        eprintln!("warning: not the chain's profile: {difference}");
    }
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let (folder, scratch) = (target.join("bench"), target.join("bench-matching"));
    for folder in [&folder, &scratch] {
        std::fs::create_dir_all(folder)
            .map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    }
    let streams = compare::write_streams(options, &scratch)?;
    let engines = compare::compare(options, &streams, &scratch);
    if options.own {
        report::print_engines(&engines);
        println!("\nwritten to {}", report::write(&engines, &engines, &folder)?.display());
        return Ok(());
    }
    eprintln!("one operation, worst cases, commitment, memory");
    let smallest = streams.first().map(|(_, path)| path.display().to_string()).unwrap_or_default();
    let blocks =
        streams.iter().map(|(_, path)| again(&["commitment", &path.display().to_string()]));
    let report = Report {
        seed: options.seed,
        operations: options.operations,
        engines,
        latency: again(&["latency", &smallest])?,
        worst: again(&["worst"])?,
        blocks: blocks.collect::<Result<Vec<Vec<_>>, _>>()?.concat(),
        memory: again(&["memory"])?,
        floor: again(&["floor"])?,
    };
    report::print(&report);
    println!("\nwritten to {}", report::write(&report.engines, &report, &folder)?.display());
    Ok(())
}
